//! Log lines on standard error, as text or JSON, and the levels of loggers, which can change while
//! the process runs. Knows nothing of what is logged.

pub mod levels;
pub mod names;

use std::io::IsTerminal;
use std::sync::OnceLock;

use parking_lot::Mutex;
use tracing_subscriber::EnvFilter;

use self::levels::Levels;
use crate::config::BrokerConfig;

/// Puts a filter in force in place of the present one.
type Apply = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// The loggers of this process. Every broker in it has the same: log lines do not say whose they
/// are.
#[derive(Default)]
pub struct Loggers {
    levels: Mutex<Levels>,
    /// Empty if this process does not log.
    apply: OnceLock<Apply>,
}

impl Loggers {
    pub fn of_process() -> &'static Loggers {
        static LOGGERS: OnceLock<Loggers> = OnceLock::new();
        LOGGERS.get_or_init(Loggers::default)
    }

    pub fn levels(&self) -> Levels {
        self.levels.lock().clone()
    }

    /// Changes levels; in force when this returns.
    pub fn change(&self, change: impl FnOnce(&mut Levels)) {
        let mut levels = self.levels.lock();
        change(&mut levels);
        let filter = EnvFilter::new(levels.filter());
        if let Some(Err(error)) = self.apply.get().map(|apply| apply(filter)) {
            tracing::error!(%error, "changed levels of loggers are not in force");
        }
    }
}

/// Starts logging. `RUST_LOG`, where it is set and can be read, wins over `ottla.log.level`. Does
/// nothing if this process logs already.
pub fn init(config: &BrokerConfig) {
    let level = config.text("ottla.log.level").unwrap_or("info");
    let text = std::env::var("RUST_LOG")
        .ok()
        .filter(|text| !text.is_empty() && EnvFilter::try_new(text).is_ok())
        .unwrap_or_else(|| level.to_owned());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&text))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let (started, apply): (_, Apply) = if config.text("ottla.log.format") == Some("json") {
        let builder = builder.json().with_filter_reloading();
        let handle = builder.reload_handle();
        let apply = move |filter| handle.reload(filter).map_err(|error| error.to_string());
        (builder.try_init(), Box::new(apply))
    } else {
        let builder = builder.with_filter_reloading();
        let handle = builder.reload_handle();
        let apply = move |filter| handle.reload(filter).map_err(|error| error.to_string());
        (builder.try_init(), Box::new(apply))
    };
    // Another broker of this process (in tests) may have started it.
    if started.is_ok() {
        let loggers = Loggers::of_process();
        *loggers.levels.lock() = Levels::of_filter(&text);
        let _ = loggers.apply.set(apply);
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level as TracingLevel;
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::reload;

    use super::*;
    use crate::logging::levels::Level;

    #[test]
    fn a_changed_level_is_in_force_at_once() {
        let loggers = Loggers::default();
        let (filter, handle) = reload::Layer::new(EnvFilter::new(loggers.levels().filter()));
        let apply = move |filter| handle.reload(filter).map_err(|error| error.to_string());
        assert!(loggers.apply.set(Box::new(apply)).is_ok());
        let logs = || {
            [
                tracing::enabled!(target: "controller::run", TracingLevel::DEBUG),
                tracing::enabled!(target: "storage::append", TracingLevel::DEBUG),
                tracing::enabled!(target: "storage::append", TracingLevel::INFO),
            ]
        };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(filter), || {
            assert_eq!(logs(), [false, false, true]);
            loggers.change(|levels| levels.set("kafka.controller", Level::Debug));
            assert_eq!(logs(), [true, false, true]);
            loggers.change(|levels| levels.set("storage", Level::Fatal));
            assert_eq!(logs(), [true, false, false]);
            loggers.change(|levels| levels.unset("kafka.controller"));
            assert_eq!(logs(), [false, false, false]);
        });
    }
}
