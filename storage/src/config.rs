//! A topic's configuration as far as its log is concerned, with Kafka's names, defaults and ranges
//! (`org.apache.kafka.storage.internals.log.LogConfig`). Knows no broker configuration: the caller
//! overlays a topic's own values on the broker's defaults.

mod format_version;
mod given;
mod keys;

pub use format_version::is_format_version;
use given::Given;
pub use keys::{TOPIC_KEYS, TopicKey, ValueType, topic_key};

/// What happens to old segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanupPolicy {
    pub delete: bool,
    pub compact: bool,
}

/// `compression.type`; codes are those of a batch's attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicCompression {
    /// Whatever the producer chose.
    Producer,
    /// Written `uncompressed` or `none`.
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl TopicCompression {
    /// The codec of stored batches for one that arrives with `source`.
    pub fn target(self, source: i16) -> i16 {
        match self {
            TopicCompression::Producer => source,
            TopicCompression::None => 0,
            TopicCompression::Gzip => 1,
            TopicCompression::Snappy => 2,
            TopicCompression::Lz4 => 3,
            TopicCompression::Zstd => 4,
        }
    }
}

/// Whose clock a record's timestamp is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    CreateTime,
    LogAppendTime,
}

/// Every field is named as its key, dots as underscores; sizes are bytes, `_ms` milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct LogConfig {
    pub cleanup_policy: CleanupPolicy,
    pub compression_type: TopicCompression,
    pub compression_gzip_level: i32,
    pub compression_lz4_level: i32,
    pub compression_zstd_level: i32,
    pub delete_retention_ms: i64,
    pub file_delete_delay_ms: i64,
    pub flush_messages: i64,
    pub flush_ms: i64,
    pub index_interval_bytes: i32,
    pub max_compaction_lag_ms: i64,
    pub max_message_bytes: i32,
    pub message_downconversion_enable: bool,
    pub message_timestamp_type: TimestampType,
    /// Deprecated: in force where one of the two that follow is not set.
    pub message_timestamp_difference_max_ms: i64,
    pub message_timestamp_before_max_ms: i64,
    pub message_timestamp_after_max_ms: i64,
    pub min_cleanable_dirty_ratio: f64,
    pub min_compaction_lag_ms: i64,
    pub min_insync_replicas: i32,
    pub preallocate: bool,
    pub remote_log_copy_disable: bool,
    pub remote_log_delete_on_disable: bool,
    pub remote_storage_enable: bool,
    /// −1: no limit.
    pub retention_bytes: i64,
    /// −1: no limit.
    pub retention_ms: i64,
    pub segment_bytes: i32,
    pub segment_index_bytes: i32,
    pub segment_jitter_ms: i64,
    pub segment_ms: i64,
    pub unclean_leader_election_enable: bool,
    /// `producer.id.expiration.ms`, a broker key: silence after which a producer is forgotten.
    pub producer_id_expiration_ms: i64,
}

impl Default for LogConfig {
    fn default() -> Self {
        LogConfig {
            cleanup_policy: CleanupPolicy { delete: true, compact: false },
            compression_type: TopicCompression::Producer,
            compression_gzip_level: -1,
            compression_lz4_level: 9,
            compression_zstd_level: 3,
            delete_retention_ms: 86_400_000,
            file_delete_delay_ms: 60_000,
            flush_messages: i64::MAX,
            flush_ms: i64::MAX,
            index_interval_bytes: 4096,
            max_compaction_lag_ms: i64::MAX,
            max_message_bytes: 1_048_588,
            message_downconversion_enable: true,
            message_timestamp_type: TimestampType::CreateTime,
            message_timestamp_difference_max_ms: i64::MAX,
            message_timestamp_before_max_ms: i64::MAX,
            message_timestamp_after_max_ms: i64::MAX,
            min_cleanable_dirty_ratio: 0.5,
            min_compaction_lag_ms: 0,
            min_insync_replicas: 1,
            preallocate: false,
            remote_log_copy_disable: false,
            remote_log_delete_on_disable: false,
            remote_storage_enable: false,
            retention_bytes: -1,
            retention_ms: 604_800_000,
            segment_bytes: 1_073_741_824,
            segment_index_bytes: 10_485_760,
            segment_jitter_ms: 0,
            segment_ms: 604_800_000,
            unclean_leader_election_enable: false,
            producer_id_expiration_ms: 86_400_000,
        }
    }
}

