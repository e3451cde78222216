//! Measures ours beside Apache Kafka and prints the table; `--write` puts it into
//! `benches/RESULTS.md`. Words choose parts: `floor`, `start`, `throughput`, `latency`, `topics`,
//! `cluster`, `failover`, `groups`, `transactions`.

use std::process::Command;

use benches::floor;
use benches::load::Load;
use benches::rows::{cluster, failover, groups, latency, start, throughput, topics, transactions};
use benches::table::{self, Row};
use tests::places;

const HOW: &str = "\
# Results

Made by `cargo xtask bench --write`: Apache Kafka 3.9.2 (its own start script's JVM options) and
ottla on the same machine in one run, each beside a ZooKeeper of its own, passes interleaved A B A
B, the same client for both, medians. CPU is utime + stime of the broker and its children; memory is
RssAnon + RssShmem. The produce and consume load is `benches/load/rdkafka_load.c` on librdkafka
(linger 5 ms, batch.size 1,000,000, no compression): two warm passes, median of three. The round
trip is Apache's `EndToEndLatency`, 5,000 records, one warm round, median of three. A restart after
kill -9 is timed from when ZooKeeper forgot the killed broker, since Apache's cannot start before:
that is at once for ours, whose guard ends the session, and after the session timeout for Apache's.
The time until then is not in the table. Many topics are made before anything else of the run is
deleted, on ours first (`benches/src/rows/topics.rs` says why). The rows of three brokers
start one cluster at a time, beside one ZooKeeper, with Kafka's own values of every setting but
min.insync.replicas 2 and a session of 10 s (`benches/src/rows/cluster.rs`). A gap is the longest
time in which one of six partitions acknowledged nothing to an idempotent librdkafka producer that
sends one record a millisecond and retries every 10 ms. Transactions are those of one librdkafka
producer, one after the other, timed from their beginning until their commit is answered. Offset
commits and joins are made on this repository's own client. Memory when idle is read right after the
start. Absolute figures drift with the machine; the ratio is what counts.

`met` reads the ratio alone. A CPU goal is also met within 1.5 times the floor of the same run
(consume: 1.3 times): receive, CRC-32C and append by pwrite in 64 KiB pieces for produce, sendfile
for consume.
";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let chosen: Vec<&str> = words.iter().map(String::as_str).filter(|w| *w != "--write").collect();
    let wanted = |name: &str| chosen.is_empty() || chosen.contains(&name);
    let mut rows: Vec<Row> = vec![];
    if wanted("start") {
        rows.extend(start::rows());
    }
    if wanted("topics") {
        rows.extend(topics::rows());
    }
    if wanted("throughput") {
        rows.extend(throughput::rows(&Load::compile()));
    }
    if wanted("latency") {
        rows.extend(latency::rows());
    }
    if wanted("cluster") {
        rows.extend(cluster::rows(&Load::compile()));
    }
    if wanted("groups") {
        rows.extend(groups::rows());
    }
    if wanted("transactions") {
        rows.extend(transactions::rows(&Load::compile()));
    }
    if wanted("failover") {
        rows.extend(failover::rows(&Load::compile()));
    }
    let mut table = table::markdown(&rows);
    if wanted("floor") {
        table += &format!("\n## The machine's floor\n\n{}", floor::markdown());
    }
    println!("{table}");
    if words.iter().any(|w| w == "--write") {
        let text = format!("{HOW}\n{}\n\n{table}", machine());
        std::fs::write(places::root().join("benches/RESULTS.md"), text).expect("RESULTS.md");
    }
}

/// Cores, memory and kernel, and the commit that was measured.
fn machine() -> String {
    let of = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).current_dir(places::root()).output();
        let output = output.map(|o| o.stdout).unwrap_or_default();
        String::from_utf8_lossy(&output).trim().to_owned()
    };
    let commit = of("git", &["rev-parse", "--short", "HEAD"]);
    format!("Commit {commit}; {} cores, Linux {}.", of("nproc", &[]), of("uname", &["-r"]))
}
