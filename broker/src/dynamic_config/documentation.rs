//! What the keys of topics and brokers do, for those who ask DescribeConfigs. In our own words.

use storage::config::TOPIC_KEYS;

/// By the topic key's name.
const TOPIC: &[(&str, &str)] = &[
    (
        "cleanup.policy",
        "What happens to old segments: \"delete\" removes them by age and size, \"compact\" keeps \
         the last record of each key. Both may be given.",
    ),
    ("compression.gzip.level", "Level of gzip, where batches are stored with it."),
    ("compression.lz4.level", "Level of lz4, where batches are stored with it."),
    (
        "compression.type",
        "How batches are stored: with one codec, \"uncompressed\", or \"producer\" for as they \
         came.",
    ),
    ("compression.zstd.level", "Level of zstd, where batches are stored with it."),
    (
        "delete.retention.ms",
        "How long a compacted topic keeps tombstones, in milliseconds: within this time a reader \
         from the beginning must come to its end to see every deletion.",
    ),
    ("file.delete.delay.ms", "Milliseconds between a segment's removal and that of its files."),
    ("flush.messages", "Records after which the log is synced to disk."),
    ("flush.ms", "Milliseconds after which the log is synced to disk."),
    (
        "follower.replication.throttled.replicas",
        "Followers of this topic whose replication is throttled: partition:broker pairs, or * for \
         all of them.",
    ),
    ("index.interval.bytes", "Bytes of the log between two entries of its offset index."),
    (
        "leader.replication.throttled.replicas",
        "Replicas of this topic to which leaders send throttled: partition:broker pairs, or * for \
         all of them.",
    ),
    ("local.retention.bytes", "Bytes that stay on this broker with tiered storage."),
    ("local.retention.ms", "Milliseconds that records stay on this broker with tiered storage."),
    ("max.compaction.lag.ms", "Milliseconds after which a record must be open to compaction."),
    ("max.message.bytes", "Largest batch that is taken, in bytes, as it is stored."),
    (
        "message.downconversion.enable",
        "Whether consumers that know only older formats get their batches converted.",
    ),
    ("message.format.version", "Without effect: batches are stored in format 2. Deprecated."),
    (
        "message.timestamp.after.max.ms",
        "How far a record's timestamp may be ahead of the broker's clock, in milliseconds.",
    ),
    (
        "message.timestamp.before.max.ms",
        "How far a record's timestamp may be behind the broker's clock, in milliseconds.",
    ),
    (
        "message.timestamp.difference.max.ms",
        "How far a record's timestamp may be from the broker's clock, in milliseconds, where the \
         keys for before and after are not set. Deprecated.",
    ),
    (
        "message.timestamp.type",
        "Whose clock a record's timestamp is: the producer's (CreateTime) or the broker's \
         (LogAppendTime).",
    ),
    (
        "min.cleanable.dirty.ratio",
        "Part of the log that must be uncompacted before a compaction is worth it.",
    ),
    ("min.compaction.lag.ms", "Milliseconds for which a record is not compacted."),
    (
        "min.insync.replicas",
        "In-sync replicas that must be there for a write with acks=all to be taken.",
    ),
    ("preallocate", "Whether a segment's file has its full size from the beginning."),
    ("remote.log.copy.disable", "Tiered storage: whether nothing more is copied to it."),
    (
        "remote.log.delete.on.disable",
        "Tiered storage: whether what is there is deleted once it is turned off.",
    ),
    ("remote.storage.enable", "Whether the topic uses tiered storage."),
    (
        "retention.bytes",
        "Bytes of a partition above which old segments are deleted; -1 is no limit.",
    ),
    ("retention.ms", "Milliseconds after which old segments are deleted; -1 is for ever."),
    ("segment.bytes", "Size of a segment's file, in bytes, at which the next one begins."),
    ("segment.index.bytes", "Largest size of a segment's index file, in bytes."),
    (
        "segment.jitter.ms",
        "Largest random part taken off segment.ms, in milliseconds, so that segments do not all \
         end together.",
    ),
    ("segment.ms", "Milliseconds after which the next segment begins, full or not."),
    (
        "unclean.leader.election.enable",
        "Whether a replica outside of the ISR may lead when no other is left: records can be lost.",
    ),
];

