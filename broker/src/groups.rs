//! The group coordinator in this broker: its settings, its log, what the controller's orders mean
//! to it, and the only way to it. Knows nothing of requests.
//!
//! A proof leads to a group:
//!
//! ```
//! use broker::authorizer::{Authorized, Group, op};
//! use broker::groups::Groups;
//!
//! fn describe(groups: &Groups, group: &Authorized<'_, op::Describe, Group>) {
//!     drop(groups.describe(group));
//! }
//! ```
//!
//! and without one none is reached:
//!
//! ```compile_fail,E0616
//! use broker::groups::Groups;
//!
//! fn describe(groups: &Groups) {
//!     drop(groups.service.describe("g"));
//! }
//! ```
//!
//! ```compile_fail,E0308
//! use broker::groups::Groups;
//!
//! fn describe(groups: &Groups) {
//!     drop(groups.describe("g"));
//! }
//! ```

pub mod stored_offsets;
mod topics;

use std::sync::Arc;

use coordinator::group::consumer::assignor::Assignor;
use coordinator::group::consumer::{ConsumerGroupConfig, MigrationPolicy};
use coordinator::group::request::{
    Caller, CommitAnswer, CommitRequest, ConsumerAnswer, ConsumerDescription, ConsumerHeartbeat,
    FetchRequest, FetchedOffset, GroupDescription, GroupListing, JoinAnswer, JoinRequest,
    LeaveAnswer, LeavingMember, OffsetCommit, Refusal, SyncAnswer, SyncRequest,
};
use coordinator::group::service::{GroupService, OFFSETS_TOPIC};
use coordinator::group::{GroupConfig, GroupError};
use coordinator::shard::directory::Spawn;
use coordinator::shard::run::{Environment, ShardConfig};
use coordinator::shard::writer::PartitionWriter;
use coordinator::shard::{Clock as ShardClock, Marker, Now, Producer};
use metadata::retry;
use metadata::store::{MetadataStore, StoreError};
use metadata::znodes::topic;
use protocol::ids::{TopicPartition, VerificationGuard};
use protocol::records::codec::Codec;

use crate::authorizer::{
    Authorized, AuthorizedPartitions, Cluster, Group, On, Requester, Topic, op,
};
use crate::clock::Clock;
use crate::config::BrokerConfig;
use crate::metadata_cache::MetadataCache;
use crate::replication::manager::{Obeyed, StopOrder, Term};
use crate::tasks::Tasks;

const MINUTE_MS: i64 = 60_000;

/// The groups whose partition of the offsets topic this broker leads. Every request is handed over
/// in the call, so requests keep the order of the calls; only the answer is awaited.
pub struct Groups {
    service: GroupService,
    metadata: Arc<MetadataCache>,
    tasks: Arc<Tasks>,
}

impl Groups {
    /// The coordinator as configured; it leads nothing until `took_roles` says so.
    pub fn new(
        config: &BrokerConfig,
        clock: Clock,
        tasks: &Arc<Tasks>,
        writer: Arc<dyn PartitionWriter>,
        metadata: Arc<MetadataCache>,
    ) -> Groups {
        let spawner = tasks.clone();
        let spawn: Spawn = Arc::new(move |task| spawner.spawn_until_stop(task));
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
        let partitions = int(config.long("offsets.topic.num.partitions"));
        let service = GroupService::new(settings(config), environment, spawn, partitions);
        Groups { service, metadata, tasks: tasks.clone() }
    }

    /// The partition of the offsets topic that the group belongs to.
    pub fn partition_for<Op: On<Group>>(&self, group: &Authorized<'_, Op, Group>) -> i32 {
        self.service.partition_for(group.name())
    }

    /// Whether this broker coordinates the group now; what a commit in a transaction asks first.
    pub fn check(&self, group: &Authorized<'_, op::Read, Group>) -> Result<(), GroupError> {
        self.service.check(group.name())
    }

    pub fn join(
        &self,
        group: &Authorized<'_, op::Read, Group>,
        join: JoinRequest,
    ) -> impl Future<Output = JoinAnswer> + Send + use<> {
        self.service.join(group.name(), join, topics::view(&self.metadata))
    }

