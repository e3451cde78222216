//! Log lines on standard error, as text or JSON. Knows nothing of what is logged.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::BrokerConfig;

/// Starts logging. `RUST_LOG`, where it is set and can be read, wins over `ottla.log.level`. Does
/// nothing if this process logs already.
pub fn init(config: &BrokerConfig) {
    let level = config.text("ottla.log.level").unwrap_or("info");
    let filter = std::env::var("RUST_LOG")
        .ok()
        .filter(|text| !text.is_empty())
        .and_then(|text| EnvFilter::try_new(text).ok())
        .unwrap_or_else(|| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = if config.text("ottla.log.format") == Some("json") {
        builder.json().try_init()
    } else {
        builder.try_init()
    };
    // Another broker of this process (in tests) has started it.
    drop(started);
}
