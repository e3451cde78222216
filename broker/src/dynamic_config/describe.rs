//! Every key of a topic or a broker with its value, where the value comes from and what it would be
//! otherwise (Kafka's `ConfigHelper`). Knows nothing of the store: values are given.

use coordinator::znodes::config::ConfigValues;
use storage::config::{TOPIC_KEYS, TopicKey, ValueType, topic_key};

use crate::config::keys::KEYS;
use crate::config::{BrokerConfig, Source, key::KeyDef, key::Update, synonyms};
use crate::replication::topic_configs;

/// Number of "the topic's own" among the sources of DescribeConfigs.
pub const SOURCE_TOPIC: i8 = 1;

/// A key that is not known here.
const KIND_UNKNOWN: i8 = 0;

/// One key as DescribeConfigs tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    /// `None` if it is not set or may not be shown.
    pub value: Option<String>,
    pub read_only: bool,
    /// 1 topic, 2 dynamic broker, 3 dynamic default, 4 static broker, 5 default.
    pub source: i8,
    pub is_sensitive: bool,
    /// Every place that sets the value, strongest first.
    pub synonyms: Vec<Synonym>,
    /// 1 boolean, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8 class, 9 password, 0
    /// unknown.
    pub kind: i8,
    pub documentation: String,
}

/// One place that sets a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synonym {
    pub name: String,
    pub value: Option<String>,
    pub source: i8,
}

/// Every key of a topic, by name.
pub fn topic(broker: &BrokerConfig, own: &ConfigValues) -> Vec<Entry> {
    let unknown = own.keys().filter(|key| topic_key(key).is_none()).map(|name| Entry {
        source: SOURCE_TOPIC,
        read_only: false,
        ..unknown_key(name)
    });
    TOPIC_KEYS
        .iter()
        .map(|key| topic_entry(broker, key, own.get(key.name)))
        .chain(unknown)
        .collect()
}

fn topic_entry(broker: &BrokerConfig, key: &TopicKey, own: Option<&String>) -> Entry {
    let value = match own {
        Some(own) if key.value_type == ValueType::List => items(own),
        Some(own) => own.trim().to_owned(),
        None => topic_configs::broker_value(broker, key).unwrap_or_else(|| key.default.to_owned()),
    };
    let mut synonyms = match key.broker_key {
        Some(name) if BrokerConfig::definition(name).is_some() => places(broker, name, false),
        _ => Vec::new(),
    };
    if own.is_some() {
        let (name, value) = (key.name.to_owned(), Some(value.clone()));
        synonyms.insert(0, Synonym { name, value, source: SOURCE_TOPIC });
    }
    Entry {
        name: key.name.to_owned(),
        documentation: format!(
            "Default {}; without a value of its own a topic takes the broker's {}.",
            if key.default.is_empty() { "none" } else { key.default },
            key.broker_key.unwrap_or("default")
        ),
        value: Some(value),
        read_only: false,
        source: strongest(&synonyms),
        is_sensitive: false,
        synonyms,
        kind: match key.value_type {
            ValueType::Boolean => 1,
            ValueType::String => 2,
            ValueType::Int => 3,
            ValueType::Long => 5,
            ValueType::Double => 6,
            ValueType::List => 7,
        },
    }
}

/// Keys that Kafka calls internal: told only where somebody has set them.
const INTERNAL: &[&str] = &[
    "group.consumer.migration.policy",
    "group.coordinator.new.enable",
    "group.share.enable",
    "log.initial.task.delay.ms",
    "metadata.log.segment.min.bytes",
    "producer.id.expiration.check.interval.ms",
    "remote.log.manager.task.retry.backoff.max.ms",
    "remote.log.manager.task.retry.backoff.ms",
    "remote.log.manager.task.retry.jitter",
    "server.max.startup.time.ms",
    "unclean.leader.election.interval.ms",
    "unstable.api.versions.enable",
    "unstable.feature.versions.enable",
    "zookeeper.metadata.migration.min.batch.size",
];

/// Every key of this broker, by name, and then the unknown ones of its file.
pub fn broker(config: &BrokerConfig) -> Vec<Entry> {
    let unknown = config.unknown.keys().map(|name| unknown_key(name));
    let told = |key: &&KeyDef| !INTERNAL.contains(&key.name) || config.is_set(key.name);
    let known = KEYS.iter().filter(told).map(|key| match key.name {
        "node.id" if !config.is_set(key.name) && config.is_set("broker.id") => node_id(config, key),
        _ => broker_entry(config, key),
    });
    known.chain(unknown).collect()
}

/// Kafka sets it to `broker.id` where it is not set itself.
fn node_id(config: &BrokerConfig, key: &KeyDef) -> Entry {
    let value = Some(config.int("broker.id").to_string());
    let mut entry = broker_entry(config, key);
    let (name, source) = (key.name.to_owned(), Source::Static as i8);
    entry.synonyms.insert(0, Synonym { name, value: value.clone(), source });
    Entry { value, source, ..entry }
}

/// What is set for all brokers together.
pub fn broker_default(config: &BrokerConfig) -> Vec<Entry> {
    let number = Source::DynamicDefault as i8;
    let set = KEYS.iter().filter_map(|key| {
        let mut entry = broker_entry(config, key);
        entry.synonyms.retain(|place| place.source == number && place.name == key.name);
        let place = entry.synonyms.first()?;
        (entry.value, entry.source) = (place.value.clone(), number);
        Some(entry)
    });
    set.collect()
}

