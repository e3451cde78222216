//! `console-consumer` (kafka-console-consumer.sh): prints the records of a topic. Flags and output
//! are those of Kafka's `ConsoleConsumer`.
//!
//! Differs from Apache: without a group it assigns itself all partitions, where Kafka joins a group
//! of a random name.

mod formatter;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use client::cluster::{Cluster, EARLIEST_TIMESTAMP, LATEST_TIMESTAMP};
use client::consumer::{Next, Reader, ReaderOptions, Start, Wanted};
use client::topic_filter::TopicFilter;
use tokio::time::Instant;

use crate::properties::Properties;
use crate::{args, output, properties};
use formatter::Formatter;

const TOOL: &str = "console-consumer";

/// How Kafka begins to say that reading ended with an error.
const STOPPING: &str = "ERROR Error processing message, terminating consumer process";

/// Print the records of a topic.
#[derive(Debug, Parser)]
pub struct Flags {
    /// Topic to read.
    #[arg(long)]
    topic: Option<String>,
    /// The old name of --include.
    #[arg(long)]
    whitelist: Option<String>,
    /// Regular expression of topics to read.
    #[arg(long)]
    include: Option<String>,
    /// Partition to read; from its end unless --offset says otherwise.
    #[arg(long)]
    partition: Option<i32>,
    /// Where to begin in the partition: a number, earliest or latest.
    #[arg(long, allow_hyphen_values = true)]
    offset: Option<String>,
    /// key=value for the consumer.
    #[arg(long)]
    consumer_property: Vec<String>,
    /// Properties file for the consumer.
    #[arg(long = "consumer.config")]
    consumer_config: Option<PathBuf>,
    /// How records are printed: Kafka's class names DefaultMessageFormatter, NoOpMessageFormatter.
    #[arg(long)]
    formatter: Option<String>,
    /// key=value for printing: print.key, print.timestamp, print.offset, print.partition,
    /// print.headers, print.value, key.separator, line.separator, headers.separator, null.literal,
    /// key.deserializer, value.deserializer.
    #[arg(long)]
    property: Vec<String>,
    /// Properties file for printing.
    #[arg(long)]
    formatter_config: Option<PathBuf>,
    /// Begin with the oldest record where the group has no offset yet.
    #[arg(long)]
    from_beginning: bool,
    /// End after so many records.
    #[arg(long, allow_negative_numbers = true)]
    max_messages: Option<i64>,
    /// End when no record came for so long, in milliseconds.
    #[arg(long, allow_negative_numbers = true)]
    timeout_ms: Option<i64>,
    /// Go on after a record that cannot be printed.
    #[arg(long)]
    skip_message_on_error: bool,
    /// Brokers to begin with: host:port,…
    #[arg(long)]
    bootstrap_server: Option<String>,
    /// Class name of Kafka's that says how keys are read.
    #[arg(long)]
    key_deserializer: Option<String>,
    /// Class name of Kafka's that says how values are read.
    #[arg(long)]
    value_deserializer: Option<String>,
    /// Say when it ends.
    #[arg(long)]
    enable_systest_events: bool,
    /// read_committed or read_uncommitted [default: read_uncommitted].
    #[arg(long)]
    isolation_level: Option<String>,
    /// Consumer group to join.
    #[arg(long)]
    group: Option<String>,
}

struct Setup {
    cluster: Cluster,
    reader: ReaderOptions,
    formatter: Formatter,
}

pub fn run(given: &[String]) -> ExitCode {
    if given.is_empty() {
        let about =
            "This tool helps to read data from Kafka topics and outputs it to standard output.";
        return args::usage::<Flags>(TOOL, about);
    }
    let flags: Flags = match args::parse(TOOL, given) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let setup = check(&flags).and_then(|()| setup(&flags));
    match setup {
        Ok(setup) => output::block_on(consume(setup, &flags)),
        Err(reason) => args::usage::<Flags>(TOOL, &reason),
    }
}

fn included(flags: &Flags) -> Option<&String> {
    flags.include.as_ref().or(flags.whitelist.as_ref())
}

