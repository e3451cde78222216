//! `cargo xtask test`: formatting, lints and tests. The full run also drives whole brokers.

use crate::run::{cargo, run};

pub fn quick() -> Result<(), String> {
    lint()?;
    run(cargo().args(["test", "--workspace", "--exclude", "tests", "--quiet"]))
}

pub fn full() -> Result<(), String> {
    lint()?;
    // The tests of whole brokers run the binary that users run.
    run(cargo().args(["build", "--release", "--package", "ottla"]))?;
    run(cargo().args(["test", "--workspace"]))
}

fn lint() -> Result<(), String> {
    run(cargo().args(["fmt", "--all", "--check"]))?;
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))
}
