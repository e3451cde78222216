//! `cargo xtask bench`: builds the binary and hands over to the measuring program in `benches`.

use std::process::Command;

use crate::places;
use crate::run::{self, cargo};

pub fn run(args: &[&str]) -> Result<(), String> {
    crate::setup::run()?;
    run::run(cargo().args(["build", "--release", "--package", "ottla", "--package", "benches"]))?;
    run::run(Command::new(places::target().join("release/compare")).args(args))
}
