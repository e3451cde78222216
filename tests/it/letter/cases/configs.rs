//! DescribeConfigs, AlterConfigs and IncrementalAlterConfigs. What is altered is of topics of the
//! case, or only validated.

use protocol::api::ApiKey::{AlterConfigs, DescribeConfigs, IncrementalAlterConfigs};
use serde_json::{Value, json};

use crate::letter::talk::Talk;

cases![
    topic_described,
    some_keys_described,
    values_written,
    broker_described,
    broker_key_described,
    unknown_described,
    described_twice,
    loggers_described,
    altered,
    topic_values,
    incrementally_altered,
    operations,
    broker_values,
    security_values,
    unknown_altered,
    altered_twice,
    loggers_altered,
];

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const LOGGER: i8 = 8;

fn resource(kind: i8, name: &str, keys: Value) -> Value {
    json!({ "resource_type": kind, "resource_name": name, "configuration_keys": keys })
}

fn describe(t: &mut Talk, resources: Value) {
    for version in DescribeConfigs.versions() {
        for all in [false, true] {
            let mut body = json!({ "resources": resources });
            body["include_synonyms"] = (all && version >= 1).into();
            // Ours are in our own words, so only whether there is one could be compared.
            t.ask(DescribeConfigs, version, body);
        }
    }
}

fn topic_described(t: &mut Talk) {
    let configs = json!([
        { "name": "retention.ms", "value": "1000" },
        { "name": "cleanup.policy", "value": "compact" },
    ]);
    let (plain, set) = (t.topic("plain", 1), t.topic_with("set", 1, configs));
    for topic in [plain, set, "__consumer_offsets".into(), "__transaction_state".into()] {
        describe(t, json!([resource(TOPIC, &topic, Value::Null)]));
    }
}

fn some_keys_described(t: &mut Talk) {
    let topic = t.topic("t", 1);
    for keys in [
        json!([]),
        json!(["retention.ms"]),
        json!(["segment.bytes", "retention.ms"]),
        json!(["unknown.key"]),
        json!(["retention.ms", "retention.ms"]),
        json!([""]),
    ] {
        describe(t, json!([resource(TOPIC, &topic, keys)]));
    }
}

/// What is set is told as it was read.
fn values_written(t: &mut Talk) {
    let values = [
        ("preallocate", "TRUE"),
        ("retention.ms", " +0700 "),
        ("segment.bytes", "0002000"),
        ("min.cleanable.dirty.ratio", "1"),
        ("cleanup.policy", " compact , delete "),
    ];
    let configs = values.map(|(name, value)| json!({ "name": name, "value": value }));
    let topic = t.topic_with("t", 1, json!(configs));
    shown(t, &topic);
}

fn broker_described(t: &mut Talk) {
    for name in ["1", ""] {
        let keys = json!([
            "log.retention.ms",
            "log.retention.hours",
            "log.retention.minutes",
            "log.segment.bytes",
            "num.io.threads",
            "num.network.threads",
            "message.max.bytes",
            "log.cleanup.policy",
            "compression.type",
            "min.insync.replicas",
            "unclean.leader.election.enable",
            "broker.id",
            "auto.create.topics.enable",
            "zookeeper.session.timeout.ms",
            "ssl.keystore.password",
            "log.cleaner.threads",
            "background.threads",
            "max.connections",
            "max.connections.per.ip",
            "log.message.timestamp.type",
            "log.message.timestamp.before.max.ms",
            "inter.broker.protocol.version",
            "group.max.session.timeout.ms",
            "offsets.retention.minutes",
            "delete.topic.enable",
            "num.partitions",
            "default.replication.factor",
        ]);
        describe(t, json!([resource(BROKER, name, keys)]));
    }
}

/// Every key by its name, so that one that only one of them has does not hide the others.
fn broker_key_described(t: &mut Talk) {
    for name in ["1", ""] {
        let resource = resource(BROKER, name, Value::Null);
        let body = json!({ "resources": [resource], "include_synonyms": true });
        let answer = t.quietly(DescribeConfigs, 4, &body);
        let configs = answer["results"][0]["configs"].as_array().cloned().unwrap_or_default();
        let named = configs.into_iter().filter_map(|config| {
            let name = config["name"].as_str()?.to_owned();
            // Ours alone, as the handler says.
            (!name.starts_with("ottla.")).then_some((name, config))
        });
        let keys: Value = named.collect::<serde_json::Map<_, _>>().into();
        t.note(DescribeConfigs, 4, &format!("every key of broker {name}"), keys);
    }
}

