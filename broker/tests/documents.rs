//! The pages that are generated: `CONFIGURATION.md` from the table of keys, `DIFFERENCES.md` from
//! the headers of handlers and tools. A page that is out of date fails its test.
//! `cargo xtask documents` writes both.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use broker::config::key::{KeyDef, Role, Update};
use broker::config::keys::KEYS;

/// Set by `cargo xtask documents`: pages are written instead of compared.
const WRITE: &str = "OTTLA_WRITE_DOCUMENTS";

#[test]
fn configuration() {
    page("CONFIGURATION.md", &configuration_page());
}

#[test]
fn differences() {
    page("DIFFERENCES.md", &differences_page());
}

/// Compares the page of that name with `text`, or writes it.
fn page(name: &str, text: &str) {
    let path = package().join(name);
    if std::env::var_os(WRITE).is_some() {
        fs::write(&path, text).expect("the page can be written");
        return;
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let differing = found.lines().zip(text.lines()).position(|(a, b)| a != b);
    let first = differing.unwrap_or_else(|| found.lines().count().min(text.lines().count())) + 1;
    assert!(found == text, "broker/{name}:{first} is out of date: run `cargo xtask documents`");
}

fn package() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn configuration_page() -> String {
    let (own, kafka): (Vec<_>, Vec<_>) =
        KEYS.iter().partition(|key| key.name.starts_with("ottla."));
    let mut page = String::from(
        "# Configuration\n\n\
        <!-- Generated from broker/src/config/keys.rs by `cargo xtask documents`. -->\n\n\
        Every key that `ottla serve` knows, in YAML or in an unchanged Kafka\n\
        `server.properties`. \"Changes\" says how a key may change while the broker runs\n\
        (`ottla configs`): for one broker, or for one broker and as the default of all.\n\
        `listener.name.NAME.max.connections` and\n\
        `listener.name.NAME.max.connection.creation.rate` limit one listener; the broker's own\n\
        keys limit all together, and each listener that has no limit of its own.\n",
    );
    table(&mut page, "Keys of ottla", &own, |role| *role == Role::Honoured);
    table(&mut page, "Keys of Kafka that are honoured", &kafka, |r| *r == Role::Honoured);
    table(&mut page, "Keys of Kafka that have no effect", &kafka, |r| {
        matches!(r, Role::Ignored(_))
    });
    table(&mut page, "Keys of Kafka that stop the start if they are set", &kafka, |r| {
        matches!(r, Role::Stops(_))
    });
    let title = "Keys of Kafka that count only where a feature is in use, which stops the start";
    table(&mut page, title, &kafka, |r| matches!(r, Role::Belongs(_)));
    page
}

fn table(page: &mut String, title: &str, keys: &[&KeyDef], wanted: impl Fn(&Role) -> bool) {
    let rows: Vec<_> = keys.iter().filter(|key| wanted(&key.role)).collect();
    let reasons = rows.iter().any(|key| key.role != Role::Honoured);
    let last = if reasons { " Reason |" } else { "" };
    let _ = writeln!(page, "\n## {title}\n\n| Key | Value | Default | Changes |{last}");
    let _ = writeln!(page, "|---|---|---|---|{}", if reasons { "---|" } else { "" });
    for key in rows {
        let default = match key.default {
            None => "none".to_owned(),
            Some("") => "empty".to_owned(),
            Some(text) => format!("`{}`", text.replace(',', ", ")),
        };
        let changes = match key.update {
            Update::ReadOnly => "",
            Update::PerBroker => "broker",
            Update::ClusterWide => "broker, all",
        };
        let reason = match key.role {
            Role::Honoured => String::new(),
            Role::Ignored(reason) | Role::Stops(reason) => format!(" {reason} |"),
            Role::Belongs(feature) => format!(" no effect while {} |", feature.unused()),
        };
        let expected = key.expected();
        let _ = writeln!(page, "| `{}` | {expected} | {default} | {changes} |{reason}", key.name);
    }
}

fn differences_page() -> String {
    let mut page = String::from(
        "# Differences from Apache Kafka 3.9.2\n\n\
        <!-- Generated from the headers of handlers and tools by `cargo xtask documents`. -->\n\n\
        What is not named here is meant to be equal; please report what is not. How keys of the\n\
        configuration differ is in [CONFIGURATION.md](CONFIGURATION.md).\n\n## Requests\n",
    );
    sections(&mut page, &[package().join("src/handlers")]);
    page.push_str("\n## Tools\n");
    let root = package().parent().expect("the package is in the workspace").to_owned();
    // The tools' client differs as they do.
    sections(&mut page, &[root.join("tools/src"), root.join("client/src")]);
    page
}

/// One section for each source file below `folders` whose header names differences.
fn sections(page: &mut String, folders: &[PathBuf]) {
    let mut titled: Vec<(String, String)> = folders
        .iter()
        .flat_map(|folder| sources(folder))
        .filter_map(|path| difference(&path))
        .collect();
    titled.sort();
    assert!(!titled.is_empty(), "no header below {folders:?} names a difference");
    for (title, text) in titled {
        let _ = write!(page, "\n### {title}\n\n{text}");
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// What the file is for, shortened to its name, and its differences; `None` where there are none.
fn difference(path: &Path) -> Option<(String, String)> {
    let source = fs::read_to_string(path).expect("a source file can be read");
    let header: Vec<&str> = source
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    let start = header.iter().position(|line| line.starts_with("Differs from Apache"))?;
    let first = header[start].split_once(':').expect("a colon ends the words").1.trim();
    if ["in nothing known.", "nothing known."].contains(&first) {
        return None;
    }
    let title = header[0].split_once(':').map_or(header[0], |(title, _)| title);
    let mut text = String::new();
    for (number, line) in std::iter::once(&first).chain(&header[start + 1..]).enumerate() {
        match line.chars().next() {
            Some(letter) if number == 0 => {
                let _ = writeln!(text, "{}{}", letter.to_uppercase(), &line[letter.len_utf8()..]);
            }
            None if number == 0 => {}
            _ => {
                let _ = writeln!(text, "{line}");
            }
        }
    }
    Some((title.to_owned(), text))
}
