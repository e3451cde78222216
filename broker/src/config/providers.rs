//! `config.providers` (KIP-297): values of the file that stand elsewhere, as in
//! `${file:/run/secrets/broker.properties:password}`. Kafka's own providers are served: files,
//! directories and environment variables.
//!
//! Only what an operator wrote into the file or gave by `--override` is looked up, at the start.
//!
//! Differs from Apache: a value that came by AlterConfigs or out of ZooKeeper is never looked up,
//! since a client that may change a setting could read any file of the broker with it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use regex_lite::Regex;

use super::properties;
use super::refusal::{ConfigError, Fault};
use super::setting::Setting;

const KEY: &str = "config.providers";

/// Files larger than this are no configuration.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// Whether a key says where values come from, rather than being a setting itself.
pub fn is_provider_key(key: &str) -> bool {
    key.strip_prefix(KEY).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Replaces what can be looked up in the values; gives the warnings. Each key stands in `settings`
/// at most once.
pub fn resolve(settings: &mut [Setting]) -> Result<Vec<String>, Vec<ConfigError>> {
    let (providers, mut faults) = Providers::of(settings);
    let mut warnings = Vec::new();
    if providers.0.is_empty() && faults.is_empty() {
        return Ok(warnings);
    }
    let mut files = BTreeMap::new();
    for setting in settings.iter_mut() {
        match providers.transform(&setting.value, &mut files) {
            Ok(None) => {}
            Ok(Some((value, missing))) => {
                let Setting { key, origin, .. } = &*setting;
                warnings.extend(
                    missing.iter().map(|what| format!("{origin}: {key}: {what} was not found")),
                );
                setting.secret |= value != setting.value;
                setting.value = value;
            }
            Err(expected) => faults.push(fault(setting, expected)),
        }
    }
    if faults.is_empty() { Ok(warnings) } else { Err(faults) }
}

fn fault(setting: &Setting, expected: String) -> ConfigError {
    ConfigError {
        fault: Fault::Unreadable,
        origin: setting.origin.clone(),
        key: setting.key.clone(),
        expected,
    }
}

/// By name.
struct Providers(BTreeMap<String, Provider>);

/// Contents of files that were read, by path.
type Files = BTreeMap<PathBuf, BTreeMap<String, String>>;

#[derive(Debug)]
enum Provider {
    /// Java properties in UTF-8.
    File(AllowedPaths),
    /// One file for each value.
    Directory(AllowedPaths),
    /// Names that match.
    Environment(Option<Regex>),
}

impl Providers {
    /// Names are taken as they are between the commas, as Kafka does; one without a class is none.
    fn of(settings: &[Setting]) -> (Providers, Vec<ConfigError>) {
        let find = |key: &str| settings.iter().find(|setting| setting.key == key);
        let names = find(KEY).map_or("", |setting| &setting.value);
        let (mut providers, mut faults) = (BTreeMap::new(), Vec::new());
        for name in names.split(',') {
            let Some(class) = find(&format!("{KEY}.{name}.class")) else { continue };
            let parameter = |parameter: &str| find(&format!("{KEY}.{name}.param.{parameter}"));
            match Provider::new(class, parameter) {
                Ok(provider) => {
                    providers.insert(name.to_owned(), provider);
                }
                Err(error) => faults.push(error),
            }
        }
        (Providers(providers), faults)
    }

    /// The value with its variables replaced, and those that were not found, which stay as they
    /// are; `None` if it names no provider.
    fn transform(
        &self,
        value: &str,
        files: &mut Files,
    ) -> Result<Option<(String, Vec<String>)>, String> {
        let (mut replaced, mut missing) = (String::new(), Vec::new());
        let (mut rest, mut named) = (value, false);
        while let Some((before, variable, after)) = Variable::first(rest) {
            replaced.push_str(before);
            match self.0.get(variable.provider) {
                None => replaced.push_str(variable.text),
                Some(provider) => {
                    named = true;
                    match provider.get(variable.path, variable.key, files)? {
                        Some(found) => replaced.push_str(&found),
                        None => {
                            missing.push(variable.text.to_owned());
                            replaced.push_str(variable.text);
                        }
                    }
                }
            }
            rest = after;
        }
        replaced.push_str(rest);
        Ok(named.then_some((replaced, missing)))
    }
}

/// `${provider:[path:]key}`.
struct Variable<'a> {
    text: &'a str,
    provider: &'a str,
    /// Empty if there is none.
    path: &'a str,
    key: &'a str,
}

impl<'a> Variable<'a> {
    /// The first one of a text, between what is before and what is after it.
    fn first(text: &'a str) -> Option<(&'a str, Variable<'a>, &'a str)> {
        let mut from = 0;
        loop {
            let start = from + text[from..].find("${")?;
            let end = start + text[start..].find('}')?;
            let Some((provider, rest)) = text[start + 2..end].split_once(':') else {
                from = end;
                continue;
            };
            let (path, key) = rest.split_once(':').unwrap_or(("", rest));
            let variable = Variable { text: &text[start..=end], provider, path, key };
            return Some((&text[..start], variable, &text[end + 1..]));
        }
    }
}

