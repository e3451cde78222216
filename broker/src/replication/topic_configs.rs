//! Topics' effective configurations: a topic's own values over the broker's. Knows nothing of where
//! topics' values are kept.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::RwLock;
use storage::LogConfig;
use storage::config::{ConfigError, TOPIC_KEYS, TopicKey};

use crate::config::BrokerConfig;

/// A topic's own values, by key.
pub type Overrides = BTreeMap<String, String>;

/// Effective configurations; those of topics without own values are one shared object.
#[derive(Debug)]
pub struct TopicConfigs {
    defaults: ArcSwap<LogConfig>,
    /// Topics with own values, and what comes of them.
    own: RwLock<HashMap<String, (Overrides, Arc<LogConfig>)>>,
}

impl TopicConfigs {
    pub fn new(broker: &BrokerConfig) -> TopicConfigs {
        TopicConfigs {
            defaults: ArcSwap::from_pointee(broker_defaults(broker)),
            own: RwLock::default(),
        }
    }

    /// The configuration in force for a topic, known or not.
    pub fn of(&self, topic: &str) -> Arc<LogConfig> {
        match self.own.read().get(topic) {
            Some((_, config)) => config.clone(),
            None => self.defaults.load_full(),
        }
    }

    /// What a topic without values of its own gets.
    pub fn defaults(&self) -> Arc<LogConfig> {
        self.defaults.load_full()
    }

    /// One of the topic's own values.
    pub fn own(&self, topic: &str, key: &str) -> Option<String> {
        self.own.read().get(topic).and_then(|(overrides, _)| overrides.get(key)).cloned()
    }

    /// Takes a topic's own values over, all of them; none takes the topic out. Values that cannot
    /// be are left out and given back: they were checked before they were stored.
    pub fn set(&self, topic: &str, overrides: Overrides) -> Vec<ConfigError> {
        if overrides.is_empty() {
            self.own.write().remove(topic);
            return Vec::new();
        }
        let (config, refused) = effective(&self.defaults.load(), &overrides);
        self.own.write().insert(topic.to_owned(), (overrides, Arc::new(config)));
        refused
    }

    /// The broker's configuration changed: every topic's does with it.
    pub fn set_broker(&self, broker: &BrokerConfig) {
        let defaults = Arc::new(broker_defaults(broker));
        let mut own = self.own.write();
        for (overrides, config) in own.values_mut() {
            *config = Arc::new(effective(&defaults, overrides).0);
        }
        self.defaults.store(defaults);
    }
}

fn effective(defaults: &LogConfig, overrides: &Overrides) -> (LogConfig, Vec<ConfigError>) {
    let mut config = defaults.clone();
    let mut refused: Vec<ConfigError> =
        overrides.iter().filter_map(|(key, value)| config.set(key, value).err()).collect();
    if config.remote_storage_enable {
        refused.push(ConfigError::NoTiers);
    }
    (config, refused)
}

/// What a topic without own values gets: every topic key from its broker key.
pub fn broker_defaults(broker: &BrokerConfig) -> LogConfig {
    let mut config = LogConfig::default();
    for key in TOPIC_KEYS {
        if let Some(value) = broker_value(broker, key)
            && let Err(error) = config.set(key.name, &value)
        {
            tracing::warn!(%error, "a broker value cannot be a topic's default");
        }
    }
    config.producer_id_expiration_ms = broker.long("producer.id.expiration.ms");
    config
}

/// What a topic takes from the broker for one key; `None`: the key's own default.
pub fn broker_value(broker: &BrokerConfig, key: &TopicKey) -> Option<String> {
    match (key.name, key.broker_key) {
        ("segment.ms", _) => Some(broker.log_roll_ms().to_string()),
        ("segment.jitter.ms", _) => Some(broker.log_roll_jitter_ms().to_string()),
        ("retention.ms", _) => Some(broker.log_retention_ms().to_string()),
        ("flush.ms", _) => Some(broker.log_flush_interval_ms().to_string()),
        ("message.timestamp.before.max.ms" | "message.timestamp.after.max.ms", Some(name)) => {
            Some(broker.log_message_timestamp_max_ms(name).to_string())
        }
        (_, Some(name)) if BrokerConfig::definition(name).is_some() => {
            broker.effective(name).and_then(|(text, _)| text).map(str::to_owned)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;

    #[test]
    fn the_brokers_defaults_are_the_topics() {
        assert_eq!(broker_defaults(&BrokerConfig::defaults()), LogConfig::default());
        let mut broker = BrokerConfig::defaults();
        for (key, value) in [
            ("log.segment.bytes", "1000000"),
            ("log.retention.hours", "1"),
            ("log.roll.ms", "5000"),
            ("min.insync.replicas", "2"),
            ("log.cleanup.policy", "compact"),
        ] {
            broker.set(Source::Static, key, value).expect("a good value");
        }
        let config = broker_defaults(&broker);
        assert_eq!((config.segment_bytes, config.retention_ms), (1_000_000, 3_600_000));
        assert_eq!((config.segment_ms, config.min_insync_replicas), (5000, 2));
        assert!(config.cleanup_policy.compact && !config.cleanup_policy.delete);
    }

    #[test]
    fn the_brokers_deprecated_timestamp_difference_is_both_newer_defaults() {
        let mut broker = BrokerConfig::defaults();
        for (key, ms) in [("difference", "10"), ("after", "100")] {
            let key = format!("log.message.timestamp.{key}.max.ms");
            broker.set(Source::Static, &key, ms).expect("a good value");
        }
        let configs = TopicConfigs::new(&broker);
        let limits = |own: &[(&str, &str)]| {
            let own =
                own.iter().map(|(k, v)| (format!("message.timestamp.{k}.max.ms"), v.to_string()));
            assert!(configs.set("t", own.collect()).is_empty());
            let config = configs.of("t");
            (config.timestamp_before_max_ms(), config.timestamp_after_max_ms())
        };
        assert_eq!(limits(&[]), (10, 100));
        // As Apache: the broker's old key is the default of the topic's new ones, which win.
        assert_eq!(limits(&[("difference", "50")]), (10, 100));
        assert_eq!(limits(&[("before", "50")]), (50, 100));
        assert_eq!(limits(&[("before", "9223372036854775807"), ("difference", "50")]), (50, 100));
    }

    #[test]
    fn own_values_win_and_outlive_a_change_of_the_brokers() {
        let configs = TopicConfigs::new(&BrokerConfig::defaults());
        let own = |key: &str, value: &str| Overrides::from([(key.into(), value.into())]);
        assert!(configs.set("t", own("retention.ms", "7")).is_empty());
        assert_eq!(configs.set("bad", own("retention.ms", "soon")).len(), 1);
        let mut broker = BrokerConfig::defaults();
        broker.set(Source::Static, "log.segment.bytes", "2000000").expect("a good value");
        configs.set_broker(&broker);
        let config = configs.of("t");
        assert_eq!((config.retention_ms, config.segment_bytes), (7, 2_000_000));
        assert_eq!(configs.of("other").segment_bytes, 2_000_000);
        configs.set("t", Overrides::new());
        assert_eq!(configs.of("t").retention_ms, 604_800_000);
    }
}
