//! `verifiable-consumer` (kafka-verifiable-consumer.sh): reads as a member of a group and says what
//! it was given, what it read and what it committed, one JSON object a line. Flags and output are
//! those of Kafka's `VerifiableConsumer`.
//!
//! Differs from Apache: `--group-protocol consumer` is refused, as are assignors other than Kafka's
//! range and round robin.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use client::cluster::{Cluster, EARLIEST_TIMESTAMP, LATEST_TIMESTAMP};
use client::consumer::{ConsumedRecord, Next, Reader, ReaderOptions, Wanted};
use protocol::ids::{Offset, TopicPartition};

use crate::ordered_json::{array, object, value as json};
use crate::{args, dates, output, properties, stop};

const TOOL: &str = "verifiable-consumer";
/// `max.poll.records`, if the properties file does not say otherwise.
const POLL_RECORDS_MAX: usize = 500;

/// Read as a member of a group, and say everything.
#[derive(Debug, Parser)]
pub struct Flags {
    /// Brokers to begin with: host:port,…
    #[arg(long, conflicts_with = "broker_list")]
    bootstrap_server: Option<String>,
    /// The old name of --bootstrap-server.
    #[arg(long)]
    broker_list: Option<String>,
    /// Topic to read.
    #[arg(long, required = true)]
    topic: String,
    /// classic; consumer is not known here.
    #[arg(long, default_value = "classic")]
    group_protocol: String,
    /// Only for the group protocol consumer.
    #[arg(long)]
    group_remote_assignor: Option<String>,
    /// The group.
    #[arg(long, required = true)]
    group_id: String,
    /// Be this static member.
    #[arg(long)]
    group_instance_id: Option<String>,
    /// How many to read; -1 until it is stopped.
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    max_messages: i64,
    /// The member's session timeout, in milliseconds.
    #[arg(long, default_value_t = 30_000)]
    session_timeout: u32,
    /// Show every record.
    #[arg(long)]
    verbose: bool,
    /// Commit now and then, not after every poll.
    #[arg(long)]
    enable_autocommit: bool,
    /// Where to begin without an offset: earliest, latest or none.
    #[arg(long, default_value = "earliest")]
    reset_policy: String,
    /// Kafka's class of the assignor.
    #[arg(long, default_value = "org.apache.kafka.clients.consumer.RangeAssignor")]
    assignment_strategy: String,
    /// Properties file for the consumer; the flags count before it.
    #[arg(long = "consumer.config")]
    consumer_config: Option<PathBuf>,
}

pub fn run(given: &[String]) -> ExitCode {
    if given.is_empty() {
        return args::help::<Flags>(TOOL);
    }
    let flags: Flags = match args::parse(TOOL, given) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let Some(bootstrap) = flags.bootstrap_server.as_ref().or(flags.broker_list.as_ref()) else {
        let reason = "one of the arguments --bootstrap-server --broker-list is required";
        return args::usage::<Flags>(TOOL, reason);
    };
    match reader(&flags, bootstrap) {
        Ok((reader, at_once)) => {
            let left = usize::try_from(flags.max_messages).ok();
            output::block_on(Consumption { reader, flags, at_once, left }.run())
        }
        Err(reason) => args::usage::<Flags>(TOOL, &reason),
    }
}

/// The reader, and how many records a poll gives at most.
fn reader(flags: &Flags, bootstrap: &str) -> Result<(Reader, usize), String> {
    if !flags.group_protocol.eq_ignore_ascii_case("classic") {
        return Err(format!("the group protocol {} is not known here", flags.group_protocol));
    }
    let reset = match flags.reset_policy.as_str() {
        "earliest" => Some(EARLIEST_TIMESTAMP),
        "latest" => Some(LATEST_TIMESTAMP),
        "none" => None,
        other => return Err(format!("Invalid value {other} for configuration auto.offset.reset")),
    };
    let file = flags.consumer_config.as_deref();
    let mut consuming = properties::load_optional(file).map_err(|e| e.to_string())?;
    let mut set = |key: &str, value: &str| consuming.insert(key.to_owned(), value.to_owned());
    set("partition.assignment.strategy", &flags.assignment_strategy);
    set("enable.auto.commit", if flags.enable_autocommit { "true" } else { "false" });
    set("session.timeout.ms", &flags.session_timeout.to_string());
    if let Some(instance) = &flags.group_instance_id {
        set("group.instance.id", instance);
    }
    let at_once = match consuming.get("max.poll.records") {
        Some(text) => text
            .trim()
            .parse()
            .map_err(|_| format!("Invalid value {text} for configuration max.poll.records"))?,
        None => POLL_RECORDS_MAX,
    };
    let wanted = Wanted::Topic(flags.topic.clone());
    let options = ReaderOptions::new(wanted, Some(flags.group_id.clone()), reset, &consuming)?;
    let cluster = Cluster::new(bootstrap, &consuming, "consumer").map_err(|e| e.to_string())?;
    Ok((Reader::new(cluster, options), at_once.max(1)))
}

