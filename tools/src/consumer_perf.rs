//! `consumer-perf-test` (kafka-consumer-perf-test.sh): reads records as fast as they come and says
//! how fast that was. Flags and output are those of Kafka's `ConsumerPerformance`.
//!
//! Differs from Apache: times are in UTC; `--print-metrics` shows a handful of totals, not every
//! metric of Java's client; `--socket-buffer-size` is accepted and left to the system, as are the
//! deprecated `--threads` and `--num-fetch-threads`, which Kafka ignores too.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use clap::Parser;
use client::cluster::{Cluster, EARLIEST_TIMESTAMP, LATEST_TIMESTAMP};
use client::consumer::{ConsumedRecord, Next, Reader, ReaderOptions, Wanted};

use crate::{args, dates, output, properties};

const TOOL: &str = "consumer-perf-test";
const CLIENT_ID: &str = "perf-consumer-client";
const MIB: f64 = 1024.0 * 1024.0;
/// `max.poll.records`: so many are counted at once.
const POLL_RECORDS_MAX: usize = 500;

/// Measure how fast records are read.
#[derive(Debug, Parser)]
pub struct Flags {
    /// The old name of --bootstrap-server.
    #[arg(long)]
    broker_list: Option<String>,
    /// Brokers to begin with: host:port,…
    #[arg(long)]
    bootstrap_server: Option<String>,
    /// Topic to read.
    #[arg(long)]
    topic: Option<String>,
    /// Consumer group to join [default: perf-consumer- and a number].
    #[arg(long)]
    group: Option<String>,
    /// Bytes of each partition in one fetch.
    #[arg(long, default_value_t = 1 << 20)]
    fetch_size: i32,
    /// Begin at the end where the group has no offset yet.
    #[arg(long)]
    from_latest: bool,
    /// Accepted and without effect.
    #[arg(long, default_value_t = 2 << 20)]
    socket_buffer_size: i32,
    /// Deprecated and ignored.
    #[arg(long)]
    threads: Option<i32>,
    /// Deprecated and ignored.
    #[arg(long)]
    num_fetch_threads: Option<i32>,
    /// Properties file for the consumer.
    #[arg(long = "consumer.config")]
    consumer_config: Option<PathBuf>,
    /// Show totals at the end.
    #[arg(long)]
    print_metrics: bool,
    /// A line for each interval.
    #[arg(long)]
    show_detailed_stats: bool,
    /// End when no record came for so long, in milliseconds.
    #[arg(long, num_args = 0..=1, default_value_t = 10_000, default_missing_value = "10000")]
    timeout: i64,
    /// Records to read.
    #[arg(long)]
    messages: Option<u64>,
    /// Milliseconds between two lines.
    #[arg(long, default_value_t = 5_000)]
    reporting_interval: u32,
    /// How times are written, as Java's SimpleDateFormat takes it.
    #[arg(long, default_value = "yyyy-MM-dd HH:mm:ss:SSS")]
    date_format: String,
    /// No header.
    #[arg(long)]
    hide_header: bool,
}

