//! May these be all the dynamic values of one broker, or of all brokers? Kafka's rules, in its
//! order and with its texts (`DynamicBrokerConfig`, `ConfigDef`). Knows nothing of the store.

use coordinator::znodes::config::ConfigValues;
use storage::config::TOPIC_KEYS;

use crate::config::key::{Check, KeyDef, Kind, Role, Update};
use crate::config::keys::{KEYS, RATES};
use crate::config::{BrokerConfig, JMX_REPORTER, Source};

/// Settings of TLS that Kafka changes only for one listener.
const PER_LISTENER: [&str; 10] = [
    "ssl.key.password",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.keystore.type",
    "ssl.truststore.certificates",
    "ssl.truststore.location",
    "ssl.truststore.password",
    "ssl.truststore.type",
];

/// Numbers of threads: at least half and at most double of what they are.
const THREADS: [&str; 5] = [
    "num.network.threads",
    "background.threads",
    "num.io.threads",
    "num.recovery.threads.per.data.dir",
    "num.replica.fetchers",
];

/// Checks `values` as all that is set for this broker or, `whole_cluster`, for all brokers.
pub fn broker(
    config: &BrokerConfig,
    values: &ConfigValues,
    whole_cluster: bool,
) -> Result<(), String> {
    let of = |wanted: &dyn Fn(&str) -> bool| -> Vec<&str> {
        values.keys().map(String::as_str).filter(|key| wanted(key)).collect()
    };
    let updates = |key: &str, update: Update| {
        BrokerConfig::definition(key).is_some_and(|definition| definition.update == update)
    };
    let fixed = of(&|key| updates(key, Update::ReadOnly));
    refuse(&fixed, "Cannot update these configs dynamically", "Set")?;
    let text = "These security configs can be dynamically updated only per-listener using the \
                listener prefix";
    refuse(&of(&|key| PER_LISTENER.contains(&key)), text, "HashSet")?;
    for (key, value) in values {
        if let Some(text) = definition(key).and_then(|key| invalid(key, value)) {
            return Err(text);
        }
    }
    if whole_cluster {
        let text =
            "Cannot update these configs at default cluster level, broker id must be specified";
        refuse(&of(&|key| updates(key, Update::PerBroker)), text, "Set")?;
    }
    refuse(&of(&is_not_served), "These configs are not served while the broker runs", "Set")?;
    let kept = if whole_cluster { Source::DynamicBroker } else { Source::DynamicDefault };
    let other = config.settings_at(kept);
    let (cluster, own) = if whole_cluster { (values, &other) } else { (&other, values) };
    let (next, _) = config.with_dynamic(cluster, own);
    together(&next)?;
    reconfigured(config, &next).map_err(|why| {
        format!(
            "Invalid value org.apache.kafka.common.config.ConfigException: {why} for \
             configuration Invalid dynamic configuration"
        )
    })
}

fn refuse(keys: &[&str], text: &str, set: &str) -> Result<(), String> {
    match keys.is_empty() {
        true => Ok(()),
        false => Err(format!("{text}: {set}({})", keys.join(", "))),
    }
}

fn definition(name: &str) -> Option<&'static KeyDef> {
    BrokerConfig::definition(name).or_else(|| RATES.iter().find(|key| key.name == name))
}

/// Whether Apache could change the key and this broker cannot.
fn is_not_served(key: &str) -> bool {
    let stops = |key: &KeyDef| matches!(key.role, Role::Stops(_) | Role::Belongs(_));
    let bound = ["listeners", "advertised.listeners", "listener.security.protocol.map"];
    key.starts_with("listener.name.")
        || bound.contains(&key)
        || BrokerConfig::definition(key).is_some_and(stops)
}