fn check(flags: &Flags) -> Result<(), String> {
    let refused = |reason: &str| Err(reason.to_owned());
    if flags.topic.is_some() == included(flags).is_some() {
        return refused("Exactly one of --include/--topic is required. ");
    }
    if flags.partition.is_some() {
        if flags.topic.is_none() {
            return refused("The topic is required when partition is specified.");
        }
        if flags.from_beginning && flags.offset.is_some() {
            return refused("Options from-beginning and offset cannot be specified together.");
        }
    } else if flags.offset.is_some() {
        return refused("The partition is required when offset is specified.");
    }
    if flags.bootstrap_server.is_none() {
        return refused("Missing required argument \"[bootstrap-server]\"");
    }
    Ok(())
}

fn setup(flags: &Flags) -> Result<Setup, String> {
    let text = |e: std::io::Error| e.to_string();
    let file = properties::load_optional(flags.consumer_config.as_deref()).map_err(text)?;
    let given = properties::of_pairs(&flags.consumer_property);
    let group = group(flags, &file, &given)?;
    let mut consuming = file;
    consuming.extend(given);
    let reset = match (consuming.get("auto.offset.reset").map(String::as_str), flags.from_beginning)
    {
        (Some("earliest"), _) | (None, true) => EARLIEST_TIMESTAMP,
        (Some("latest"), false) | (None, false) => LATEST_TIMESTAMP,
        (Some(other), true) => {
            return Err(format!(
                "Can't simultaneously specify --from-beginning and 'auto.offset.reset={other}', \
                 please remove one option"
            ));
        }
        (Some(other), false) => {
            return Err(format!("Invalid value {other} for configuration auto.offset.reset"));
        }
    };
    let wanted = match (&flags.topic, included(flags)) {
        (Some(topic), _) => match flags.partition {
            Some(partition) => Wanted::Partition(topic.clone(), partition, start(flags)?),
            None => Wanted::Topic(topic.clone()),
        },
        (None, pattern) => Wanted::Matching(TopicFilter::new(pattern.map_or("", |p| p))?),
    };
    if let Some(level) = &flags.isolation_level {
        consuming.insert("isolation.level".to_owned(), level.clone());
    }
    let mut printing =
        properties::load_optional(flags.formatter_config.as_deref()).map_err(text)?;
    for (key, class) in [
        ("key.deserializer", &flags.key_deserializer),
        ("value.deserializer", &flags.value_deserializer),
    ] {
        if let Some(class) = class {
            printing.insert(key.to_owned(), class.clone());
        }
    }
    printing.extend(properties::of_pairs(&flags.property));
    let bootstrap = flags.bootstrap_server.as_deref().unwrap_or_default();
    Ok(Setup {
        cluster: Cluster::new(bootstrap, &consuming, TOOL).map_err(|e| e.to_string())?,
        reader: ReaderOptions::new(wanted, group, Some(reset), &consuming)?,
        formatter: Formatter::new(flags.formatter.as_deref(), &printing)?,
    })
}

/// A group may be named in three places, but only one group.
fn group(flags: &Flags, file: &Properties, given: &Properties) -> Result<Option<String>, String> {
    let mut all: Vec<&String> = [flags.group.as_ref(), file.get("group.id"), given.get("group.id")]
        .into_iter()
        .flatten()
        .collect();
    all.sort();
    all.dedup();
    if all.len() > 1 {
        let shown: Vec<String> = all.iter().map(|group| format!("'{group}'")).collect();
        return Err(format!(
            "The group ids provided in different places (directly using '--group', via \
             '--consumer-property', or via '--consumer.config') do not match. Detected group ids: \
             {}",
            shown.join(", ")
        ));
    }
    if !all.is_empty() && flags.partition.is_some() {
        return Err("Options group and partition cannot be specified together.".to_owned());
    }
    Ok(all.first().map(|group| group.to_string()))
}

