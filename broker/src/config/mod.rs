//! The broker's configuration in force: one value for every known key, from the default, the file,
//! and the dynamic settings of the cluster and of this broker. Knows nothing of file syntax.

mod check;
mod derived;
pub mod features;
pub mod key;
pub mod keys;
pub mod listeners;
pub mod load;
mod properties;
mod providers;
pub mod refusal;
mod setting;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

pub use self::check::JMX_REPORTER;
use self::key::{KeyDef, Update, Value};
use self::keys::KEYS;

/// Where a value comes from, in rising precedence; the numbers are those of DescribeConfigs v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    Default = 5,
    /// The file or `--override`.
    Static = 4,
    /// `/config/brokers/<default>`.
    DynamicDefault = 3,
    /// `/config/brokers/N`.
    DynamicBroker = 2,
}

/// The configuration in force: loaded for each use of a value, swapped whole by dynamic changes.
pub type LiveConfig = arc_swap::ArcSwap<BrokerConfig>;

/// One value for every key. Made whole and never changed: a dynamic change makes a new one.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// Parallel to `KEYS`.
    entries: Vec<Entry>,
    /// Keys that Kafka's definition does not have, listener-prefixed ones and the rates of
    /// replication throttles included.
    others: BTreeMap<String, Layers>,
}

/// Text per source, default first.
type Layers = [Option<String>; 4];

#[derive(Debug, Clone)]
struct Entry {
    value: Value,
    layers: Layers,
}

/// A value that a key cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {expected}")]
pub struct InvalidValue {
    pub key: String,
    pub expected: String,
}

impl BrokerConfig {
    /// Kafka's defaults.
    pub fn defaults() -> BrokerConfig {
        let entries = KEYS
            .iter()
            .map(|key| {
                let text = key.default.map(str::to_owned);
                let value = match key.default {
                    None => Value::Null,
                    Some(text) => key.parse(text).expect("a test parses every default"),
                };
                Entry { value, layers: [text, None, None, None] }
            })
            .collect();
        BrokerConfig { entries, others: BTreeMap::new() }
    }

