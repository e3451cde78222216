//! `cargo xtask test`: formatting, lints and tests. The full run also drives whole brokers.

use crate::counts;
use crate::run::{cargo, run};

pub fn quick() -> Result<(), String> {
    lint()?;
    run(cargo().args(["test", "--workspace", "--exclude", "tests", "--quiet"]))
}

pub fn full() -> Result<(), String> {
    lint()?;
    // The tests of whole brokers run the binary that users run.
    build_release()?;
    counts::run_kinds(&[])?;
    run(cargo().args(["test", "--workspace"]))
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
