//! `producer-perf-test` (kafka-producer-perf-test.sh): sends records as fast as it may and says how
//! fast that was. Flags, payloads and output are those of Kafka's `ProducerPerformance`.
//!
//! Differs from Apache: `--print-metrics` shows a handful of the producer's totals, not every
//! metric of Java's client; of the producer's properties those count that `producer::Options`
//! names.

mod stats;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use client::cluster::Cluster;
use client::producer::{Options, Producer, Record};

use crate::java_random::SplittableRandom;
use crate::properties::Properties;
use crate::throttle::Throttle;
use crate::{args, dates, output, properties};
use stats::Stats;

const TOOL: &str = "producer-perf-test";
const CLIENT_ID: &str = "perf-producer-client";

/// Measure how fast records are sent.
#[derive(Debug, Parser)]
pub struct Flags {
    /// Topic to send to.
    #[arg(long, required = true)]
    topic: String,
    /// Records to send.
    #[arg(long, required = true)]
    num_records: u64,
    /// Bytes of each record; exactly one of this, --payload-file and --payload-monotonic.
    #[arg(long)]
    record_size: Option<usize>,
    /// Text file of payloads; each record is one of them, by chance.
    #[arg(long)]
    payload_file: Option<PathBuf>,
    /// The payload is the record's number.
    #[arg(long)]
    payload_monotonic: bool,
    /// What stands between the payloads of the file, a regular expression.
    #[arg(long, default_value = "\\n")]
    payload_delimiter: String,
    /// Records a second, about; -1 without limit.
    #[arg(long, required = true, allow_negative_numbers = true)]
    throughput: f64,
    /// key=value … for the producer; bootstrap.servers is one of them.
    #[arg(long, num_args = 1..)]
    producer_props: Vec<String>,
    /// Properties file for the producer; --producer-props count before it.
    #[arg(long = "producer.config")]
    producer_config: Option<PathBuf>,
    /// Show totals at the end.
    #[arg(long)]
    print_metrics: bool,
    /// Used if --transaction-duration-ms is above 0.
    #[arg(long, default_value = "performance-producer-default-transactional-id")]
    transactional_id: String,
    /// Commit when a transaction is so old, in milliseconds; 0 without transactions.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    transaction_duration_ms: i64,
}

