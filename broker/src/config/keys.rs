//! Every key that the broker knows: the 329 of Kafka 3.9.2 and those that start with `ottla.`. One
//! row says the type, the default, what values are legal, how it may change while the broker runs,
//! and what becomes of it here. Knows nothing of files and values.

use super::key::Check::{
    Any, AtLeast, Between, BetweenOr, EachOf, FormatVersion, OneOf, Ratio, Release,
};
use super::key::Kind::{Bool, Class, Double, Int, List, Long, Password, Short, Text};
use super::key::Role::{Belongs, Honoured, Ignored, Stops};
use super::key::Update::{ClusterWide, PerBroker, ReadOnly};
use super::key::{Feature, KeyDef, Role};

const SECURITY: Role = Stops(Feature::SECURITY);
const TLS: Role = Belongs(Feature::Tls);
const SASL: Role = Belongs(Feature::Sasl);
const SECRETS: Role = Belongs(Feature::Secrets);
const TOKENS: Role = Belongs(Feature::Tokens);
const ZK_TLS: Role = Belongs(Feature::ZooKeeperTls);
const POLICY: Role = Stops("policy classes cannot be loaded");
const NO_POLICY: Role = Ignored("there is no policy that it could be for");
const QUOTA: Role = Stops("quotas are not enforced yet");
const NO_KRAFT: Role = Stops("this broker keeps its metadata in ZooKeeper or in itself");
const NO_TIERS: Role = Stops("tiered storage is not served yet");
const TIERED: Role = Ignored("tiered storage is off");
const KRAFT: Role = Ignored("only a KRaft cluster reads it");
const METRICS: Role = Ignored("metrics are served on ottla.http.listener");
const THREADS: Role = Ignored("there is one worker per core, and bounds are in bytes");
const PURGATORY: Role = Ignored("waits are forgotten as soon as they end");
const FOLLOWER: Role = Ignored("the kernel sizes the buffers, and consumers read from leaders");
const ZK_SOCKET: Role = Ignored("there is one kind of ZooKeeper connection");
const CONTROL_PLANE: Role = Ignored("every listener takes the controller's requests");
const FORMAT: Role =
    Ignored("batches are stored in format 2, as with inter.broker.protocol.version 3.9");
const LOG_STARTS: Role = Ignored("log starts are written together with the recovery points");
const SETUP: Role = Ignored("outgoing connections have ten seconds, again and again");
const PREALLOCATE: Role = Ignored("active segments are always allocated ahead");

const ASSIGNORS: &str = concat!(
    "org.apache.kafka.coordinator.group.assignor.UniformAssignor,",
    "org.apache.kafka.coordinator.group.assignor.RangeAssignor"
);
const PROTOCOL_MAP: &str =
    "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT";
const PRINCIPAL_BUILDER: &str =
    "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder";
const REMOTE_METADATA: &str = concat!(
    "org.apache.kafka.server.log.remote.metadata.storage.",
    "TopicBasedRemoteLogMetadataManager"
);

/// Those that Kafka brings along; others cannot be loaded.
const SELECTORS: &[&str] = &[
    "org.apache.kafka.common.replica.LeaderSelector",
    "org.apache.kafka.common.replica.RackAwareReplicaSelector",
];

/// Newer system calls that `ottla.io.disable` can turn off.
const PROBES: &[&str] =
    &["pidfd", "populate_write", "cachestat", "mount_id", "nowait", "dontcache"];

macro_rules! keys {
    ($($kind:ident $name:literal = $default:expr, $check:expr, $update:ident, $role:expr;)*) => {
        &[$(KeyDef {
            name: $name, kind: $kind, default: $default,
            check: $check, update: $update, role: $role,
        }),*]
    };
}

/// Rates of replication throttles, in bytes per second. They are dynamic only: a file's have no
/// effect, and they are described only where they are set.
pub const RATES: &[KeyDef] = keys! {
    Long "follower.replication.throttled.rate" = Some("9223372036854775807"),
        AtLeast(0), ClusterWide, Honoured;
    Long "leader.replication.throttled.rate" = Some("9223372036854775807"),
        AtLeast(0), ClusterWide, Honoured;
    Long "replica.alter.log.dirs.io.max.bytes.per.second" = Some("9223372036854775807"),
        AtLeast(0), ClusterWide, Honoured;
};

