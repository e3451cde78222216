//! Where things are: the workspace, its target directory, and what `setup` put below it.

use std::path::PathBuf;

/// The workspace's root.
pub fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("xtask stands two folders below the root").to_path_buf()
}

/// Cargo's target directory; `CARGO_TARGET_DIR` moves it.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// Apache Kafka 3.9.2 and everything it needs, as jars; `OTTLA_KAFKA_LIB` moves them.
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
    target().join("kafka/clients").join(version)
}

/// The Python that has the client packages.
pub fn venv() -> PathBuf {
    target().join("venv")
}

/// The binary that users run; `OTTLA_BIN` names another, which is then not built.
pub fn ottla() -> PathBuf {
    match std::env::var_os("OTTLA_BIN") {
        Some(path) => path.into(),
        None => target().join("release/ottla"),
    }
}