fn unknown_described(t: &mut Talk) {
    let (topic, unknown) = (t.topic("t", 1), t.name("unknown"));
    for (kind, name) in [
        (TOPIC, &*unknown),
        (TOPIC, ""),
        (TOPIC, "a b"),
        (BROKER, "2"),
        (BROKER, "x"),
        (BROKER, "-1"),
        (0, "t"),
        (1, "t"),
        (3, "t"),
        (16, "t"),
        (16, ""),
        (32, "t"),
        (99, "t"),
        (-1, "t"),
    ] {
        describe(t, json!([resource(kind, name, Value::Null)]));
    }
    for kind in [1, 3, 16, 99] {
        let good = resource(TOPIC, &topic, json!(["retention.ms"]));
        describe(t, json!([good, resource(kind, "t", Value::Null)]));
    }
}

fn described_twice(t: &mut Talk) {
    let topic = t.topic("t", 1);
    let one = resource(TOPIC, &topic, json!(["retention.ms"]));
    let two = resource(TOPIC, &topic, json!(["segment.bytes"]));
    describe(t, json!([one, two, one]));
}

fn loggers_described(t: &mut Talk) {
    for name in ["", "2", "x"] {
        describe(t, json!([resource(LOGGER, name, Value::Null)]));
    }
    describe(t, json!([resource(LOGGER, "1", json!(["no.such.logger"]))]));
}

