//! Every topic key of Kafka 3.9.2 with its type, its default and the broker key behind it.

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
