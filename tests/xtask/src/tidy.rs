//! `cargo xtask tidy`: the house rules that a program can check. Rules that are not checked rot.
//!
//! What is over a limit today stands in `tidy.exceptions` with its size; a line there may only
//! shrink, and one that is no longer needed must go.

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
    for path in tracked_files()? {
        let Ok(text) = std::fs::read_to_string(places::root().join(&path)) else { continue };
        found.extend(source::words(&path, &text));
        if path.ends_with(".rs") {
            found.extend(source::rust(&path, &text, &mut exceptions));
        }
    }
    found.extend(exceptions.into_keys().map(|e| format!("tidy.exceptions: `{e}` is not needed")));
    found.extend(graph::findings()?);
    Ok(found)
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
