//! May these be all the dynamic values of one broker, or of all brokers? Kafka's rules, in its
//! order and with its texts (`DynamicBrokerConfig`, `ConfigDef`). Knows nothing of the store.

use metadata::znodes::config::ConfigValues;
use storage::config::TOPIC_KEYS;

use crate::config::features::{OF_LISTENERS, of_one_listener};
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

/// What counts of the stored values: a change of others takes the rest out of the store.
pub fn legal(stored: &ConfigValues, whole_cluster: bool) -> ConfigValues {
    let source = if whole_cluster { Source::DynamicDefault } else { Source::DynamicBroker };
    let is_legal = |key: &str, value: &str| match BrokerConfig::definition(key) {
        Some(known) => {
            BrokerConfig::updatable(key, source)
                && !PER_LISTENER.contains(&key)
                && known.parse(value).is_ok()
        }
        None => definition(key).is_none_or(|rate| rate.parse(value).is_ok()),
    };
    let legal = stored.iter().filter(|(key, value)| is_legal(key, value));
    legal.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Checks `values` as all that is set for this broker or, `whole_cluster`, for all brokers, in
/// place of those that are `stored`.
pub fn broker(
    config: &BrokerConfig,
    stored: &ConfigValues,
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
    let changes = |key: &str| values.get(key) != stored.get(key);
    let not_served = of(&|key| changes(key) && is_not_served(key));
    refuse(&not_served, "These configs are not served while the broker runs", "Set")?;
    let kept = if whole_cluster { Source::DynamicBroker } else { Source::DynamicDefault };
    let other = config.settings_at(kept);
    let (cluster, own) = if whole_cluster { (values, &other) } else { (&other, values) };
    let (next, _) = config.overlaid(cluster, own);
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
    let rate = || RATES.iter().find(|key| key.name == name);
    BrokerConfig::definition(name).or_else(rate).or_else(|| of_one_listener(name))
}

/// Whether Apache could change the key and this broker cannot.
fn is_not_served(key: &str) -> bool {
    let stops = |key: &KeyDef| matches!(key.role, Role::Stops(_) | Role::Belongs(_));
    let bound = ["listeners", "advertised.listeners", "listener.security.protocol.map"];
    (key.starts_with("listener.name.") && of_one_listener(key).is_none())
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
    address_limits(overrides)?;
    next.check().map_err(|error| format!("Invalid dynamic configuration: {error}"))
}

/// `address:count` pairs, with what Java says of those that are none.
fn address_limits(text: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-%._:".contains(c);
    let mut invalid = Vec::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let Some((address, count)) = item.rsplit_once(':') else {
            let length = item.chars().count();
            return Err(format!(
                "Error parsing configuration property 'max.connections.per.ip.overrides': begin 0, \
                 end -1, length {length}"
            ));
        };
        let count = count.trim();
        if count.parse::<i32>().is_err() {
            return Err(format!("For input string: \"{count}\""));
        }
        invalid.extend(Some(address.trim()).filter(|address| !address.chars().all(legal)));
    }
    if invalid.is_empty() {
        return Ok(());
    }
    let invalid = invalid.join(",");
    Err(format!("max.connections.per.ip.overrides contains invalid addresses : {invalid}"))
}

/// What Kafka's own parts say when they are told of `next`: each only of what changes for it.
fn reconfigured(now: &BrokerConfig, next: &BrokerConfig) -> Result<(), String> {
    let text = |config: &BrokerConfig, key: &str| {
        config.effective(key).and_then(|(text, _)| text).map(str::to_owned)
    };
    let changes = |key: &str| text(now, key) != text(next, key);
    for listener in next.listeners() {
        let of = |config: &BrokerConfig| {
            OF_LISTENERS.map(|key| (key, config.long_of_listener(&listener.name, key)))
        };
        if of(now) != of(next)
            && let Some((key, limit)) = of(next).into_iter().find(|(_, limit)| *limit <= 0)
        {
            return Err(format!("Invalid {key} {limit}"));
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
mod tests;
