//! The tools that measure and verify, ours beside Apache's: the same flags at the same broker give
//! the same lines, numbers that depend on time aside, and the same exit codes.

use std::time::Duration;

use tests::process::{Output, Process};
use tests::{Cluster, Store, java, ottla, places};

const PRODUCER_PERF: (&str, &str) =
    ("org.apache.kafka.tools.ProducerPerformance", "producer-perf-test");
const CONSUMER_PERF: (&str, &str) =
    ("org.apache.kafka.tools.ConsumerPerformance", "consumer-perf-test");
const LATENCY: (&str, &str) = ("org.apache.kafka.tools.EndToEndLatency", "e2e-latency");
const PRODUCER: (&str, &str) = ("org.apache.kafka.tools.VerifiableProducer", "verifiable-producer");
const CONSUMER: (&str, &str) = ("org.apache.kafka.tools.VerifiableConsumer", "verifiable-consumer");
const FEATURES: (&str, &str) = ("org.apache.kafka.tools.FeatureCommand", "features");
const LIMIT: Duration = Duration::from_secs(60);

fn ours((_, name): (&str, &str), args: &[&str]) -> Output {
    ottla::tool(&[&[name], args].concat(), b"")
}

fn theirs((class, _): (&str, &str), args: &[&str]) -> Output {
    java::tool(class, args, b"")
}

/// The text with every number as `#`. A rate over a time that rounds to 0 ms is a number too: both
/// Java's `%.4f` and ours, whose unit tests say so, write it as `Infinity` or `NaN`.
fn masked(text: &str) -> String {
    let mut out = String::new();
    for letter in text.replace("Infinity", "0").replace("NaN", "0").chars() {
        let digit = letter.is_ascii_digit();
        match digit || letter == '.' && out.ends_with('#') {
            true if out.ends_with('#') => {}
            true => out.push('#'),
            false => out.push(letter),
        }
    }
    out
}

fn create(bootstrap: &str, topic: &str, partitions: &str) {
    let create = ["topics", "--bootstrap-server", bootstrap, "--create", "--topic", topic];
    ottla::tool(&[&create[..], &["--partitions", partitions]].concat(), b"").ok();
}

/// Every value of the topic's partition 0.
fn values(bootstrap: &str, topic: &str, count: &str) -> String {
    let read = ["console-consumer", "--bootstrap-server", bootstrap, "--topic", topic];
    let from = ["--partition", "0", "--offset", "earliest", "--max-messages", count];
    ottla::tool(&[&read[..], &from].concat(), b"").ok()
}

#[test]
fn measuring() {
    let Some(cluster) = Cluster::start(Store::ZooKeeper, "") else { return };
    let b = &cluster.bootstrap();
    let servers = &format!("bootstrap.servers={b}");
    for topic in ["perf-ours", "perf-theirs"] {
        create(b, topic, "1");
    }
    let perf = ["--num-records", "300", "--throughput", "-1", "--record-size", "50"];
    let perf = [&perf[..], &["--producer-props", servers, "linger.ms=5"]].concat();
    let our = ours(PRODUCER_PERF, &[&["--topic", "perf-ours"], &perf[..]].concat());
    let their = theirs(PRODUCER_PERF, &[&["--topic", "perf-theirs"], &perf[..]].concat());
    assert_eq!(masked(&our.ok()), masked(&their.ok()));
    let sent = values(b, "perf-ours", "300");
    assert_eq!(sent, values(b, "perf-theirs", "300"), "the same payloads");
    assert!(sent.lines().count() == 300 && sent.lines().all(|line| line.len() == 50));
    let read = ["--bootstrap-server", b, "--topic", "perf-ours", "--messages", "300"];
    for more in [&[][..], &["--hide-header"], &["--show-detailed-stats"]] {
        let args = [&read[..], more].concat();
        let (our, their) = (ours(CONSUMER_PERF, &args), theirs(CONSUMER_PERF, &args));
        assert_eq!(masked(&our.ok()), masked(&their.ok()), "{more:?}");
    }
    let args = [&read[..4], &["--messages", "400", "--timeout", "1500"]].concat();
    let (our, their) = (ours(CONSUMER_PERF, &args).ok(), theirs(CONSUMER_PERF, &args).ok());
    assert_eq!(masked(&our), masked(&their));
    assert!(our.contains("Exiting before consuming the expected number"), "{our}");
    let row: Vec<&str> = our.lines().last().unwrap_or("").split(", ").collect();
    assert_eq!(row.get(4), Some(&"300"), "{our}");
    create(b, "latency", "1");
    let args = [b, "latency", "20", "all", "30"];
    let (our, their) = (ours(LATENCY, &args), theirs(LATENCY, &args));
    assert_eq!(masked(&our.ok()), masked(&their.ok()));
}

