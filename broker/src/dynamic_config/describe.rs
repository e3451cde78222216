//! Every key of a topic or a broker with its value, where the value comes from and what it would be
//! otherwise (Kafka's `ConfigHelper`). Knows nothing of the store: values are given.

use metadata::znodes::config::ConfigValues;
use storage::config::{TOPIC_KEYS, TopicKey, ValueType, topic_key};

use super::documentation;
use crate::config::features::of_one_listener;
use crate::config::key::{Feature, KeyDef, Role, Update};
use crate::config::keys::{KEYS, RATES};
use crate::config::{BrokerConfig, Source, synonyms};
use crate::logging::levels::{Level, Levels};
use crate::replication::topic_configs;

/// Number of "the topic's own" among the sources of DescribeConfigs.
pub const SOURCE_TOPIC: i8 = 1;

/// Number of "a logger's level".
const SOURCE_LOGGER: i8 = 6;

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
    pub documentation: Documentation,
}

/// What is told of a key to those who ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Documentation {
    /// `None` of a key that no file has.
    Key(Option<String>),
    /// Nothing, asked for or not: an empty text.
    Logger,
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
    let unknown = own.keys().filter(|key| topic_key(key).is_none());
    let unknown = unknown.map(|name| Entry { read_only: false, ..other(name, &[SOURCE_TOPIC]) });
    TOPIC_KEYS
        .iter()
        .map(|key| topic_entry(broker, key, own.get(key.name)))
        .chain(unknown)
        .collect()
}

