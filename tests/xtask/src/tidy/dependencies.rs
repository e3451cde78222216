//! Dependencies that a manifest declares and no source of its package names.

use super::Findings;

/// A dependency that is needed although no source names it would stand here.
pub fn unused<'a>(
    manifest_path: &str,
    manifest: &str,
    sources: impl Iterator<Item = &'a str> + Clone,
) -> Findings {
    let mut found = vec![];
    for name in declared(manifest) {
        let module = name.replace('-', "_");
        if !sources.clone().any(|source| names(source, &module)) {
            found.push(format!("{manifest_path}: `{name}` is declared and not used"));
        }
    }
    found
}

/// The keys of all tables of dependencies of a package or a workspace.
fn declared(manifest: &str) -> Vec<&str> {
    let mut inside = false;
    let mut found = vec![];
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.trim_end_matches(']').ends_with("dependencies");
        } else if inside && line.starts_with(|first: char| first.is_ascii_alphanumeric()) {
            found.extend(line.split(['.', ' ', '=']).next());
        }
    }
    found
}

/// Whether `source` names the crate: in a path, a `use` or as a macro's.
fn names(source: &str, module: &str) -> bool {
    source.match_indices(module).any(|(at, _)| {
        let before = source[..at].chars().next_back();
        let after = &source[at + module.len()..];
        let begins = before.is_none_or(|c| !c.is_alphanumeric() && c != '_');
        begins && (after.starts_with("::") || after.starts_with(';') || after.starts_with(" as "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[package]\nname = \"a\"\n\n[dependencies]\nserde.workspace = true\n\
        tokio-util = { version = \"1\" }\n\n[dev-dependencies]\nproptest.workspace = true\n";

    #[test]
    fn what_no_source_names_is_found() {
        let sources = ["use tokio_util::sync;", "proptest::proptest! {}"];
        let found = unused("a/Cargo.toml", MANIFEST, sources.into_iter());
        assert_eq!(found, ["a/Cargo.toml: `serde` is declared and not used"]);
    }

    #[test]
    fn a_longer_name_is_another() {
        assert!(!names("use serde_json::Value;", "serde"));
        assert!(!names("my_serde::x", "serde"));
        assert!(names("    serde::Serialize", "serde"));
    }
}