impl Provider {
    fn new<'a>(
        class: &Setting,
        parameter: impl Fn(&str) -> Option<&'a Setting>,
    ) -> Result<Provider, ConfigError> {
        let allowed = || AllowedPaths::new(parameter("allowed.paths"));
        match class.value.as_str() {
            "org.apache.kafka.common.config.provider.FileConfigProvider" => {
                Ok(Provider::File(allowed()?))
            }
            "org.apache.kafka.common.config.provider.DirectoryConfigProvider" => {
                Ok(Provider::Directory(allowed()?))
            }
            "org.apache.kafka.common.config.provider.EnvVarConfigProvider" => {
                let Some(setting) = parameter("allowlist.pattern") else {
                    return Ok(Provider::Environment(None));
                };
                let pattern = Regex::new(&format!("^(?:{})$", setting.value));
                pattern.map(|pattern| Provider::Environment(Some(pattern))).map_err(|error| {
                    fault(setting, format!("expected a regular expression: {error}"))
                })
            }
            _ => Err(fault(
                class,
                "expected Kafka's FileConfigProvider, DirectoryConfigProvider or \
                 EnvVarConfigProvider: other classes cannot be loaded"
                    .to_owned(),
            )),
        }
    }

    /// The error says what was expected.
    fn get(&self, path: &str, key: &str, files: &mut Files) -> Result<Option<String>, String> {
        match self {
            Provider::File(allowed) => {
                let Some(path) = allowed.check(path) else { return Ok(None) };
                if !files.contains_key(&path) {
                    files.insert(path.clone(), properties_of(&path)?);
                }
                Ok(files[&path].get(key).cloned())
            }
            Provider::Directory(allowed) => {
                // Java compares names in the directory: a path is none.
                let Some(dir) = allowed.check(path).filter(|_| !key.contains('/')) else {
                    return Ok(None);
                };
                let file = dir.join(key);
                if key.is_empty() || !file.is_file() {
                    return Ok(None);
                }
                let bytes = read_bounded(&file).map_err(|error| unreadable(&file, &error))?;
                Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
            }
            Provider::Environment(_) if !path.is_empty() => {
                Err(format!("expected no path for environment variables, found \"{path}\""))
            }
            Provider::Environment(pattern) => {
                if key.is_empty() || pattern.as_ref().is_some_and(|p| !p.is_match(key)) {
                    return Ok(None);
                }
                let value: Option<OsString> = std::env::var_os(key);
                Ok(value.map(|value| value.to_string_lossy().into_owned()))
            }
        }
    }
}

/// `allowed.paths`: `None` is any.
#[derive(Debug)]
struct AllowedPaths(Option<Vec<PathBuf>>);

impl AllowedPaths {
    fn new(setting: Option<&Setting>) -> Result<AllowedPaths, ConfigError> {
        let Some(setting) = setting.filter(|setting| !setting.value.is_empty()) else {
            return Ok(AllowedPaths(None));
        };
        // As Java splits: nothing after the last comma is nothing.
        let text = setting.value.trim_end_matches(',');
        let paths = text.split(',').map(|item| {
            let path = normalized(Path::new(item));
            if path.is_absolute() && path.exists() {
                return Ok(path);
            }
            let expected = format!("expected absolute paths that exist, found \"{item}\"");
            Err(fault(setting, expected))
        });
        Ok(AllowedPaths(Some(paths.collect::<Result<_, _>>()?)))
    }

    /// The path to read, if it may be read.
    fn check(&self, path: &str) -> Option<PathBuf> {
        if path.is_empty() {
            return None;
        }
        let Some(allowed) = &self.0 else { return Some(PathBuf::from(path)) };
        let path = normalized(Path::new(path));
        allowed.iter().any(|root| path.starts_with(root)).then_some(path)
    }
}

/// Without `.` and `..`, as Java's `Path.normalize`: by the text alone.
fn normalized(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => match normal.components().next_back() {
                Some(Component::Normal(_)) => {
                    normal.pop();
                }
                Some(Component::RootDir) => {}
                _ => normal.push(".."),
            },
            other => normal.push(other),
        }
    }
    normal
}

fn properties_of(path: &Path) -> Result<BTreeMap<String, String>, String> {
    let bytes = read_bounded(path).map_err(|error| unreadable(path, &error))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| format!("expected UTF-8 text in {}", path.display()))?;
    let settings = properties::parse_text(&path.display().to_string(), text.chars().collect());
    let settings = settings.map_err(|error| error.to_string())?;
    Ok(settings.into_iter().map(|setting| (setting.key, setting.value)).collect())
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("expected {} to be readable: {error}", path.display())
}

/// A file's content, unless it is longer than a configuration can be.
pub fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
#[path = "providers_tests.rs"]
mod tests;
