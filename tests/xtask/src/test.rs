//! `cargo xtask test`: formatting, lints and tests. The full run also drives whole brokers;
//! `--root` runs those of its tests that need root, for a run elsewhere that left them out.

use crate::counts;
use crate::run::{cargo, is_root, run};

pub fn quick() -> Result<(), String> {
    lint()?;
    run(cargo().args(["test", "--workspace", "--exclude", "tests", "--quiet"]))
}

pub fn full() -> Result<(), String> {
    lint()?;
    document()?;
    // The tests of whole brokers run the binary that users run.
    build_release()?;
    counts::run_kinds(&[])?;
    run(cargo().args(["test", "--workspace"]))
}

/// The tests that need root, for network namespaces or a file system of their own, by the
/// beginnings of their names.
const ROOT_TESTS: &[&str] = &["network::", "cluster::cuts::", "cluster::ensemble::", "full_disk::"];

pub fn root() -> Result<(), String> {
    if !is_root() {
        return Err("test --root must be run by root".into());
    }
    build_release()?;
    let suites = ["test", "--package", "tests", "--lib", "--test", "it", "--"];
    run(cargo().args(suites).args(ROOT_TESTS).env("CI", "true"))
}

/// Builds the binary that users run, unless `OTTLA_BIN` names one.
pub fn build_release() -> Result<(), String> {
    if std::env::var_os("OTTLA_BIN").is_some() {
        return Ok(());
    }
    run(cargo().args(["build", "--release", "--package", "ottla"]))
}

fn lint() -> Result<(), String> {
    run(cargo().args(["fmt", "--all", "--check"]))?;
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))
}

/// A link in a comment that leads nowhere fails.
fn document() -> Result<(), String> {
    let mut doc = cargo();
    doc.args(["doc", "--workspace", "--no-deps", "--document-private-items", "--quiet"]);
    run(doc.env("RUSTDOCFLAGS", "-D warnings"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::ROOT_TESTS;
    use crate::places;
    use crate::run::text_of;

    /// What makes a test one that needs root.
    const MARKS: &[&str] = &[".namespaces()", "Network::new()", "SmallDisk::new("];

    fn marked(dir: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                marked(&path, found);
            } else if MARKS.iter().any(|mark| text_of(&path).contains(mark)) {
                found.push(path.display().to_string());
            }
        }
    }

    #[test]
    fn every_test_that_needs_root_is_in_the_root_run() {
        let mut found = Vec::new();
        marked(&places::root().join("tests/it"), &mut found);
        assert!(!found.is_empty());
        let module = |path: &str| {
            let (_, inside) = path.rsplit_once("tests/it/").expect("it is below");
            format!("{}::", inside.trim_end_matches(".rs").replace('/', "::"))
        };
        for path in found {
            let module = module(&path);
            assert!(ROOT_TESTS.iter().any(|test| module.starts_with(test)), "{module}");
        }
    }
}
