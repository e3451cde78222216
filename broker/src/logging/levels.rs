//! Levels of loggers while the broker runs (KIP-412): which logger has which, and the filter that
//! follows from it. A logger without a level of its own has that of the nearest above it. Knows no
//! request.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use tracing_subscriber::filter::LevelFilter;

use super::names::{KAFKA, NESTED, ROOT, TARGETS};

/// Kafka's levels, and `Off`, which only a start gives. No line here is as grave as `Fatal`, so
/// that it lets none through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Off,
    Fatal,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// The levels that a request can set, by their names' order.
pub const SETTABLE: [Level; 6] =
    [Level::Debug, Level::Error, Level::Fatal, Level::Info, Level::Trace, Level::Warn];

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Off => "OFF",
            Level::Fatal => "FATAL",
            Level::Error => "ERROR",
            Level::Warn => "WARN",
            Level::Info => "INFO",
            Level::Debug => "DEBUG",
            Level::Trace => "TRACE",
        })
    }
}

impl Level {
    /// The level of that very name, if it can be set.
    pub fn settable(name: &str) -> Option<Level> {
        SETTABLE.into_iter().find(|level| level.to_string() == name)
    }

    /// As a filter's text has it.
    fn of_filter(text: &str) -> Option<Level> {
        let filter = LevelFilter::from_str(text).ok()?;
        let levels = [
            (LevelFilter::OFF, Level::Off),
            (LevelFilter::ERROR, Level::Error),
            (LevelFilter::WARN, Level::Warn),
            (LevelFilter::INFO, Level::Info),
            (LevelFilter::DEBUG, Level::Debug),
            (LevelFilter::TRACE, Level::Trace),
        ];
        levels.into_iter().find(|(known, _)| *known == filter).map(|(_, level)| level)
    }

    fn filter(self) -> LevelFilter {
        match self {
            Level::Off | Level::Fatal => LevelFilter::OFF,
            Level::Error => LevelFilter::ERROR,
            Level::Warn => LevelFilter::WARN,
            Level::Info => LevelFilter::INFO,
            Level::Debug => LevelFilter::DEBUG,
            Level::Trace => LevelFilter::TRACE,
        }
    }
}

/// Every level that is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Levels {
    root: Level,
    targets: BTreeMap<String, Level>,
    /// Directives of the start that are no levels of targets (of spans and fields): they stay.
    others: Vec<String>,
}

impl Default for Levels {
    fn default() -> Self {
        Levels { root: Level::Info, targets: BTreeMap::new(), others: Vec::new() }
    }
}

impl Levels {
    /// Reads a filter such as `info,storage=debug`.
    pub fn of_filter(text: &str) -> Levels {
        // Without a level of its own a filter lets errors through.
        let mut levels = Levels { root: Level::Error, ..Levels::default() };
        for directive in text.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
            match directive.split_once('=') {
                _ if directive.contains(['[', '{', ']', '}']) => {
                    levels.others.push(directive.to_owned());
                }
                None => match Level::of_filter(directive) {
                    Some(level) => levels.root = level,
                    None => drop(levels.targets.insert(directive.to_owned(), Level::Trace)),
                },
                Some((target, level)) => match Level::of_filter(level) {
                    Some(level) => drop(levels.targets.insert(target.to_owned(), level)),
                    None => levels.others.push(directive.to_owned()),
                },
            }
        }
        levels
    }

    /// The filter's text. `of_filter` reads it back, `Fatal` as `Off`.
    pub fn filter(&self) -> String {
        let mut directives = vec![self.root.filter().to_string()];
        let set = self.targets.iter();
        directives.extend(set.map(|(target, level)| format!("{target}={}", level.filter())));
        // The filter's own rule knows modules only.
        for (crate_name, above) in
            NESTED.iter().filter(|(name, _)| !self.targets.contains_key(*name))
        {
            let inherited = self.targets.get(*above);
            directives.extend(inherited.map(|level| format!("{crate_name}={}", level.filter())));
        }
        directives.extend(self.others.iter().cloned());
        directives.join(",")
    }

    /// Every logger with its level, by name.
    pub fn all(&self) -> BTreeMap<String, Level> {
        let modules = TARGETS.iter().copied().chain(self.targets.keys().map(String::as_str));
        let modules = modules.map(|target| target.replace("::", "."));
        let others = KAFKA.iter().map(|(name, _)| *name).chain([ROOT]).map(str::to_owned);
        let level = |name: String| {
            let level = self.of(&name);
            (name, level)
        };
        modules.chain(others).map(level).collect()
    }

    pub fn exists(&self, logger: &str) -> bool {
        let known =
            |target: &String| TARGETS.contains(&&**target) || self.targets.contains_key(target);
        logger == ROOT || targets(logger).iter().all(known)
    }

    /// The level in force for a logger.
    pub fn of(&self, logger: &str) -> Level {
        let targets = targets(logger);
        let mut above = targets.first().map(String::as_str);
        while let Some(name) = above {
            if let Some(level) = self.targets.get(name) {
                return *level;
            }
            above = parent(name);
        }
        self.root
    }

    pub fn set(&mut self, logger: &str, level: Level) {
        if logger == ROOT {
            self.root = level;
        }
        for target in targets(logger) {
            self.targets.insert(target, level);
        }
    }

    /// Takes a logger's own level away. The root has always one.
    pub fn unset(&mut self, logger: &str) {
        for target in targets(logger) {
            self.targets.remove(&target);
        }
    }
}

