//! A topic's configuration as far as its log is concerned, with Kafka's names, defaults and ranges
//! (`org.apache.kafka.storage.internals.log.LogConfig`). Knows no broker configuration: the caller
//! overlays a topic's own values on the broker's defaults.

use std::fmt;

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
    pub message_timestamp_before_max_ms: i64,
    pub message_timestamp_after_max_ms: i64,
    pub min_cleanable_dirty_ratio: f64,
    pub min_compaction_lag_ms: i64,
    pub min_insync_replicas: i32,
    pub preallocate: bool,
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
            message_timestamp_before_max_ms: i64::MAX,
            message_timestamp_after_max_ms: i64::MAX,
            min_cleanable_dirty_ratio: 0.5,
            min_compaction_lag_ms: 0,
            min_insync_replicas: 1,
            preallocate: false,
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

/// A value that Kafka would refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    pub key: String,
    pub value: String,
    pub reason: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConfigError { key, value, reason } = self;
        write!(f, "Invalid value {value} for configuration {key}: {reason}")
    }
}

impl std::error::Error for ConfigError {}

/// How a key's value is written, for descriptions and checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    Boolean,
    String,
    Int,
    Long,
    Double,
    List,
}

/// A topic key of Kafka 3.9.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TopicKey {
    pub name: &'static str,
    pub value_type: ValueType,
    /// As DescribeConfigs shows it.
    pub default: &'static str,
    /// The broker key whose value a topic takes when it sets none; `None` if there is none.
    pub broker_key: Option<&'static str>,
}

const fn key(
    name: &'static str,
    value_type: ValueType,
    default: &'static str,
    broker_key: &'static str,
) -> TopicKey {
    let broker_key = if broker_key.is_empty() { None } else { Some(broker_key) };
    TopicKey { name, value_type, default, broker_key }
}

const FOREVER: &str = "9223372036854775807";

/// Every topic key that 3.9.2 knows, in the order of their names.
pub const TOPIC_KEYS: &[TopicKey] = {
    use ValueType::{Boolean, Double, Int, List, Long, String};
    &[
        key("cleanup.policy", List, "delete", "log.cleanup.policy"),
        key("compression.gzip.level", Int, "-1", "compression.gzip.level"),
        key("compression.lz4.level", Int, "9", "compression.lz4.level"),
        key("compression.type", String, "producer", "compression.type"),
        key("compression.zstd.level", Int, "3", "compression.zstd.level"),
        key("delete.retention.ms", Long, "86400000", "log.cleaner.delete.retention.ms"),
        key("file.delete.delay.ms", Long, "60000", "log.segment.delete.delay.ms"),
        key("flush.messages", Long, FOREVER, "log.flush.interval.messages"),
        key("flush.ms", Long, FOREVER, "log.flush.interval.ms"),
        key("follower.replication.throttled.replicas", List, "", ""),
        key("index.interval.bytes", Int, "4096", "log.index.interval.bytes"),
        key("leader.replication.throttled.replicas", List, "", ""),
        key("local.retention.bytes", Long, "-2", "log.local.retention.bytes"),
        key("local.retention.ms", Long, "-2", "log.local.retention.ms"),
        key("max.compaction.lag.ms", Long, FOREVER, "log.cleaner.max.compaction.lag.ms"),
        key("max.message.bytes", Int, "1048588", "message.max.bytes"),
        key("message.downconversion.enable", Boolean, "true", "log.message.downconversion.enable"),
        key("message.format.version", String, "3.0-IV1", "log.message.format.version"),
        key("message.timestamp.after.max.ms", Long, FOREVER, "log.message.timestamp.after.max.ms"),
        key(
            "message.timestamp.before.max.ms",
            Long,
            FOREVER,
            "log.message.timestamp.before.max.ms",
        ),
        key(
            "message.timestamp.difference.max.ms",
            Long,
            FOREVER,
            "log.message.timestamp.difference.max.ms",
        ),
        key("message.timestamp.type", String, "CreateTime", "log.message.timestamp.type"),
        key("min.cleanable.dirty.ratio", Double, "0.5", "log.cleaner.min.cleanable.ratio"),
        key("min.compaction.lag.ms", Long, "0", "log.cleaner.min.compaction.lag.ms"),
        key("min.insync.replicas", Int, "1", "min.insync.replicas"),
        key("preallocate", Boolean, "false", "log.preallocate"),
        key("remote.log.copy.disable", Boolean, "false", ""),
        key("remote.log.delete.on.disable", Boolean, "false", ""),
        key("remote.storage.enable", Boolean, "false", ""),
        key("retention.bytes", Long, "-1", "log.retention.bytes"),
        key("retention.ms", Long, "604800000", "log.retention.ms"),
        key("segment.bytes", Int, "1073741824", "log.segment.bytes"),
        key("segment.index.bytes", Int, "10485760", "log.index.size.max.bytes"),
        key("segment.jitter.ms", Long, "0", "log.roll.jitter.ms"),
        key("segment.ms", Long, "604800000", "log.roll.ms"),
        key("unclean.leader.election.enable", Boolean, "false", "unclean.leader.election.enable"),
    ]
};

/// The key of that name.
pub fn topic_key(name: &str) -> Option<&'static TopicKey> {
    TOPIC_KEYS.iter().find(|k| k.name == name)
}

/// A value and where it comes from, until it is parsed.
struct Given<'a> {
    key: &'a str,
    value: &'a str,
}