struct Consumption {
    reader: Reader,
    flags: Flags,
    at_once: usize,
    /// Records to read yet; `None` without a limit.
    left: Option<usize>,
}

impl Consumption {
    async fn run(mut self) -> ExitCode {
        tell("startup_complete", &[]);
        let mut stopped = std::pin::pin!(stop::asked());
        let code = tokio::select! {
            biased;
            code = &mut stopped => code,
            () = self.consume() => ExitCode::SUCCESS,
        };
        self.reader.close().await;
        self.tell_rebalances();
        tell("shutdown_complete", &[]);
        code
    }

    async fn consume(&mut self) {
        while self.left != Some(0) {
            let next = self.reader.next().await;
            self.tell_rebalances();
            let records = match next {
                Ok(Next::Records(records)) => records,
                Ok(Next::Nothing) => continue,
                Err(reason) => {
                    eprintln!("Error during processing, terminating consumer process: {reason}");
                    return;
                }
            };
            for records in records.chunks(self.at_once) {
                if self.left == Some(0) {
                    return;
                }
                let offsets = self.received(records);
                if !self.flags.enable_autocommit {
                    self.commit(&offsets).await;
                }
            }
        }
    }

    /// Says what a poll gave; gives what is to be committed.
    fn received(&mut self, records: &[ConsumedRecord]) -> BTreeMap<TopicPartition, Offset> {
        let mut offsets = BTreeMap::new();
        let mut summaries = Vec::new();
        let same = |a: &ConsumedRecord, b: &ConsumedRecord| {
            (&a.topic, a.partition) == (&b.topic, b.partition)
        };
        for of_partition in records.chunk_by(same) {
            let take = self.left.unwrap_or(usize::MAX).min(of_partition.len());
            let Some(last) = of_partition[..take].last() else { break };
            if self.flags.verbose {
                of_partition[..take].iter().for_each(record_data);
            }
            let (first, partition) = (&of_partition[0], last.partition);
            summaries.push(object(&[
                ("topic", json(&*last.topic)),
                ("partition", json(partition)),
                ("count", json(take)),
                ("minOffset", json(first.offset)),
                ("maxOffset", json(last.offset)),
            ]));
            offsets.insert(TopicPartition::new(&*last.topic, partition), last.offset + 1);
            self.reader.consumed(last);
            self.left = self.left.map(|left| left - take);
        }
        let fields = [("count", json(records.len())), ("partitions", array(&summaries))];
        tell("records_consumed", &fields);
        offsets
    }

    async fn commit(&mut self, offsets: &BTreeMap<TopicPartition, Offset>) {
        let done = self.reader.commit_these(offsets).await;
        let shown: Vec<String> = offsets
            .iter()
            .map(|(p, offset)| object(&[&place(p)[..], &[("offset", json(*offset))]].concat()))
            .collect();
        let offsets = ("offsets", array(&shown));
        let success = ("success", json(done.is_ok()));
        match done {
            Ok(()) => tell("offsets_committed", &[offsets, success]),
            Err(error) => {
                let error = ("error", json(error.to_string()));
                tell("offsets_committed", &[offsets, error, success]);
            }
        }
    }

    fn tell_rebalances(&mut self) {
        for rebalance in self.reader.take_rebalances() {
            let name = if rebalance.revoked { "partitions_revoked" } else { "partitions_assigned" };
            let all: Vec<String> = rebalance.partitions.iter().map(|p| object(&place(p))).collect();
            tell(name, &[("partitions", array(&all))]);
        }
    }
}

fn place(partition: &TopicPartition) -> [(&'static str, String); 2] {
    [("topic", json(&*partition.topic)), ("partition", json(partition.partition))]
}

fn record_data(record: &ConsumedRecord) {
    let text = |field: &Option<Vec<u8>>| {
        json(field.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
    };
    let fields = [
        ("key", text(&record.key)),
        ("value", text(&record.value)),
        ("topic", json(&*record.topic)),
        ("partition", json(record.partition)),
        ("offset", json(record.offset)),
    ];
    tell("record_data", &fields);
}

/// Prints a line, its time and name first.
fn tell(name: &str, fields: &[(&str, String)]) {
    let head = [("timestamp", json(dates::now_ms())), ("name", json(name))];
    output::print(&(object(&[&head[..], fields].concat()) + "\n"));
}
