//! DescribeConfigs, key by key, as Apache 3.9.2 answers it: names, values, sources, synonyms,
//! types, what is read-only and what is secret; and what it answers to changes that it refuses.
//! Documentation is in our own words: whether there is any must agree.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use protocol::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use tests::apache::ApacheBroker;
use tests::java::tool;
use tests::ottla::Ottla;
use tests::places;
use tests::zookeeper::ZooKeeperServer;

use crate::java_tools::{CONFIGS, TOPICS};
use crate::zookeeper_faults::{ask, chroot, ready};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const LOGGER: i8 = 8;
const LIMIT: Duration = Duration::from_secs(20);

/// Settings in the file of both brokers: of every type, and one that has a synonym.
const LINES: &str = "log.retention.hours=48\nlog.cleanup.policy=delete,compact\n\
                     num.io.threads=3\nlog.cleaner.min.cleanable.ratio=0.25\n\
                     unclean.leader.election.enable=true\n\
                     log.message.timestamp.difference.max.ms=5000000\nunknown.static=x";

/// Every key with everything that is told of it.
fn described(bootstrap: &str, resource_type: i8, name: &str) -> BTreeMap<String, String> {
    let resource = DescribeConfigsResource {
        resource_type,
        resource_name: name.to_owned(),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest {
        resources: vec![resource],
        include_synonyms: true,
        include_documentation: true,
    };
    let mut answer = ask(bootstrap, &request, 4).expect("an answer");
    let result = answer.results.remove(0);
    assert_eq!((result.error_code, result.error_message.as_deref()), (0, Some("")));
    let of_this_broker = |name: &str| {
        let differs = [
            "listeners",
            "advertised.listeners",
            "log.dirs",
            "zookeeper.connect",
            "offsets.topic.num.partitions",
        ];
        differs.contains(&name)
    };
    let shown = |name: &str, value: &Option<String>| match value {
        Some(_) if of_this_broker(name) => "<its own>".to_owned(),
        value => format!("{value:?}"),
    };
    let mut keys = BTreeMap::new();
    for config in result.configs {
        if config.name.starts_with("ottla.") {
            continue;
        }
        let synonyms: Vec<String> = config
            .synonyms
            .iter()
            .map(|s| format!("{} {} {}", s.name, shown(&s.name, &s.value), s.source))
            .collect();
        let text = format!(
            "value {} source {} type {} read-only {} secret {} documented {} synonyms {synonyms:?}",
            shown(&config.name, &config.value),
            config.config_source,
            config.config_type,
            config.read_only,
            config.is_sensitive,
            config.documentation.is_some(),
        );
        assert!(keys.insert(config.name.clone(), text).is_none(), "{} is told twice", config.name);
    }
    keys
}

fn differences(apache: &str, ours: &str, resource_type: i8, name: &str) -> String {
    let apache = described(apache, resource_type, name);
    let ours = described(ours, resource_type, name);
    let keys: std::collections::BTreeSet<_> = apache.keys().chain(ours.keys()).collect();
    let mut lines = String::new();
    for key in keys {
        let (theirs, own) = (apache.get(key), ours.get(key));
        if theirs != own {
            lines += &format!("{key}\n  Apache: {theirs:?}\n  ours:   {own:?}\n");
        }
    }
    lines
}

#[test]
fn every_key_of_topics_and_brokers() {
    if !ready() || !places::have(&[("Apache Kafka's jars", places::kafka_lib())]) {
        return;
    }
    let (one, two) = (ZooKeeperServer::start(), ZooKeeperServer::start());
    let extra = format!(
        "{LINES}\ntransaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1"
    );
    let ours = Ottla::start(Some(&chroot(&two)), &extra);
    let apache = ApacheBroker::start(&chroot(&one), LINES);
    let (apache, ours) = (apache.bootstrap(), ours.bootstrap());
    for bootstrap in [&apache, &ours] {
        let run = |class: &str, args: &[&str]| {
            tool(class, &[&["--bootstrap-server", bootstrap], args].concat(), b"").ok();
        };
        let own = ["--config", "retention.ms=5000", "--config", "cleanup.policy=compact"];
        run(TOPICS, &[&["--create", "--topic", "t", "--partitions", "1"][..], &own].concat());
        let alter = ["--alter", "--entity-type", "brokers"];
        let mine = [
            "--entity-name",
            "1",
            "--add-config",
            "log.segment.bytes=2000000,leader.replication.throttled.rate=1000,no.such.key=v",
        ];
        run(CONFIGS, &[&alter[..], &mine].concat());
        let all = [
            "--entity-default",
            "--add-config",
            "log.retention.ms=7000,compression.type=lz4,a.b=c",
        ];
        run(CONFIGS, &[&alter[..], &all].concat());
    }
    // A change is in force a moment after it was answered.
    let started = Instant::now();
    loop {
        let mut found = String::new();
        for (resource_type, name) in [(TOPIC, "t"), (BROKER, "1"), (BROKER, "")] {
            let lines = differences(&apache, &ours, resource_type, name);
            if !lines.is_empty() {
                found += &format!("resource {resource_type} {name:?}:\n{lines}");
            }
        }
        if found.is_empty() {
            return refused_changes(&apache, &ours);
        }
        assert!(started.elapsed() < LIMIT, "{found}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Values that both brokers are asked to check, of a topic and of brokers.
const VALUES: &[(i8, &str, &str)] = &[
    (TOPIC, "cleanup.policy", "COMPACT"),
    (TOPIC, "cleanup.policy", "compact,"),
    (TOPIC, "compression.type", "none"),
    (TOPIC, "compression.gzip.level", "0"),
    (TOPIC, "compression.zstd.level", "23"),
    (TOPIC, "leader.replication.throttled.replicas", "none"),
    (TOPIC, "leader.replication.throttled.replicas", "0:1, 1:2"),
    (TOPIC, "max.compaction.lag.ms", "0"),
    (TOPIC, "message.format.version", "0.10"),
    (TOPIC, "message.format.version", "2.8-IV1"),
    (TOPIC, "message.format.version", "4.0"),
    (TOPIC, "min.cleanable.dirty.ratio", "0.5f"),
    (TOPIC, "min.cleanable.dirty.ratio", "1.5"),
    (TOPIC, "min.compaction.lag.ms", "9223372036854775807"),
    (TOPIC, "no.such.key", "1"),
    (TOPIC, "preallocate", "yes"),
    (TOPIC, "remote.log.copy.disable", "true"),
    (TOPIC, "remote.log.delete.on.disable", "true"),
    (TOPIC, "remote.storage.enable", "true"),
    (TOPIC, "retention.ms", "-2"),
    (TOPIC, "segment.bytes", "3000000000"),
    (BROKER, "background.threads", "2"),
    (BROKER, "broker.id", "7"),
    (BROKER, "compression.gzip.level", "0"),
    (BROKER, "follower.replication.throttled.rate", "-1"),
    (BROKER, "leader.replication.throttled.rate", "x"),
    (BROKER, "log.cleaner.dedupe.buffer.size", "1048576"),
    (BROKER, "log.cleaner.threads", "0"),
    (BROKER, "log.cleaner.threads", "3"),
    (BROKER, "log.cleanup.policy", "x"),
    (BROKER, "log.local.retention.ms", "-1"),
    (BROKER, "log.local.retention.ms", "999999999999"),
    (BROKER, "log.message.timestamp.type", "x"),
    (BROKER, "log.retention.ms", "0"),
    (BROKER, "log.roll.ms", "0"),
    (BROKER, "max.connection.creation.rate", "0"),
    (BROKER, "max.connections", "0"),
    (BROKER, "max.connections.per.ip", "0"),
    (BROKER, "message.max.bytes", " 7 "),
    (BROKER, "message.max.bytes", "many"),
    (BROKER, "metric.reporters", "no.such.Class"),
    (BROKER, "metric.reporters", "org.apache.kafka.common.metrics.JmxReporter"),
    (BROKER, "num.io.threads", "100000"),
    (BROKER, "num.network.threads", "1"),
    (BROKER, "num.network.threads", "7"),
    (BROKER, "num.recovery.threads.per.data.dir", "9"),
    (BROKER, "num.replica.fetchers", "0"),
    (BROKER, "replica.alter.log.dirs.io.max.bytes.per.second", "-1"),
    (BROKER, "ssl.keystore.location", "x"),
    (BROKER, "unclean.leader.election.enable", "yes"),
    (BROKER, "unknown.key", ""),
    (LOGGER, "kafka.controller.KafkaController", "TRACE"),
    (LOGGER, "kafka.server.KafkaServer", "OFF"),
    (LOGGER, "kafka.server.KafkaServer", "info"),
    (LOGGER, "no.such.logger", "INFO"),
    (LOGGER, "root", "WARN"),
];

/// Codes and texts agree, whoever is asked for: the topic or the broker, or all brokers.
fn refused_changes(apache: &str, ours: &str) {
    let answer = |bootstrap: &str, resource_type: i8, name: &str, key: &str, value: &str| {
        let config = AlterableConfig {
            name: key.to_owned(),
            config_operation: 0,
            value: Some(value.to_owned()),
        };
        let resource = AlterConfigsResource {
            resource_type,
            resource_name: name.to_owned(),
            configs: vec![config],
        };
        let request =
            IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: true };
        let mut answer = ask(bootstrap, &request, 1).expect("an answer");
        let altered = answer.responses.remove(0);
        (altered.error_code, altered.error_message)
    };
    for (resource_type, key, value) in VALUES.iter().copied() {
        let names: &[&str] = match resource_type {
            TOPIC => &["t"],
            _ => &["1", ""],
        };
        for name in names {
            let [theirs, own] =
                [apache, ours].map(|to| answer(to, resource_type, name, key, value));
            assert_eq!(theirs, own, "{resource_type} {name:?}: {key}={value:?}");
        }
    }
}