pub fn run(given: &[String]) -> ExitCode {
    if given.is_empty() {
        return args::help::<Flags>(TOOL);
    }
    let flags: Flags = match args::parse(TOOL, given) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    if let Err(reason) = check(&flags) {
        return args::usage::<Flags>(TOOL, reason);
    }
    let done = prepare(&flags).and_then(|(producer, payloads)| {
        let mut stats = Stats::new(flags.num_records, dates::now_ms());
        output::block_on(measure(producer, payloads, &flags, &mut stats))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn check(flags: &Flags) -> Result<(), &'static str> {
    let payloads =
        [flags.record_size.is_some(), flags.payload_file.is_some(), flags.payload_monotonic];
    match payloads.iter().filter(|given| **given).count() {
        0 => {
            return Err(
                "one of the arguments --record-size --payload-file --payload-monotonic is \
                         required",
            );
        }
        1 => {}
        _ => return Err("only one of --record-size, --payload-file and --payload-monotonic"),
    }
    if flags.producer_props.is_empty() && flags.producer_config.is_none() {
        return Err("Either --producer-props or --producer.config must be specified.");
    }
    Ok(())
}

fn prepare(flags: &Flags) -> Result<(Producer<(i64, usize)>, Payloads), String> {
    let payloads = Payloads::of(flags)?;
    let properties = producer_properties(flags)?;
    let bootstrap = properties.get("bootstrap.servers").ok_or(
        "No resolvable bootstrap urls given in bootstrap.servers: it is among the properties",
    )?;
    let options = Options::of(&properties)?;
    let cluster = Cluster::new(bootstrap, &properties, CLIENT_ID).map_err(|e| e.to_string())?;
    Ok((Producer::new(cluster, options, &flags.topic), payloads))
}

fn producer_properties(flags: &Flags) -> Result<Properties, String> {
    let file = flags.producer_config.as_deref();
    let mut all = properties::load_optional(file).map_err(|e| e.to_string())?;
    for pair in &flags.producer_props {
        match pair.split_once('=') {
            Some((key, value)) if !value.is_empty() && !value.contains('=') => {
                all.insert(key.to_owned(), value.to_owned());
            }
            _ => return Err(format!("Invalid property: {pair}")),
        }
    }
    if flags.transaction_duration_ms > 0 {
        all.insert("transactional.id".to_owned(), flags.transactional_id.clone());
    }
    Ok(all)
}

/// What records hold.
enum Payloads {
    Random { random: SplittableRandom, payload: Vec<u8> },
    Listed { random: SplittableRandom, all: Vec<Vec<u8>> },
    Numbers { payload: Vec<u8> },
}

impl Payloads {
    fn of(flags: &Flags) -> Result<Payloads, String> {
        let random = SplittableRandom::new(0);
        if let Some(path) = &flags.payload_file {
            let all = read_payloads(path, &flags.payload_delimiter)?;
            return Ok(Payloads::Listed { random, all });
        }
        Ok(match flags.record_size {
            Some(size) => Payloads::Random { random, payload: vec![0; size] },
            None => Payloads::Numbers { payload: Vec::new() },
        })
    }

    fn next(&mut self, number: u64) -> &[u8] {
        match self {
            Payloads::Random { random, payload } => {
                payload.iter_mut().for_each(|byte| *byte = random.below(26) as u8 + b'A');
                payload
            }
            Payloads::Listed { random, all } => &all[random.below(all.len() as i32) as usize],
            Payloads::Numbers { payload } => {
                payload.clear();
                payload.extend_from_slice(number.to_string().as_bytes());
                payload
            }
        }
    }
}

fn read_payloads(path: &Path, delimiter: &str) -> Result<Vec<Vec<u8>>, String> {
    let shown = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    output::print(&format!("Reading payloads from: {}\n", shown.display()));
    let text = std::fs::read_to_string(path).ok().filter(|text| !text.is_empty());
    let text = text.ok_or("File does not exist or empty file provided.")?;
    let delimiter = regex_lite::Regex::new(delimiter)
        .map_err(|e| format!("{delimiter} is an invalid regex: {e}"))?;
    let mut all: Vec<Vec<u8>> = delimiter.split(&text).map(|p| p.as_bytes().to_vec()).collect();
    // As Java's split: empty strings at the end do not count.
    while all.len() > 1 && all.last().is_some_and(Vec::is_empty) {
        all.pop();
    }
    output::print(&format!("Number of messages read: {}\n", all.len()));
    Ok(all)
}

/// Milliseconds when it was sent, and bytes of its payload.
type Sent = (i64, usize);

async fn measure(
    mut producer: Producer<Sent>,
    mut payloads: Payloads,
    flags: &Flags,
    stats: &mut Stats,
) -> Result<(), String> {
    let transactions = flags.transaction_duration_ms > 0;
    if transactions {
        producer.init_transactions().await.map_err(|e| e.to_string())?;
    }
    let mut throttle = Throttle::new(flags.throughput, Instant::now());
    let mut begun_ms = None;
    for number in 0..flags.num_records {
        let payload = payloads.next(number);
        let now_ms = dates::now_ms();
        let begun = *begun_ms.get_or_insert(now_ms);
        let record = Record { value: Some(payload), ..Default::default() };
        producer.send(record, (now_ms, payload.len())).await;
        collect(&mut producer, stats);
        if transactions && flags.transaction_duration_ms <= now_ms - begun {
            producer.commit_transaction().await.map_err(|e| e.to_string())?;
            begun_ms = None;
        }
        if let Some(pause) = throttle.pause(number, Instant::now()) {
            producer.progress_for(pause).await;
        }
    }
    match transactions && begun_ms.is_some() {
        true => producer.commit_transaction().await.map_err(|e| e.to_string())?,
        false => producer.flush().await,
    }
    collect(&mut producer, stats);
    output::print(&stats.total(dates::now_ms()));
    if flags.print_metrics {
        output::print(&stats.metrics(CLIENT_ID));
    }
    Ok(())
}

/// Counts what was sent; what was not is told to standard error, as Kafka does.
fn collect(producer: &mut Producer<Sent>, stats: &mut Stats) {
    let done = producer.take_done();
    if done.is_empty() {
        return;
    }
    let now_ms = dates::now_ms();
    for done in done {
        let (sent_ms, bytes) = done.token;
        match done.outcome {
            Ok(_) => {
                if let Some(window) = stats.record(now_ms - sent_ms, bytes, now_ms) {
                    output::print(&window);
                }
            }
            Err(error) => {
                stats.failed();
                eprintln!("{}: {error}", error.exception_class());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(more: &[&str]) -> Flags {
        let given = ["--topic=t", "--num-records=3", "--throughput=-1"];
        let given: Vec<String> = given.iter().chain(more).map(|s| s.to_string()).collect();
        args::parse(TOOL, &given).unwrap()
    }

    #[test]
    fn wrong_combinations_are_refused() {
        let props = ["--producer-props", "bootstrap.servers=b:1", "acks=1"];
        assert!(check(&flags(&props)).is_err());
        let sized = [&props[..], &["--record-size=1"]].concat();
        assert_eq!(check(&flags(&sized)), Ok(()));
        assert_eq!(producer_properties(&flags(&sized)).unwrap()["acks"], "1");
        assert!(check(&flags(&[&sized[..], &["--payload-monotonic"]].concat())).is_err());
        assert!(check(&flags(&["--record-size=1"])).is_err());
        let error = producer_properties(&flags(&["--producer-props", "acks"])).unwrap_err();
        assert_eq!(error, "Invalid property: acks");
    }

    #[test]
    fn payloads_are_split_as_java_does() {
        let dir = std::env::temp_dir().join(format!("ottla-payloads-{}", std::process::id()));
        std::fs::write(&dir, "one\ntwo\n\n").unwrap();
        let all = read_payloads(&dir, "\\n");
        std::fs::remove_file(&dir).unwrap();
        assert_eq!(all, Ok(vec![b"one".to_vec(), b"two".to_vec()]));
    }
}