    /// The definition of a key; `None` if Kafka has no such key.
    pub fn definition(name: &str) -> Option<&'static KeyDef> {
        position(name).map(|at| &KEYS[at])
    }

    /// Sets `name` at one level. Unknown names are the caller's to refuse.
    pub fn set(&mut self, source: Source, name: &str, text: &str) -> Result<(), InvalidValue> {
        let Some(at) = position(name) else {
            return Err(InvalidValue {
                key: name.to_owned(),
                expected: "expected a known key".to_owned(),
            });
        };
        let invalid = |expected| InvalidValue { key: name.to_owned(), expected };
        KEYS[at].parse(text).map_err(invalid)?;
        self.entries[at].layers[layer(source)] = Some(text.to_owned());
        self.entries[at].resolve(&KEYS[at]);
        Ok(())
    }

    /// Keeps a key that the table does not have: it is described and has no effect.
    pub fn set_other(&mut self, source: Source, name: &str, text: &str) {
        let layers = self.others.entry(name.to_owned()).or_default();
        layers[layer(source)] = Some(text.to_owned());
    }

    /// Names of the keys that the table does not have, with where each is set, strongest first.
    pub fn others(&self) -> impl Iterator<Item = (&str, Vec<(Source, &str)>)> {
        self.others.iter().map(|(name, layers)| {
            let set = in_order(layers).filter_map(|(source, text)| Some((source, text?)));
            (name.as_str(), set.collect())
        })
    }

    /// As `overlaid`, without values that do not go together with the others: this broker's own are
    /// left out, or else all of them, as Kafka does that takes the cluster's over first.
    pub fn with_dynamic(
        &self,
        cluster: &BTreeMap<String, String>,
        broker: &BTreeMap<String, String>,
    ) -> (BrokerConfig, Vec<InvalidValue>) {
        let none = BTreeMap::new();
        let (next, mut refused) = self.overlaid(cluster, broker);
        let (bare, _) = self.overlaid(&none, &none);
        // Where the file's do not go together, it is no fault of these.
        let Err(error) = next.check() else { return (next, refused) };
        if bare.check().is_err() {
            return (next, refused);
        }
        refused.push(error);
        let (next, _) = self.overlaid(cluster, &none);
        let next = if next.check().is_ok() { next } else { bare };
        (next, refused)
    }

    /// This configuration with the dynamic settings of the cluster and of this broker in place of
    /// any former ones. What cannot be read or may not change while the broker runs is left out and
    /// handed back, as Kafka logs it and goes on.
    pub fn overlaid(
        &self,
        cluster: &BTreeMap<String, String>,
        broker: &BTreeMap<String, String>,
    ) -> (BrokerConfig, Vec<InvalidValue>) {
        let mut next = self.clone();
        let mut refused = Vec::new();
        for (entry, key) in next.entries.iter_mut().zip(KEYS) {
            entry.layers[layer(Source::DynamicDefault)] = None;
            entry.layers[layer(Source::DynamicBroker)] = None;
            entry.resolve(key);
        }
        next.others.retain(|_, layers| {
            layers[layer(Source::DynamicDefault)] = None;
            layers[layer(Source::DynamicBroker)] = None;
            layers.iter().any(Option::is_some)
        });
        let levels = [(Source::DynamicDefault, cluster), (Source::DynamicBroker, broker)];
        for (source, settings) in levels {
            for (name, text) in settings {
                if Self::definition(name).is_none() {
                    next.set_other(source, name, text);
                } else if !Self::updatable(name, source) {
                    let expected = "expected it in the file only".to_owned();
                    refused.push(InvalidValue { key: name.clone(), expected });
                } else if let Err(error) = next.set(source, name, text) {
                    refused.push(error);
                }
            }
        }
        (next, refused)
    }

    /// What is set at one level, by key.
    pub fn settings_at(&self, source: Source) -> BTreeMap<String, String> {
        let known = KEYS.iter().zip(&self.entries).map(|(key, entry)| (key.name, &entry.layers));
        let others = self.others.iter().map(|(name, layers)| (name.as_str(), layers));
        let set = known.chain(others);
        set.filter_map(|(name, layers)| Some((name.to_owned(), layers[layer(source)].clone()?)))
            .collect()
    }

    /// Do the values go together? Each by itself is legal already.
    pub fn check(&self) -> Result<(), InvalidValue> {
        match check::whole(self, &BTreeSet::new()).into_iter().next() {
            None => Ok(()),
            Some(first) => Err(InvalidValue { key: first.key, expected: first.expected }),
        }
    }

    /// May this key be changed dynamically at that level?
    pub fn updatable(name: &str, source: Source) -> bool {
        match Self::definition(name).map(|key| key.update) {
            None | Some(Update::ReadOnly) => false,
            Some(Update::PerBroker) => source == Source::DynamicBroker,
            Some(Update::ClusterWide) => {
                matches!(source, Source::DynamicBroker | Source::DynamicDefault)
            }
        }
    }

    /// The text in force and where it comes from; the text is `None` where Kafka has null.
    pub fn effective(&self, name: &str) -> Option<(Option<&str>, Source)> {
        let at = position(name)?;
        let (source, text) = self.layers_of(at).next()?;
        Some((text, source))
    }

    /// Every level at which this very name is set, highest precedence first, the default last (it
    /// is there only if it is not null).
    pub fn levels(&self, name: &str) -> Vec<(Source, &str)> {
        let Some(at) = position(name) else { return Vec::new() };
        self.layers_of(at).filter_map(|(source, text)| Some((source, text?))).collect()
    }

    fn layers_of(&self, at: usize) -> impl Iterator<Item = (Source, Option<&str>)> {
        in_order(&self.entries[at].layers)
    }

    /// Is it set anywhere, rather than left at its default?
    pub fn is_set(&self, name: &str) -> bool {
        self.effective(name).is_some_and(|(_, source)| source != Source::Default)
    }

    fn value(&self, name: &str) -> &Value {
        let at = position(name).expect("code asks only for keys in the table");
        &self.entries[at].value
    }

    /// A SHORT, INT or LONG that has a value.
    pub fn long(&self, name: &str) -> i64 {
        self.long_or_null(name).expect("the key has a default")
    }

    /// A SHORT, INT or LONG that may be null.
    pub fn long_or_null(&self, name: &str) -> Option<i64> {
        match self.value(name) {
            Value::Number(number) => Some(*number),
            Value::Null => None,
            other => panic!("{name} is {other:?}, not an integer"),
        }
    }

    /// A SHORT or INT that has a value.
    pub fn int(&self, name: &str) -> i32 {
        i32::try_from(self.long(name)).expect("the type bounds an INT")
    }

    pub fn bool(&self, name: &str) -> bool {
        match self.value(name) {
            Value::Bool(value) => *value,
            other => panic!("{name} is {other:?}, not a boolean"),
        }
    }

    pub fn double(&self, name: &str) -> f64 {
        match self.value(name) {
            Value::Double(value) => *value,
            other => panic!("{name} is {other:?}, not a number"),
        }
    }

    /// Text, a class name or a password; `None` is null.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.value(name) {
            Value::Text(text) => Some(text),
            Value::Null => None,
            other => panic!("{name} is {other:?}, not text"),
        }
    }

    /// A list; null reads as empty.
    pub fn list(&self, name: &str) -> &[String] {
        match self.value(name) {
            Value::List(items) => items,
            Value::Null => &[],
            other => panic!("{name} is {other:?}, not a list"),
        }
    }
}