fn start(flags: &Flags) -> Result<Start, String> {
    match flags.offset.as_deref() {
        None if flags.from_beginning => Ok(Start::Timestamp(EARLIEST_TIMESTAMP)),
        None => Ok(Start::Timestamp(LATEST_TIMESTAMP)),
        Some(text) if text.eq_ignore_ascii_case("earliest") => {
            Ok(Start::Timestamp(EARLIEST_TIMESTAMP))
        }
        Some(text) if text.eq_ignore_ascii_case("latest") => Ok(Start::Timestamp(LATEST_TIMESTAMP)),
        Some(text) => match text.parse::<i64>() {
            Ok(offset) if offset >= 0 => Ok(Start::Offset(offset)),
            _ => Err(format!(
                "The provided offset value '{text}' is incorrect. Valid values are 'earliest', \
                 'latest', or a non-negative long."
            )),
        },
    }
}

async fn consume(setup: Setup, flags: &Flags) -> ExitCode {
    let limit = flags.max_messages.filter(|max| *max >= 0).map(|max| max as u64);
    let timeout = flags.timeout_ms.filter(|ms| *ms >= 0).map(|ms| Duration::from_millis(ms as u64));
    let mut reader = Reader::new(setup.cluster, setup.reader);
    let mut printed = 0u64;
    let mut code = ExitCode::SUCCESS;
    let mut stop = std::pin::pin!(stop_signal());
    let mut last = Instant::now();
    'reading: while limit.is_none_or(|limit| printed < limit) {
        let due = async {
            match timeout {
                Some(timeout) => tokio::time::sleep_until(last + timeout).await,
                None => std::future::pending().await,
            }
        };
        let next = tokio::select! {
            biased;
            () = &mut stop => break,
            next = reader.next() => next,
            () = due => {
                eprintln!("{STOPPING}: timed out");
                break;
            }
        };
        let records = match next {
            Ok(Next::Records(records)) => records,
            Ok(Next::Nothing) => continue,
            Err(reason) => {
                eprintln!("{STOPPING}: {reason}");
                code = ExitCode::SUCCESS; // Kafka ends so, too.
                break;
            }
        };
        let mut out = Vec::new();
        let mut bad = None;
        for record in records.iter().take(limit.map_or(usize::MAX, |l| (l - printed) as usize)) {
            printed += 1;
            let written = setup.formatter.write(record, &mut out);
            reader.consumed(record);
            match written {
                Ok(()) => {}
                Err(reason) if flags.skip_message_on_error => {
                    eprintln!("ERROR Error processing message, skipping this message: {reason}");
                }
                Err(reason) => {
                    bad = Some(reason);
                    break;
                }
            }
        }
        if !records.is_empty() {
            last = Instant::now();
        }
        if output::print_bytes(&out).is_err() {
            eprintln!("Unable to write to standard out, closing consumer.");
            break 'reading;
        }
        if let Some(reason) = bad {
            eprintln!("ERROR Unknown error when running consumer: {reason}");
            code = ExitCode::FAILURE;
            break;
        }
    }
    reader.close().await;
    eprintln!("Processed a total of {printed} messages");
    if flags.enable_systest_events {
        output::print("shutdown_complete\n");
    }
    code
}

/// Ends when the tool is asked to stop.
async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(given: &[&str]) -> String {
        let given: Vec<String> = given.iter().map(|s| s.to_string()).collect();
        let flags: Flags = args::parse(TOOL, &given).unwrap();
        check(&flags).and_then(|()| setup(&flags)).err().unwrap()
    }

    #[test]
    fn wrong_combinations_are_refused_in_kafkas_words() {
        let b = "--bootstrap-server=b:1";
        assert!(refusal(&[b]).starts_with("Exactly one of --include/--topic"));
        assert!(refusal(&[b, "--topic=t", "--include=x"]).starts_with("Exactly one of"));
        assert_eq!(
            refusal(&[b, "--topic=t", "--offset=3"]),
            "The partition is required when offset is specified."
        );
        assert_eq!(
            refusal(&[b, "--topic=t", "--partition=0", "--offset=-3"]),
            "The provided offset value '-3' is incorrect. Valid values are 'earliest', 'latest', \
             or a non-negative long."
        );
        assert_eq!(
            refusal(&[b, "--topic=t", "--partition=0", "--group=g"]),
            "Options group and partition cannot be specified together."
        );
        let two = refusal(&[b, "--topic=t", "--group=g", "--consumer-property=group.id=h"]);
        assert!(two.ends_with("Detected group ids: 'g', 'h'"), "{two}");
    }
}