pub fn run(given: &[String]) -> ExitCode {
    if given.is_empty() {
        return args::usage::<Flags>(TOOL, "Missing required argument \"[bootstrap-server]\"");
    }
    let flags: Flags = match args::parse(TOOL, given) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    if flags.threads.is_some() || flags.num_fetch_threads.is_some() {
        output::print(
            "WARNING: option [threads] and [num-fetch-threads] have been deprecated and will be \
             ignored by the test\n",
        );
    }
    let bootstrap = flags.bootstrap_server.as_ref().or(flags.broker_list.as_ref());
    let (Some(bootstrap), Some(topic), Some(messages)) = (bootstrap, &flags.topic, flags.messages)
    else {
        let missing = match (bootstrap, &flags.topic) {
            (None, _) => "bootstrap-server",
            (_, None) => "topic",
            _ => "messages",
        };
        let reason = format!("Missing required argument \"[{missing}]\"");
        return args::usage::<Flags>(TOOL, &reason);
    };
    let done = reader(&flags, bootstrap, topic)
        .and_then(|reader| output::block_on(measure(reader, &flags, messages)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn reader(flags: &Flags, bootstrap: &str, topic: &str) -> Result<Reader, String> {
    if flags.reporting_interval == 0 {
        return Err("Reporting interval must be greater than 0.".to_owned());
    }
    let file = flags.consumer_config.as_deref();
    let mut consuming = properties::load_optional(file).map_err(|e| e.to_string())?;
    let size = flags.fetch_size.to_string();
    consuming.insert("max.partition.fetch.bytes".to_owned(), size);
    let by_chance = || format!("perf-consumer-{}", RandomState::new().hash_one(0) % 100_000);
    let group = flags.group.clone().unwrap_or_else(by_chance);
    let reset = if flags.from_latest { LATEST_TIMESTAMP } else { EARLIEST_TIMESTAMP };
    let wanted = Wanted::Topic(topic.to_owned());
    let options = ReaderOptions::new(wanted, Some(group), Some(reset), &consuming)?;
    let cluster = Cluster::new(bootstrap, &consuming, CLIENT_ID).map_err(|e| e.to_string())?;
    Ok(Reader::new(cluster, options))
}

/// What was read up to a moment, and how long joining took.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    at_ms: i64,
    messages: u64,
    bytes: u64,
    join_ms: i64,
}

impl Progress {
    fn add(&mut self, record: &ConsumedRecord) {
        let length = |field: &Option<Vec<u8>>| field.as_ref().map_or(0, Vec::len) as u64;
        self.messages += 1;
        self.bytes += length(&record.key) + length(&record.value);
    }

    /// Kafka's columns of an interval, of what came since `before`: nothing is fetched in no time.
    fn interval_columns(&self, before: &Progress) -> String {
        self.columns(before, |amount, fetch| if fetch <= 0.0 { 0.0 } else { amount / fetch })
    }

    /// Kafka's columns of the whole, of what came since `start`: a rate over no time is infinite.
    fn total_columns(&self, start: &Progress) -> String {
        self.columns(start, |amount, fetch| amount / fetch)
    }

    fn columns(&self, before: &Progress, rate: fn(f64, f64) -> f64) -> String {
        let elapsed = (self.at_ms - before.at_ms) as f64 / 1000.0;
        let mib = (self.bytes - before.bytes) as f64 / MIB;
        let messages = (self.messages - before.messages) as f64;
        let join_ms = self.join_ms - before.join_ms;
        let fetch_ms = self.at_ms - before.at_ms - join_ms;
        let fetch = fetch_ms as f64 / 1000.0;
        format!(
            "{:.4}, {}, {}, {}, {join_ms}, {fetch_ms}, {}, {}",
            self.bytes as f64 / MIB,
            java(mib / elapsed),
            self.messages,
            java(messages / elapsed),
            java(rate(mib, fetch)),
            java(rate(messages, fetch))
        )
    }
}

/// As Java's `%.4f`.
fn java(number: f64) -> String {
    match number {
        n if n.is_nan() => "NaN".to_owned(),
        n if n.is_infinite() => "Infinity".to_owned(),
        n => format!("{n:.4}"),
    }
}

async fn measure(mut reader: Reader, flags: &Flags, messages: u64) -> Result<(), String> {
    if !flags.hide_header {
        let first =
            if flags.show_detailed_stats { "time, threadId" } else { "start.time, end.time" };
        output::print(&format!(
            "{first}, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, \
             rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec\n"
        ));
    }
    let start = Progress { at_ms: dates::now_ms(), ..Default::default() };
    let (mut now, mut reported, mut join_start_ms) = (start, start, start.at_ms);
    let mut last_record_ms = start.at_ms;
    while now.messages < messages && dates::now_ms() - last_record_ms <= flags.timeout {
        let limit = (last_record_ms + flags.timeout - dates::now_ms()).max(0) as u64 + 1;
        let next = tokio::time::timeout(Duration::from_millis(limit), reader.next()).await;
        now.join_ms += joined_ms(&mut reader, &mut join_start_ms);
        let Ok(next) = next else { break };
        let Next::Records(records) = next? else { continue };
        last_record_ms = dates::now_ms();
        for records in records.chunks(POLL_RECORDS_MAX) {
            now.at_ms = dates::now_ms();
            for record in records {
                now.add(record);
                if now.at_ms - reported.at_ms >= i64::from(flags.reporting_interval) {
                    if flags.show_detailed_stats {
                        let time = dates::formatted(&flags.date_format, now.at_ms);
                        let columns = now.interval_columns(&reported);
                        output::print(&format!("{time}, 0, {columns}\n"));
                    }
                    reported = now;
                }
            }
            consumed(&mut reader, records);
            if now.messages >= messages {
                break;
            }
        }
    }
    if now.messages < messages {
        output::print(&format!(
            "WARNING: Exiting before consuming the expected number of messages: timeout ({} ms) \
             exceeded. You can use the --timeout option to increase the timeout.\n",
            flags.timeout
        ));
    }
    now.at_ms = dates::now_ms();
    reader.close().await;
    if !flags.show_detailed_stats {
        let time = |ms| dates::formatted(&flags.date_format, ms);
        let columns = now.total_columns(&start);
        output::print(&format!("{}, {}, {columns}\n", time(start.at_ms), time(now.at_ms)));
    }
    if flags.print_metrics {
        output::print(&metrics(&now));
    }
    Ok(())
}

/// Tells the reader how far each partition was read.
fn consumed(reader: &mut Reader, records: &[ConsumedRecord]) {
    for pair in records.windows(2) {
        if (&pair[0].topic, pair[0].partition) != (&pair[1].topic, pair[1].partition) {
            reader.consumed(&pair[0]);
        }
    }
    if let Some(last) = records.last() {
        reader.consumed(last);
    }
}

/// Milliseconds that the rebalances since the last call took.
fn joined_ms(reader: &mut Reader, join_start_ms: &mut i64) -> i64 {
    let mut took = 0;
    for rebalance in reader.take_rebalances() {
        let at = rebalance.at.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64);
        match rebalance.revoked {
            true => *join_start_ms = at,
            false => took += at - *join_start_ms,
        }
    }
    took
}

fn metrics(all: &Progress) -> String {
    let group = "consumer-fetch-manager-metrics";
    let name = |metric: &str| format!("{group}:{metric}:{{client-id={CLIENT_ID}}}");
    let width = name("records-consumed-total").len();
    let mut out = format!("\n{:width$}   Value\n", "Metric Name");
    for (metric, value) in
        [("bytes-consumed-total", all.bytes), ("records-consumed-total", all.messages)]
    {
        out.push_str(&format!("{:width$} : {:.3}\n", name(metric), value as f64));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_kafkas() {
        let start = Progress { at_ms: 1000, ..Default::default() };
        let end = Progress { at_ms: 5000, messages: 400, bytes: 8 << 20, join_ms: 2000 };
        let all = "8.0000, 2.0000, 400, 100.0000, 2000, 2000, 4.0000, 200.0000";
        assert_eq!(end.total_columns(&start), all);
        assert_eq!(end.interval_columns(&start), all);
        let nothing = "0.0000, NaN, 0, NaN, 0, 0, NaN, NaN";
        assert_eq!(start.total_columns(&start), nothing);
    }

    /// As Kafka's tool has it: joining took all the time that the clock shows.
    #[test]
    fn no_time_to_fetch() {
        let start = Progress { at_ms: 1000, ..Default::default() };
        let end = Progress { at_ms: 5000, messages: 400, bytes: 8 << 20, join_ms: 4000 };
        let infinite = "8.0000, 2.0000, 400, 100.0000, 4000, 0, Infinity, Infinity";
        assert_eq!(end.total_columns(&start), infinite);
        let zero = "8.0000, 2.0000, 400, 100.0000, 4000, 0, 0.0000, 0.0000";
        assert_eq!(end.interval_columns(&start), zero);
    }
}