/// Why the key cannot have this value; `None` if it can.
fn invalid(key: &KeyDef, value: &str) -> Option<String> {
    key.parse(value).err()?;
    let trimmed = value.trim();
    let name = key.name;
    let refuse =
        |shown: &str, why: &str| format!("Invalid value {shown} for configuration {name}: {why}");
    let kind = match key.kind {
        Kind::Bool => return Some(refuse(value, "Expected value to be either true or false")),
        Kind::Short => "SHORT",
        Kind::Int => "INT",
        Kind::Long => "LONG",
        Kind::Double => "DOUBLE",
        Kind::Text | Kind::List | Kind::Class | Kind::Password => "",
    };
    let number = match key.kind {
        Kind::Short => trimmed.parse::<i16>().ok().map(f64::from),
        Kind::Int => trimmed.parse::<i32>().ok().map(f64::from),
        Kind::Long => trimmed.parse::<i64>().ok().map(|number| number as f64),
        _ => trimmed.parse::<f64>().ok(),
    };
    let beyond = |low: String, high: String| match number {
        None => refuse(value, &format!("Not a number of type {kind}")),
        Some(n) if low.parse().is_ok_and(|low: f64| n < low) => {
            refuse(trimmed, &format!("Value must be at least {low}"))
        }
        Some(_) => refuse(trimmed, &format!("Value must be no more than {high}")),
    };
    Some(match key.check {
        Check::AtLeast(least) => beyond(least.to_string(), String::new()),
        Check::Between(low, high) => beyond(low.to_string(), high.to_string()),
        Check::Ratio(high) => beyond("0".to_owned(), high.to_string()),
        Check::BetweenOr(low, high, other) if number.is_some() => {
            let text = format!("Value must be between {low} and {high} or equal to {other}");
            refuse(trimmed, &text)
        }
        Check::BetweenOr(..) | Check::Any => refuse(value, &format!("Not a number of type {kind}")),
        Check::OneOf(names) | Check::Release(names) => {
            refuse(trimmed, &format!("String must be one of: {}", names.join(", ")))
        }
        Check::EachOf(names) => {
            let mut items = trimmed.split(',').map(str::trim);
            let other = items.find(|item| !names.contains(item)).unwrap_or(trimmed);
            refuse(other, &format!("String must be one of: {}", names.join(", ")))
        }
        Check::FormatVersion => {
            refuse(trimmed, &format!("Version {trimmed} is not a valid version"))
        }
    })
}

/// Do the values go together? As at a start.
fn together(next: &BrokerConfig) -> Result<(), String> {
    let require = |holds: bool, text: &str| match holds {
        true => Ok(()),
        false => Err(format!("requirement failed: {text}")),
    };
    require(next.log_roll_ms() >= 1, "log.roll.ms must be greater than or equal to 1")?;
    let text = "log.roll.jitter.ms must be greater than or equal to 0";
    require(next.log_roll_jitter_ms() >= 0, text)?;
    let text = "log.retention.ms must be unlimited (-1) or, greater than or equal to 1";
    require(next.log_retention_ms() != 0, text)?;
    let buffer = next.long("log.cleaner.dedupe.buffer.size");
    let Some(per_thread) = buffer.checked_div(next.long("log.cleaner.threads")) else {
        return Err("/ by zero".to_owned());
    };
    let text = "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.";
    require(per_thread > 1 << 20, text)?;
    let overrides = next.text("max.connections.per.ip.overrides").unwrap_or_default();
    let text = "max.connections.per.ip can be set to zero only if \
                max.connections.per.ip.overrides property is set.";
    require(next.long("max.connections.per.ip") != 0 || !overrides.is_empty(), text)?;
    next.check().map_err(|error| format!("Invalid dynamic configuration: {error}"))
}