impl Given<'_> {
    fn refuse<T>(&self, reason: impl Into<String>) -> Result<T, ConfigError> {
        Err(ConfigError { key: self.key.into(), value: self.value.into(), reason: reason.into() })
    }

    fn number<T>(&self, min: T, max: T) -> Result<T, ConfigError>
    where
        T: std::str::FromStr + PartialOrd + fmt::Display,
    {
        let Ok(number) = self.value.trim().parse::<T>() else {
            let kind = match std::any::type_name::<T>() {
                "i32" => "INT",
                "i64" => "LONG",
                _ => "DOUBLE",
            };
            return self.refuse(format!("Not a number of type {kind}"));
        };
        if number < min {
            return self.refuse(format!("Value must be at least {min}"));
        }
        if number > max {
            return self.refuse(format!("Value must be no more than {max}"));
        }
        Ok(number)
    }

    fn int(&self, min: i32) -> Result<i32, ConfigError> {
        self.number(min, i32::MAX)
    }

    fn long(&self, min: i64) -> Result<i64, ConfigError> {
        self.number(min, i64::MAX)
    }

    fn boolean(&self) -> Result<bool, ConfigError> {
        match self.value.trim() {
            v if v.eq_ignore_ascii_case("true") => Ok(true),
            v if v.eq_ignore_ascii_case("false") => Ok(false),
            _ => self.refuse("Expected value to be either true or false"),
        }
    }

    fn cleanup_policy(&self) -> Result<CleanupPolicy, ConfigError> {
        let mut policy = CleanupPolicy { delete: false, compact: false };
        for word in self.value.split(',').map(str::trim).filter(|w| !w.is_empty()) {
            match word.to_ascii_lowercase().as_str() {
                "delete" => policy.delete = true,
                "compact" => policy.compact = true,
                _ => return self.refuse("String must be one of: compact, delete"),
            }
        }
        Ok(policy)
    }

    fn compression(&self) -> Result<TopicCompression, ConfigError> {
        Ok(match self.value {
            "producer" => TopicCompression::Producer,
            "uncompressed" => TopicCompression::None,
            "gzip" => TopicCompression::Gzip,
            "snappy" => TopicCompression::Snappy,
            "lz4" => TopicCompression::Lz4,
            "zstd" => TopicCompression::Zstd,
            _ => {
                let all = "uncompressed, zstd, lz4, snappy, gzip, producer";
                return self.refuse(format!("String must be one of: {all}"));
            }
        })
    }

    fn timestamp_type(&self) -> Result<TimestampType, ConfigError> {
        match self.value {
            "CreateTime" => Ok(TimestampType::CreateTime),
            "LogAppendTime" => Ok(TimestampType::LogAppendTime),
            _ => self.refuse("String must be one of: CreateTime, LogAppendTime"),
        }
    }

    /// `*`, nothing, or `partition:broker` pairs.
    fn throttled_replicas(&self) -> Result<(), ConfigError> {
        let is_number = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        let is_pair =
            |s: &str| s.trim().split_once(':').is_some_and(|(p, b)| is_number(p) && is_number(b));
        let text = self.value.trim();
        if text.is_empty() || text == "*" || text.split(',').all(is_pair) {
            return Ok(());
        }
        self.refuse("expected *, or a list of [partitionId]:[brokerId]")
    }
}

impl LogConfig {
    /// Sets one topic key. A key that 3.9.2 does not know is an error, and so is tiered storage.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        let given = Given { key, value };
        match key {
            "cleanup.policy" => self.cleanup_policy = given.cleanup_policy()?,
            "compression.type" => self.compression_type = given.compression()?,
            "compression.gzip.level" => {
                let level = given.number(-1, 9)?;
                if level == 0 {
                    return given.refuse("expected -1 or 1 to 9");
                }
                self.compression_gzip_level = level;
            }
            "compression.lz4.level" => self.compression_lz4_level = given.number(1, 17)?,
            "compression.zstd.level" => self.compression_zstd_level = given.number(-131_072, 22)?,
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
                let ms = given.long(0)?;
                self.message_timestamp_before_max_ms = ms;
                self.message_timestamp_after_max_ms = ms;
            }
            "message.timestamp.before.max.ms" => {
                self.message_timestamp_before_max_ms = given.long(0)?;
            }
            "message.timestamp.after.max.ms" => {
                self.message_timestamp_after_max_ms = given.long(0)?;
            }
            "min.cleanable.dirty.ratio" => {
                self.min_cleanable_dirty_ratio = given.number(0.0, 1.0)?;
            }
            "min.compaction.lag.ms" => self.min_compaction_lag_ms = given.long(0)?,
            "min.insync.replicas" => self.min_insync_replicas = given.int(1)?,
            "preallocate" => self.preallocate = given.boolean()?,
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
            "remote.storage.enable" if given.boolean()? => {
                given.refuse("tiered storage is not enabled on this broker")
            }
            "remote.storage.enable"
            | "remote.log.copy.disable"
            | "remote.log.delete.on.disable" => given.boolean().map(drop),
            "message.format.version" if given.value.starts_with(|c: char| c.is_ascii_digit()) => {
                Ok(())
            }
            "message.format.version" => given.refuse("not a version"),
            _ => given.refuse("unknown topic configuration"),
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
        if config.cleanup_policy.compact
            && config.min_compaction_lag_ms > config.max_compaction_lag_ms
        {
            return Err(ConfigError {
                key: "min.compaction.lag.ms".into(),
                value: config.min_compaction_lag_ms.to_string(),
                reason: "must not be larger than max.compaction.lag.ms".into(),
            });
        }
        Ok(config)
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
            ("remote.storage.enable", "true"),
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
        let lag = [
            ("cleanup.policy", "compact"),
            ("min.compaction.lag.ms", "5"),
            ("max.compaction.lag.ms", "4"),
        ];
        assert!(LogConfig::default().with(lag).is_err());
    }
}
