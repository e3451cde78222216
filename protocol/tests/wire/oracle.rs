//! Where Kafka's jars are, and the schemas inside of them. Knows nothing of what is compared.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Apache Kafka 3.9.2's jars: `OTTLA_KAFKA_LIB`, or where `cargo xtask setup` puts them. `None`,
/// said aloud, if they are not there; where nothing may be skipped (`CI=true`) that is a failure.
pub fn kafka_lib() -> Option<PathBuf> {
    let lib = match std::env::var_os("OTTLA_KAFKA_LIB") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("kafka").join("lib"),
    };
    if lib.join("kafka-clients-3.9.2.jar").exists() {
        return Some(lib);
    }
    let why = "skipped: run cargo xtask setup";
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
    eprintln!("{why}");
    None
}

/// The jars that carry schemas which this crate has.
const WITH_SCHEMAS: [&str; 3] = [
    "kafka-clients-3.9.2.jar",
    "kafka-group-coordinator-3.9.2.jar",
    "kafka-transaction-coordinator-3.9.2.jar",
];

/// The messages that this crate has in a version that only newer clients than Kafka 3.9 send.
pub const NEWER: [&str; 4] = [
    "ConsumerGroupHeartbeatRequest",
    "ConsumerGroupHeartbeatResponse",
    "ConsumerGroupDescribeRequest",
    "ConsumerGroupDescribeResponse",
];

/// The newest version of a message that Kafka 3.9.2 has as well.
pub fn newest_in_3_9(name: &str, max_version: i16) -> i16 {
    max_version - i16::from(NEWER.contains(&name))
}

/// The schemas of `NEWER` as Kafka's client 4.1.0 has them; `None`, said aloud, without its jar.
pub fn newer_schemas(lib: &Path) -> Option<std::collections::BTreeMap<String, Value>> {
    let jar = lib.with_file_name("clients").join("4.1.0/kafka-clients-4.1.0.jar");
    if !jar.exists() {
        let why = "skipped: run cargo xtask setup";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
        eprintln!("{why}");
        return None;
    }
    Some(schemas_of(&[jar]))
}

/// Every schema by its name.
pub fn schemas(lib: &Path) -> std::collections::BTreeMap<String, Value> {
    schemas_of(&WITH_SCHEMAS.map(|jar| lib.join(jar)))
}

fn schemas_of(jars: &[PathBuf]) -> std::collections::BTreeMap<String, Value> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut schemas = std::collections::BTreeMap::new();
    for jar in jars {
        let mut unpack = Command::new("jar");
        unpack.current_dir(dir.path()).arg("xf").arg(jar).arg("common/message");
        run(&mut unpack);
    }
    for file in std::fs::read_dir(dir.path().join("common/message")).expect("schemas") {
        let path = file.expect("a file").path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("text");
        let schema: Value = serde_json::from_str(&without_comments(&text))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        schemas.insert(schema["name"].as_str().expect("a name").to_owned(), schema);
    }
    schemas
}

/// Runs a command to its end; whatever it says comes along if it fails.
pub fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Kafka's schemas are JSON with `//` comments.
fn without_comments(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut quoted = false;
        let mut end = line.len();
        for (at, c) in line.char_indices() {
            match c {
                '"' => quoted = !quoted,
                '/' if !quoted && line[at..].starts_with("//") => {
                    end = at;
                    break;
                }
                _ => {}
            }
        }
        out.push_str(&line[..end]);
        out.push('\n');
    }
    out
}
