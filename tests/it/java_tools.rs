//! Apache's own tools, unchanged, by class: topics, console clients, groups, configs, offsets.

use std::time::Duration;

use tests::java::tool;
use tests::{Cluster, on_both_stores, wait};

pub const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
pub const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
pub const CONFIGS: &str = "kafka.admin.ConfigCommand";
pub const OFFSETS: &str = "org.apache.kafka.tools.GetOffsetShell";
pub const PRODUCER: &str = "kafka.tools.ConsoleProducer";
pub const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";

on_both_stores!(topics_and_configs, console_clients_and_groups, records_and_dirs);

fn topics_and_configs(cluster: Cluster) {
    let b = &cluster.bootstrap();
    let topics = |args: &[&str]| tool(TOPICS, &[&["--bootstrap-server", b], args].concat(), b"");
    let create = ["--create", "--topic", "t", "--partitions", "2", "--config", "retention.ms=5000"];
    assert_eq!(topics(&create).ok(), "Created topic t.\n");
    let again = topics(&["--create", "--topic", "t"]);
    assert_eq!(again.code, Some(1));
    assert!(again.out.contains("Topic 't' already exists."), "{again:?}");
    assert_eq!(topics(&["--list"]).ok(), "t\n");
    let described = topics(&["--describe", "--topic", "t"]).ok();
    let lines: Vec<&str> = described.lines().collect();
    assert!(lines[0].starts_with("Topic: t\tTopicId: "), "{described}");
    let configured = "PartitionCount: 2\tReplicationFactor: 1\tConfigs: retention.ms=5000";
    assert!(lines[0].ends_with(configured), "{described}");
    assert!(lines[1].starts_with("\tTopic: t\tPartition: 0\tLeader: 1\tReplicas: 1\tIsr: 1"));
    assert_eq!(lines.len(), 3, "{described}");
    topics(&["--alter", "--topic", "t", "--partitions", "4"]).ok();
    wait::until_true("four partitions", Duration::from_secs(30), || {
        topics(&["--describe", "--topic", "t"]).ok().lines().count() == 5
    });
    let configs =
        |args: &[&str]| tool(CONFIGS, &[&["--bootstrap-server", b], args].concat(), b"").ok();
    let of_topic = ["--entity-type", "topics", "--entity-name", "t"];
    let add = ["--alter", "--add-config", "max.message.bytes=9000,cleanup.policy=compact"];
    assert_eq!(
        configs(&[&of_topic[..], &add].concat()),
        "Completed updating config for topic t.\n"
    );
    let shown = configs(&[&of_topic[..], &["--describe"]].concat());
    assert!(shown.starts_with("Dynamic configs for topic t are:\n"), "{shown}");
    let line = "  max.message.bytes=9000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:\
                max.message.bytes=9000, DEFAULT_CONFIG:message.max.bytes=1048588}";
    assert!(shown.contains(line), "{shown}");
    configs(&[&of_topic[..], &["--alter", "--delete-config", "cleanup.policy"]].concat());
    let shown = configs(&[&of_topic[..], &["--describe"]].concat());
    assert!(!shown.contains("cleanup.policy") && shown.contains("retention.ms=5000"), "{shown}");
    let broker = ["--entity-type", "brokers", "--entity-name", "1"];
    configs(&[&broker[..], &["--alter", "--add-config", "log.cleaner.threads=2"]].concat());
    let shown = configs(&[&broker[..], &["--describe"]].concat());
    assert!(shown.contains("  log.cleaner.threads=2 sensitive=false synonyms={"), "{shown}");
    topics(&["--delete", "--topic", "t"]).ok();
    wait::until_true("no topic", Duration::from_secs(30), || topics(&["--list"]).ok() == "\n");
}

fn console_clients_and_groups(cluster: Cluster) {
    let b = &cluster.bootstrap();
    let keyed = ["--property", "parse.key=true", "--property", "key.separator=:"];
    let produce = [&["--bootstrap-server", b.as_str(), "--topic", "c"][..], &keyed].concat();
    tool(PRODUCER, &produce, b"a:1\nb:2\nc:3\n").ok();
    let consume = [
        "--bootstrap-server",
        b,
        "--topic",
        "c",
        "--from-beginning",
        "--max-messages",
        "3",
        "--group",
        "g",
        "--property",
        "print.key=true",
        "--timeout-ms",
        "30000",
    ];
    assert_eq!(tool(CONSUMER, &consume, b"").ok(), "a\t1\nb\t2\nc\t3\n");
    let groups =
        |args: &[&str]| tool(GROUPS, &[&["--bootstrap-server", b], args].concat(), b"").ok();
    assert_eq!(groups(&["--list"]), "g\n");
    let described = groups(&["--describe", "--group", "g"]);
    let row: Vec<&str> = described.lines().last().unwrap_or("").split_whitespace().collect();
    assert_eq!(row[..6], ["g", "c", "0", "3", "3", "0"], "{described}");
    let reset = ["--reset-offsets", "--group", "g", "--topic", "c", "--to-earliest", "--execute"];
    groups(&reset);
    let described = groups(&["--describe", "--group", "g"]);
    let row: Vec<&str> = described.lines().last().unwrap_or("").split_whitespace().collect();
    assert_eq!(row[..6], ["g", "c", "0", "0", "3", "3"], "{described}");
    let deleted = groups(&["--delete", "--group", "g"]);
    assert_eq!(deleted, "Deletion of requested consumer groups ('g') was successful.\n");
    assert_eq!(groups(&["--list"]), "");
}

fn records_and_dirs(cluster: Cluster) {
    let b = &cluster.bootstrap();
    let input: String = (0..20).map(|i| format!("{i}\n")).collect();
    tool(PRODUCER, &["--bootstrap-server", b, "--topic", "d"], input.as_bytes()).ok();
    let offsets = ["--bootstrap-server", b, "--topic", "d"];
    assert_eq!(tool(OFFSETS, &offsets, b"").ok(), "d:0:20\n");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("delete.json");
    let json = r#"{"partitions":[{"topic":"d","partition":0,"offset":7}],"version":1}"#;
    std::fs::write(&file, json).expect("the offsets file");
    let file = file.to_string_lossy();
    let args = ["--bootstrap-server", b, "--offset-json-file", &file];
    let deleted = tool("org.apache.kafka.tools.DeleteRecordsCommand", &args, b"").ok();
    assert!(deleted.contains("partition: d-0\tlow_watermark: 7"), "{deleted}");
    let early = [&offsets[..], &["--time", "-2"]].concat();
    assert_eq!(tool(OFFSETS, &early, b"").ok(), "d:0:7\n");
    let args = ["--bootstrap-server", b, "--describe", "--topic-list", "d"];
    let dirs = tool("org.apache.kafka.tools.LogDirsCommand", &args, b"").ok();
    assert!(dirs.contains(r#""partition":"d-0""#), "{dirs}");
    let args = ["--bootstrap-server", b];
    let versions = tool("kafka.admin.BrokerApiVersionsCommand", &args, b"").ok();
    assert!(versions.contains("Produce(0): 0 to 11 [usable: 11]"), "{versions}");
    let args = ["cluster-id", "--bootstrap-server", b];
    let id = tool("org.apache.kafka.tools.ClusterTool", &args, b"").ok();
    assert!(id.starts_with("Cluster ID: "), "{id}");
}