fn values(pairs: &[(&str, Option<&str>)]) -> Value {
    pairs.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

fn alter(kind: i8, name: &str, configs: Value, validate_only: bool) -> Value {
    let resource = json!({ "resource_type": kind, "resource_name": name, "configs": configs });
    json!({ "resources": [resource], "validate_only": validate_only })
}

/// What is set on the topic now.
fn shown(t: &mut Talk, topic: &str) {
    let body = json!({
        "resources": [resource(TOPIC, topic, Value::Null)], "include_synonyms": true,
    });
    t.ask(DescribeConfigs, 3, body);
}

fn altered(t: &mut Talk) {
    let topic = t.topic("t", 1);
    for configs in [
        values(&[("retention.ms", Some("1000")), ("segment.bytes", Some("100000"))]),
        values(&[("retention.ms", Some("2000"))]),
        values(&[("retention.ms", Some("x")), ("segment.bytes", Some("7"))]),
        values(&[("retention.ms", None)]),
        values(&[("retention.ms", Some("1")), ("retention.ms", Some("2"))]),
        values(&[("no.such.key", Some("1"))]),
        values(&[]),
    ] {
        t.ask_each(AlterConfigs, alter(TOPIC, &topic, configs.clone(), true));
        t.ask_each(AlterConfigs, alter(TOPIC, &topic, configs, false));
        shown(t, &topic);
    }
}

/// One value after the other, validated alone.
const TOPIC_VALUES: &[(&str, &[&str])] = &[
    ("cleanup.policy", &["delete", "compact", "delete,compact", "", "x", "compact,x"]),
    ("compression.type", &["producer", "gzip", "uncompressed", "x", ""]),
    ("compression.gzip.level", &["-1", "0", "1", "9", "10"]),
    ("compression.zstd.level", &["-131073", "-131072", "22", "23"]),
    ("compression.lz4.level", &["0", "1", "17", "18"]),
    ("delete.retention.ms", &["-1", "0", "x"]),
    ("file.delete.delay.ms", &["-1", "0"]),
    ("flush.messages", &["0", "1", "-1"]),
    ("flush.ms", &["-1", "0"]),
    ("index.interval.bytes", &["-1", "0"]),
    ("local.retention.bytes", &["-3", "-2", "-1"]),
    ("local.retention.ms", &["-3", "-2", "-1"]),
    ("max.compaction.lag.ms", &["0", "1"]),
    ("max.message.bytes", &["-1", "0", "2147483648"]),
    ("message.downconversion.enable", &["true", "FALSE", "1"]),
    ("message.format.version", &["0.8.2", "2.8", "3.0", "3.0-IV1", "4.0", "x"]),
    ("message.timestamp.type", &["CreateTime", "LogAppendTime", "createtime"]),
    ("message.timestamp.difference.max.ms", &["-1", "0"]),
    ("message.timestamp.before.max.ms", &["-1", "0"]),
    ("message.timestamp.after.max.ms", &["-1", "0"]),
    ("min.cleanable.dirty.ratio", &["-0.1", "0", "0.5", "1", "1.1", "x"]),
    ("min.compaction.lag.ms", &["-1", "0", "9223372036854775807"]),
    ("min.insync.replicas", &["0", "1", "2"]),
    ("preallocate", &["true", "x"]),
    ("remote.storage.enable", &["true", "false", "x"]),
    ("remote.log.copy.disable", &["true", "false"]),
    ("remote.log.delete.on.disable", &["true", "false"]),
    ("retention.bytes", &["-2", "-1", "0"]),
    ("retention.ms", &["-2", "-1", "0", " 5 ", "5.0", "1e3"]),
    ("segment.bytes", &["13", "14", "1048576"]),
    ("segment.index.bytes", &["3", "4"]),
    ("segment.jitter.ms", &["-1", "0"]),
    ("segment.ms", &["0", "1"]),
    ("unclean.leader.election.enable", &["true", "x"]),
    ("leader.replication.throttled.replicas", &["*", "", "0:1", "0", "0:x"]),
    ("follower.replication.throttled.replicas", &["*", "none", "0:1,1:2", ":"]),
];

fn topic_values(t: &mut Talk) {
    let topic = t.topic("t", 1);
    for (key, all) in TOPIC_VALUES {
        for value in *all {
            let configs = values(&[(*key, Some(*value))]);
            t.ask(AlterConfigs, 2, alter(TOPIC, &topic, configs, true));
            let set = json!([{ "name": key, "config_operation": 0, "value": value }]);
            t.ask(IncrementalAlterConfigs, 1, alter(TOPIC, &topic, set, true));
        }
    }
}

fn change(name: &str, operation: i8, value: Option<&str>) -> Value {
    json!({ "name": name, "config_operation": operation, "value": value })
}

fn incrementally_altered(t: &mut Talk) {
    for version in IncrementalAlterConfigs.versions() {
        let topic = t.topic(version, 1);
        for changes in [
            json!([change("retention.ms", 0, Some("1000"))]),
            json!([change("cleanup.policy", 2, Some("compact"))]),
            json!([change("cleanup.policy", 2, Some("compact"))]),
            json!([change("cleanup.policy", 3, Some("delete"))]),
            json!([change("cleanup.policy", 3, Some("nothing"))]),
            json!([change("retention.ms", 1, None)]),
            json!([change("retention.ms", 1, Some("ignored"))]),
            json!([change("segment.bytes", 0, Some("x"))]),
            json!([change("leader.replication.throttled.replicas", 2, Some("0:1"))]),
            json!([change("leader.replication.throttled.replicas", 2, Some("1:1"))]),
            json!([change("leader.replication.throttled.replicas", 3, Some("0:1"))]),
            json!([]),
        ] {
            let body = alter(TOPIC, &topic, changes, false);
            t.ask(IncrementalAlterConfigs, version, body);
            shown(t, &topic);
        }
    }
}

fn operations(t: &mut Talk) {
    let topic = t.topic("t", 1);
    for version in IncrementalAlterConfigs.versions() {
        for changes in [
            json!([change("retention.ms", 2, Some("1"))]),
            json!([change("retention.ms", 3, Some("1"))]),
            json!([change("retention.ms", 4, Some("1"))]),
            json!([change("retention.ms", -1, Some("1"))]),
            json!([change("retention.ms", 0, None)]),
            json!([change("cleanup.policy", 2, None)]),
            json!([change("retention.ms", 0, Some("1")), change("retention.ms", 1, None)]),
            json!([change("retention.ms", 0, Some("1")), change("retention.ms", 0, Some("1"))]),
            json!([change("no.such.key", 0, Some("1"))]),
            json!([change("no.such.key", 1, None)]),
            json!([change("", 0, Some("1"))]),
        ] {
            t.ask(IncrementalAlterConfigs, version, alter(TOPIC, &topic, changes, false));
        }
    }
    shown(t, &topic);
}

const BROKER_VALUES: &[(&str, &[&str])] = &[
    ("num.io.threads", &["0", "1", "3", "4", "8", "16", "17", "x"]),
    ("num.network.threads", &["1", "2", "3", "6", "7"]),
    ("background.threads", &["4", "5", "20", "21"]),
    ("num.replica.fetchers", &["0", "1", "2", "3"]),
    ("num.recovery.threads.per.data.dir", &["0", "1", "2", "3"]),
    ("log.cleaner.threads", &["0", "1", "2", "3"]),
    ("log.cleaner.dedupe.buffer.size", &["1", "134217728"]),
    ("log.retention.ms", &["-2", "-1", "0", "1000"]),
    ("log.retention.hours", &["1"]),
    ("log.segment.bytes", &["13", "14"]),
    ("message.max.bytes", &["-1", "0"]),
    ("min.insync.replicas", &["0", "1", "2"]),
    ("compression.type", &["producer", "x"]),
    ("log.cleanup.policy", &["compact", "x"]),
    ("unclean.leader.election.enable", &["true", "x"]),
    ("max.connections", &["-1", "0", "100"]),
    ("max.connections.per.ip", &["-1", "0", "100"]),
    ("max.connections.per.ip.overrides", &["127.0.0.1:5", "x:y", "x"]),
    ("max.connection.creation.rate", &["-1", "0", "1"]),
    ("metric.reporters", &["", "no.such.Reporter"]),
    ("leader.replication.throttled.rate", &["-1", "0", "1"]),
    ("follower.replication.throttled.rate", &["-1", "0", "1"]),
    ("replica.alter.log.dirs.io.max.bytes.per.second", &["-1", "0", "1"]),
    ("log.message.timestamp.type", &["LogAppendTime", "x"]),
    ("broker.id", &["1", "2"]),
    ("log.dirs", &["/nowhere"]),
    ("zookeeper.connect", &["x"]),
    ("auto.create.topics.enable", &["false"]),
    ("no.such.key", &["1"]),
    ("producer.id.expiration.ms", &["0", "1"]),
    ("transaction.partition.verification.enable", &["true", "x"]),
];

const SECURITY_VALUES: &[(&str, &[&str])] = &[
    ("ssl.keystore.location", &["/nowhere"]),
    ("sasl.jaas.config", &["x"]),
    ("principal.builder.class", &["x"]),
];

fn broker_values(t: &mut Talk) {
    alter_broker(t, BROKER_VALUES);
}

fn security_values(t: &mut Talk) {
    alter_broker(t, SECURITY_VALUES);
}

fn alter_broker(t: &mut Talk, values_of: &[(&str, &[&str])]) {
    for name in ["1", ""] {
        for (key, all) in values_of {
            for value in *all {
                let configs = values(&[(*key, Some(*value))]);
                t.ask(AlterConfigs, 2, alter(BROKER, name, configs, true));
                let set = json!([change(key, 0, Some(value))]);
                t.ask(IncrementalAlterConfigs, 1, alter(BROKER, name, set, true));
            }
        }
    }
}

fn unknown_altered(t: &mut Talk) {
    let unknown = t.name("unknown");
    for (kind, name) in [
        (TOPIC, &*unknown),
        (TOPIC, ""),
        (TOPIC, "a b"),
        (BROKER, "2"),
        (BROKER, "x"),
        (0, "t"),
        (1, "t"),
        (16, "t"),
        (99, "t"),
    ] {
        let configs = values(&[("retention.ms", Some("1"))]);
        t.ask_each(AlterConfigs, alter(kind, name, configs, false));
        let set = json!([change("retention.ms", 0, Some("1"))]);
        t.ask_each(IncrementalAlterConfigs, alter(kind, name, set, false));
    }
}

fn altered_twice(t: &mut Talk) {
    let (topic, other) = (t.topic("t", 1), t.topic("other", 1));
    for version in AlterConfigs.versions() {
        let of = |topic: &str, value: &str| {
            let configs = values(&[("retention.ms", Some(value))]);
            alter(TOPIC, topic, configs, false)["resources"][0].clone()
        };
        let resources = json!([of(&topic, "1"), of(&other, "2"), of(&topic, "3")]);
        t.ask_in_vain(AlterConfigs, version, json!({ "resources": resources }));
        shown(t, &topic);
    }
    for version in IncrementalAlterConfigs.versions() {
        let of = |topic: &str, value: &str| {
            let set = json!([change("retention.ms", 0, Some(value))]);
            alter(TOPIC, topic, set, false)["resources"][0].clone()
        };
        let resources = json!([of(&topic, "1"), of(&other, "2"), of(&topic, "3")]);
        t.ask(IncrementalAlterConfigs, version, json!({ "resources": resources }));
        shown(t, &topic);
    }
}

fn loggers_altered(t: &mut Talk) {
    for name in ["1", "", "2", "x"] {
        t.ask_each(AlterConfigs, alter(LOGGER, name, values(&[("root", Some("INFO"))]), true));
        for changes in [
            json!([change("no.such.logger", 0, Some("INFO"))]),
            json!([change("root", 0, Some("LOUD"))]),
            json!([change("root", 1, None)]),
            json!([change("root", 2, Some("INFO"))]),
        ] {
            t.ask_each(IncrementalAlterConfigs, alter(LOGGER, name, changes, true));
        }
    }
}
