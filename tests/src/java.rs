//! Java programs: Kafka's own by class name, and ours compiled against a release of its client.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::places;
use crate::process::{self, Output};

/// Small and quick to start: for tests.
pub const SMALL: &[&str] = &["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/// What Kafka's own start script gives a broker: for measurements.
pub const AS_SHIPPED: &[&str] = &[
    "-Xmx1G",
    "-Xms1G",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
];

/// `java` with every jar of `lib` on its path.
pub fn java(lib: &Path, options: &[&str]) -> Command {
    let mut java = Command::new("java");
    java.args(options);
    java.arg(format!("-Dlog4j.configuration=file:{}", log4j().display()));
    java.arg("-cp").arg(lib.join("*"));
    java
}

fn log4j() -> PathBuf {
    places::root().join("tests/oracle/log4j.properties")
}

/// Runs one of Kafka 3.9.1's tools by its class.
pub fn tool(class: &str, args: &[&str], input: &[u8]) -> Output {
    let mut java = java(&places::kafka_lib(), SMALL);
    java.arg(class).args(args);
    process::run(&mut java, input, Duration::from_secs(120))
}

/// `tests/clients/java/NAME.java`, compiled as it starts against Kafka 3.9.1's client.
pub fn source_command(name: &str, args: &[&str]) -> Command {
    let mut java = java(&places::kafka_lib(), SMALL);
    java.arg(places::root().join(format!("tests/clients/java/{name}.java"))).args(args);
    java
}

/// Compiles `tests/clients/java/NAME.java` against client `version`, and runs it with `args`.
pub fn program(name: &str, version: &str, args: &[&str]) -> Output {
    let lib = places::kafka_clients(version);
    let source = places::root().join(format!("tests/clients/java/{name}.java"));
    let classes = tempfile::tempdir().expect("a temporary directory");
    let mut javac = Command::new("javac");
    javac.arg("-nowarn").arg("-d").arg(classes.path()).arg("-cp").arg(lib.join("*")).arg(&source);
    process::run(&mut javac, b"", Duration::from_secs(120)).ok();
    let mut java = Command::new("java");
    java.args(SMALL).arg("-cp").arg(format!("{}:{}/*", classes.path().display(), lib.display()));
    java.arg(name).args(args);
    process::run(&mut java, b"", Duration::from_secs(180))
}