/// By the broker key's name; those that are topics' defaults are above.
const BROKER: &[(&str, &str)] = &[
    ("advertised.listeners", "Addresses that clients and brokers are told; default: listeners."),
    ("auto.create.topics.enable", "Whether a topic is made when a client first asks for it."),
    ("auto.leader.rebalance.enable", "Whether leadership goes back to preferred leaders."),
    ("background.threads", "Threads for background work."),
    ("broker.id", "This broker's number in the cluster; -1 to be given one."),
    ("broker.rack", "Rack of this broker, for spreading replicas and for reading nearby."),
    ("connections.max.idle.ms", "Milliseconds without a request after which a connection ends."),
    ("controlled.shutdown.enable", "Whether leaders are moved away before the broker stops."),
    ("default.replication.factor", "Replicas of a topic that is made without a number of them."),
    ("delete.topic.enable", "Whether topics can be deleted."),
    ("fetch.max.bytes", "Most bytes of one answer to Fetch."),
    ("group.initial.rebalance.delay.ms", "Milliseconds that an empty group waits for members."),
    ("group.max.session.timeout.ms", "Longest session timeout that a member may ask for."),
    ("group.max.size", "Most members of a group."),
    ("group.min.session.timeout.ms", "Shortest session timeout that a member may ask for."),
    ("inter.broker.listener.name", "Listener that brokers use among themselves."),
    ("inter.broker.protocol.version", "Version that brokers speak among themselves."),
    ("listener.security.protocol.map", "Security protocol of each listener, by its name."),
    ("listeners", "Names and addresses that this broker listens on."),
    ("log.cleaner.backoff.ms", "Milliseconds until the cleaner looks for work again."),
    ("log.cleaner.dedupe.buffer.size", "Bytes for the keys of compactions, all threads together."),
    ("log.cleaner.enable", "Whether logs are compacted."),
    (
        "log.cleaner.io.max.bytes.per.second",
        "Most bytes that compaction reads and writes a second.",
    ),
    ("log.cleaner.threads", "Threads for compaction."),
    ("log.dir", "Directory for data, where log.dirs is not set."),
    ("log.dirs", "Directories for data."),
    ("log.flush.scheduler.interval.ms", "Milliseconds between looks for logs to sync."),
    ("log.retention.check.interval.ms", "Milliseconds between looks for segments to delete."),
    ("log.retention.hours", "As log.retention.ms, in hours, where no finer key is set."),
    ("log.retention.minutes", "As log.retention.ms, in minutes, where that is not set."),
    ("log.roll.hours", "As log.roll.ms, in hours, where that is not set."),
    ("log.roll.jitter.hours", "As log.roll.jitter.ms, in hours, where that is not set."),
    ("max.connection.creation.rate", "Most new connections a second."),
    ("max.connections", "Most connections at one time."),
    ("max.connections.per.ip", "Most connections from one address."),
    ("max.connections.per.ip.overrides", "As max.connections.per.ip, for some addresses."),
    ("metric.reporters", "Classes that metrics are told to."),
    ("num.io.threads", "Threads that serve requests."),
    ("num.network.threads", "Threads that read requests and write answers."),
    ("num.partitions", "Partitions of a topic that is made without a number of them."),
    ("num.recovery.threads.per.data.dir", "Threads per data directory at start and stop."),
    ("num.replica.fetchers", "Fetchers per leader to replicate from."),
    ("offset.metadata.max.bytes", "Largest metadata of a committed offset."),
    ("offsets.retention.minutes", "Minutes that offsets of an empty group are kept."),
    ("offsets.topic.num.partitions", "Partitions of the topic of committed offsets."),
    ("offsets.topic.replication.factor", "Replicas of the topic of committed offsets."),
    ("producer.id.expiration.ms", "Milliseconds after which a silent producer is forgotten."),
    ("queued.max.request.bytes", "Bytes of requests that may wait; -1 is no limit of its own."),
    ("replica.fetch.max.bytes", "Bytes per partition that a follower asks for."),
    ("replica.fetch.wait.max.ms", "Milliseconds that a follower's Fetch waits for records."),
    ("replica.lag.time.max.ms", "Milliseconds behind after which a follower leaves the ISR."),
    ("replica.selector.class", "How the replica is chosen that a consumer reads from."),
    ("request.timeout.ms", "Milliseconds that a request between brokers may take."),
    ("socket.receive.buffer.bytes", "Size of a socket's receive buffer; -1 is the system's."),
    ("socket.request.max.bytes", "Largest request."),
    ("socket.send.buffer.bytes", "Size of a socket's send buffer; -1 is the system's."),
    ("transaction.max.timeout.ms", "Longest timeout of a transaction that may be asked for."),
    ("transaction.state.log.min.isr", "min.insync.replicas of the topic of transactions."),
    ("transaction.state.log.num.partitions", "Partitions of the topic of transactions."),
    ("transaction.state.log.replication.factor", "Replicas of the topic of transactions."),
    ("transactional.id.expiration.ms", "Milliseconds after which an idle id is forgotten."),
    ("zookeeper.connect", "Hosts and ports of the ensemble, and a chroot."),
    ("zookeeper.connection.timeout.ms", "Longest wait for the ensemble at the start."),
    (
        "zookeeper.session.timeout.ms",
        "Silence after which the ensemble ends this broker's session.",
    ),
];

pub fn of_topic(key: &str) -> Option<&'static str> {
    find(TOPIC, key)
}

pub fn of_broker(key: &str) -> Option<&'static str> {
    let topic = TOPIC_KEYS.iter().find(|topic| topic.broker_key == Some(key));
    find(BROKER, key).or_else(|| of_topic(topic?.name))
}

fn find(table: &[(&str, &'static str)], key: &str) -> Option<&'static str> {
    table.iter().find(|(name, _)| *name == key).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BrokerConfig;

    #[test]
    fn every_key_of_a_topic_and_none_that_does_not_exist_has_a_text() {
        assert!(TOPIC_KEYS.iter().all(|key| of_topic(key.name).is_some()));
        assert_eq!(TOPIC.len(), TOPIC_KEYS.len());
        let unknown = BROKER.iter().find(|(name, _)| BrokerConfig::definition(name).is_none());
        assert_eq!(unknown, None);
        assert_eq!(of_broker("log.segment.bytes"), of_topic("segment.bytes"));
        assert_eq!(of_broker("ssl.provider"), None);
    }
}