/// The target above a crate's or a module's.
fn parent(target: &str) -> Option<&str> {
    let nested = NESTED.iter().find(|(name, _)| *name == target).map(|(_, above)| *above);
    nested.or_else(|| target.rsplit_once("::").map(|(parent, _)| parent))
}

/// The modules that a logger is for: those that one of Kafka's names stands for, or the one that it
/// names itself, with dots, as Kafka's tools take no colons. None of the root.
fn targets(logger: &str) -> Vec<String> {
    match KAFKA.iter().find(|(name, _)| *name == logger) {
        Some((_, modules)) => modules.iter().map(|module| (*module).to_owned()).collect(),
        None if logger == ROOT => Vec::new(),
        None => vec![logger.replace('.', "::")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_read_and_written() {
        for text in ["info", "warn,broker::network=debug,storage=trace", "off,[span]=info"] {
            assert_eq!(Levels::of_filter(text).filter(), text);
        }
        let levels = Levels::of_filter("storage, broker=WARN");
        assert_eq!(levels.filter(), "error,broker=warn,storage=trace");
        assert_eq!(Levels::default().filter(), "info");
    }

    #[test]
    fn loggers_inherit_and_kafkas_names_stand_for_modules() {
        let mut levels = Levels::default();
        assert!(levels.exists("root") && levels.exists("kafka.controller"));
        assert!(levels.exists("storage.compaction") && !levels.exists("no.such"));
        assert!(levels.all().keys().all(|name| !name.contains(':')));
        levels.set("kafka", Level::Warn);
        let of = |levels: &Levels, names: [&str; 3]| names.map(|name| levels.of(name));
        let names = ["kafka", "kafka.request.logger", "kafka.controller"];
        assert_eq!(of(&levels, names), [Level::Warn; 3]);
        assert_eq!(levels.of("org.apache.kafka"), Level::Info);
        levels.set("kafka.controller", Level::Error);
        assert_eq!(levels.of("kafka.controller.KafkaController"), Level::Error);
        assert_eq!(levels.of("controller.run"), Level::Error);
        levels.unset("kafka");
        assert_eq!(of(&levels, names), [Level::Info, Level::Info, Level::Error]);
        levels.set("coordinator", Level::Debug);
        assert_eq!(levels.of("metadata.zookeeper"), Level::Debug);
        let filter =
            "info,broker::order_sender=error,controller=error,coordinator=debug,metadata=debug";
        assert_eq!(levels.filter(), filter);
        levels.unset("coordinator");
        levels.set("root", Level::Fatal);
        assert_eq!(levels.of("kafka"), Level::Fatal);
        let filter = "off,broker::order_sender=error,controller=error";
        assert_eq!(levels.filter(), filter);
        assert_eq!(levels.all()["root"], Level::Fatal);
        assert_eq!(Level::settable("DEBUG"), Some(Level::Debug));
        assert_eq!([Level::settable("debug"), Level::settable("OFF")], [None, None]);
    }
}
