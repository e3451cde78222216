//! What Apache 3.9.2 answers to dynamic values of brokers.

use super::*;

/// What Apache 3.9.2 answers to one key, to a broker and to all of them.
fn check(key: &str, value: &str) -> Result<(), String> {
    let config = BrokerConfig::defaults();
    let values = ConfigValues::from([(key.to_owned(), value.to_owned())]);
    let none = ConfigValues::new();
    let outcome = broker(&config, &none, &values, false);
    assert_eq!(outcome, broker(&config, &none, &values, true), "{key}={value}");
    outcome
}

fn changed(why: &str) -> Result<(), String> {
    let class = "org.apache.kafka.common.config.ConfigException";
    Err(format!("Invalid value {class}: {why} for configuration Invalid dynamic configuration"))
}

#[test]
fn values_that_are_taken() {
    for (key, value) in [
        ("num.io.threads", "4"),
        ("num.io.threads", "16"),
        ("background.threads", "5"),
        ("num.replica.fetchers", "2"),
        ("log.cleaner.threads", "2"),
        ("leader.replication.throttled.rate", "0"),
        ("max.connections.per.ip.overrides", "127.0.0.1:5"),
        ("metric.reporters", ""),
        ("metric.reporters", JMX_REPORTER),
        ("log.retention.ms", "-2"),
        ("log.local.retention.bytes", "5"),
        ("log.cleaner.min.compaction.lag.ms", "10"),
        ("log.cleaner.dedupe.buffer.size", "1048577"),
        ("log.cleanup.policy", ""),
        ("message.max.bytes", " 7 "),
        ("not.known.anywhere", ""),
    ] {
        assert_eq!(check(key, value), Ok(()), "{key}={value}");
    }
}

#[test]
fn a_value_must_be_legal_by_itself() {
    for (key, value, why) in [
        ("num.io.threads", "0", "Value must be at least 1"),
        ("num.io.threads", "x", "Not a number of type INT"),
        ("message.max.bytes", "", "Not a number of type INT"),
        ("message.max.bytes", "2147483648", "Not a number of type INT"),
        ("leader.replication.throttled.rate", "-1", "Value must be at least 0"),
        ("follower.replication.throttled.rate", "x", "Not a number of type LONG"),
        ("replica.alter.log.dirs.io.max.bytes.per.second", "-1", "Value must be at least 0"),
        ("log.cleaner.min.cleanable.ratio", "2", "Value must be no more than 1"),
        ("log.cleaner.io.max.bytes.per.second", "x", "Not a number of type DOUBLE"),
        ("compression.lz4.level", "18", "Value must be no more than 17"),
        ("compression.gzip.level", "0", "Value must be between 1 and 9 or equal to -1"),
        ("log.cleanup.policy", "x", "String must be one of: compact, delete"),
        ("log.message.timestamp.type", "x", "String must be one of: CreateTime, LogAppendTime"),
        ("unclean.leader.election.enable", "yes", "Expected value to be either true or false"),
    ] {
        let text = format!("Invalid value {value} for configuration {key}: {why}");
        assert_eq!(check(key, value), Err(text));
    }
}

#[test]
fn threads_are_halved_and_doubled_at_most() {
    let threads = "Dynamic thread count update validation failed for";
    for (key, value, why) in [
        ("num.io.threads", "3", "be at least half the current value 8"),
        ("num.io.threads", "100000", "not be greater than double the current value 8"),
        ("num.network.threads", "1000", "not be greater than double the current value 3"),
        ("background.threads", "2", "be at least half the current value 10"),
        ("num.replica.fetchers", "3", "not be greater than double the current value 1"),
        ("num.replica.fetchers", "0", "be at least 1"),
        (
            "num.recovery.threads.per.data.dir",
            "9",
            "not be greater than double the current value 1",
        ),
    ] {
        let why = format!("{threads} {key}={value}, value should {why}");
        assert_eq!(check(key, value), changed(&why));
    }
    let why = "Log cleaner threads cannot be increased to more than double the current value 1";
    assert_eq!(check("log.cleaner.threads", "3"), changed(why));
    assert_eq!(check("log.cleaner.threads", "0"), Err("/ by zero".to_owned()));
}

