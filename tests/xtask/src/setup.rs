//! `cargo xtask setup`: installs what the tests need, once. A second run only compares stamps.
//!
//! Debian's packages need root; without it the one apt-get line is printed and the rest goes on.
//! Jars that `OTTLA_KAFKA_LIB` names are left alone.
//! Registries are reached through their ordinary clients, as those are configured.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::places;
use crate::run::{is_root, run_quietly, text_of};

/// Debian's packages that the tests use, each with a file that shows it is there.
const DEBIAN: &[(&str, &str)] = &[
    ("zookeeper", "/usr/share/java/zookeeper.jar"),
    ("kcat", "/usr/bin/kcat"),
    ("librdkafka-dev", "/usr/include/librdkafka/rdkafka.h"),
    ("default-jdk-headless", "/usr/bin/javac"),
    ("maven", "/usr/bin/mvn"),
    ("python3", "/usr/bin/python3"),
    ("gcc", "/usr/bin/cc"),
    ("nftables", "/usr/sbin/nft"),
    ("iproute2", "/usr/sbin/tc"),
    // For `cargo xtask counts` alone.
    ("valgrind", "/usr/bin/valgrind"),
];

/// Releases of Apache's Java client, old and new, beside 3.9.2 itself.
pub const CLIENT_VERSIONS: &[&str] = &["1.1.1", "2.8.2", "4.1.0"];

const PYTHON_PACKAGES: &[&str] = &["kafka-python==3.0.12", "confluent-kafka==2.16.1"];

pub fn run() -> Result<(), String> {
    debian(DEBIAN)?;
    let poms = places::root().join("tests/oracle");
    if std::env::var_os("OTTLA_KAFKA_LIB").is_none() {
        jars(&poms.join("pom.xml"), None, &places::kafka_lib())?;
    }
    jars(&poms.join("frameworks.pom.xml"), None, &places::kafka_frameworks())?;
    for version in CLIENT_VERSIONS {
        let lib = places::kafka_clients(version);
        jars(&poms.join("clients.pom.xml"), Some(version), &lib)?;
    }
    python()?;
    go()
}

/// ZooKeeper and a Java to run it with, for a cluster to try things with.
pub fn zookeeper() -> Result<(), String> {
    let runs = ["zookeeper", "default-jdk-headless"];
    let needed: Vec<_> = DEBIAN.iter().filter(|(name, _)| runs.contains(name)).copied().collect();
    debian(&needed)
}

/// For somebody else to install, where the tests are run without root.
pub fn print_missing() -> Result<(), String> {
    println!("{}", missing(DEBIAN).join(" "));
    Ok(())
}

fn missing(packages: &[(&'static str, &str)]) -> Vec<&'static str> {
    let mut missing: Vec<&str> =
        packages.iter().filter(|(_, f)| !Path::new(f).exists()).map(|(p, _)| *p).collect();
    if packages.len() == DEBIAN.len() && !has_venv() {
        missing.push("python3-venv");
    }
    // Any Go from 1.19 on does, wherever it was installed to.
    if packages.len() == DEBIAN.len() && Command::new("go").arg("version").output().is_err() {
        missing.push("golang-go");
    }
    missing
}

fn debian(packages: &[(&'static str, &str)]) -> Result<(), String> {
    let missing = missing(packages);
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root() {
        eprintln!("setup: needs root: apt-get install -y {}", missing.join(" "));
        return Ok(());
    }
    let install = || {
        run_quietly(
            Command::new("apt-get")
                .args(["install", "-y", "--no-install-recommends"])
                .args(&missing)
                .env("DEBIAN_FRONTEND", "noninteractive"),
        )
    };
    // Package lists may be missing or old on a fresh machine.
    run_quietly(Command::new("apt-get").arg("update"))?;
    install()
}

/// Debian's Python comes without what makes environments; other Pythons have it.
fn has_venv() -> bool {
    let mut python = Command::new("python3");
    python.args(["-c", "import ensurepip"]).stdin(Stdio::null()).stderr(Stdio::null());
    python.status().is_ok_and(|status| status.success())
}

/// Copies what `pom` depends on into `lib`.
fn jars(pom: &Path, version: Option<&str>, lib: &Path) -> Result<(), String> {
    let want = format!("{}{}", text_of(pom), version.unwrap_or_default());
    once(lib, &want, || {
        let mut maven = Command::new("mvn");
        maven.args(["-q", "-B", "-f"]).arg(pom).arg("dependency:copy-dependencies");
        maven.arg("-DincludeScope=runtime").arg(format!("-DoutputDirectory={}", lib.display()));
        if let Some(version) = version {
            maven.arg(format!("-Dclients.version={version}"));
        }
        run_quietly(&mut maven)
    })
}

fn python() -> Result<(), String> {
    let venv = places::venv();
    once(&venv, &PYTHON_PACKAGES.join("\n"), || {
        run_quietly(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        run_quietly(
            Command::new(venv.join("bin/python"))
                .args(["-m", "pip", "install", "-q", "--disable-pip-version-check"])
                .args(PYTHON_PACKAGES),
        )
    })
}

/// The program that drives transactions with Go's clients.
fn go() -> Result<(), String> {
    let source = places::root().join("tests/clients/go");
    let files = ["go.mod", "go.sum", "main.go", "franz.go", "sarama.go"];
    let want: String = files.iter().map(|name| text_of(&source.join(name))).collect();
    let dir = places::target().join("go");
    once(&dir, &want, || {
        // Go builds from where the module is; 1.19 has no option that says where. It does not ask
        // git, which may be missing or refuse a clone that somebody else owns.
        let mut go = Command::new("sh");
        go.args(["-c", "cd \"$0\" && go build -buildvcs=false -o \"$1\" ."]);
        run_quietly(go.arg(&source).arg(dir.join("transactions")))
    })
}

/// Runs `install` into `dir` unless its stamp says that this was done for the same `want`.
fn once(
    dir: &Path,
    want: &str,
    install: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let stamp = dir.join(".setup");
    if text_of(&stamp) == want {
        return Ok(());
    }
    eprintln!("setup: {}", dir.display());
    if dir.exists() {
        fs::remove_dir_all(dir).map_err(|e| format!("cannot clear {}: {e}", dir.display()))?;
    }
    fs::create_dir_all(dir).map_err(|e| format!("cannot create {}: {e}", dir.display()))?;
    install()?;
    fs::write(&stamp, want).map_err(|e| format!("cannot write {}: {e}", stamp.display()))
}