/// Sorted by name.
pub const KEYS: &[KeyDef] = keys! {
    Text "advertised.listeners" = None, Any, PerBroker, Honoured;
    Class "alter.config.policy.class.name" = None, Any, ReadOnly, POLICY;
    Bool "alter.config.policy.kraft.compatibility.enable" = Some("false"),
        Any, ReadOnly, NO_POLICY;
    Int "alter.log.dirs.replication.quota.window.num" = Some("11"), AtLeast(1), ReadOnly, Honoured;
    Int "alter.log.dirs.replication.quota.window.size.seconds" = Some("1"),
        AtLeast(1), ReadOnly, Honoured;
    Text "authorizer.class.name" = Some(""), Any, ReadOnly, SECURITY;
    Bool "auto.create.topics.enable" = Some("true"), Any, ReadOnly, Honoured;
    Bool "auto.include.jmx.reporter" = Some("true"), Any, ReadOnly, METRICS;
    Bool "auto.leader.rebalance.enable" = Some("true"), Any, ReadOnly, Honoured;
    Int "background.threads" = Some("10"), AtLeast(1), ClusterWide, THREADS;
    Int "broker.heartbeat.interval.ms" = Some("2000"), Any, ReadOnly, KRAFT;
    Int "broker.id" = Some("-1"), Any, ReadOnly, Honoured;
    Bool "broker.id.generation.enable" = Some("true"), Any, ReadOnly, Honoured;
    Text "broker.rack" = None, Any, ReadOnly, Honoured;
    Int "broker.session.timeout.ms" = Some("9000"), Any, ReadOnly, KRAFT;
    Class "client.quota.callback.class" = None, Any, ReadOnly, QUOTA;
    Int "compression.gzip.level" = Some("-1"), BetweenOr(1, 9, -1), ClusterWide, Honoured;
    Int "compression.lz4.level" = Some("9"), Between(1, 17), ClusterWide, Honoured;
    Text "compression.type" = Some("producer"),
        OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
        ClusterWide, Honoured;
    Int "compression.zstd.level" = Some("3"), Between(-131072, 22), ClusterWide, Honoured;
    Int "connection.failed.authentication.delay.ms" = Some("100"), AtLeast(0), ReadOnly, SASL;
    Long "connections.max.idle.ms" = Some("600000"), Any, ReadOnly, Honoured;
    Long "connections.max.reauth.ms" = Some("0"), Any, ReadOnly, SASL;
    Text "control.plane.listener.name" = None, Any, ReadOnly, CONTROL_PLANE;
    Bool "controlled.shutdown.enable" = Some("true"), Any, ReadOnly, Honoured;
    Int "controlled.shutdown.max.retries" = Some("3"), Any, ReadOnly, Honoured;
    Long "controlled.shutdown.retry.backoff.ms" = Some("5000"), Any, ReadOnly, Honoured;
    Text "controller.listener.names" = None, Any, ReadOnly, NO_KRAFT;
    Int "controller.quorum.append.linger.ms" = Some("25"), Any, ReadOnly, KRAFT;
    List "controller.quorum.bootstrap.servers" = Some(""), Any, ReadOnly, KRAFT;
    Int "controller.quorum.election.backoff.max.ms" = Some("1000"), Any, ReadOnly, KRAFT;
    Int "controller.quorum.election.timeout.ms" = Some("1000"), Any, ReadOnly, KRAFT;
    Int "controller.quorum.fetch.timeout.ms" = Some("2000"), Any, ReadOnly, KRAFT;
    Int "controller.quorum.request.timeout.ms" = Some("2000"), Any, ReadOnly, KRAFT;
    Int "controller.quorum.retry.backoff.ms" = Some("20"), Any, ReadOnly, KRAFT;
    List "controller.quorum.voters" = Some(""), Any, ReadOnly, KRAFT;
    Int "controller.quota.window.num" = Some("11"), AtLeast(1), ReadOnly, QUOTA;
    Int "controller.quota.window.size.seconds" = Some("1"), AtLeast(1), ReadOnly, QUOTA;
    Int "controller.socket.timeout.ms" = Some("30000"), Any, ReadOnly, Honoured;
    Class "create.topic.policy.class.name" = None, Any, ReadOnly, POLICY;
    Int "default.replication.factor" = Some("1"), Any, ReadOnly, Honoured;
    Long "delegation.token.expiry.check.interval.ms" = Some("3600000"),
        AtLeast(1), ReadOnly, TOKENS;
    Long "delegation.token.expiry.time.ms" = Some("86400000"), AtLeast(1), ReadOnly, TOKENS;
    Password "delegation.token.master.key" = None, Any, ReadOnly, SECURITY;
    Long "delegation.token.max.lifetime.ms" = Some("604800000"), AtLeast(1), ReadOnly, TOKENS;
    Password "delegation.token.secret.key" = None, Any, ReadOnly, SECURITY;
    Int "delete.records.purgatory.purge.interval.requests" = Some("1"), Any, ReadOnly, PURGATORY;
    Bool "delete.topic.enable" = Some("true"), Any, ReadOnly, Honoured;
    Text "early.start.listeners" = None, Any, ReadOnly, KRAFT;
    Bool "eligible.leader.replicas.enable" = Some("false"), Any, ReadOnly, KRAFT;
    Int "fetch.max.bytes" = Some("57671680"), AtLeast(1024), ReadOnly, Honoured;
    Int "fetch.purgatory.purge.interval.requests" = Some("1000"), Any, ReadOnly, PURGATORY;
    List "group.consumer.assignors" = Some(ASSIGNORS),
        Any, ReadOnly, Honoured;
    Int "group.consumer.heartbeat.interval.ms" = Some("5000"), AtLeast(1), ReadOnly, Honoured;
    Int "group.consumer.max.heartbeat.interval.ms" = Some("15000"), AtLeast(1), ReadOnly, Honoured;
    Int "group.consumer.max.session.timeout.ms" = Some("60000"), AtLeast(1), ReadOnly, Honoured;
    Int "group.consumer.max.size" = Some("2147483647"), AtLeast(1), ReadOnly, Honoured;
    Text "group.consumer.migration.policy" = Some("disabled"),
        Any, ReadOnly, Honoured;
    Int "group.consumer.min.heartbeat.interval.ms" = Some("5000"), AtLeast(1), ReadOnly, Honoured;
    Int "group.consumer.min.session.timeout.ms" = Some("45000"), AtLeast(1), ReadOnly, Honoured;
    Int "group.consumer.session.timeout.ms" = Some("45000"), AtLeast(1), ReadOnly, Honoured;
    Int "group.coordinator.append.linger.ms" = Some("10"), AtLeast(0), ReadOnly, KRAFT;
    Bool "group.coordinator.new.enable" = Some("false"), Any, ReadOnly, KRAFT;
    List "group.coordinator.rebalance.protocols" = Some("classic"),
        EachOf(&["consumer", "classic", "share", "unknown"]), ReadOnly, Honoured;
    Int "group.coordinator.threads" = Some("1"), AtLeast(1), ReadOnly, KRAFT;
    Int "group.initial.rebalance.delay.ms" = Some("3000"), Any, ReadOnly, Honoured;
    Int "group.max.session.timeout.ms" = Some("1800000"), Any, ReadOnly, Honoured;
    Int "group.max.size" = Some("2147483647"), AtLeast(1), ReadOnly, Honoured;
    Int "group.min.session.timeout.ms" = Some("6000"), Any, ReadOnly, Honoured;
    Int "group.share.delivery.count.limit" = Some("5"), Between(2, 10), ReadOnly, KRAFT;
    Bool "group.share.enable" = Some("false"), Any, ReadOnly, KRAFT;
    Int "group.share.heartbeat.interval.ms" = Some("5000"), AtLeast(1), ReadOnly, KRAFT;
    Short "group.share.max.groups" = Some("10"), Between(1, 100), ReadOnly, KRAFT;
    Int "group.share.max.heartbeat.interval.ms" = Some("15000"), AtLeast(1), ReadOnly, KRAFT;
    Int "group.share.max.record.lock.duration.ms" = Some("60000"),
        Between(30000, 3600000), ReadOnly, KRAFT;
    Int "group.share.max.session.timeout.ms" = Some("60000"), AtLeast(1), ReadOnly, KRAFT;
    Short "group.share.max.size" = Some("200"), Between(10, 1000), ReadOnly, KRAFT;
    Int "group.share.min.heartbeat.interval.ms" = Some("5000"), AtLeast(1), ReadOnly, KRAFT;
    Int "group.share.min.record.lock.duration.ms" = Some("15000"),
        Between(1000, 30000), ReadOnly, KRAFT;
    Int "group.share.min.session.timeout.ms" = Some("45000"), AtLeast(1), ReadOnly, KRAFT;
    Int "group.share.partition.max.record.locks" = Some("200"),
        Between(100, 10000), ReadOnly, KRAFT;
    Int "group.share.record.lock.duration.ms" = Some("30000"),
        Between(1000, 60000), ReadOnly, KRAFT;
    Int "group.share.session.timeout.ms" = Some("45000"), AtLeast(1), ReadOnly, KRAFT;
    Int "initial.broker.registration.timeout.ms" = Some("60000"), Any, ReadOnly, KRAFT;
    Text "inter.broker.listener.name" = None, Any, ReadOnly, Honoured;
    Text "inter.broker.protocol.version" = Some("3.9-IV0"),
        Release(&["3.9", "3.9-IV0"]), ReadOnly, Honoured;
    Int "kafka.metrics.polling.interval.secs" = Some("10"), AtLeast(1), ReadOnly, METRICS;
    List "kafka.metrics.reporters" = Some(""), Any, ReadOnly, METRICS;
    Long "leader.imbalance.check.interval.seconds" = Some("300"), AtLeast(1), ReadOnly, Honoured;
    Int "leader.imbalance.per.broker.percentage" = Some("10"), Any, ReadOnly, Honoured;
    Text "listener.security.protocol.map" = Some(PROTOCOL_MAP),
        Any, PerBroker, Honoured;
    Text "listeners" = Some("PLAINTEXT://:9092"), Any, PerBroker, Honoured;
    Long "log.cleaner.backoff.ms" = Some("15000"), AtLeast(0), ClusterWide, Honoured;
    Long "log.cleaner.dedupe.buffer.size" = Some("134217728"), Any, ClusterWide, Honoured;
    Long "log.cleaner.delete.retention.ms" = Some("86400000"), AtLeast(0), ClusterWide, Honoured;
    Bool "log.cleaner.enable" = Some("true"), Any, ReadOnly, Honoured;
    Double "log.cleaner.io.buffer.load.factor" = Some("0.9"), Any, ClusterWide, Honoured;
    Int "log.cleaner.io.buffer.size" = Some("524288"), AtLeast(0), ClusterWide, Honoured;
    Double "log.cleaner.io.max.bytes.per.second" = Some("1.7976931348623157E308"),
        Any, ClusterWide, Honoured;
    Long "log.cleaner.max.compaction.lag.ms" = Some("9223372036854775807"),
        AtLeast(1), ClusterWide, Honoured;
    Double "log.cleaner.min.cleanable.ratio" = Some("0.5"), Ratio(1.0), ClusterWide, Honoured;
    Long "log.cleaner.min.compaction.lag.ms" = Some("0"), AtLeast(0), ClusterWide, Honoured;
    Int "log.cleaner.threads" = Some("1"), AtLeast(0), ClusterWide, Honoured;
    List "log.cleanup.policy" = Some("delete"),
        EachOf(&["compact", "delete"]), ClusterWide, Honoured;
    Text "log.dir" = Some("/tmp/kafka-logs"), Any, ReadOnly, Honoured;
    Long "log.dir.failure.timeout.ms" = Some("30000"), AtLeast(1), ReadOnly, KRAFT;
    Text "log.dirs" = None, Any, ReadOnly, Honoured;
    Long "log.flush.interval.messages" = Some("9223372036854775807"),
        AtLeast(1), ClusterWide, Honoured;
    Long "log.flush.interval.ms" = None, Any, ClusterWide, Honoured;
    Int "log.flush.offset.checkpoint.interval.ms" = Some("60000"), AtLeast(0), ReadOnly, Honoured;
    Long "log.flush.scheduler.interval.ms" = Some("9223372036854775807"), Any, ReadOnly, Honoured;
    Int "log.flush.start.offset.checkpoint.interval.ms" = Some("60000"),
        AtLeast(0), ReadOnly, LOG_STARTS;
    Int "log.index.interval.bytes" = Some("4096"), AtLeast(0), ClusterWide, Honoured;
    Int "log.index.size.max.bytes" = Some("10485760"), AtLeast(4), ClusterWide, Honoured;
    Long "log.initial.task.delay.ms" = Some("30000"), AtLeast(0), ReadOnly, Honoured;
    Long "log.local.retention.bytes" = Some("-2"), AtLeast(-2), ClusterWide, TIERED;
    Long "log.local.retention.ms" = Some("-2"), AtLeast(-2), ClusterWide, TIERED;
    Bool "log.message.downconversion.enable" = Some("true"), Any, ClusterWide, Honoured;
    Text "log.message.format.version" = Some("3.0-IV1"), FormatVersion, ReadOnly, FORMAT;
    Long "log.message.timestamp.after.max.ms" = Some("9223372036854775807"),
        AtLeast(0), ClusterWide, Honoured;
    Long "log.message.timestamp.before.max.ms" = Some("9223372036854775807"),
        AtLeast(0), ClusterWide, Honoured;
    Long "log.message.timestamp.difference.max.ms" = Some("9223372036854775807"),
        AtLeast(0), ClusterWide, Honoured;
    Text "log.message.timestamp.type" = Some("CreateTime"),
        OneOf(&["CreateTime", "LogAppendTime"]), ClusterWide, Honoured;
    Bool "log.preallocate" = Some("false"), Any, ClusterWide, PREALLOCATE;
    Long "log.retention.bytes" = Some("-1"), Any, ClusterWide, Honoured;
    Long "log.retention.check.interval.ms" = Some("300000"), AtLeast(1), ReadOnly, Honoured;
    Int "log.retention.hours" = Some("168"), Any, ReadOnly, Honoured;
    Int "log.retention.minutes" = None, Any, ReadOnly, Honoured;
    Long "log.retention.ms" = None, Any, ClusterWide, Honoured;
    Int "log.roll.hours" = Some("168"), AtLeast(1), ReadOnly, Honoured;
    Int "log.roll.jitter.hours" = Some("0"), AtLeast(0), ReadOnly, Honoured;
    Long "log.roll.jitter.ms" = None, Any, ClusterWide, Honoured;
    Long "log.roll.ms" = None, Any, ClusterWide, Honoured;
    Int "log.segment.bytes" = Some("1073741824"), AtLeast(14), ClusterWide, Honoured;
    Long "log.segment.delete.delay.ms" = Some("60000"), AtLeast(0), ClusterWide, Honoured;
    Int "max.connection.creation.rate" = Some("2147483647"), AtLeast(0), ClusterWide, Honoured;
    Int "max.connections" = Some("2147483647"), AtLeast(0), ClusterWide, Honoured;
    Int "max.connections.per.ip" = Some("2147483647"), AtLeast(0), ClusterWide, Honoured;
    Text "max.connections.per.ip.overrides" = Some(""), Any, ClusterWide, Honoured;
    Int "max.incremental.fetch.session.cache.slots" = Some("1000"), AtLeast(0), ReadOnly, Honoured;
    Int "max.request.partition.size.limit" = Some("2000"), AtLeast(1), ReadOnly, KRAFT;
    Int "message.max.bytes" = Some("1048588"), AtLeast(0), ClusterWide, Honoured;
    Text "metadata.log.dir" = None, Any, ReadOnly, KRAFT;
    Long "metadata.log.max.record.bytes.between.snapshots" = Some("20971520"),
        AtLeast(1), ReadOnly, KRAFT;
    Long "metadata.log.max.snapshot.interval.ms" = Some("3600000"), AtLeast(0), ReadOnly, KRAFT;
    Int "metadata.log.segment.bytes" = Some("1073741824"), AtLeast(12), ReadOnly, KRAFT;
    Int "metadata.log.segment.min.bytes" = Some("8388608"), AtLeast(12), ReadOnly, KRAFT;
    Long "metadata.log.segment.ms" = Some("604800000"), Any, ReadOnly, KRAFT;
    Int "metadata.max.idle.interval.ms" = Some("500"), AtLeast(0), ReadOnly, KRAFT;
    Long "metadata.max.retention.bytes" = Some("104857600"), Any, ReadOnly, KRAFT;
    Long "metadata.max.retention.ms" = Some("604800000"), Any, ReadOnly, KRAFT;
    List "metric.reporters" = Some(""), Any, ClusterWide, METRICS;
    Int "metrics.num.samples" = Some("2"), AtLeast(1), ReadOnly, METRICS;
    Text "metrics.recording.level" = Some("INFO"), Any, ReadOnly, METRICS;
    Long "metrics.sample.window.ms" = Some("30000"), AtLeast(1), ReadOnly, METRICS;
    Int "min.insync.replicas" = Some("1"), AtLeast(1), ClusterWide, Honoured;
    Int "node.id" = Some("-1"), Any, ReadOnly, Honoured;
    Int "num.io.threads" = Some("8"), AtLeast(1), ClusterWide, THREADS;
    Int "num.network.threads" = Some("3"), AtLeast(1), ClusterWide, THREADS;
    Int "num.partitions" = Some("1"), AtLeast(1), ReadOnly, Honoured;
    Int "num.recovery.threads.per.data.dir" = Some("1"), AtLeast(1), ClusterWide, Honoured;
    Int "num.replica.alter.log.dirs.threads" = None, Any, ReadOnly, Honoured;
    Int "num.replica.fetchers" = Some("1"), Any, ClusterWide, Honoured;
    Int "offset.metadata.max.bytes" = Some("4096"), Any, ReadOnly, Honoured;
    Short "offsets.commit.required.acks" = Some("-1"), Any, ReadOnly, Honoured;
    Int "offsets.commit.timeout.ms" = Some("5000"), AtLeast(1), ReadOnly, Honoured;
    Int "offsets.load.buffer.size" = Some("5242880"), AtLeast(1), ReadOnly, Honoured;
    Long "offsets.retention.check.interval.ms" = Some("600000"), AtLeast(1), ReadOnly, Honoured;
    Int "offsets.retention.minutes" = Some("10080"), AtLeast(1), ReadOnly, Honoured;
    Int "offsets.topic.compression.codec" = Some("0"), Any, ReadOnly, Honoured;
    Int "offsets.topic.num.partitions" = Some("50"), AtLeast(1), ReadOnly, Honoured;
    Short "offsets.topic.replication.factor" = Some("3"), AtLeast(1), ReadOnly, Honoured;
    Int "offsets.topic.segment.bytes" = Some("104857600"), AtLeast(1), ReadOnly, Honoured;
    Int "ottla.connection.inflight.max" = Some("16"), Between(1, 1024), ReadOnly, Honoured;
    Bool "ottla.controller.eligible" = Some("true"), Any, ReadOnly, Honoured;
    Long "ottla.decompression.memory.bytes" = Some("1073741824"),
        AtLeast(1048576), ReadOnly, Honoured;
    Bool "ottla.fence.on.session.loss" = Some("false"), Any, ReadOnly, Honoured;
    Int "ottla.frame.timeout.ms" = Some("30000"), AtLeast(100), ReadOnly, Honoured;
    Text "ottla.http.listener" = Some("127.0.0.1:9643"), Any, ReadOnly, Honoured;
    List "ottla.io.disable" = Some(""), EachOf(PROBES), ReadOnly, Honoured;
    List "ottla.log.accept.loss" = Some(""), Any, ReadOnly, Honoured;
    Text "ottla.log.format" = Some("text"), OneOf(&["text", "json"]), ReadOnly, Honoured;
    Text "ottla.log.level" = Some("info"), Any, ReadOnly, Honoured;
    Long "ottla.request.memory.bytes" = Some("268435456"), AtLeast(1048576), ReadOnly, Honoured;
    Long "ottla.response.memory.bytes" = Some("134217728"), AtLeast(1048576), ReadOnly, Honoured;
    Bool "ottla.session.guard" = Some("true"), Any, ReadOnly, Honoured;
    Text "password.encoder.cipher.algorithm" = Some("AES/CBC/PKCS5Padding"),
        Any, ReadOnly, SECRETS;
    Int "password.encoder.iterations" = Some("4096"), AtLeast(1024), ReadOnly, SECRETS;
    Int "password.encoder.key.length" = Some("128"), AtLeast(8), ReadOnly, SECRETS;
    Text "password.encoder.keyfactory.algorithm" = None, Any, ReadOnly, SECRETS;
    Password "password.encoder.old.secret" = None, Any, ReadOnly, SECRETS;
    Password "password.encoder.secret" = None, Any, ReadOnly, SECRETS;
    Class "principal.builder.class" = Some(PRINCIPAL_BUILDER),
        Any, PerBroker, SECURITY;
    List "process.roles" = Some(""), EachOf(&["broker", "controller"]), ReadOnly, NO_KRAFT;
    Int "producer.id.expiration.check.interval.ms" = Some("600000"), AtLeast(1), ReadOnly, Honoured;
    Int "producer.id.expiration.ms" = Some("86400000"), AtLeast(1), ClusterWide, Honoured;
    Int "producer.purgatory.purge.interval.requests" = Some("1000"), Any, ReadOnly, PURGATORY;
    Long "queued.max.request.bytes" = Some("-1"), Any, ReadOnly, Honoured;
    Int "queued.max.requests" = Some("500"), AtLeast(1), ReadOnly, THREADS;
    Int "quota.window.num" = Some("11"), AtLeast(1), ReadOnly, QUOTA;
    Int "quota.window.size.seconds" = Some("1"), AtLeast(1), ReadOnly, QUOTA;
    Int "remote.fetch.max.wait.ms" = Some("500"), AtLeast(1), ClusterWide, TIERED;
    Long "remote.log.index.file.cache.total.size.bytes" = Some("1073741824"),
        AtLeast(1), ClusterWide, TIERED;
    Int "remote.log.manager.copier.thread.pool.size" = Some("-1"), Any, ReadOnly, TIERED;
    Long "remote.log.manager.copy.max.bytes.per.second" = Some("9223372036854775807"),
        AtLeast(1), ClusterWide, TIERED;
    Int "remote.log.manager.copy.quota.window.num" = Some("11"), AtLeast(1), ReadOnly, TIERED;
    Int "remote.log.manager.copy.quota.window.size.seconds" = Some("1"),
        AtLeast(1), ReadOnly, TIERED;
    Int "remote.log.manager.expiration.thread.pool.size" = Some("-1"), Any, ReadOnly, TIERED;
    Long "remote.log.manager.fetch.max.bytes.per.second" = Some("9223372036854775807"),
        AtLeast(1), ClusterWide, TIERED;
    Int "remote.log.manager.fetch.quota.window.num" = Some("11"), AtLeast(1), ReadOnly, TIERED;
    Int "remote.log.manager.fetch.quota.window.size.seconds" = Some("1"),
        AtLeast(1), ReadOnly, TIERED;
    Long "remote.log.manager.task.interval.ms" = Some("30000"), AtLeast(1), ReadOnly, TIERED;
    Long "remote.log.manager.task.retry.backoff.max.ms" = Some("30000"),
        AtLeast(1), ReadOnly, TIERED;
    Long "remote.log.manager.task.retry.backoff.ms" = Some("500"), AtLeast(1), ReadOnly, TIERED;
    Double "remote.log.manager.task.retry.jitter" = Some("0.2"), Ratio(0.5), ReadOnly, TIERED;
    Int "remote.log.manager.thread.pool.size" = Some("10"), AtLeast(1), ReadOnly, TIERED;
    Int "remote.log.metadata.custom.metadata.max.bytes" = Some("128"), AtLeast(0), ReadOnly, TIERED;
    Text "remote.log.metadata.manager.class.name" = Some(REMOTE_METADATA),
        Any, ReadOnly, TIERED;
    Text "remote.log.metadata.manager.class.path" = None, Any, ReadOnly, TIERED;
    Text "remote.log.metadata.manager.impl.prefix" = Some("rlmm.config."), Any, ReadOnly, TIERED;
    Text "remote.log.metadata.manager.listener.name" = None, Any, ReadOnly, TIERED;
    Int "remote.log.reader.max.pending.tasks" = Some("100"), AtLeast(1), ReadOnly, TIERED;
    Int "remote.log.reader.threads" = Some("10"), AtLeast(1), ReadOnly, TIERED;
    Text "remote.log.storage.manager.class.name" = None, Any, ReadOnly, TIERED;
    Text "remote.log.storage.manager.class.path" = None, Any, ReadOnly, TIERED;
    Text "remote.log.storage.manager.impl.prefix" = Some("rsm.config."), Any, ReadOnly, TIERED;
    Bool "remote.log.storage.system.enable" = Some("false"), Any, ReadOnly, NO_TIERS;
    Int "replica.fetch.backoff.ms" = Some("1000"), AtLeast(0), ReadOnly, Honoured;
    Int "replica.fetch.max.bytes" = Some("1048576"), AtLeast(0), ReadOnly, Honoured;
    Int "replica.fetch.min.bytes" = Some("1"), Any, ReadOnly, Honoured;
    Int "replica.fetch.response.max.bytes" = Some("10485760"), AtLeast(0), ReadOnly, Honoured;
    Int "replica.fetch.wait.max.ms" = Some("500"), Any, ReadOnly, Honoured;
    Long "replica.high.watermark.checkpoint.interval.ms" = Some("5000"), Any, ReadOnly, Honoured;
    Long "replica.lag.time.max.ms" = Some("30000"), Any, ReadOnly, Honoured;
    Text "replica.selector.class" = None, OneOf(SELECTORS), ReadOnly, Honoured;
    Int "replica.socket.receive.buffer.bytes" = Some("65536"), Any, ReadOnly, FOLLOWER;
    Int "replica.socket.timeout.ms" = Some("30000"), Any, ReadOnly, Honoured;
    Int "replication.quota.window.num" = Some("11"), AtLeast(1), ReadOnly, Honoured;
    Int "replication.quota.window.size.seconds" = Some("1"), AtLeast(1), ReadOnly, Honoured;
    Int "request.timeout.ms" = Some("30000"), Any, ReadOnly, Honoured;
    Int "reserved.broker.max.id" = Some("1000"), AtLeast(0), ReadOnly, Honoured;
    Class "sasl.client.callback.handler.class" = None, Any, ReadOnly, SASL;
    List "sasl.enabled.mechanisms" = Some("GSSAPI"), Any, PerBroker, SASL;
    Password "sasl.jaas.config" = None, Any, PerBroker, SASL;
    Text "sasl.kerberos.kinit.cmd" = Some("/usr/bin/kinit"), Any, PerBroker, SASL;
    Long "sasl.kerberos.min.time.before.relogin" = Some("60000"), Any, PerBroker, SASL;
    List "sasl.kerberos.principal.to.local.rules" = Some("DEFAULT"), Any, PerBroker, SASL;
    Text "sasl.kerberos.service.name" = None, Any, PerBroker, SASL;
    Double "sasl.kerberos.ticket.renew.jitter" = Some("0.05"), Any, PerBroker, SASL;
    Double "sasl.kerberos.ticket.renew.window.factor" = Some("0.8"), Any, PerBroker, SASL;
    Class "sasl.login.callback.handler.class" = None, Any, ReadOnly, SASL;
    Class "sasl.login.class" = None, Any, ReadOnly, SASL;
    Int "sasl.login.connect.timeout.ms" = None, Any, ReadOnly, SASL;
    Int "sasl.login.read.timeout.ms" = None, Any, ReadOnly, SASL;
    Short "sasl.login.refresh.buffer.seconds" = Some("300"), Any, PerBroker, SASL;
    Short "sasl.login.refresh.min.period.seconds" = Some("60"), Any, PerBroker, SASL;
    Double "sasl.login.refresh.window.factor" = Some("0.8"), Any, PerBroker, SASL;
    Double "sasl.login.refresh.window.jitter" = Some("0.05"), Any, PerBroker, SASL;
    Long "sasl.login.retry.backoff.max.ms" = Some("10000"), Any, ReadOnly, SASL;
    Long "sasl.login.retry.backoff.ms" = Some("100"), Any, ReadOnly, SASL;
    Text "sasl.mechanism.controller.protocol" = Some("GSSAPI"), Any, ReadOnly, KRAFT;
    Text "sasl.mechanism.inter.broker.protocol" = Some("GSSAPI"), Any, PerBroker, SASL;
    Int "sasl.oauthbearer.clock.skew.seconds" = Some("30"), Any, ReadOnly, SASL;
    List "sasl.oauthbearer.expected.audience" = None, Any, ReadOnly, SASL;
    Text "sasl.oauthbearer.expected.issuer" = None, Any, ReadOnly, SASL;
    Long "sasl.oauthbearer.jwks.endpoint.refresh.ms" = Some("3600000"), Any, ReadOnly, SASL;
    Long "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms" = Some("10000"),
        Any, ReadOnly, SASL;
    Long "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms" = Some("100"), Any, ReadOnly, SASL;
    Text "sasl.oauthbearer.jwks.endpoint.url" = None, Any, ReadOnly, SASL;
    Text "sasl.oauthbearer.scope.claim.name" = Some("scope"), Any, ReadOnly, SASL;
    Text "sasl.oauthbearer.sub.claim.name" = Some("sub"), Any, ReadOnly, SASL;
    Text "sasl.oauthbearer.token.endpoint.url" = None, Any, ReadOnly, SASL;
    Class "sasl.server.callback.handler.class" = None, Any, ReadOnly, SASL;
    Int "sasl.server.max.receive.size" = Some("524288"), Any, ReadOnly, SASL;
    Text "security.inter.broker.protocol" = Some("PLAINTEXT"),
        OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]), ReadOnly, SECURITY;
    Text "security.providers" = None, Any, ReadOnly, SECRETS;
    Long "server.max.startup.time.ms" = Some("9223372036854775807"), AtLeast(0), ReadOnly, KRAFT;
    Long "socket.connection.setup.timeout.max.ms" = Some("30000"), Any, ReadOnly, SETUP;
    Long "socket.connection.setup.timeout.ms" = Some("10000"), Any, ReadOnly, SETUP;
    Int "socket.listen.backlog.size" = Some("50"), AtLeast(1), ReadOnly, Honoured;
    Int "socket.receive.buffer.bytes" = Some("102400"), Any, ReadOnly, Honoured;
    Int "socket.request.max.bytes" = Some("104857600"), AtLeast(1), ReadOnly, Honoured;
    Int "socket.send.buffer.bytes" = Some("102400"), Any, ReadOnly, Honoured;
    Bool "ssl.allow.dn.changes" = Some("false"), Any, ReadOnly, TLS;
    Bool "ssl.allow.san.changes" = Some("false"), Any, ReadOnly, TLS;
    List "ssl.cipher.suites" = Some(""), Any, PerBroker, TLS;
    Text "ssl.client.auth" = Some("none"),
        OneOf(&["required", "requested", "none"]), PerBroker, TLS;
    List "ssl.enabled.protocols" = Some("TLSv1.2,TLSv1.3"), Any, PerBroker, TLS;
    Text "ssl.endpoint.identification.algorithm" = Some("https"), Any, PerBroker, TLS;
    Class "ssl.engine.factory.class" = None, Any, PerBroker, TLS;
    Password "ssl.key.password" = None, Any, PerBroker, TLS;
    Text "ssl.keymanager.algorithm" = Some("SunX509"), Any, PerBroker, TLS;
    Password "ssl.keystore.certificate.chain" = None, Any, PerBroker, TLS;
    Password "ssl.keystore.key" = None, Any, PerBroker, TLS;
    Text "ssl.keystore.location" = None, Any, PerBroker, TLS;
    Password "ssl.keystore.password" = None, Any, PerBroker, TLS;
    Text "ssl.keystore.type" = Some("JKS"), Any, PerBroker, TLS;
    Text "ssl.principal.mapping.rules" = Some("DEFAULT"), Any, ReadOnly, TLS;
    Text "ssl.protocol" = Some("TLSv1.3"), Any, PerBroker, TLS;
    Text "ssl.provider" = None, Any, PerBroker, TLS;
    Text "ssl.secure.random.implementation" = None, Any, PerBroker, TLS;
    Text "ssl.trustmanager.algorithm" = Some("PKIX"), Any, PerBroker, TLS;
    Password "ssl.truststore.certificates" = None, Any, PerBroker, TLS;
    Text "ssl.truststore.location" = None, Any, PerBroker, TLS;
    Password "ssl.truststore.password" = None, Any, PerBroker, TLS;
    Text "ssl.truststore.type" = Some("JKS"), Any, PerBroker, TLS;
    Int "telemetry.max.bytes" = Some("1048576"), AtLeast(1), ReadOnly, KRAFT;
    Int "transaction.abort.timed.out.transaction.cleanup.interval.ms" = Some("10000"),
        AtLeast(1), ReadOnly, Honoured;
    Int "transaction.max.timeout.ms" = Some("900000"), AtLeast(1), ReadOnly, Honoured;
    Bool "transaction.partition.verification.enable" = Some("true"), Any, ClusterWide, Honoured;
    Int "transaction.remove.expired.transaction.cleanup.interval.ms" = Some("3600000"),
        AtLeast(1), ReadOnly, Honoured;
    Int "transaction.state.log.load.buffer.size" = Some("5242880"), AtLeast(1), ReadOnly, Honoured;
    Int "transaction.state.log.min.isr" = Some("2"), AtLeast(1), ReadOnly, Honoured;
    Int "transaction.state.log.num.partitions" = Some("50"), AtLeast(1), ReadOnly, Honoured;
    Short "transaction.state.log.replication.factor" = Some("3"), AtLeast(1), ReadOnly, Honoured;
    Int "transaction.state.log.segment.bytes" = Some("104857600"), AtLeast(1), ReadOnly, Honoured;
    Int "transactional.id.expiration.ms" = Some("604800000"), AtLeast(1), ReadOnly, Honoured;
    Bool "unclean.leader.election.enable" = Some("false"), Any, ClusterWide, Honoured;
    Long "unclean.leader.election.interval.ms" = Some("300000"), AtLeast(1), ReadOnly, KRAFT;
    Bool "unstable.api.versions.enable" = Some("false"), Any, ReadOnly, KRAFT;
    Bool "unstable.feature.versions.enable" = Some("false"), Any, ReadOnly, KRAFT;
    Text "zookeeper.clientCnxnSocket" = None, Any, ReadOnly, ZK_SOCKET;
    Text "zookeeper.connect" = None, Any, ReadOnly, Honoured;
    Int "zookeeper.connection.timeout.ms" = None, Any, ReadOnly, Honoured;
    Int "zookeeper.max.in.flight.requests" = Some("10"), AtLeast(1), ReadOnly, Honoured;
    Bool "zookeeper.metadata.migration.enable" = Some("false"), Any, ReadOnly, NO_KRAFT;
    Int "zookeeper.metadata.migration.min.batch.size" = Some("200"), AtLeast(1), ReadOnly, KRAFT;
    Int "zookeeper.session.timeout.ms" = Some("18000"), Any, ReadOnly, Honoured;
    Bool "zookeeper.set.acl" = Some("false"), Any, ReadOnly, SECURITY;
    List "zookeeper.ssl.cipher.suites" = None, Any, ReadOnly, ZK_TLS;
    Bool "zookeeper.ssl.client.enable" = Some("false"), Any, ReadOnly, SECURITY;
    Bool "zookeeper.ssl.crl.enable" = Some("false"), Any, ReadOnly, ZK_TLS;
    List "zookeeper.ssl.enabled.protocols" = None, Any, ReadOnly, ZK_TLS;
    Text "zookeeper.ssl.endpoint.identification.algorithm" = Some("HTTPS"), Any, ReadOnly, ZK_TLS;
    Text "zookeeper.ssl.keystore.location" = None, Any, ReadOnly, ZK_TLS;
    Password "zookeeper.ssl.keystore.password" = None, Any, ReadOnly, ZK_TLS;
    Text "zookeeper.ssl.keystore.type" = None, Any, ReadOnly, ZK_TLS;
    Bool "zookeeper.ssl.ocsp.enable" = Some("false"), Any, ReadOnly, ZK_TLS;
    Text "zookeeper.ssl.protocol" = Some("TLSv1.2"), Any, ReadOnly, ZK_TLS;
    Text "zookeeper.ssl.truststore.location" = None, Any, ReadOnly, ZK_TLS;
    Password "zookeeper.ssl.truststore.password" = None, Any, ReadOnly, ZK_TLS;
    Text "zookeeper.ssl.truststore.type" = None, Any, ReadOnly, ZK_TLS;
};
