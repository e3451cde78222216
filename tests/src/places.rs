//! Where `cargo xtask setup` put things, and free ports.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};

pub fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("tests stands below the root").to_path_buf()
}

/// Cargo's target directory; `CARGO_TARGET_DIR` moves it.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// Apache Kafka 3.9.2's jars; `OTTLA_KAFKA_LIB` moves them.
pub fn kafka_lib() -> PathBuf {
    match std::env::var_os("OTTLA_KAFKA_LIB") {
        Some(dir) => dir.into(),
        None => target().join("kafka/lib"),
    }
}

/// What runs on top of Kafka 3.9.2 and is not among its own jars: Streams, connectors.
pub fn kafka_frameworks() -> PathBuf {
    target().join("kafka/frameworks")
}

/// One release of Apache's Java client.
pub fn kafka_clients(version: &str) -> PathBuf {
    if version == "3.9.2" { kafka_lib() } else { target().join("kafka/clients").join(version) }
}

/// The Python that has the client packages.
pub fn python() -> PathBuf {
    target().join("venv/bin/python")
}

/// The program that drives transactions with Go's clients.
pub fn go_transactions() -> PathBuf {
    target().join("go/transactions")
}

/// The binary under test: the release build that users run; `OTTLA_BIN` names another.
pub fn ottla() -> PathBuf {
    match std::env::var_os("OTTLA_BIN") {
        Some(path) => path.into(),
        None => target().join("release/ottla"),
    }
}

/// Whether what a test needs is there. A test that lacks something says so and ends; where nothing
/// may be skipped (`CI=true`) it fails.
pub fn have(needs: &[(&str, PathBuf)]) -> bool {
    for (name, path) in needs {
        if !path.exists() {
            skip(&format!("skipped: needs {name}: run cargo xtask setup"));
            return false;
        }
    }
    true
}

/// Says why a test does not run; where nothing may be skipped (`CI=true`) it fails.
pub fn skip(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
    eprintln!("{why}");
}

/// Whether the test is run by root, as it must be for `what`. Says that it is skipped if not; where
/// nothing may be skipped it fails, unless `OTTLA_TEST_WITHOUT_ROOT=1` says that another run, by
/// root, has the tests that need it (`cargo xtask test --root`).
pub fn is_root(what: &str) -> bool {
    // SAFETY: it only reads the caller's id.
    if unsafe { libc::geteuid() } == 0 {
        return true;
    }
    let why = format!("skipped: needs root, for {what}");
    match std::env::var("OTTLA_TEST_WITHOUT_ROOT").as_deref() {
        Ok("1") => eprintln!("{why}"),
        _ => skip(&why),
    }
    false
}

/// A port that was free just now, from below the range that outgoing connections use, and not
/// handed out before by this process.
pub fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    if NEXT.load(Ordering::Relaxed) == 0 {
        let start = RandomState::new().build_hasher().finish() as u16 % COUNT;
        let _ = NEXT.compare_exchange(0, start.max(1), Ordering::Relaxed, Ordering::Relaxed);
    }
    loop {
        let port = FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