impl Entry {
    fn resolve(&mut self, key: &KeyDef) {
        self.value = match self.layers.iter().rev().flatten().next() {
            None => Value::Null,
            Some(text) => key.parse(text).expect("only texts that parse are kept"),
        };
    }
}

/// Every source that has a text, highest precedence first, and the default in any case.
fn in_order(layers: &Layers) -> impl Iterator<Item = (Source, Option<&str>)> {
    const ORDER: [Source; 4] =
        [Source::DynamicBroker, Source::DynamicDefault, Source::Static, Source::Default];
    ORDER.into_iter().filter_map(|source| {
        let text = layers[layer(source)].as_deref();
        (text.is_some() || source == Source::Default).then_some((source, text))
    })
}

fn layer(source: Source) -> usize {
    5 - source as usize
}

fn position(name: &str) -> Option<usize> {
    KEYS.binary_search_by(|key| key.name.cmp(name)).ok()
}

/// Keys that say the same in other units, most precise first; the first that is set counts.
pub fn synonyms(name: &str) -> &'static [&'static str] {
    const GROUPS: [&[&str]; 4] = [
        &["log.roll.ms", "log.roll.hours"],
        &["log.roll.jitter.ms", "log.roll.jitter.hours"],
        &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
        &["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
    ];
    GROUPS.into_iter().find(|group| group.contains(&name)).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_default_parses() {
        assert!(KEYS.windows(2).all(|pair| pair[0].name < pair[1].name));
        let config = BrokerConfig::defaults();
        assert_eq!(config.int("num.partitions"), 1);
        assert_eq!(config.list("log.cleanup.policy"), ["delete"]);
        assert_eq!(config.effective("zookeeper.connect"), Some((None, Source::Default)));
    }

    #[test]
    fn the_highest_level_counts_and_dynamic_ones_can_be_taken_away() {
        let mut config = BrokerConfig::defaults();
        config.set(Source::Static, "num.partitions", "3").expect("legal");
        assert_eq!(config.int("num.partitions"), 3);
        let cluster = BTreeMap::from([("message.max.bytes".to_owned(), "5".to_owned())]);
        let broker = BTreeMap::from([
            ("message.max.bytes".to_owned(), "7".to_owned()),
            ("log.segment.bytes".to_owned(), "no".to_owned()),
            ("leader.replication.throttled.rate".to_owned(), "1000".to_owned()),
            ("broker.id".to_owned(), "8".to_owned()),
        ]);
        let (dynamic, refused) = config.with_dynamic(&cluster, &broker);
        assert_eq!(dynamic.int("message.max.bytes"), 7);
        let refused: Vec<&str> = refused.iter().map(|error| error.key.as_str()).collect();
        assert_eq!(refused, ["broker.id", "log.segment.bytes"]);
        assert_eq!(dynamic.int("broker.id"), -1);
        let rate = ("leader.replication.throttled.rate", vec![(Source::DynamicBroker, "1000")]);
        assert_eq!(dynamic.others().collect::<Vec<_>>(), [rate]);
        assert_eq!(
            dynamic.levels("message.max.bytes"),
            [
                (Source::DynamicBroker, "7"),
                (Source::DynamicDefault, "5"),
                (Source::Default, "1048588")
            ]
        );
        let (bare, _) = dynamic.with_dynamic(&BTreeMap::new(), &BTreeMap::new());
        assert_eq!(bare.int("message.max.bytes"), 1_048_588);
        assert_eq!(bare.int("num.partitions"), 3);
        assert_eq!(bare.others().count(), 0);
    }

    #[test]
    fn dynamic_values_that_do_not_go_together_are_left_out() {
        let values = |key: &str, text: &str| BTreeMap::from([(key.to_owned(), text.to_owned())]);
        let config = BrokerConfig::defaults();
        let cluster = values("message.max.bytes", "5");
        let (next, refused) = config.with_dynamic(&cluster, &values("listeners", "junk"));
        assert_eq!(refused.len(), 1);
        assert_eq!((next.int("message.max.bytes"), next.listeners().len()), (5, 1));
        let own = values("message.max.bytes", "7");
        let (next, refused) = config.with_dynamic(&values("log.roll.ms", "0"), &own);
        assert_eq!(refused[0].key, "log.roll.ms");
        assert_eq!(next.int("message.max.bytes"), 1_048_588);
    }
}
