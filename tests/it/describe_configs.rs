//! DescribeConfigs, key by key, as Apache 3.9.2 answers it: names, values, sources, synonyms,
//! types, what is read-only and what is secret. Documentation is in our own words and left out.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use protocol::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use tests::apache::ApacheBroker;
use tests::java::tool;
use tests::ottla::Ottla;
use tests::places;
use tests::zookeeper::ZooKeeperServer;

use crate::java_tools::{CONFIGS, TOPICS};
use crate::zookeeper_faults::{ask, chroot, ready};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const LIMIT: Duration = Duration::from_secs(20);

/// Settings in the file of both brokers: of every type, and one that has a synonym.
const LINES: &str = "log.retention.hours=48\nlog.cleanup.policy=delete,compact\n\
                     num.io.threads=3\nlog.cleaner.min.cleanable.ratio=0.25\n\
                     unclean.leader.election.enable=true";

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
        include_documentation: false,
    };
    let mut answer = ask(bootstrap, &request, 4).expect("an answer");
    let result = answer.results.remove(0);
    assert_eq!(result.error_code, 0, "{:?}", result.error_message);
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
            "value {} source {} type {} read-only {} secret {} synonyms {synonyms:?}",
            shown(&config.name, &config.value),
            config.config_source,
            config.config_type,
            config.read_only,
            config.is_sensitive,
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
        let mine = ["--entity-name", "1", "--add-config", "log.segment.bytes=2000000"];
        run(CONFIGS, &[&alter[..], &mine].concat());
        let all =
            ["--entity-default", "--add-config", "log.retention.ms=7000,compression.type=lz4"];
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
            return;
        }
        assert!(started.elapsed() < LIMIT, "{found}");
        std::thread::sleep(Duration::from_millis(200));
    }
}
