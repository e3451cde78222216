//! Our tools beside Apache's: the same flags at the same broker give the same standard output and
//! exit code.

use std::time::Duration;

use tests::{Cluster, java, on_both_stores, ottla, wait};

use crate::java_tools::{CONFIGS, CONSUMER, GROUPS, OFFSETS, PRODUCER, TOPICS};

on_both_stores!(same_answers, quick_start);

/// Each case: Apache's class, our tool, flags after the bootstrap server.
const READING: &[(&str, &str, &[&str])] = &[
    (TOPICS, "topics", &["--list"]),
    (TOPICS, "topics", &["--describe"]),
    (TOPICS, "topics", &["--describe", "--topic", "plain"]),
    (TOPICS, "topics", &["--describe", "--topic", "absent"]),
    (TOPICS, "topics", &["--describe", "--topics-with-overrides"]),
    (TOPICS, "topics", &["--describe", "--under-replicated-partitions"]),
    (TOPICS, "topics", &["--create", "--topic", "plain"]),
    (TOPICS, "topics", &["--create", "--topic", "bad name"]),
    (TOPICS, "topics", &["--create", "--topic", "wide", "--replication-factor", "3"]),
    (TOPICS, "topics", &["--create", "--topic", "odd", "--config", "no.such=1"]),
    (TOPICS, "topics", &["--delete", "--topic", "absent"]),
    (TOPICS, "topics", &["--alter", "--topic", "plain", "--partitions", "1"]),
    (OFFSETS, "get-offsets", &[]),
    (OFFSETS, "get-offsets", &["--topic", "plain", "--time", "-2"]),
    (OFFSETS, "get-offsets", &["--topic-partitions", "plain:0"]),
    (OFFSETS, "get-offsets", &["--topic", "absent"]),
    (CONFIGS, "configs", &["--describe", "--entity-type", "topics", "--entity-name", "set"]),
    (CONFIGS, "configs", &["--describe", "--entity-type", "topics", "--entity-name", "plain"]),
    (CONFIGS, "configs", &["--describe", "--entity-type", "topics"]),
    (CONFIGS, "configs", &["--describe", "--entity-type", "brokers", "--entity-name", "1"]),
    (GROUPS, "consumer-groups", &["--list"]),
    (GROUPS, "consumer-groups", &["--list", "--state"]),
    (GROUPS, "consumer-groups", &["--describe", "--group", "readers"]),
    (GROUPS, "consumer-groups", &["--describe", "--group", "readers", "--state"]),
    (GROUPS, "consumer-groups", &["--describe", "--group", "readers", "--members"]),
    (GROUPS, "consumer-groups", &["--describe", "--group", "absent"]),
    (
        GROUPS,
        "consumer-groups",
        &[
            "--reset-offsets",
            "--group",
            "readers",
            "--topic",
            "plain",
            "--to-earliest",
            "--dry-run",
        ],
    ),
    (
        CONSUMER,
        "console-consumer",
        &[
            "--topic",
            "plain",
            "--partition",
            "0",
            "--offset",
            "0",
            "--max-messages",
            "2",
            "--property",
            "print.offset=true",
            "--property",
            "print.key=true",
        ],
    ),
];

fn same_answers(cluster: Cluster) {
    let b = cluster.bootstrap();
    let produce = ["console-producer", "--bootstrap-server", &b, "--topic"];
    let topics = ["topics", "--bootstrap-server", &b, "--create", "--topic"];
    ottla::tool(&[&topics[..], &["plain"]].concat(), b"").ok();
    let set = ["set", "--partitions", "3", "--config", "segment.bytes=100000"];
    ottla::tool(&[&topics[..], &set].concat(), b"").ok();
    ottla::tool(&[&produce[..], &["plain"]].concat(), b"one\ntwo\n").ok();
    let read =
        ["--topic", "plain", "--from-beginning", "--max-messages", "2", "--group", "readers"];
    let read = [&["console-consumer", "--bootstrap-server", &b][..], &read].concat();
    assert_eq!(ottla::tool(&read, b"").ok(), "one\ntwo\n");
    let mut different = vec![];
    for (class, name, flags) in READING {
        let at = ["--bootstrap-server", b.as_str()];
        let theirs = java::tool(class, &[&at[..], flags].concat(), b"");
        let ours = ottla::tool(&[&[*name], &at[..], flags].concat(), b"");
        if (ours.code, &ours.out) != (theirs.code, &theirs.out) {
            different.push(format!("{name} {flags:?}\nours: {ours:#?}\nApache's: {theirs:#?}"));
        }
    }
    assert!(different.is_empty(), "{}\n{} differ", different.join("\n\n"), different.len());
}

/// Kafka's quick start, step by step, once with our tools and once with Apache's.
fn quick_start(cluster: Cluster) {
    type Tool = fn(&str, &str, &[&str], &[u8]) -> tests::process::Output;
    let ours: Tool = |_, name, args, input| ottla::tool(&[&[name], args].concat(), input);
    let theirs: Tool = |class, _, args, input| java::tool(class, args, input);
    let b = cluster.bootstrap();
    let at = ["--bootstrap-server", b.as_str()];
    for (tool, topic) in [(ours, "quickstart-events"), (theirs, "quickstart-again")] {
        let named = [&at[..], &["--topic", topic]].concat();
        let created = tool(TOPICS, "topics", &[&["--create"], &named[..]].concat(), b"").ok();
        assert_eq!(created, format!("Created topic {topic}.\n"));
        let described = tool(TOPICS, "topics", &[&["--describe"], &named[..]].concat(), b"").ok();
        assert!(described.contains("PartitionCount: 1\tReplicationFactor: 1"), "{described}");
        let events = b"This is my first event\nThis is my second event\n";
        tool(PRODUCER, "console-producer", &named, events).ok();
        let read = [&named[..], &["--from-beginning", "--max-messages", "2"]].concat();
        let read = tool(CONSUMER, "console-consumer", &read, b"").ok();
        assert_eq!(read.as_bytes(), events);
        tool(TOPICS, "topics", &[&["--delete"], &named[..]].concat(), b"").ok();
        wait::until_true("the topic to go", Duration::from_secs(30), || {
            !tool(TOPICS, "topics", &[&at[..], &["--list"]].concat(), b"").ok().contains(topic)
        });
    }
}