fn topic_entry(broker: &BrokerConfig, key: &TopicKey, own: Option<&String>) -> Entry {
    let value = match own {
        Some(own) => written(key.value_type, own),
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
        documentation: Documentation::Key(Some(format!(
            "{} Default {}; without a value of its own a topic takes the broker's {}.",
            documentation::of_topic(key.name).unwrap_or_default(),
            if key.default.is_empty() { "none" } else { key.default },
            key.broker_key.unwrap_or("default")
        ))),
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

/// Every key of this broker, by name, and then those that are set and not in the table.
pub fn broker(config: &BrokerConfig) -> Vec<Entry> {
    let others = config.others().map(|(name, levels)| other_of_broker(config, name, &levels));
    let told = |key: &&KeyDef| !INTERNAL.contains(&key.name) || config.is_set(key.name);
    let known = KEYS.iter().filter(told).map(|key| match key.name {
        "node.id" if !config.is_set(key.name) && config.is_set("broker.id") => node_id(config, key),
        _ => broker_entry(config, key),
    });
    known.chain(others).collect()
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
    let others = config.others().filter_map(|(name, levels)| {
        let level = levels.into_iter().find(|(source, _)| *source == Source::DynamicDefault)?;
        let mut entry = other_of_broker(config, name, &[level]);
        entry.synonyms.retain(|place| place.source == number);
        Some(entry)
    });
    set.chain(others).collect()
}

/// Every logger and its level, by name.
pub fn loggers(levels: &Levels) -> Vec<Entry> {
    let entry = |(name, level): (String, Level)| Entry {
        name,
        value: Some(level.to_string()),
        read_only: false,
        source: SOURCE_LOGGER,
        is_sensitive: false,
        synonyms: Vec::new(),
        kind: KIND_UNKNOWN,
        documentation: Documentation::Logger,
    };
    levels.all().into_iter().map(entry).collect()
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
        documentation: Documentation::Key(Some(what_it_does(key))),
    }
}

fn what_it_does(key: &KeyDef) -> String {
    let takes = format!("Takes {}.", key.expected());
    let role = match key.role {
        Role::Honoured => String::new(),
        Role::Ignored(instead) => format!("No effect here: {instead}."),
        Role::Stops(why) => format!("Only the default here: {why}."),
        Role::Belongs(_) => format!("Only where it has no effect: {}.", Feature::SECURITY),
    };
    let texts = [documentation::of_broker(key.name).unwrap_or_default(), &takes, &role];
    texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
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

/// A key that the table does not have: the rate of a replication throttle, a limit of one listener,
/// to which the broker's own is told too, or one that is unknown.
fn other_of_broker(config: &BrokerConfig, name: &str, levels: &[(Source, &str)]) -> Entry {
    let sources: Vec<i8> = levels.iter().map(|(source, _)| *source as i8).collect();
    let mut entry = other(name, &sources);
    let of_listener = of_one_listener(name);
    if let Some(known) = RATES.iter().find(|rate| rate.name == name).or(of_listener) {
        for (place, (_, text)) in entry.synonyms.iter_mut().zip(levels) {
            place.value = Some((*text).to_owned());
        }
        entry.value = levels.first().map(|(_, text)| (*text).to_owned());
        (entry.is_sensitive, entry.kind) = (false, known.wire_type());
    }
    if let Some(key) = of_listener {
        entry.synonyms.extend(places(config, key.name, false));
        entry.synonyms.sort_by_key(|place| place.source);
    }
    entry
}

/// A key that is not known. Kafka takes its value for a secret.
fn other(name: &str, sources: &[i8]) -> Entry {
    let place = |source: &i8| Synonym { name: name.to_owned(), value: None, source: *source };
    let synonyms: Vec<Synonym> = sources.iter().map(place).collect();
    Entry {
        name: name.to_owned(),
        value: None,
        read_only: true,
        source: strongest(&synonyms),
        is_sensitive: true,
        synonyms,
        kind: KIND_UNKNOWN,
        documentation: Documentation::Key(None),
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

/// A value as Kafka writes what it has read.
fn written(kind: ValueType, text: &str) -> String {
    let text = text.trim();
    let read = match kind {
        ValueType::List => Some(items(text)),
        ValueType::Boolean => Some(text.to_ascii_lowercase()),
        ValueType::Int | ValueType::Long => text.parse().ok().map(|n: i64| n.to_string()),
        ValueType::Double => text.parse().ok().map(|n: f64| format!("{n:?}")),
        ValueType::String => None,
    };
    read.unwrap_or_else(|| text.to_owned())
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
            ("preallocate".into(), "TRUE".into()),
            ("retention.ms".into(), "+0700".into()),
            ("min.cleanable.dirty.ratio".into(), "1".into()),
        ]);
        let own = topic(&config, &own);
        for (name, value) in
            [("preallocate", "true"), ("retention.ms", "700"), ("min.cleanable.dirty.ratio", "1.0")]
        {
            assert_eq!(find(&own, name).value.as_deref(), Some(value), "as Kafka writes it");
        }
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
        assert_eq!(
            find(&all, "num.io.threads").documentation,
            Documentation::Key(Some(
                "Threads that serve requests. Takes an integer of at least 1. No effect here: \
                 there is one worker per core, and bounds are in bytes."
                    .to_owned()
            ))
        );
        let hours = find(&all, "log.retention.hours");
        assert_eq!((hours.source, hours.read_only), (4, true));
        let password = find(&all, "ssl.key.password");
        assert_eq!((password.value, password.is_sensitive), (None, true));
        let default = broker_default(&config);
        assert_eq!(default.len(), 1);
        assert_eq!((default[0].value.as_deref(), default[0].source), (Some("5"), 3));
    }

    #[test]
    fn a_limit_of_one_listener_is_told_with_the_brokers() {
        let own = "listener.name.plaintext.max.connections";
        let mut config = BrokerConfig::defaults();
        config.set_other(Source::Static, own, "9");
        let cluster = BTreeMap::from([("max.connections".to_owned(), "5".to_owned())]);
        let broker_own = BTreeMap::from([(own.to_owned(), "7".to_owned())]);
        let (config, _) = config.with_dynamic(&cluster, &broker_own);
        let entry = find(&broker(&config), own);
        assert_eq!((entry.value.as_deref(), entry.source, entry.kind), (Some("7"), 2, 3));
        assert_eq!((entry.read_only, entry.is_sensitive), (true, false));
        let places = [
            (own, Some("7"), 2),
            ("max.connections", Some("5"), 3),
            (own, Some("9"), 4),
            ("max.connections", Some("2147483647"), 5),
        ];
        assert_eq!(shown(&entry), places);
    }

    #[test]
    fn rates_and_unknown_keys_are_told_where_they_are_set() {
        let mut config = BrokerConfig::defaults();
        config.set_other(Source::Static, "unknown.static", "s");
        let values = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let rate = "leader.replication.throttled.rate";
        let (config, _) = config.with_dynamic(&values("no.such.key", "v"), &values(rate, " 7 "));
        let all = broker(&config);
        let entry = find(&all, rate);
        assert_eq!((entry.value.as_deref(), entry.source, entry.kind), (Some(" 7 "), 2, 5));
        assert_eq!((entry.read_only, entry.is_sensitive), (true, false));
        assert_eq!(entry.documentation, Documentation::Key(None));
        assert_eq!(shown(&entry), [(rate, Some(" 7 "), 2)]);
        for (name, source) in [("no.such.key", 3), ("unknown.static", 4)] {
            let entry = find(&all, name);
            assert_eq!((&entry.value, entry.source, entry.kind), (&None, source, 0));
            assert_eq!((entry.read_only, entry.is_sensitive), (true, true));
            assert_eq!(shown(&entry), [(name, None, source)]);
        }
        let default = broker_default(&config);
        let names: Vec<&str> = default.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["no.such.key"]);
        let own = ConfigValues::from([("gone.key".into(), "x".into())]);
        let entry = find(&topic(&config, &own), "gone.key");
        assert_eq!((entry.value.clone(), entry.read_only), (None, false));
        assert_eq!(shown(&entry), [("gone.key", None, 1)]);
    }
}
