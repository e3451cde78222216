//! From a file and `--override`s to a configuration: unknown keys, keys that stop the start, and
//! what to warn about. Knows nothing of what the values are for.

use std::collections::BTreeMap;
use std::path::Path;

use super::key::{KeyDef, Role, Value};
use super::keys::KEYS;
use super::{BrokerConfig, Source, check, properties, yaml};

/// One setting as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    pub key: String,
    pub value: String,
    /// `file:line`, or where else it was written.
    pub origin: String,
}

/// Why the broker cannot start: one line, exit code 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// `file:line`, as far as known.
    pub origin: String,
    /// Empty if the fault is not that of one key.
    pub key: String,
    pub expected: String,
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [&self.origin, &self.key, &self.expected];
        let parts: Vec<&str> =
            parts.into_iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        // Whatever a file holds, this stays one line.
        write!(f, "{}", parts.join(": ").replace(['\n', '\r'], " "))
    }
}

impl std::error::Error for ConfigError {}

/// A configuration, and what its reader must be told.
#[derive(Debug)]
pub struct Loaded {
    pub config: BrokerConfig,
    /// One line each.
    pub warnings: Vec<String>,
}

/// Files larger than this are no configuration.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Settings of a start without a file, and the replication factors that one broker alone can keep.
const ALONE: [(&str, &str); 3] = [
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
];
const WITHOUT_FILE: [(&str, &str); 3] =
    [("broker.id", "1"), ("listeners", "PLAINTEXT://127.0.0.1:9092"), ("log.dirs", "./ottla-data")];

/// Reads `file` (`*.yaml`, `*.yml`, or else Java properties) and then `overrides` (`key=value`).
pub fn load(file: Option<&Path>, overrides: &[String]) -> Result<Loaded, ConfigError> {
    let mut settings = Vec::new();
    let mut lenient = false;
    match file {
        Some(path) => {
            let name = path.display().to_string();
            let bytes = read(path, &name)?;
            let extension = path.extension().and_then(|extension| extension.to_str());
            if matches!(extension, Some("yaml" | "yml")) {
                settings = yaml::parse(&name, &bytes)?;
            } else {
                lenient = true;
                settings = properties::parse(&name, &bytes)?;
            }
        }
        None => {
            for (key, value) in WITHOUT_FILE {
                let origin = "without a file".to_owned();
                settings.push(Setting { key: key.to_owned(), value: value.to_owned(), origin });
            }
        }
    }
    let mut apply = Apply::new();
    for setting in settings {
        apply.setting(setting, lenient)?;
    }
    for text in overrides {
        let origin = "--override".to_owned();
        let Some((key, value)) = text.split_once('=') else {
            let expected = format!("expected key=value, found \"{text}\"");
            return Err(ConfigError { origin, key: String::new(), expected });
        };
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        apply.setting(Setting { key, value, origin }, false)?;
    }
    apply.finish(file)
}

fn read(path: &Path, name: &str) -> Result<Vec<u8>, ConfigError> {
    let failed =
        |expected: String| ConfigError { origin: name.to_owned(), key: String::new(), expected };
    let unreadable = |error: std::io::Error| failed(format!("expected a readable file: {error}"));
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > FILE_BYTES_MAX {
        return Err(failed(format!("expected at most {FILE_BYTES_MAX} bytes, found {length}")));
    }
    std::fs::read(path).map_err(unreadable)
}

struct Apply {
    config: BrokerConfig,
    origins: BTreeMap<String, String>,
    warnings: Vec<String>,
}

impl Apply {
    fn new() -> Apply {
        Apply { config: BrokerConfig::defaults(), origins: BTreeMap::new(), warnings: Vec::new() }
    }

    fn setting(&mut self, setting: Setting, lenient: bool) -> Result<(), ConfigError> {
        let Setting { key, value, origin } = setting;
        let Some(definition) = BrokerConfig::definition(&key) else {
            return self.unknown(key, value, origin, lenient);
        };
        if let Err(error) = self.config.set(Source::Static, &key, &value) {
            let found = if definition.is_sensitive() {
                String::new()
            } else {
                format!(", found \"{}\"", value.trim())
            };
            let expected = format!("{}{found}", error.expected);
            return Err(ConfigError { origin, key, expected });
        }
        self.origins.insert(key, origin);
        Ok(())
    }

    fn unknown(
        &mut self,
        key: String,
        value: String,
        origin: String,
        lenient: bool,
    ) -> Result<(), ConfigError> {
        if key.starts_with("listener.name.") || key == "config.providers" {
            let expected = "expected it to be absent: it decides who may connect or what the \
                            values are, and is not served yet"
                .to_owned();
            return Err(ConfigError { origin, key, expected });
        }
        let near = nearest(&key).map(|name| format!("; the nearest known is {name}"));
        let near = near.unwrap_or_default();
        if !lenient || key.starts_with("ottla.") {
            let expected = format!("expected a known key{near}");
            return Err(ConfigError { origin, key, expected });
        }
        self.warnings.push(format!("{origin}: {key}: unknown key, ignored as Kafka does{near}"));
        self.config.set_other(Source::Static, &key, &value);
        Ok(())
    }

    fn finish(mut self, file: Option<&Path>) -> Result<Loaded, ConfigError> {
        if !self.config.is_set("broker.id") && self.config.is_set("node.id") {
            let id = self.config.long("node.id").to_string();
            self.config.set(Source::Static, "broker.id", &id).expect("node.id has the same type");
        }
        if self.config.text("zookeeper.connect").is_none() {
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
        for key in KEYS {
            self.role(key)?;
        }
        let checked = check::whole(&self.config).and_then(|()| check::topics(&self.config));
        if let Err((key, expected)) = checked {
            let origin = self.origin(&key, file);
            return Err(ConfigError { origin, key, expected });
        }
        Ok(Loaded { config: self.config, warnings: self.warnings })
    }

    fn role(&mut self, key: &KeyDef) -> Result<(), ConfigError> {
        let Some(origin) = self.origins.get(key.name) else { return Ok(()) };
        match key.role {
            Role::Honoured => {}
            Role::Ignored(instead) => {
                self.warnings.push(format!("{origin}: {}: no effect here: {instead}", key.name));
            }
            Role::Stops(why) => {
                let default = key.default.map_or(Value::Null, |text| {
                    key.parse(text).expect("a test parses every default")
                });
                if *self.config.value(key.name) != default {
                    let shown = key.default.filter(|text| !text.is_empty());
                    let shown = shown.map_or("none".to_owned(), |text| format!("\"{text}\""));
                    return Err(ConfigError {
                        origin: origin.clone(),
                        key: key.name.to_owned(),
                        expected: format!("expected the default ({shown}): {why}"),
                    });
                }
            }
        }
        Ok(())
    }

    fn origin(&self, key: &str, file: Option<&Path>) -> String {
        match (self.origins.get(key), file) {
            (Some(origin), _) => origin.clone(),
            (None, Some(file)) => file.display().to_string(),
            (None, None) => "without a file".to_owned(),
        }
    }
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