/// What Kafka's own parts say when they are told of `next`: each only of what changes for it.
fn reconfigured(now: &BrokerConfig, next: &BrokerConfig) -> Result<(), String> {
    let text = |config: &BrokerConfig, key: &str| {
        config.effective(key).and_then(|(text, _)| text).map(str::to_owned)
    };
    let changes = |key: &str| text(now, key) != text(next, key);
    for key in ["max.connections", "max.connection.creation.rate"] {
        if changes(key) && next.long(key) <= 0 {
            return Err(format!("Invalid {key} {}", next.long(key)));
        }
    }
    let reporters = next.list("metric.reporters");
    if changes("metric.reporters") && reporters.iter().any(|class| class != JMX_REPORTER) {
        let keys = KEYS.iter().map(|key| key.name).filter(|key| changes(key));
        let keys = keys.collect::<Vec<_>>().join(", ");
        return Err(format!(
            "Validation of dynamic config update of Set({keys}) failed with class class \
             kafka.server.DynamicMetricsReporters"
        ));
    }
    let cleaner = "log.cleaner.threads";
    cleaner_threads(now.int(cleaner), next.int(cleaner))?;
    for key in THREADS {
        threads(key, now.int(key), next.int(key))?;
    }
    let is_for_topics = |key: &str| TOPIC_KEYS.iter().any(|topic| topic.broker_key == Some(key));
    if KEYS.iter().any(|key| is_for_topics(key.name) && changes(key.name)) {
        let retention = ("log.retention.ms", next.log_retention_ms());
        local_retention("log.local.retention.ms", next, retention)?;
        let retention = ("log.retention.bytes", next.long("log.retention.bytes"));
        local_retention("log.local.retention.bytes", next, retention)?;
    }
    Ok(())
}

fn cleaner_threads(now: i32, next: i32) -> Result<(), String> {
    let refuse = |text: String| Err(format!("Log cleaner threads {text}"));
    if now == next {
        Ok(())
    } else if next < 1 {
        refuse("should be at least 1".to_owned())
    } else if next < now / 2 {
        refuse(format!("cannot be reduced to less than half the current value {now}"))
    } else if i64::from(next) > i64::from(now) * 2 {
        refuse(format!("cannot be increased to more than double the current value {now}"))
    } else {
        Ok(())
    }
}

fn threads(key: &str, now: i32, next: i32) -> Result<(), String> {
    let refuse = |text: String| {
        Err(format!("Dynamic thread count update validation failed for {key}={next}, {text}"))
    };
    if now == next {
        Ok(())
    } else if next <= 0 {
        refuse("value should be at least 1".to_owned())
    } else if next < now / 2 {
        refuse(format!("value should be at least half the current value {now}"))
    } else if i64::from(next) > i64::from(now) * 2 {
        refuse(format!("value should not be greater than double the current value {now}"))
    } else {
        Ok(())
    }
}

/// What stays on this broker is no more than what is kept at all. −1 is no limit, −2 the other key.
fn local_retention(
    key: &str,
    next: &BrokerConfig,
    (other, retention): (&str, i64),
) -> Result<(), String> {
    let local = next.long(key);
    if retention < 0 || local == -2 {
        return Ok(());
    }
    let refuse =
        |text: String| Err(format!("Invalid value {local} for configuration {key}: {text}"));
    if local == -1 {
        refuse(format!("Value must not be -1 as {other} value is set as {retention}."))
    } else if local > retention {
        refuse(format!("Value must not be more than {other} property value: {retention}"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Apache 3.9.2 answers to one key, to a broker and to all of them.
    fn check(key: &str, value: &str) -> Result<(), String> {
        let config = BrokerConfig::defaults();
        let values = ConfigValues::from([(key.to_owned(), value.to_owned())]);
        let outcome = broker(&config, &values, false);
        assert_eq!(outcome, broker(&config, &values, true), "{key}={value}");
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
        // What a file says is not looked at again.
        let mut config = BrokerConfig::defaults();
        config.set(Source::Static, "metric.reporters", "no.such.Class").expect("legal");
        config.set(Source::Static, "log.local.retention.ms", "-1").expect("legal");
        let other = ConfigValues::from([("num.io.threads".to_owned(), "9".to_owned())]);
        assert_eq!(broker(&config, &other, false), Ok(()));
        let log = ConfigValues::from([("log.segment.bytes".to_owned(), "900".to_owned())]);
        assert!(broker(&config, &log, false).is_err());
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
            broker(&config, &values, whole_cluster)
        };
        let cluster = one("listeners", "PLAINTEXT://:1", true).expect_err("for one broker");
        assert!(cluster.starts_with("Cannot update these configs at default cluster level"));
        assert!(one("listeners", "PLAINTEXT://:1", false).is_err());
    }
}
