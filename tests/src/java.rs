//! Java programs: Kafka's own by class name, and ours compiled against a release of its client.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::places;
use crate::process::{self, Output};

/// Small and quick to start: for tests.
pub const SMALL: &[&str] = &["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/// For programs of which several run beside brokers.
const TINY: &[&str] = &["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

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
    java_on(&lib.join("*").display().to_string(), options)
}

fn java_on(class_path: &str, options: &[&str]) -> Command {
    let mut java = Command::new("java");
    java.args(options);
    java.arg(format!("-Dlog4j.configuration=file:{}", log4j().display()));
    java.arg("-cp").arg(class_path);
    java
}

fn log4j() -> PathBuf {
    places::root().join("tests/oracle/log4j.properties")
}

/// Runs one of Kafka 3.9.2's tools by its class.
pub fn tool(class: &str, args: &[&str], input: &[u8]) -> Output {
    let mut java = java(&places::kafka_lib(), SMALL);
    java.arg(class).args(args);
    process::run(&mut java, input, Duration::from_secs(120))
}

/// Whether Streams, Connect and MirrorMaker can run here.
pub fn have_frameworks() -> bool {
    places::have(&[
        ("Apache Kafka's jars", places::kafka_lib()),
        ("Kafka's frameworks", places::kafka_frameworks()),
    ])
}

/// A program of Kafka 3.9.2's frameworks by its class, to be started.
pub fn framework(class: &str) -> Command {
    let mut java = java_on(&framework_jars(), TINY);
    java.arg(class);
    java
}

fn framework_jars() -> String {
    format!("{}/*:{}/*", places::kafka_frameworks().display(), places::kafka_lib().display())
}

/// `tests/clients/java/NAME.java`, compiled as it starts against Kafka 3.9.2's client.
pub fn source_command(name: &str, args: &[&str]) -> Command {
    let mut java = java(&places::kafka_lib(), SMALL);
    java.arg(source(name)).args(args);
    java
}

fn source(name: &str) -> PathBuf {
    places::root().join(format!("tests/clients/java/{name}.java"))
}

/// A program of ours, compiled once to be started several times.
pub struct Compiled {
    name: String,
    class_path: String,
    // Holds the classes.
    _dir: TempDir,
}

impl Compiled {
    /// `tests/clients/java/NAME.java` against Kafka 3.9.2's frameworks.
    pub fn against_frameworks(name: &str) -> Compiled {
        Self::against(name, &framework_jars())
    }

    /// The same against Kafka's client of that version, 3.9.2 being the broker's own.
    pub fn against_client(name: &str, version: &str) -> Compiled {
        Self::against(name, &client_jars(version))
    }

    fn against(name: &str, jars: &str) -> Compiled {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut javac = Command::new("javac");
        javac.arg("-nowarn").arg("-d").arg(dir.path()).arg("-cp").arg(jars).arg(source(name));
        process::run(&mut javac, b"", Duration::from_secs(120)).ok();
        let class_path = format!("{}:{jars}", dir.path().display());
        Compiled { name: name.to_owned(), class_path, _dir: dir }
    }

    /// To be started beside others.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut java = java_on(&self.class_path, TINY);
        java.arg(&self.name).args(args);
        java
    }
}

/// Compiles `tests/clients/java/NAME.java` against client `version`, and runs it with `args`.
pub fn program(name: &str, version: &str, args: &[&str]) -> Output {
    let compiled = Compiled::against_client(name, version);
    let mut java = Command::new("java");
    java.args(SMALL).arg("-cp").arg(&compiled.class_path).arg(name).args(args);
    process::run(&mut java, b"", Duration::from_secs(180))
}

fn client_jars(version: &str) -> String {
    let lib = if version == "3.9.2" { places::kafka_lib() } else { places::kafka_clients(version) };
    format!("{}/*", lib.display())
}
