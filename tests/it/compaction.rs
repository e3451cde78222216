//! A compacted topic as clients meet it: kcat, confluent-kafka and Kafka's own consumer read past
//! the gaps, and see of every key the last record.

use std::collections::BTreeMap;
use std::time::Duration;

use tests::clients::{kcat, python};
use tests::ottla::{Ottla, tool};
use tests::{java, places, wait};

const LIMIT: Duration = Duration::from_secs(60);
const RECORDS: usize = 4_000;
const KEYS: usize = 25;

/// Offset, key and value of each record.
type Read = Vec<(i64, String, String)>;

fn parse(text: &str, separator: char) -> Read {
    let line = |line: &str| {
        let mut parts = line.split(separator).map(str::to_owned);
        let mut next = || parts.next().unwrap_or_else(|| panic!("three parts: {line}"));
        let offset = next();
        (offset.trim_start_matches("Offset:").parse().expect("an offset"), next(), next())
    };
    text.lines().map(line).collect()
}

fn by_kcat(bootstrap: &str) -> Read {
    let format = ["-f", "%o|%k|%s\\n"];
    let args = ["-C", "-t", "c", "-p", "0", "-o", "beginning", "-e", "-q"];
    parse(&kcat(bootstrap, &[&args[..], &format].concat(), b"").ok(), '|')
}

fn by_confluent(bootstrap: &str) -> Read {
    parse(&python("confluent_read", &[bootstrap, "c"]).ok(), '|')
}

fn by_java(bootstrap: &str) -> Read {
    let mut args = vec!["--bootstrap-server", bootstrap, "--topic", "c", "--from-beginning"];
    args.extend(["--timeout-ms", "5000", "--property", "print.key=true"]);
    args.extend(["--property", "print.offset=true", "--property", "key.separator=|"]);
    let output = java::tool("org.apache.kafka.tools.consumer.ConsoleConsumer", &args, b"");
    let text = output.out.replace('\t', "|");
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("Offset:")).collect();
    assert!(output.err.contains("Processed a total of"), "{output:#?}");
    parse(&lines.join("\n"), '|')
}

/// Some keys come once, so that something is left between the gaps.
fn key(i: usize) -> String {
    if i.is_multiple_of(100) { format!("once {i}") } else { format!("k{}", i * 7 % KEYS) }
}

/// Offsets rise, and the last record of each key is there.
fn check(read: &Read, last: &BTreeMap<String, (i64, String)>) {
    assert!(read.windows(2).all(|pair| pair[0].0 < pair[1].0), "offsets rise");
    let found: BTreeMap<String, (i64, String)> =
        read.iter().map(|(at, key, value)| (key.clone(), (*at, value.clone()))).collect();
    assert_eq!(&found, last);
    let end = last.values().map(|(at, _)| *at).max();
    assert_eq!(read.last().map(|(at, ..)| *at), end, "read to the end");
}

#[test]
fn consumers_read_past_what_compaction_took_away() {
    if !places::have(&[
        ("ottla", places::ottla()),
        ("Apache Kafka's jars", places::kafka_lib()),
        ("the Python clients", places::python()),
    ]) {
        return;
    }
    let often = "log.cleaner.backoff.ms=50\nlog.cleaner.threads=2";
    let mut broker = Ottla::start(None, often);
    let bootstrap = broker.bootstrap();
    let mut args = vec!["topics", "--bootstrap-server", &bootstrap, "--create", "--topic", "c"];
    for config in [
        "cleanup.policy=compact",
        "segment.bytes=16384",
        "index.interval.bytes=512",
        "min.cleanable.dirty.ratio=0.01",
    ] {
        args.extend(["--config", config]);
    }
    tool(&args, b"").ok();
    let input: String = (0..RECORDS).map(|i| format!("{}:value {i}\n", key(i))).collect();
    let produce = ["-P", "-t", "c", "-p", "0", "-K:", "-X", "batch.num.messages=7"];
    kcat(&bootstrap, &produce, input.as_bytes()).ok();
    let last: BTreeMap<String, (i64, String)> =
        (0..RECORDS).map(|i| (key(i), (i as i64, format!("value {i}")))).collect();
    // While the cleaner is at work, and when it has nothing left to do.
    check(&by_kcat(&bootstrap), &last);
    let read = wait::until("everything but the last segment to be compacted", LIMIT, || {
        let read = by_kcat(&bootstrap);
        check(&read, &last);
        (read.len() < RECORDS / 4).then_some(read)
    });
    assert!(read.windows(2).any(|pair| pair[1].0 > pair[0].0 + 1), "there are gaps");
    check(&by_confluent(&bootstrap), &last);
    check(&by_java(&bootstrap), &last);
    // From the middle of a gap.
    let gap = read.windows(2).find(|pair| pair[1].0 > pair[0].0 + 1).expect("a gap");
    let (inside, next) = ((gap[0].0 + 1).to_string(), gap[1].0);
    let args = ["-C", "-t", "c", "-p", "0", "-o", &inside, "-c", "1", "-q", "-f", "%o"];
    let first: i64 = kcat(&bootstrap, &args, b"").ok().parse().expect("an offset");
    assert!(first >= next, "{first} after {inside}");
    broker.kill9();
    broker.restart();
    check(&by_kcat(&bootstrap), &last);
    broker.stop();
}