    pub fn sync(
        &self,
        group: &Authorized<'_, op::Read, Group>,
        sync: SyncRequest,
    ) -> impl Future<Output = SyncAnswer> + Send + use<> {
        self.service.sync(group.name(), sync)
    }

    pub fn heartbeat(
        &self,
        group: &Authorized<'_, op::Read, Group>,
        caller: Caller,
    ) -> impl Future<Output = Result<(), GroupError>> + Send + use<> {
        self.service.heartbeat(group.name(), caller)
    }

    pub fn leave(
        &self,
        group: &Authorized<'_, op::Read, Group>,
        members: Vec<LeavingMember>,
    ) -> impl Future<Output = LeaveAnswer> + Send + use<> {
        self.service.leave(group.name(), members)
    }

    /// A heartbeat of the new protocol.
    pub fn consumer_heartbeat(
        &self,
        group: &Authorized<'_, op::Read, Group>,
        heartbeat: ConsumerHeartbeat,
    ) -> impl Future<Output = Result<ConsumerAnswer, Refusal>> + Send + use<> {
        self.service.consumer_heartbeat(group.name(), heartbeat, topics::view(&self.metadata))
    }

    /// The partitions must exist: what is stored for others would never go.
    pub fn commit(
        &self,
        group: &Authorized<'_, op::Read, Group>,
        header: CommitHeader,
        offsets: AuthorizedPartitions<op::Read, OffsetCommit>,
    ) -> impl Future<Output = CommitAnswer> + Send + use<> {
        let CommitHeader { caller, producer, guard, knows_epochs } = header;
        let offsets = offsets.into_inner();
        let commit = CommitRequest { caller, producer, guard, knows_epochs, offsets };
        self.service.commit(group.name(), commit)
    }

    pub fn fetch_offsets(
        &self,
        group: &Authorized<'_, op::Describe, Group>,
        fetch: OffsetsFetch,
    ) -> impl Future<Output = Result<Vec<FetchedOffset>, GroupError>> + Send + use<> {
        let OffsetsFetch { require_stable, member, wanted } = fetch;
        let (partitions, requester) = match wanted {
            Wanted::These(partitions) => (Some(partitions.into_partitions()), None),
            Wanted::AllOf(requester) => (None, Some(requester)),
        };
        let fetch = FetchRequest { require_stable, member, partitions };
        let fetching = self.service.fetch_offsets(group.name(), fetch);
        async move {
            let mut offsets = fetching.await?;
            if let Some(requester) = requester {
                let visible =
                    |topic: &str| requester.authorize::<op::Describe, Topic>(topic).is_ok();
                offsets.retain(|found| visible(&found.partition.topic));
            }
            Ok(offsets)
        }
    }

    /// Deletes committed offsets.
    pub fn delete_offsets(
        &self,
        group: &Authorized<'_, op::Delete, Group>,
        partitions: AuthorizedPartitions<op::Read, ()>,
    ) -> impl Future<Output = Result<CommitAnswer, GroupError>> + Send + use<> {
        self.service.delete_offsets(group.name(), partitions.into_partitions())
    }

    pub fn describe(
        &self,
        group: &Authorized<'_, op::Describe, Group>,
    ) -> impl Future<Output = Result<GroupDescription, GroupError>> + Send + use<> {
        self.service.describe(group.name())
    }

    /// `None`: there is no such group of the new protocol.
    pub fn describe_consumer(
        &self,
        group: &Authorized<'_, op::Describe, Group>,
    ) -> impl Future<Output = Result<Option<ConsumerDescription>, GroupError>> + Send + use<> {
        self.service.describe_consumer(group.name(), topics::view(&self.metadata))
    }

    pub fn delete(
        &self,
        group: &Authorized<'_, op::Delete, Group>,
    ) -> impl Future<Output = Result<(), GroupError>> + Send + use<> {
        self.service.delete(group.name())
    }

    /// All groups of this broker, and whether some are still being loaded.
    pub fn list(
        &self,
        _: &Authorized<'_, op::Describe, Cluster>,
    ) -> impl Future<Output = Result<(Vec<GroupListing>, bool), GroupError>> + Send + use<> {
        self.service.list()
    }

