//! The YAML form of the configuration: Kafka's names, nested at dots or not, lists as lists. Knows
//! nothing of which keys there are.

use std::collections::BTreeMap;

use serde_yaml::Value;

use super::refusal::{ConfigError, Fault};
use super::setting::Setting;

/// Every setting of the file, flattened to dotted keys.
pub fn parse(file: &str, bytes: &[u8]) -> Result<Vec<Setting>, ConfigError> {
    let failed = |line: Option<usize>, key: &str, expected: String| ConfigError {
        fault: Fault::Unreadable,
        origin: line.map_or(file.to_owned(), |line| format!("{file}:{line}")),
        key: key.to_owned(),
        expected,
    };
    let text = std::str::from_utf8(bytes)
        .map_err(|_| failed(None, "", "expected UTF-8 text".to_owned()))?;
    let root: Value = serde_yaml::from_str(text).map_err(|error| {
        let line = error.location().map(|location| location.line());
        let message = error.to_string();
        let reason = message.lines().next().unwrap_or_default().to_owned();
        failed(line, "", format!("expected YAML: {reason}"))
    })?;
    let lines = Lines::of(text);
    let mut flat = Vec::new();
    flatten("", &root, &mut flat)
        .map_err(|(key, expected)| failed(lines.find(&key), &key, expected.to_owned()))?;
    let mut seen = BTreeMap::new();
    let mut settings = Vec::new();
    for (key, value) in flat {
        let line = lines.find(&key);
        if seen.insert(key.clone(), ()).is_some() {
            return Err(failed(line, &key, "expected once, it is there twice".to_owned()));
        }
        let origin = line.map_or(file.to_owned(), |line| format!("{file}:{line}"));
        settings.push(Setting::new(key, value, origin));
    }
    Ok(settings)
}

type Flat = Vec<(String, String)>;

/// Nesting of more than this is no configuration.
const DEPTH_MAX: usize = 16;

fn flatten(prefix: &str, value: &Value, flat: &mut Flat) -> Result<(), (String, &'static str)> {
    if prefix.matches('.').count() > DEPTH_MAX {
        return Err((prefix.to_owned(), "expected less nesting"));
    }
    match value {
        Value::Mapping(mapping) => {
            for (key, value) in mapping {
                let Some(key) = scalar(key) else {
                    return Err((prefix.to_owned(), "expected a name as key"));
                };
                let dotted = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
                flatten(&dotted, value, flat)?;
            }
        }
        // An empty file, or a key that is left to its default.
        Value::Null => {}
        _ if prefix.is_empty() => return Err((String::new(), "expected keys and values")),
        Value::Sequence(items) => {
            let texts: Option<Vec<String>> = items.iter().map(scalar).collect();
            let Some(texts) = texts else {
                return Err((prefix.to_owned(), "expected a list of plain values"));
            };
            flat.push((prefix.to_owned(), texts.join(",")));
        }
        other => {
            let text = scalar(other).ok_or((prefix.to_owned(), "expected a plain value"))?;
            flat.push((prefix.to_owned(), text));
        }
    }
    Ok(())
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_) => None,
    }
}

/// Which line a dotted key stands on: the parser keeps no places, so the indentation is read again.
struct Lines(BTreeMap<String, usize>);

impl Lines {
    fn of(text: &str) -> Lines {
        let mut lines = BTreeMap::new();
        let mut parents: Vec<(usize, String)> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let body = line.trim_start();
            let indent = line.len() - body.len();
            let Some(key) = key_of(body) else { continue };
            while parents.last().is_some_and(|(outer, _)| *outer >= indent) {
                parents.pop();
            }
            let dotted = match parents.last() {
                Some((_, prefix)) => format!("{prefix}.{key}"),
                None => key,
            };
            lines.entry(dotted.clone()).or_insert(index + 1);
            parents.push((indent, dotted));
        }
        Lines(lines)
    }

    /// The key's own line, or the one of what it is written inside.
    fn find(&self, key: &str) -> Option<usize> {
        let mut name = key;
        loop {
            if let Some(line) = self.0.get(name) {
                return Some(*line);
            }
            name = &name[..name.rfind('.')?];
        }
    }
}

fn key_of(body: &str) -> Option<String> {
    if body.starts_with(['#', '-', '{', '[']) {
        return None;
    }
    let colon = body.find(": ").or_else(|| body.trim_end().strip_suffix(':').map(str::len))?;
    Some(body[..colon].trim().trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String, String)> {
        let settings = parse("f", text.as_bytes()).expect("legal");
        settings.into_iter().map(|s| (s.key, s.value, s.origin)).collect()
    }

    fn row(key: &str, value: &str, origin: &str) -> (String, String, String) {
        (key.to_owned(), value.to_owned(), origin.to_owned())
    }

    #[test]
    fn nesting_at_dots_and_lists_are_only_another_way_to_write_it() {
        let text = "# ours\nbroker.id: 3\nlog:\n  segment.bytes: 1073741824\n  retention:\n    \
                    ms: -1\nlisteners:\n  - PLAINTEXT://:9092\n  - INNER://:9093\n\
                    zookeeper: {connect: \"a:1,b:2/k\"}\nauto.create.topics.enable: false\n";
        assert_eq!(
            read(text),
            [
                row("broker.id", "3", "f:2"),
                row("log.segment.bytes", "1073741824", "f:4"),
                row("log.retention.ms", "-1", "f:6"),
                row("listeners", "PLAINTEXT://:9092,INNER://:9093", "f:7"),
                row("zookeeper.connect", "a:1,b:2/k", "f:10"),
                row("auto.create.topics.enable", "false", "f:11"),
            ]
        );
    }

    #[test]
    fn an_empty_file_and_a_null_set_nothing() {
        assert_eq!(read(""), []);
        assert_eq!(read("broker.rack: null\n"), []);
    }

    #[test]
    fn what_is_no_configuration_is_refused_with_its_line() {
        let table = [
            ("broker.id: 1\nlog.dirs: [[a]]\n", "f:2: log.dirs: expected a list of plain values"),
            ("- a\n", "f: expected keys and values"),
            ("log.dirs: a\nlog: {dirs: b}\n", "f:1: log.dirs: expected once, it is there twice"),
        ];
        for (text, expected) in table {
            let error = parse("f", text.as_bytes()).expect_err(text);
            assert_eq!(error.to_string(), expected);
        }
        let error = parse("f", b"a: 1\nb: [1\n").expect_err("an open bracket");
        assert!(error.to_string().starts_with("f:"), "{error}");
        assert!(!error.to_string().contains('\n'));
        assert!(parse("f", b"\xff\xfe").is_err());
    }
}