fn broker_entry(config: &BrokerConfig, key: &KeyDef) -> Entry {
    let is_sensitive = key.is_sensitive();
    let text = match is_overridden(config, key.name) {
        true => key.default,
        false => config.effective(key.name).and_then(|(text, _)| text),
    };
    let value = text.filter(|_| !is_sensitive).map(|text| match key.wire_type() {
        7 => items(text),
        _ => text.trim().to_owned(),
    });
    let synonyms = places(config, key.name, is_sensitive);
    Entry {
        name: key.name.to_owned(),
        value,
        read_only: key.update == Update::ReadOnly,
        source: strongest(&synonyms),
        is_sensitive,
        synonyms,
        kind: key.wire_type(),
        documentation: format!("Takes {}.", key.expected()),
    }
}

/// Whether a key that says the same was set while the broker runs, and this one was not: Kafka then
/// forgets what the file says of it.
fn is_overridden(config: &BrokerConfig, name: &str) -> bool {
    let dynamic = |name: &str| {
        let levels = config.levels(name);
        levels.iter().any(|(s, _)| [Source::DynamicBroker, Source::DynamicDefault].contains(s))
    };
    !dynamic(name) && synonyms(name).iter().any(|other| dynamic(other))
}

/// Kafka takes what it does not know for a secret.
fn unknown_key(name: &str) -> Entry {
    Entry {
        name: name.to_owned(),
        value: None,
        read_only: true,
        source: Source::Static as i8,
        is_sensitive: true,
        synonyms: Vec::new(),
        kind: KIND_UNKNOWN,
        documentation: String::new(),
    }
}

/// All that sets `name` or a key that says the same in other units. What such a key sets above the
/// strongest setting of `name` itself is not told, as in Kafka.
fn places(config: &BrokerConfig, name: &str, is_sensitive: bool) -> Vec<Synonym> {
    let group = match name {
        "log.flush.scheduler.interval.ms" => &[],
        _ => synonyms(name),
    };
    let mut all = Vec::new();
    for source in [Source::DynamicBroker, Source::DynamicDefault, Source::Static, Source::Default] {
        let names = if group.is_empty() { std::slice::from_ref(&name) } else { group };
        for name in names {
            let set = config.levels(name).into_iter().find(|(level, _)| *level == source);
            all.extend(set.map(|(_, text)| Synonym {
                name: (*name).to_owned(),
                value: Some(text.to_owned()).filter(|_| !is_sensitive),
                source: source as i8,
            }));
        }
    }
    let first = all.iter().position(|place| place.name == name).unwrap_or(all.len());
    all.split_off(first)
}

fn strongest(places: &[Synonym]) -> i8 {
    places.first().map_or(Source::Default as i8, |place| place.source)
}

/// A list without blanks.
fn items(text: &str) -> String {
    text.split(',').map(str::trim).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn find(entries: &[Entry], name: &str) -> Entry {
        entries.iter().find(|entry| entry.name == name).expect("a known key").clone()
    }

    fn shown(entry: &Entry) -> Vec<(&str, Option<&str>, i8)> {
        entry.synonyms.iter().map(|s| (&*s.name, s.value.as_deref(), s.source)).collect()
    }

    #[test]
    fn a_topics_value_comes_from_itself_or_from_the_broker() {
        let mut config = BrokerConfig::defaults();
        let plain = topic(&config, &ConfigValues::new());
        let retention = find(&plain, "retention.ms");
        assert_eq!((retention.value.as_deref(), retention.source), (Some("604800000"), 5));
        assert_eq!(shown(&retention), [], "the broker's key in milliseconds has no default");
        let segment = find(&plain, "segment.bytes");
        assert_eq!(shown(&segment), [("log.segment.bytes", Some("1073741824"), 5)]);

        config.set(Source::Static, "log.segment.bytes", "1000").expect("legal");
        let own = ConfigValues::from([
            ("segment.bytes".into(), " 2000 ".into()),
            ("cleanup.policy".into(), "compact, delete".into()),
        ]);
        let own = topic(&config, &own);
        let segment = find(&own, "segment.bytes");
        assert_eq!((segment.value.as_deref(), segment.source, segment.kind), (Some("2000"), 1, 3));
        assert_eq!(
            shown(&segment),
            [
                ("segment.bytes", Some("2000"), 1),
                ("log.segment.bytes", Some("1000"), 4),
                ("log.segment.bytes", Some("1073741824"), 5),
            ]
        );
        let policy = find(&own, "cleanup.policy");
        assert_eq!((policy.value.as_deref(), policy.kind), (Some("compact,delete"), 7));
    }

    #[test]
    fn a_brokers_value_comes_from_the_strongest_level() {
        let mut config = BrokerConfig::defaults();
        config.set(Source::Static, "log.retention.hours", "1").expect("legal");
        config.set(Source::Static, "ssl.key.password", "secret").expect("legal");
        let cluster = BTreeMap::from([("message.max.bytes".to_owned(), "5".to_owned())]);
        let own = BTreeMap::from([("message.max.bytes".to_owned(), "7".to_owned())]);
        let (config, _) = config.with_dynamic(&cluster, &own);
        let all = broker(&config);
        let bytes = find(&all, "message.max.bytes");
        assert_eq!((bytes.value.as_deref(), bytes.source, bytes.read_only), (Some("7"), 2, false));
        let sources: Vec<i8> = bytes.synonyms.iter().map(|place| place.source).collect();
        assert_eq!(sources, [2, 3, 5]);
        let hours = find(&all, "log.retention.hours");
        assert_eq!((hours.source, hours.read_only), (4, true));
        let password = find(&all, "ssl.key.password");
        assert_eq!((password.value, password.is_sensitive), (None, true));
        let default = broker_default(&config);
        assert_eq!(default.len(), 1);
        assert_eq!((default[0].value.as_deref(), default[0].source), (Some("5"), 3));
    }
}
