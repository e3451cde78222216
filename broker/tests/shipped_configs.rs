//! The configurations that come with the source are legal, say what they seem to say, and explain
//! every key. Knows only the loader.

use std::path::{Path, PathBuf};

use broker::config::key::Role;
use broker::config::keys::KEYS;
use broker::config::load::{Loaded, load};

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config").join(name)
}

fn read(name: &str) -> Loaded {
    load(Some(&shipped(name)), &[]).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn one_broker_alone() {
    let Loaded { config, warnings } = read("broker.yaml");
    assert_eq!(config.int("broker.id"), 1);
    assert_eq!(config.listeners()[0].to_string(), "PLAINTEXT://127.0.0.1:9092");
    assert_eq!(config.zookeeper(), None);
    assert_eq!(warnings.len(), 1, "that metadata is embedded: {warnings:?}");
    assert!(warnings[0].contains("zookeeper.connect"), "{warnings:?}");
}

#[test]
fn three_brokers_of_one_cluster() {
    let brokers: Vec<Loaded> = (1..=3).map(|n| read(&format!("cluster/{n}.yaml"))).collect();
    for (index, Loaded { config, warnings }) in brokers.iter().enumerate() {
        assert_eq!(config.int("broker.id"), index as i32 + 1);
        assert_eq!(config.zookeeper(), brokers[0].config.zookeeper());
        assert!(warnings.is_empty(), "{warnings:?}");
        for other in &brokers[..index] {
            assert_ne!(config.listeners(), other.config.listeners());
            assert_ne!(config.log_dirs(), other.config.log_dirs());
            let http = "ottla.http.listener";
            assert_ne!(config.text(http), other.config.text(http));
        }
    }
}

#[test]
fn every_key_has_its_comment() {
    for name in ["broker.yaml", "cluster/1.yaml", "cluster/2.yaml", "cluster/3.yaml"] {
        let text = std::fs::read_to_string(shipped(name)).expect("readable");
        let mut explained = false;
        for line in text.lines() {
            let body = line.trim_start();
            if body.starts_with('#') {
                explained = true;
            } else if !body.is_empty() {
                // A line that only opens a level needs no words of its own.
                let opens = body.ends_with(':');
                assert!(explained || opens, "{name}: {line}");
                explained = false;
            }
        }
    }
}

#[test]
fn a_stock_server_properties_is_taken_unchanged() {
    // The settings of the file that Kafka 3.9.2 ships, with its own numbers.
    let stock = "broker.id=0\nnum.network.threads=3\nnum.io.threads=8\n\
                 socket.send.buffer.bytes=102400\nsocket.receive.buffer.bytes=102400\n\
                 socket.request.max.bytes=104857600\nlog.dirs=/tmp/kafka-logs\nnum.partitions=1\n\
                 num.recovery.threads.per.data.dir=1\noffsets.topic.replication.factor=1\n\
                 transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
                 log.retention.hours=168\nlog.retention.check.interval.ms=300000\n\
                 zookeeper.connect=localhost:2181\nzookeeper.connection.timeout.ms=18000\n\
                 group.initial.rebalance.delay.ms=0\n";
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("server.properties");
    std::fs::write(&path, stock).expect("written");
    let Loaded { config, warnings } = load(Some(&path), &[]).expect("legal");
    assert_eq!(config.int("broker.id"), 0);
    assert_eq!(config.zookeeper_connection_timeout_ms(), 18_000);
    let keys: Vec<&str> = warnings.iter().filter_map(|line| line.split(": ").nth(1)).collect();
    assert_eq!(keys, ["num.io.threads", "num.network.threads"]);
}

#[test]
fn an_unknown_key_of_a_properties_file_is_one_warning_with_the_nearest_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("server.properties");
    std::fs::write(&path, "zookeeper.connect=a:1\nlog.dirz=/x\nmy.own.plugin.key=1\n")
        .expect("written");
    let loaded = load(Some(&path), &[]).expect("Kafka starts with it too");
    assert_eq!(loaded.warnings.len(), 2, "{:?}", loaded.warnings);
    assert!(loaded.warnings[0].contains(":2: log.dirz: unknown key"), "{:?}", loaded.warnings);
    assert!(loaded.warnings[0].ends_with("the nearest known is log.dir"), "{:?}", loaded.warnings);
}

#[test]
fn a_key_that_is_said_to_be_honoured_is_read_by_somebody() {
    let mut sources = String::new();
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                directories.push(path);
            } else if !path.ends_with("keys.rs") {
                sources.push_str(&std::fs::read_to_string(path).expect("text"));
            }
        }
    }
    // Topics' settings are read by their topic names, from a table that names the broker's keys.
    let topics: Vec<_> =
        storage::config::TOPIC_KEYS.iter().filter_map(|key| key.broker_key).collect();
    let unread: Vec<&str> = KEYS
        .iter()
        .filter(|key| key.role == Role::Honoured && !topics.contains(&key.name))
        .map(|key| key.name)
        .filter(|name| !sources.contains(&format!("\"{name}\"")))
        // Its only legal value is what this broker does.
        .filter(|name| *name != "inter.broker.protocol.version")
        .collect();
    assert!(unread.is_empty(), "{unread:?}");
}
