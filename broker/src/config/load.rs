//! From a file and `--override`s to a configuration: unknown keys, keys that stop the start, and
//! what to warn about. Every reason against a start is told at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::features::{InUse, Undefined};
use super::key::{Feature, KeyDef, Kind, Role, Value};
use super::keys::KEYS;
use super::refusal::{ConfigError, Fault, Refusal};
use super::setting::Setting;
use super::{BrokerConfig, Source, check, properties, providers, yaml};

/// A configuration, and what its reader must be told.
#[derive(Debug)]
pub struct Loaded {
    pub config: BrokerConfig,
    /// One line each.
    pub warnings: Vec<String>,
}

/// Settings of a start without a file, and the replication factors that one broker alone can keep.
const ALONE: [(&str, &str); 3] = [
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
];
const WITHOUT_FILE: [(&str, &str); 3] =
    [("broker.id", "1"), ("listeners", "PLAINTEXT://127.0.0.1:9092"), ("log.dirs", "./ottla-data")];

/// Where settings come from that are not written in a file.
const OVERRIDE: &str = "--override";
const NO_FILE: &str = "without a file";

/// Reads `file` (`*.yaml`, `*.yml`, or else Java properties) and then `overrides` (`key=value`).
/// The last value of a key counts, and only that one is looked at.
pub fn load(file: Option<&Path>, overrides: &[String]) -> Result<Loaded, Refusal> {
    let overridden = overrides.iter().map(|text| {
        let Some((key, value)) = text.split_once('=') else {
            return Err(ConfigError {
                fault: Fault::Unreadable,
                origin: OVERRIDE.to_owned(),
                key: String::new(),
                expected: format!("expected key=value, found \"{}\"", key_of(text)),
            });
        };
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        Ok(Setting::new(key, value, OVERRIDE.to_owned()))
    });
    load_all(file, overridden)
}

/// What can be a key at the start of `text`: what follows it may be a secret.
fn key_of(text: &str) -> &str {
    let ends = |c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c));
    text.split(ends).next().unwrap_or_default()
}

/// As `load`, with `--override` read as `kafka-server-start.sh` does: any key, and a value that is
/// missing is empty.
pub fn load_as_kafka(file: &Path, overrides: &[String]) -> Result<Loaded, Refusal> {
    let overridden = overrides.iter().map(|text| {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        let setting = Setting::new(key.to_owned(), value.to_owned(), OVERRIDE.to_owned());
        Ok(Setting { lenient: true, ..setting })
    });
    load_all(Some(file), overridden)
}

fn load_all(
    file: Option<&Path>,
    overridden: impl Iterator<Item = Result<Setting, ConfigError>>,
) -> Result<Loaded, Refusal> {
    let mut settings = match file {
        Some(path) => settings_of(path)?,
        None => {
            let setting = |(key, value): (&str, &str)| {
                Setting::new(key.to_owned(), value.to_owned(), NO_FILE.to_owned())
            };
            WITHOUT_FILE.into_iter().map(setting).collect()
        }
    };
    let mut apply = Apply::new();
    for setting in overridden {
        match setting {
            Ok(setting) => settings.push(setting),
            Err(reason) => apply.reasons.push(reason),
        }
    }
    let mut settings = last_of_each(settings);
    match providers::resolve(&mut settings) {
        Ok(warnings) => apply.warnings = warnings,
        Err(reasons) => {
            // What could not be looked up is no second fault of the same key.
            settings.retain(|setting| reasons.iter().all(|reason| reason.key != setting.key));
            apply.bad.extend(reasons.iter().map(|reason| reason.key.clone()));
            apply.reasons.extend(reasons);
        }
    }
    let mut undefined = Vec::new();
    for setting in settings {
        if BrokerConfig::definition(&setting.key).is_some() {
            apply.setting(setting);
        } else {
            undefined.push(setting);
        }
    }
    apply.finish(undefined, file)
}

