//! Foreign clients that are not Java: kcat, the Python packages and Go's.

use std::process::Command;
use std::time::Duration;

use crate::places;
use crate::process::{self, Output};

const LIMIT: Duration = Duration::from_secs(120);

/// Runs kcat against `bootstrap`.
pub fn kcat(bootstrap: &str, args: &[&str], input: &[u8]) -> Output {
    process::run(Command::new("kcat").arg("-b").arg(bootstrap).args(args), input, LIMIT)
}

/// Runs `tests/clients/go` with one of its libraries, `franz` or `sarama`.
pub fn go_transactions(library: &str, bootstrap: &str) -> Output {
    process::run(Command::new(places::go_transactions()).args([library, bootstrap]), b"", LIMIT)
}

/// Runs `tests/clients/python/NAME.py` with the Python that has the client packages.
pub fn python(name: &str, args: &[&str]) -> Output {
    process::run(&mut python_command(name, args), b"", LIMIT)
}

/// The same, to be started beside others.
pub fn python_command(name: &str, args: &[&str]) -> Command {
    let mut python = Command::new(places::python());
    python.arg("-u").arg(places::root().join(format!("tests/clients/python/{name}.py"))).args(args);
    python
}
