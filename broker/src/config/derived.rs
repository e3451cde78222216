//! Values that several keys make together, in one unit. Knows nothing of files.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use metadata::zookeeper::ConnectString;

use super::BrokerConfig;
use super::listeners::{self, Endpoint};

const HOUR_MS: i64 = 3_600_000;
const MINUTE_MS: i64 = 60_000;

impl BrokerConfig {
    /// `log.dirs`, or else `log.dir`.
    pub fn log_dirs(&self) -> Vec<PathBuf> {
        let text = self.text("log.dirs").or(self.text("log.dir")).unwrap_or_default();
        text.split(',').map(str::trim).filter(|dir| !dir.is_empty()).map(PathBuf::from).collect()
    }

    /// Longest time that a segment takes records, in milliseconds (default seven days).
    pub fn log_roll_ms(&self) -> i64 {
        let hours = self.long("log.roll.hours");
        self.long_or_null("log.roll.ms").unwrap_or(hours * HOUR_MS)
    }

    /// Random part that is taken off the roll time, in milliseconds (default 0).
    pub fn log_roll_jitter_ms(&self) -> i64 {
        let hours = self.long("log.roll.jitter.hours");
        self.long_or_null("log.roll.jitter.ms").unwrap_or(hours * HOUR_MS)
    }

    /// How long records are kept, in milliseconds; −1 is for ever (default seven days).
    pub fn log_retention_ms(&self) -> i64 {
        let coarse = match self.long_or_null("log.retention.minutes") {
            Some(minutes) => minutes * MINUTE_MS,
            None => self.long("log.retention.hours") * HOUR_MS,
        };
        self.long_or_null("log.retention.ms").unwrap_or(coarse).max(-1)
    }

    /// `log.message.timestamp.before.max.ms` or `log.message.timestamp.after.max.ms`; where it is
    /// not set, the deprecated key that was for both.
    pub fn log_message_timestamp_max_ms(&self, key: &str) -> i64 {
        match self.long(key) {
            i64::MAX => self.long("log.message.timestamp.difference.max.ms"),
            ms => ms,
        }
    }

    /// Time between forced flushes, in milliseconds (default: for ever).
    pub fn log_flush_interval_ms(&self) -> i64 {
        let scheduler = self.long("log.flush.scheduler.interval.ms");
        self.long_or_null("log.flush.interval.ms").unwrap_or(scheduler)
    }

    /// What to bind. The start has checked that it can be read.
    pub fn listeners(&self) -> Vec<Endpoint> {
        listeners::endpoints(self.text("listeners").unwrap_or_default())
            .expect("checked when the configuration was loaded")
    }

    /// What to tell others; hosts and ports left open are those that were bound.
    pub fn advertised_listeners(&self) -> Vec<Endpoint> {
        match self.text("advertised.listeners") {
            Some(text) => {
                listeners::endpoints(text).expect("checked when the configuration was loaded")
            }
            None => self.listeners(),
        }
    }

    /// Name of the listener that brokers use among themselves.
    pub fn inter_broker_listener(&self) -> String {
        let protocol = self.text("security.inter.broker.protocol").unwrap_or("PLAINTEXT");
        self.text("inter.broker.listener.name").unwrap_or(protocol).to_ascii_uppercase()
    }

    /// The ensemble; `None` is embedded metadata.
    pub fn zookeeper(&self) -> Option<ConnectString> {
        let text = self.text("zookeeper.connect")?;
        Some(text.parse().expect("checked when the configuration was loaded"))
    }

    /// How long to wait for the ensemble at the start, in milliseconds (default: the session
    /// timeout).
    pub fn zookeeper_connection_timeout_ms(&self) -> i64 {
        let session = self.long("zookeeper.session.timeout.ms");
        self.long_or_null("zookeeper.connection.timeout.ms").unwrap_or(session)
    }

    /// A number that a listener may have of its own: as it says, else as the broker does.
    pub fn long_of_listener(&self, listener: &str, key: &str) -> i64 {
        let own = format!("listener.name.{}.{key}", listener.to_ascii_lowercase());
        let own = self.others().find(|(name, _)| *name == own);
        let texts = own.map(|(_, levels)| levels).unwrap_or_default();
        // What cannot be read is refused where it is set.
        let numbers = texts.into_iter().filter_map(|(_, text)| text.trim().parse::<i32>().ok());
        numbers.map(i64::from).next().unwrap_or_else(|| self.long(key))
    }

    /// `max.connections.per.ip.overrides`: host name or address to its own limit.
    pub fn connection_overrides(&self) -> Result<BTreeMap<String, u32>, String> {
        let text = self.text("max.connections.per.ip.overrides").unwrap_or_default();
        let mut overrides = BTreeMap::new();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let expected = || format!("expected host:count, found \"{item}\"");
            let (host, count) = item.rsplit_once(':').ok_or_else(expected)?;
            let host = host.trim().trim_matches(['[', ']']);
            let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            let is_host = !host.is_empty() && host.chars().all(legal);
            if !is_host && host.parse::<IpAddr>().is_err() {
                return Err(expected());
            }
            let count = count.trim().parse().map_err(|_| expected())?;
            overrides.insert(host.to_owned(), count);
        }
        Ok(overrides)
    }
}