fn settings_of(path: &Path) -> Result<Vec<Setting>, ConfigError> {
    let name = path.display().to_string();
    let bytes = providers::read_bounded(path).map_err(|error| ConfigError {
        fault: Fault::Unreadable,
        origin: name.clone(),
        key: String::new(),
        expected: format!("expected a readable file: {error}"),
    })?;
    let extension = path.extension().and_then(|extension| extension.to_str());
    if matches!(extension, Some("yaml" | "yml")) {
        return yaml::parse(&name, &bytes);
    }
    let mut settings = properties::parse(&name, &bytes)?;
    settings.iter_mut().for_each(|setting| setting.lenient = true);
    Ok(settings)
}

/// In the order of the last ones.
fn last_of_each(settings: Vec<Setting>) -> Vec<Setting> {
    let mut seen = BTreeSet::new();
    let mut last: Vec<Setting> =
        settings.into_iter().rev().filter(|setting| seen.insert(setting.key.clone())).collect();
    last.reverse();
    last
}

struct Apply {
    config: BrokerConfig,
    origins: BTreeMap<String, String>,
    warnings: Vec<String>,
    reasons: Vec<ConfigError>,
    /// Keys whose value is refused and not set.
    bad: BTreeSet<String>,
    /// Keys whose value, or a part of it, `config.providers` gave: it is never shown.
    secret: BTreeSet<String>,
    /// Keys without effect, by the reason.
    idle: BTreeMap<&'static str, Vec<String>>,
}

impl Apply {
    fn new() -> Apply {
        Apply {
            config: BrokerConfig::defaults(),
            origins: BTreeMap::new(),
            warnings: Vec::new(),
            reasons: Vec::new(),
            bad: BTreeSet::new(),
            secret: BTreeSet::new(),
            idle: BTreeMap::new(),
        }
    }

    fn refuse(&mut self, fault: Fault, origin: String, key: &str, expected: String) {
        self.reasons.push(ConfigError { fault, origin, key: key.to_owned(), expected });
    }

    fn setting(&mut self, setting: Setting) {
        let Setting { key, value, origin, secret, .. } = setting;
        let sensitive = BrokerConfig::definition(&key).is_none_or(KeyDef::is_sensitive);
        if secret {
            self.secret.insert(key.clone());
        }
        if let Err(error) = self.config.set(Source::Static, &key, &value) {
            let found = match secret || sensitive {
                true => String::new(),
                false => format!(", found \"{}\"", value.trim()),
            };
            let expected = format!("{}{found}", error.expected);
            self.refuse(Fault::Illegal, origin, &key, expected);
            self.bad.insert(key);
        } else {
            self.origins.insert(key, origin);
        }
    }

    /// A key that Kafka's definition does not have.
    fn undefined(&mut self, setting: Setting, in_use: &InUse) {
        let Setting { key, value, origin, lenient, .. } = setting;
        let what = match providers::is_provider_key(&key) {
            true => Undefined::Refused,
            false => in_use.undefined(&key, &value),
        };
        match what {
            Undefined::Refused | Undefined::Served => {}
            Undefined::WithoutEffect(why) => self.idle.entry(why).or_default().push(key.clone()),
            Undefined::Illegal(expected) => self.refuse(Fault::Illegal, origin, &key, expected),
            Undefined::Unserved(why) => {
                let expected = format!("expected it to be absent: {why}");
                self.refuse(Fault::Unserved, origin, &key, expected);
            }
            Undefined::Unknown => {
                let near = nearest(&key).map(|name| format!("; the nearest known is {name}"));
                let near = near.unwrap_or_default();
                if !lenient || key.starts_with("ottla.") {
                    let expected = format!("expected a known key{near}");
                    self.refuse(Fault::Unknown, origin, &key, expected);
                } else {
                    let what = "unknown key, ignored as Kafka does";
                    self.warnings.push(format!("{origin}: {key}: {what}{near}"));
                }
            }
        }
        self.config.set_other(Source::Static, &key, &value);
    }