/// Values that Kafka would refuse, with its texts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("Invalid value {value} for configuration {key}: {reason}")]
    Value { key: String, value: String, reason: String },
    /// Each is legal by itself, not both together or not with metadata in ZooKeeper.
    #[error("{0}")]
    Conflict(String),
    /// `remote.storage.enable`, which no broker here serves.
    #[error(
        "Tiered Storage functionality is disabled in the broker. \
         Topic cannot be configured with remote log storage."
    )]
    NoTiers,
}

impl LogConfig {
    /// Sets one topic key. A key that 3.9.2 does not know is an error.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        let given = Given { key, value };
        match key {
            "cleanup.policy" => self.cleanup_policy = given.cleanup_policy()?,
            "compression.type" => self.compression_type = given.compression()?,
            "compression.gzip.level" => self.compression_gzip_level = given.gzip_level()?,
            "compression.lz4.level" => self.compression_lz4_level = given.level(1, 17)?,
            "compression.zstd.level" => self.compression_zstd_level = given.level(-131_072, 22)?,
            "delete.retention.ms" => self.delete_retention_ms = given.long(0)?,
            "file.delete.delay.ms" => self.file_delete_delay_ms = given.long(0)?,
            "flush.messages" => self.flush_messages = given.long(1)?,
            "flush.ms" => self.flush_ms = given.long(0)?,
            "index.interval.bytes" => self.index_interval_bytes = given.int(0)?,
            "max.compaction.lag.ms" => self.max_compaction_lag_ms = given.long(1)?,
            "max.message.bytes" => self.max_message_bytes = given.int(0)?,
            "message.downconversion.enable" => {
                self.message_downconversion_enable = given.boolean()?;
            }
            "message.timestamp.type" => self.message_timestamp_type = given.timestamp_type()?,
            "message.timestamp.difference.max.ms" => {
                self.message_timestamp_difference_max_ms = given.long(0)?;
            }
            "message.timestamp.before.max.ms" => {
                self.message_timestamp_before_max_ms = given.long(0)?;
            }
            "message.timestamp.after.max.ms" => {
                self.message_timestamp_after_max_ms = given.long(0)?;
            }
            "min.cleanable.dirty.ratio" => {
                self.min_cleanable_dirty_ratio = given.ratio()?;
            }
            "min.compaction.lag.ms" => self.min_compaction_lag_ms = given.long(0)?,
            "min.insync.replicas" => self.min_insync_replicas = given.int(1)?,
            "preallocate" => self.preallocate = given.boolean()?,
            "remote.log.copy.disable" => self.remote_log_copy_disable = given.boolean()?,
            "remote.log.delete.on.disable" => {
                self.remote_log_delete_on_disable = given.boolean()?;
            }
            "remote.storage.enable" => self.remote_storage_enable = given.boolean()?,
            "retention.bytes" => self.retention_bytes = given.long(i64::MIN)?,
            "retention.ms" => self.retention_ms = given.long(-1)?,
            "segment.bytes" => self.segment_bytes = given.int(14)?,
            "segment.index.bytes" => self.segment_index_bytes = given.int(4)?,
            "segment.jitter.ms" => self.segment_jitter_ms = given.long(0)?,
            "segment.ms" => self.segment_ms = given.long(1)?,
            "unclean.leader.election.enable" => {
                self.unclean_leader_election_enable = given.boolean()?;
            }
            _ => return self.set_ignored(given),
        }
        Ok(())
    }

    /// Keys that are checked but change nothing here.
    fn set_ignored(&mut self, given: Given<'_>) -> Result<(), ConfigError> {
        match given.key {
            "follower.replication.throttled.replicas" | "leader.replication.throttled.replicas" => {
                given.throttled_replicas()
            }
            "local.retention.bytes" | "local.retention.ms" => given.long(-2).map(drop),
            "message.format.version" => given.format_version(),
            // It may be a secret.
            _ => given.refuse_as("(not shown)", "unknown topic configuration"),
        }
    }

    /// `self` with a topic's own keys on top, and the rules between keys checked.
    pub fn with<'a>(
        &self,
        overrides: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<LogConfig, ConfigError> {
        let mut config = self.clone();
        for (key, value) in overrides {
            config.set(key, value)?;
        }
        config.check()?;
        Ok(config)
    }

    /// Do the values go together?
    pub fn check(&self) -> Result<(), ConfigError> {
        let (min, max) = (self.min_compaction_lag_ms, self.max_compaction_lag_ms);
        if min > max {
            return Err(ConfigError::Conflict(format!(
                "conflict topic config setting min.compaction.lag.ms ({min}) > \
                 max.compaction.lag.ms ({max})"
            )));
        }
        if self.remote_log_copy_disable || self.remote_log_delete_on_disable {
            let text = "It is invalid to set `remote.log.delete.on.disable` or \
                        `remote.log.copy.disable` under Zookeeper's mode.";
            return Err(ConfigError::Conflict(text.to_owned()));
        }
        if self.remote_storage_enable { Err(ConfigError::NoTiers) } else { Ok(()) }
    }

    /// How far a record's timestamp may be behind this broker's clock, in milliseconds.
    pub fn timestamp_before_max_ms(&self) -> i64 {
        self.or_difference(self.message_timestamp_before_max_ms)
    }

    /// As `timestamp_before_max_ms`, ahead of it.
    pub fn timestamp_after_max_ms(&self) -> i64 {
        self.or_difference(self.message_timestamp_after_max_ms)
    }

    /// The deprecated key counts only where the newer one has its default.
    fn or_difference(&self, ms: i64) -> i64 {
        if ms == i64::MAX { self.message_timestamp_difference_max_ms } else { ms }
    }

    /// Whether acknowledged appends may have to be synced by count or by time.
    pub fn asks_for_syncs(&self) -> bool {
        self.flush_messages != i64::MAX || self.flush_ms != i64::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documented_defaults_are_the_real_ones() {
        let mut config = LogConfig::default();
        for key in TOPIC_KEYS {
            config.set(key.name, key.default).unwrap_or_else(|e| panic!("{e}"));
        }
        assert_eq!(config, LogConfig::default());
        assert!(TOPIC_KEYS.is_sorted_by_key(|k| k.name));
    }

    #[test]
    fn ranges() {
        for (key, value) in [
            ("segment.bytes", "13"),
            ("segment.ms", "0"),
            ("retention.ms", "-2"),
            ("min.cleanable.dirty.ratio", "1.1"),
            ("cleanup.policy", "drop"),
            ("compression.type", "lzo"),
            ("compression.gzip.level", "0"),
            ("max.message.bytes", "ten"),
            ("max.message.bytes", "2147483648"),
            ("preallocate", "yes"),
            ("cleanup.policy", "COMPACT"),
            ("cleanup.policy", "compact,"),
            ("message.format.version", "9.9"),
            ("leader.replication.throttled.replicas", "1-2"),
            ("no.such.key", "1"),
        ] {
            assert!(LogConfig::default().set(key, value).is_err(), "{key}={value}");
        }
        let text = |key, value| LogConfig::default().set(key, value).unwrap_err().to_string();
        assert_eq!(
            text("retention.ms", "soon"),
            "Invalid value soon for configuration retention.ms: Not a number of type LONG"
        );
        assert_eq!(
            text("segment.bytes", "13"),
            "Invalid value 13 for configuration segment.bytes: Value must be at least 14"
        );
        let config = LogConfig::default()
            .with([("cleanup.policy", "compact, delete"), ("retention.ms", "-1")])
            .unwrap();
        assert_eq!(config.cleanup_policy, CleanupPolicy { delete: true, compact: true });
    }
    #[test]
    fn texts_are_apaches() {
        let text = |key, value| LogConfig::default().set(key, value).unwrap_err().to_string();
        for (key, value, expected) in [
            ("cleanup.policy", "compact,x", "x: String must be one of: compact, delete"),
            ("compression.gzip.level", "0", "0: Value must be between 1 and 9 or equal to -1"),
            ("compression.lz4.level", "18", "18: Value must be no more than 17"),
            ("message.format.version", "3.x", "3.x: Version 3.x is not a valid version"),
            ("preallocate", "yes", "yes: Expected value to be either true or false"),
        ] {
            let (shown, reason) = expected.split_once(": ").unwrap();
            let expected = format!("Invalid value {shown} for configuration {key}: {reason}");
            assert_eq!(text(key, value), expected);
        }
        assert!(
            text("leader.replication.throttled.replicas", "0:1, x")
                .starts_with("Invalid value [0:1, x] for configuration leader.replication"),
        );
        for (key, value) in [
            ("leader.replication.throttled.replicas", "0:1, 1:2"),
            ("leader.replication.throttled.replicas", "0:1,,"),
            ("message.format.version", " 3.0"),
            ("min.cleanable.dirty.ratio", "0.5f"),
            ("cleanup.policy", ""),
            ("retention.ms", "+5"),
        ] {
            LogConfig::default().set(key, value).unwrap_or_else(|e| panic!("{e}"));
        }
    }

    #[test]
    fn values_must_go_together_under_any_policy() {
        let text = |own: &[(&'static str, &'static str)]| {
            LogConfig::default().with(own.iter().copied()).unwrap_err().to_string()
        };
        let lag = [("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "5")];
        let conflict =
            "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)";
        assert_eq!(text(&lag), conflict);
        assert_eq!(text(&[("cleanup.policy", "compact"), lag[0], lag[1]]), conflict);
        for key in ["remote.log.copy.disable", "remote.log.delete.on.disable"] {
            let refused = text(&[(key, "true"), ("remote.storage.enable", "true")]);
            assert!(refused.starts_with("It is invalid to set `remote.log.delete.on.disable`"));
            LogConfig::default().with([(key, "false")]).unwrap();
        }
        let tiers = text(&[("remote.storage.enable", "true")]);
        assert!(tiers.starts_with("Tiered Storage functionality is disabled"), "{tiers}");
        // A topic's value counts together with the broker's.
        let broker = LogConfig { max_compaction_lag_ms: 5, ..LogConfig::default() };
        assert!(broker.with([lag[0]]).is_err());
        broker.with([lag[0], ("max.compaction.lag.ms", "10")]).unwrap();
    }

    #[test]
    fn the_deprecated_timestamp_difference_counts_where_the_newer_keys_are_not_set() {
        let limits = |own: &[(&'static str, &'static str)]| {
            let config = LogConfig::default().with(own.iter().copied()).unwrap();
            (config.timestamp_before_max_ms(), config.timestamp_after_max_ms())
        };
        let difference = ("message.timestamp.difference.max.ms", "10");
        assert_eq!(limits(&[]), (i64::MAX, i64::MAX));
        assert_eq!(limits(&[difference]), (10, 10));
        assert_eq!(limits(&[difference, ("message.timestamp.before.max.ms", "100")]), (100, 10));
        assert_eq!(limits(&[difference, ("message.timestamp.after.max.ms", "3")]), (10, 3));
    }
}