    /// The same of the groups that `requester` may describe.
    pub fn list_visible(
        &self,
        requester: Requester,
    ) -> impl Future<Output = Result<(Vec<GroupListing>, bool), GroupError>> + Send + use<> {
        let listing = self.service.list();
        async move {
            let (mut groups, loading) = listing.await?;
            let visible = |group: &str| requester.authorize::<op::Describe, Group>(group).is_ok();
            groups.retain(|group| visible(&group.group_id));
            Ok((groups, loading))
        }
    }

    /// A transaction marker was written into this partition of the offsets topic.
    pub fn transaction_ended(
        &self,
        _: &Authorized<'_, op::ClusterAction, Cluster>,
        partition: i32,
        producer_id: i64,
        marker: Marker,
    ) -> impl Future<Output = Result<(), GroupError>> + Send + use<> {
        self.service.transaction_ended(partition, producer_id, marker)
    }

    /// What a LeaderAndIsr made of the offsets topic's partitions here.
    pub fn took_roles(&self, _: &Authorized<'_, op::ClusterAction, Cluster>, obeyed: &Obeyed) {
        let ours = |(tp, _): &&Term| tp.topic == OFFSETS_TOPIC;
        for (partition, epoch) in obeyed.leaders.iter().filter(ours) {
            self.service.elected(partition.partition, *epoch);
        }
        for (partition, epoch) in obeyed.followers.iter().filter(ours) {
            self.service.resigned(partition.partition, Some(*epoch));
        }
    }

    /// A StopReplica took this partition away: a reassigned one is heard of in no other way.
    pub fn stopped(&self, _: &Authorized<'_, op::ClusterAction, Cluster>, order: &StopOrder) {
        if order.topic == OFFSETS_TOPIC {
            let epoch = Some(order.leader_epoch).filter(|epoch| *epoch >= 0);
            self.service.resigned(order.index, epoch);
        }
    }

    /// Partitions are gone from the cluster: nobody's offsets in them mean anything any more.
    pub fn partitions_deleted(
        &self,
        _: &Authorized<'_, op::ClusterAction, Cluster>,
        deleted: Vec<TopicPartition>,
    ) {
        if !deleted.is_empty() {
            self.tasks.spawn_until_stop(self.service.partitions_deleted(deleted));
        }
    }

    /// The offsets topic decides where groups belong. If it exists already its own number of
    /// partitions holds, whatever the configuration says now.
    pub async fn learn_partition_count(&self, store: &dyn MetadataStore) -> Result<(), StoreError> {
        let found = retry::get(store, &topic::path(OFFSETS_TOPIC), false).await?;
        let Some((data, _)) = found else { return Ok(()) };
        match topic::TopicAssignment::decode(OFFSETS_TOPIC, data.as_deref()) {
            Ok(znode) if znode.partitions.is_empty() => {}
            Ok(znode) => self.service.set_partition_count(int(znode.partitions.len() as i64)),
            Err(error) => tracing::warn!(%error, "the offsets topic's assignment cannot be read"),
        }
        Ok(())
    }

    /// Ends all shards; every later request finds the coordinator not available.
    pub fn stop(&self) {
        self.service.stop();
    }
}

/// Who commits, and how.
#[derive(Debug, Default)]
pub struct CommitHeader {
    pub caller: Caller,
    /// In a transaction.
    pub producer: Option<Producer>,
    pub guard: Option<VerificationGuard>,
    /// The generation may be a member's epoch.
    pub knows_epochs: bool,
}

/// Which offsets are asked for, and by whom.
pub struct OffsetsFetch {
    /// Not those that a transaction may still change.
    pub require_stable: bool,
    /// A member of a group of the new protocol and its epoch.
    pub member: Option<(String, i32)>,
    pub wanted: Wanted,
}

/// Partitions whose offsets are asked for.
pub enum Wanted {
    These(AuthorizedPartitions<op::Describe, ()>),
    /// All that the group has and whose topics may be described.
    AllOf(Requester),
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

/// The broker's clock as shards see it.
pub struct BrokerClock(pub Clock);

impl ShardClock for BrokerClock {
    fn now(&self) -> Now {
        Now { wall_ms: self.0.now_ms(), steady_ms: self.0.monotonic_ms() }
    }
}