    fn finish(mut self, undefined: Vec<Setting>, file: Option<&Path>) -> Result<Loaded, Refusal> {
        if !self.config.is_set("broker.id") && self.config.is_set("node.id") {
            let id = self.config.long("node.id").to_string();
            self.config.set(Source::Static, "broker.id", &id).expect("node.id has the same type");
        }
        if self.config.text("zookeeper.connect").is_none() {
            self.embedded(file);
        }
        let in_use = InUse::of(&self.config);
        for setting in undefined {
            self.undefined(setting, &in_use);
        }
        for key in KEYS {
            self.role(key, &in_use);
        }
        for violation in check::start(&self.config, &self.bad) {
            let origin = self.origin(&violation.key, file);
            let expected = match self.secret.contains(&violation.key) {
                true => "expected another value: this one is not shown, as it was looked up".into(),
                false => violation.expected,
            };
            self.refuse(violation.fault, origin, &violation.key, expected);
        }
        if !self.reasons.is_empty() {
            return Err(Refusal { reasons: self.reasons });
        }
        self.warn_of_idle(file);
        Ok(Loaded { config: self.config, warnings: self.warnings })
    }

    /// Without an ensemble: one broker alone.
    fn embedded(&mut self, file: Option<&Path>) {
        for (key, value) in ALONE {
            if !self.config.is_set(key) {
                self.config.set(Source::Static, key, value).expect("legal by the table");
            }
        }
        if let Some(file) = file {
            self.warnings.push(format!(
                "{}: zookeeper.connect is not set: metadata is kept by this broker itself, \
                 beside its data; no second broker can join it",
                file.display()
            ));
        }
    }

    /// One warning for all keys that nothing reads.
    fn warn_of_idle(&mut self, file: Option<&Path>) {
        if self.idle.is_empty() {
            return;
        }
        let file = file.map_or(NO_FILE.to_owned(), |file| file.display().to_string());
        let groups: Vec<String> =
            self.idle.iter().map(|(why, keys)| format!("{} ({why})", keys.join(", "))).collect();
        self.warnings.push(format!("{file}: without effect: {}", groups.join("; ")));
    }

    fn role(&mut self, key: &KeyDef, in_use: &InUse) {
        let Some(origin) = self.origins.get(key.name).cloned() else { return };
        let value = self.config.value(key.name);
        let default = key
            .default
            .map_or(Value::Null, |text| key.parse(text).expect("a test parses every default"));
        let changed = *value != default;
        match key.role {
            Role::Honoured => {}
            Role::Ignored(instead) => {
                self.warnings.push(format!("{origin}: {}: no effect here: {instead}", key.name));
            }
            Role::Stops(_) | Role::Belongs(_) if !changed => {}
            Role::Stops(_) if is_empty(value) => {
                self.idle.entry("empty").or_default().push(key.name.to_owned());
            }
            Role::Stops(why) => self.unserved(key, origin, why),
            Role::Belongs(feature) if in_use.has(feature) => {
                self.unserved(key, origin, Feature::SECURITY);
            }
            // Kafka loads classes before it knows whether they are of use.
            Role::Belongs(_) if key.kind == Kind::Class && !is_apaches(value) => {
                self.unserved(key, origin, "other classes than Kafka's own cannot be loaded");
            }
            Role::Belongs(feature) => {
                self.idle.entry(feature.unused()).or_default().push(key.name.to_owned());
            }
        }
    }

    fn unserved(&mut self, key: &KeyDef, origin: String, why: &str) {
        let shown = key.default.filter(|text| !text.is_empty());
        let shown = shown.map_or("none".to_owned(), |text| format!("\"{text}\""));
        let expected = format!("expected the default ({shown}): {why}");
        self.refuse(Fault::Unserved, origin, key.name, expected);
    }

    fn origin(&self, key: &str, file: Option<&Path>) -> String {
        match (self.origins.get(key), file) {
            (Some(origin), _) => origin.clone(),
            (None, Some(file)) => file.display().to_string(),
            (None, None) => NO_FILE.to_owned(),
        }
    }
}

fn is_empty(value: &Value) -> bool {
    matches!(value, Value::Text(text) if text.is_empty())
}

fn is_apaches(value: &Value) -> bool {
    let own = |text: &str| text.starts_with("org.apache.kafka.") || text.starts_with("kafka.");
    matches!(value, Value::Text(text) if own(text))
}

/// The known key with the smallest edit distance, if that is small for its length.
fn nearest(key: &str) -> Option<&'static str> {
    if key.len() > 100 {
        return None;
    }
    let (distance, name) = KEYS
        .iter()
        .map(|candidate| (edit_distance(key, candidate.name), candidate.name))
        .min_by_key(|(distance, _)| *distance)?;
    (distance * 3 <= key.len().max(3)).then_some(name)
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
