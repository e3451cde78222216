//! The group coordinator in this broker: its settings, its log, and what the controller's orders
//! mean to it. Knows nothing of requests.

use std::sync::Arc;

use coordinator::group::GroupConfig;
use coordinator::group::consumer::assignor::Assignor;
use coordinator::group::consumer::{ConsumerGroupConfig, MigrationPolicy};
use coordinator::group::service::{GroupService, OFFSETS_TOPIC};
use coordinator::shard::directory::Spawn;
use coordinator::shard::run::{Environment, ShardConfig};
use coordinator::shard::writer::PartitionWriter;
use coordinator::shard::{Clock as ShardClock, Now};
use metadata::retry;
use metadata::store::{MetadataStore, StoreError};
use metadata::znodes::topic;
use protocol::ids::TopicPartition;
use protocol::records::codec::Codec;

use crate::clock::Clock;
use crate::config::BrokerConfig;
use crate::replication::manager::{Obeyed, StopOrder};
use crate::tasks::Tasks;

const MINUTE_MS: i64 = 60_000;

/// The coordinator as configured; it leads nothing until `took_roles` says so.
pub fn service(
    config: &BrokerConfig,
    clock: Clock,
    tasks: &Arc<Tasks>,
    writer: Arc<dyn PartitionWriter>,
) -> GroupService {
    let tasks = tasks.clone();
    let spawn: Spawn = Arc::new(move |task| tasks.spawn_until_stop(task));
    let environment = Environment {
        writer,
        clock: Arc::new(BrokerClock(clock)),
        config: ShardConfig {
            append_timeout_ms: clamped(config.long("offsets.commit.timeout.ms")),
            load_bytes: clamped(config.long("offsets.load.buffer.size")) as usize,
            codec: codec(config.long("offsets.topic.compression.codec")),
            ..ShardConfig::default()
        },
    };
    let partitions = config.long("offsets.topic.num.partitions");
    GroupService::new(settings(config), environment, spawn, int(partitions))
}

fn settings(config: &BrokerConfig) -> GroupConfig {
    GroupConfig {
        min_session_timeout_ms: int(config.long("group.min.session.timeout.ms")),
        max_session_timeout_ms: int(config.long("group.max.session.timeout.ms")),
        initial_rebalance_delay_ms: int(config.long("group.initial.rebalance.delay.ms")),
        max_size: int(config.long("group.max.size")),
        offset_metadata_max_units: clamped(config.long("offset.metadata.max.bytes")) as usize,
        offsets_retention_ms: config.long("offsets.retention.minutes") * MINUTE_MS,
        retention_check_interval_ms: config.long("offsets.retention.check.interval.ms"),
        commit_needs_isr: config.long("offsets.commit.required.acks") == -1,
        consumer: consumer_settings(config),
        ..GroupConfig::default()
    }
}

/// The start has checked the names.
fn consumer_settings(config: &BrokerConfig) -> ConsumerGroupConfig {
    let classes = config.list("group.consumer.assignors");
    let policy = config.text("group.consumer.migration.policy").unwrap_or_default();
    ConsumerGroupConfig {
        session_timeout_ms: int(config.long("group.consumer.session.timeout.ms")),
        heartbeat_interval_ms: int(config.long("group.consumer.heartbeat.interval.ms")),
        max_size: int(config.long("group.consumer.max.size")),
        assignors: classes.iter().filter_map(|class| Assignor::from_class(class)).collect(),
        migration: MigrationPolicy::from_name(policy).unwrap_or_default(),
    }
}

/// As near as an i32 comes.
pub fn int(value: i64) -> i32 {
    i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX })
}

/// As near as a u32 comes.
pub fn clamped(value: i64) -> u32 {
    u32::try_from(value).unwrap_or(if value < 0 { 0 } else { u32::MAX })
}

/// By Kafka's number; the start has checked that it is one.
fn codec(id: i64) -> Codec {
    i16::try_from(id).ok().and_then(|id| Codec::from_id(id).ok()).unwrap_or_default()
}

/// The offsets topic decides where groups belong. If it exists already its own number of partitions
/// holds, whatever the configuration says now.
pub async fn learn_partition_count(
    groups: &GroupService,
    store: &dyn MetadataStore,
) -> Result<(), StoreError> {
    let Some((data, _)) = retry::get(store, &topic::path(OFFSETS_TOPIC), false).await? else {
        return Ok(());
    };
    match topic::TopicAssignment::decode(OFFSETS_TOPIC, data.as_deref()) {
        Ok(znode) if znode.partitions.is_empty() => {}
        Ok(znode) => groups.set_partition_count(int(znode.partitions.len() as i64)),
        Err(error) => tracing::warn!(%error, "the offsets topic's assignment cannot be read"),
    }
    Ok(())
}

/// What a LeaderAndIsr made of the offsets topic's partitions here.
pub fn took_roles(groups: &GroupService, obeyed: &Obeyed) {
    for (partition, epoch) in obeyed.leaders.iter().filter(|(tp, _)| tp.topic == OFFSETS_TOPIC) {
        groups.elected(partition.partition, *epoch);
    }
    for (partition, epoch) in obeyed.followers.iter().filter(|(tp, _)| tp.topic == OFFSETS_TOPIC) {
        groups.resigned(partition.partition, Some(*epoch));
    }
}

/// A StopReplica took this partition away: a reassigned one is heard of in no other way.
pub fn stopped(groups: &GroupService, order: &StopOrder) {
    if order.topic == OFFSETS_TOPIC {
        let epoch = Some(order.leader_epoch).filter(|epoch| *epoch >= 0);
        groups.resigned(order.index, epoch);
    }
}

/// Partitions are gone from the cluster: nobody's offsets in them mean anything any more.
pub fn partitions_deleted(groups: &GroupService, tasks: &Tasks, deleted: Vec<TopicPartition>) {
    if !deleted.is_empty() {
        tasks.spawn_until_stop(groups.partitions_deleted(deleted));
    }
}

/// The broker's clock as shards see it.
pub struct BrokerClock(pub Clock);

impl ShardClock for BrokerClock {
    fn now(&self) -> Now {
        Now { wall_ms: self.0.now_ms(), steady_ms: self.0.monotonic_ms() }
    }
}
