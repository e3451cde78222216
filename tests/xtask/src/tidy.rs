//! `cargo xtask tidy`: the house rules that a program can check. Rules that are not checked rot.
//!
//! What is over a limit today stands in `tidy.exceptions` with its size; a line there may only
//! shrink, and one that is no longer needed must go.

mod dependencies;
mod graph;
mod source;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::places;
use crate::run::text_of;

/// What is wrong, one line each.
pub type Findings = Vec<String>;

pub fn run() -> Result<(), String> {
    let findings = findings()?;
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    if findings.is_empty() { Ok(()) } else { Err(format!("{} untidy places", findings.len())) }
}

fn findings() -> Result<Findings, String> {
    let mut exceptions = exceptions()?;
    let mut found = vec![];
    let mut texts = BTreeMap::new();
    for path in tracked_files()? {
        let Ok(text) = std::fs::read_to_string(places::root().join(&path)) else { continue };
        found.extend(source::words(&path, &text));
        if path.ends_with(".rs") {
            found.extend(source::rust(&path, &text, &mut exceptions));
        }
        texts.insert(path, text);
    }
    found.extend(unused_dependencies(&texts));
    found.extend(exceptions.into_keys().map(|e| format!("tidy.exceptions: `{e}` is not needed")));
    found.extend(graph::findings()?);
    Ok(found)
}

/// For every manifest: what none of the sources beside and below it names.
fn unused_dependencies(texts: &BTreeMap<String, String>) -> Findings {
    let manifests = texts.iter().filter(|(path, _)| path.ends_with("Cargo.toml"));
    let check = |(path, manifest): (&String, &String)| {
        let folder = path.trim_end_matches("Cargo.toml");
        let below = texts.iter().filter(|(p, _)| p.starts_with(folder) && p.ends_with(".rs"));
        dependencies::unused(path, manifest, below.map(|(_, text)| text.as_str()))
    };
    manifests.flat_map(check).collect()
}

/// What git tracks, and what it does not ignore.
fn tracked_files() -> Result<Vec<String>, String> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(places::root())
        .output()
        .map_err(|e| format!("cannot ask git for the files: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().map(str::to_owned).filter(|p| places::root().join(p).is_file()).collect())
}

/// `RULE PATH[:FUNCTION] = SIZE`, by what stands before the sign.
fn exceptions() -> Result<BTreeMap<String, usize>, String> {
    let file = places::root().join("tests/xtask/tidy.exceptions");
    let text = text_of(Path::new(&file));
    let lines = text.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty());
    lines
        .map(|line| {
            let (what, size) = line.split_once(" = ").ok_or(format!("tidy.exceptions: {line}"))?;
            let size = size.parse().map_err(|e| format!("tidy.exceptions: {line}: {e}"))?;
            Ok((what.to_owned(), size))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_house_is_tidy() {
        let findings = super::findings().expect("git and cargo answer");
        assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
    }
}