#[test]
fn verifying() {
    let Some(cluster) = Cluster::start(Store::ZooKeeper, "") else { return };
    let b = cluster.bootstrap();
    let b = b.as_str();
    let at = ["--bootstrap-server", b];
    let produced = |tool: fn((&str, &str), &[&str]) -> Output, topic: &str| {
        create(b, topic, "1");
        let flags = ["--topic", topic, "--max-messages", "40", "--repeating-keys", "3"];
        let said = tool(PRODUCER, &[&at[..], &flags, &["--value-prefix", "7"]].concat()).ok();
        let mut lines: Vec<String> =
            said.lines().map(|line| masked(&line.replace(topic, "TOPIC"))).collect();
        // Numbers of records apart, all their lines are alike.
        lines.dedup();
        (said, lines)
    };
    let (our, our_lines) = produced(ours, "verified-ours");
    let (_, their_lines) = produced(theirs, "verified-theirs");
    assert_eq!(our_lines, their_lines);
    assert!(our.contains(r#""key":"0","value":"7.39","offset":39,"#), "{our}");
    let consumed = |tool: fn((&str, &str), &[&str]) -> Output, group: &str| {
        let flags = ["--topic", "verified-ours", "--group-id", group, "--max-messages", "40"];
        let said = tool(CONSUMER, &[&at[..], &flags, &["--verbose"]].concat()).ok();
        let mut lines: Vec<String> = said.lines().map(masked).collect();
        lines.dedup();
        (said, lines)
    };
    let (our, our_lines) = consumed(ours, "verifier-ours");
    let (_, their_lines) = consumed(theirs, "verifier-theirs");
    assert_eq!(our_lines, their_lines, "{our}");
    let events = ["startup_complete", "partitions_assigned", "record_data", "records_consumed"];
    let events = events.iter().chain(&["offsets_committed", "partitions_revoked"]);
    for event in events.chain(&["shutdown_complete"]) {
        assert!(our.contains(&format!("\"name\":\"{event}\"")), "{event}\n{our}");
    }
    let committed = ["consumer-groups", "--bootstrap-server", b, "--describe", "--group"];
    let committed = ottla::tool(&[&committed[..], &["verifier-ours"]].concat(), b"").ok();
    let row: Vec<&str> = committed.lines().last().unwrap_or("").split_whitespace().collect();
    assert_eq!(row[1..6], ["verified-ours", "0", "40", "40", "0"], "{committed}");
}

/// It runs until it is told to stop, and says what it did then.
#[test]
fn verifiable_tools_stop_when_asked() {
    let Some(cluster) = Cluster::start(Store::Embedded, "") else { return };
    let b = &cluster.bootstrap();
    create(b, "endless", "2");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let start = |name: &str, args: &[&str]| {
        let mut command = std::process::Command::new(places::ottla());
        command.args([&[name, "--bootstrap-server", b, "--topic", "endless"], args].concat());
        Process::start(name, dir.path(), &mut command)
    };
    let mut producer = start("verifiable-producer", &["--throughput", "200"]);
    let mut consumer = start("verifiable-consumer", &["--group-id", "endless"]);
    for tool in [&mut producer, &mut consumer] {
        let shows = |p: &Process| {
            let out = p.stdout();
            let told = out.contains("producer_send_success") || out.contains("offsets_committed");
            told.then_some(())
        };
        tool.ready(LIMIT, shows);
        assert_eq!(tool.stop(LIMIT).code(), Some(143), "as a JVM ends");
    }
    let (said, read) = (producer.stdout(), consumer.stdout());
    let last = said.lines().last().unwrap_or_default();
    assert!(last.contains("\"tool_data\"") && last.contains("\"target_throughput\":200"), "{said}");
    let acked = said.matches("producer_send_success").count();
    assert!(last.contains(&format!("\"acked\":{acked},")), "{last}");
    assert!(read.trim_end().ends_with("\"shutdown_complete\"}"), "{read}");
    assert!(read.contains("partitions_revoked"), "{read}");
}

#[test]
fn producer_perf_in_transactions() {
    let Some(cluster) = Cluster::start(Store::Embedded, "") else { return };
    let b = &cluster.bootstrap();
    create(b, "transactions", "2");
    let servers = &format!("bootstrap.servers={b}");
    let perf = ["--topic", "transactions", "--num-records", "200", "--throughput", "400"];
    let rest = ["--payload-monotonic", "--transaction-duration-ms", "100", "--producer-props"];
    ours(PRODUCER_PERF, &[&perf[..], &rest, &[servers]].concat()).ok();
    let read = ["console-consumer", "--bootstrap-server", b, "--topic", "transactions"];
    let committed = ["--isolation-level", "read_committed", "--from-beginning"];
    let read = [&read[..], &committed, &["--max-messages", "200"]].concat();
    let mut numbers: Vec<u32> =
        ottla::tool(&read, b"").ok().lines().map(|line| line.parse().expect("a number")).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
}

/// Its batches carry a producer id and sequences, so that a repeated one counts once.
#[test]
fn console_producer_is_idempotent() {
    let Some(cluster) = Cluster::start(Store::Embedded, "") else { return };
    let b = &cluster.bootstrap();
    create(b, "lines", "1");
    let produce = ["console-producer", "--bootstrap-server", b, "--topic", "lines", "--sync"];
    ottla::tool(&produce, b"one\ntwo\n").ok();
    let log = cluster.data_dir().join("lines-0/00000000000000000000.log");
    let log = log.to_str().expect("a plain path");
    let dump = ottla::tool(&["dump-log", "--files", log], b"").ok();
    let batches: Vec<&str> = dump.lines().filter(|line| line.contains("baseSequence")).collect();
    assert!(!dump.contains("producerId: -1"), "{dump}");
    for (sequence, batch) in batches.iter().enumerate() {
        assert!(batch.contains(&format!("baseSequence: {sequence} ")), "{dump}");
    }
    assert_eq!(batches.len(), 2, "{dump}");
}

/// Flags that make no sense, and features.
#[test]
fn refusals_and_features() {
    let Some(cluster) = Cluster::start(Store::ZooKeeper, "") else { return };
    let b = &cluster.bootstrap();
    let at = ["--bootstrap-server", b.as_str()];
    for (tool, args) in [
        (PRODUCER_PERF, &["--topic", "t"][..]),
        (CONSUMER_PERF, &["--topic", "t"]),
        (LATENCY, &["one", "two"]),
        (LATENCY, &[b, "t", "1", "0", "1"]),
        (PRODUCER, &["--topic", "t"]),
        (CONSUMER, &["--topic", "t", "--group-id", "g"]),
        (FEATURES, &["--bootstrap-server", b, "upgrade", "--metadata", "1.0"]),
        (FEATURES, &["--bootstrap-server", b, "disable"]),
    ] {
        let (our, their) = (ours(tool, args), theirs(tool, args));
        assert_eq!((our.code, their.code), (Some(1), Some(1)), "{args:?} {our:?} {their:?}");
    }
    for args in [
        &["describe"][..],
        &["upgrade", "--feature", "metadata.version=20"],
        &["downgrade", "--metadata", "3.4", "--dry-run"],
        &["disable", "--feature", "metadata.version", "--unsafe"],
    ] {
        let args = [&at[..], args].concat();
        let (our, their) = (ours(FEATURES, &args), theirs(FEATURES, &args));
        assert_eq!(our.code, their.code, "{args:?}\nours: {our:#?}\nApache's: {their:#?}");
        assert_eq!(our.out, their.out, "{args:?}\nours: {our:#?}\nApache's: {their:#?}");
    }
}