#[test]
fn what_changes_must_be_of_use() {
    for (key, value, why) in [
        ("max.connections", "0", "Invalid max.connections 0"),
        ("max.connection.creation.rate", "0", "Invalid max.connection.creation.rate 0"),
        ("listener.name.plaintext.max.connections", "0", "Invalid max.connections 0"),
        (
            "metric.reporters",
            "no.such.Class",
            "Validation of dynamic config update of Set(metric.reporters) failed with class \
             class kafka.server.DynamicMetricsReporters",
        ),
        (
            "log.local.retention.ms",
            "-1",
            "Invalid value -1 for configuration log.local.retention.ms: Value must not be -1 \
             as log.retention.ms value is set as 604800000.",
        ),
    ] {
        assert_eq!(check(key, value), changed(why));
    }
    let key = "listener.name.plaintext.max.connections";
    assert_eq!(check(key, "50"), Ok(()));
    let why = "Invalid value many for configuration max.connections: Not a number of type INT";
    assert_eq!(check(key, "many"), Err(why.to_owned()));
    // What a file says is not looked at again.
    let mut config = BrokerConfig::defaults();
    config.set(Source::Static, "metric.reporters", "no.such.Class").expect("legal");
    config.set(Source::Static, "log.local.retention.ms", "-1").expect("legal");
    let other = ConfigValues::from([("num.io.threads".to_owned(), "9".to_owned())]);
    let none = ConfigValues::new();
    assert_eq!(broker(&config, &none, &other, false), Ok(()));
    let log = ConfigValues::from([("log.segment.bytes".to_owned(), "900".to_owned())]);
    assert!(broker(&config, &none, &log, false).is_err());
}

#[test]
fn values_must_go_together() {
    for (key, value, why) in [
        ("log.roll.ms", "0", "log.roll.ms must be greater than or equal to 1"),
        (
            "log.retention.ms",
            "0",
            "log.retention.ms must be unlimited (-1) or, greater than or equal to 1",
        ),
        (
            "log.cleaner.dedupe.buffer.size",
            "1048576",
            "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.",
        ),
        (
            "max.connections.per.ip",
            "0",
            "max.connections.per.ip can be set to zero only if \
             max.connections.per.ip.overrides property is set.",
        ),
    ] {
        assert_eq!(check(key, value), Err(format!("requirement failed: {why}")));
    }
    let key = "max.connections.per.ip.overrides";
    let text = format!("Error parsing configuration property '{key}': begin 0, end -1, length 1");
    assert_eq!(check(key, "x"), Err(text));
    assert_eq!(check(key, "x:y"), Err("For input string: \"y\"".to_owned()));
    assert_eq!(check(key, "a:5,"), Ok(()));
    assert_eq!(check(key, "a b:5"), Err(format!("{key} contains invalid addresses : a b")));
}

#[test]
fn some_keys_are_for_one_broker_or_not_dynamic_at_all() {
    let fixed = "Cannot update these configs dynamically: Set(broker.id)";
    assert_eq!(check("broker.id", "7"), Err(fixed.to_owned()));
    let listener = check("ssl.keystore.location", "x").expect_err("not for one listener");
    assert!(listener.ends_with("prefix: HashSet(ssl.keystore.location)"), "{listener}");
    let config = BrokerConfig::defaults();
    let one = |key: &str, value: &str, whole_cluster: bool| {
        let values = ConfigValues::from([(key.to_owned(), value.to_owned())]);
        broker(&config, &ConfigValues::new(), &values, whole_cluster)
    };
    let cluster = one("listeners", "PLAINTEXT://:1", true).expect_err("for one broker");
    assert!(cluster.starts_with("Cannot update these configs at default cluster level"));
    assert!(one("listeners", "PLAINTEXT://:1", false).is_err());
}

#[test]
fn what_others_have_stored_does_not_keep_a_key_from_being_changed() {
    let text = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let stored: ConfigValues = [
        ("broker.id", "7"),
        ("leader.replication.throttled.rate", "x"),
        ("listener.name.sasl.sasl.enabled.mechanisms", "PLAIN"),
        ("message.max.bytes", "many"),
        ("num.io.threads", "9"),
        ("ssl.keystore.location", "x"),
        ("unknown", "y"),
    ]
    .map(text)
    .into();
    let mut values = legal(&stored, false);
    let kept: Vec<&str> = values.keys().map(String::as_str).collect();
    assert_eq!(kept, ["listener.name.sasl.sasl.enabled.mechanisms", "num.io.threads", "unknown"]);
    values.extend([text(("message.max.bytes", "7"))]);
    let config = BrokerConfig::defaults();
    assert_eq!(broker(&config, &stored, &values, false), Ok(()));
    values.extend([text(("listener.name.sasl.sasl.enabled.mechanisms", "SCRAM-SHA-256"))]);
    assert!(broker(&config, &stored, &values, false).is_err());
    let listeners = ConfigValues::from([text(("listeners", "PLAINTEXT://:1"))]);
    assert_eq!(legal(&listeners, true), ConfigValues::new());
}
