//! Every partition that this broker hosts, and the controller's orders to lead, follow, stop and
//! delete. Knows nothing of the orders' messages nor of who elected the controller.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard, RwLock};
use protocol::ids::{BrokerId, LeaderEpoch, TimestampMs, TopicPartition, Uuid};
use replica::partition::{PartitionAssignment, Verdict};
use storage::checkpoint::Offsets;
use storage::log_manager::LogManager;
use storage::{AppendInfo, AppendOrigin, StorageError};
use tokio::sync::Notify;

use super::cluster_view::ClusterView;
use super::fetchers::Fetchers;
use super::isr_changes::IsrChanges;
use super::partition::{Became, Partition, Surroundings};
use super::session_fence::SessionFence;
use super::topic_metrics::TopicMetricsRegistry;
use crate::authorizer::{Authorized, Cluster, op};
use crate::random;

mod following;
mod leaving;
mod opening;
pub mod strays;
#[cfg(test)]
mod tests;

/// "Any leader epoch": a StopReplica of a version that names none.
const NO_EPOCH: LeaderEpoch = -1;
/// A StopReplica for a topic's deletion, which has no epoch of its own.
const EPOCH_DURING_DELETE: LeaderEpoch = -2;

/// One partition's role, from a LeaderAndIsr.
#[derive(Debug, Clone)]
pub struct RoleOrder {
    pub topic: String,
    /// Zero if the controller does not say.
    pub topic_id: Uuid,
    pub index: i32,
    /// The partition never existed here: its log may be made although a directory is offline.
    pub is_new: bool,
    pub assignment: PartitionAssignment,
}

/// One partition to let go of, from a StopReplica.
#[derive(Debug, Clone)]
pub struct StopOrder {
    pub topic: String,
    pub index: i32,
    /// −1: any; −2: the topic is being deleted.
    pub leader_epoch: LeaderEpoch,
    pub delete: bool,
}

/// Why one partition did not obey.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    #[error("its log directory is offline")]
    Offline,
    /// Which of the two is wrong the broker cannot know: the log stays as it is.
    #[error(
        "the log has topic id {ours}, the controller says {theirs}: if the log is this topic's, \
         write its id back into the topic's znode and have a new controller elected; if the topic \
         was deleted and made again, stop the broker and remove the log's directory"
    )]
    InconsistentTopicId { ours: Uuid, theirs: Uuid },
    #[error("this broker is not among its replicas")]
    NotAReplica,
    #[error("the leader epoch is older")]
    StaleEpoch,
    /// The controller repeats itself, or changed something that needs no new epoch.
    #[error("the role was taken in this leader epoch already")]
    KnownEpoch,
    #[error("the leader epoch is older")]
    FencedLeaderEpoch,
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why a partition is not to be had here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotHere {
    #[error("its log directory has failed")]
    Offline,
    /// Another broker has it, or this one may not know: whoever asks looks for it anew.
    #[error("it is to be looked for elsewhere")]
    Elsewhere,
    #[error("there is no such partition")]
    Unknown,
}

/// The whole request comes from a controller that has been replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("controller epoch {got} is below {known}")]
pub struct StaleController {
    pub got: i32,
    pub known: i32,
}

/// A partition and the leader epoch in which it changed roles.
pub type Term = (TopicPartition, LeaderEpoch);

/// What a LeaderAndIsr did.
#[derive(Debug, Default)]
pub struct Obeyed {
    /// One per order, in their order.
    pub results: Vec<Result<(), OrderError>>,
    /// Those that lead in a new epoch: coordinators load them.
    pub leaders: Vec<Term>,
    /// Those that follow in a new epoch: coordinators let go of them.
    pub followers: Vec<Term>,
}

/// What is known of a hosted partition.
#[derive(Debug, Clone)]
enum Hosted {
    Online(Arc<Partition>),
    /// Its log directory failed.
    Offline,
}

/// An append that is not on disk yet and must not be seen before.
#[derive(Debug)]
struct Unseen {
    partition: Arc<Partition>,
    info: AppendInfo,
    origin: AppendOrigin,
}

/// The broker's partitions. Orders are obeyed one request at a time; lookups never wait for them.
pub struct ReplicaManager {
    broker_id: BrokerId,
    hosted: RwLock<HashMap<Arc<str>, BTreeMap<i32, Hosted>>>,
    /// The latest controller epoch that gave orders; held while they are carried out.
    controller_epoch: Mutex<i32>,
    logs: Arc<LogManager>,
    metrics: TopicMetricsRegistry,
    cluster: Arc<dyn ClusterView>,
    isr_changes: Arc<IsrChanges>,
    /// Who fetches what this broker follows.
    fetchers: Fetchers,
    /// A partition moves to another log directory, or may go on.
    moves: Notify,
    /// A segment was closed or a log was made: something waits for a sync.
    work: Notify,
    /// Appends that `flush.messages` or `flush.ms` want on disk before anybody sees them.
    unseen: Mutex<Vec<Unseen>>,
    /// Only with `ottla.fence.on.session.loss`.
    fence: OnceLock<SessionFence>,
    /// A log directory failed.
    pub(super) dir_failures: Notify,
}

impl ReplicaManager {
    pub fn new(
        broker_id: BrokerId,
        logs: Arc<LogManager>,
        cluster: Arc<dyn ClusterView>,
    ) -> ReplicaManager {
        ReplicaManager {
            broker_id,
            hosted: RwLock::default(),
            controller_epoch: Mutex::new(0),
            logs,
            metrics: TopicMetricsRegistry::default(),
            cluster,
            isr_changes: Arc::default(),
            fetchers: Fetchers::default(),
            moves: Notify::new(),
            work: Notify::new(),
            unseen: Mutex::default(),
            fence: OnceLock::new(),
            dir_failures: Notify::new(),
        }
    }

    /// From now on requests find partitions only while this fence is open.
    pub fn stand_behind(&self, fence: SessionFence) {
        assert!(self.fence.set(fence).is_ok(), "there is one session and one fence");
    }

    pub fn fence(&self) -> Option<&SessionFence> {
        self.fence.get()
    }

    pub fn logs(&self) -> &Arc<LogManager> {
        &self.logs
    }

    pub fn cluster(&self) -> &dyn ClusterView {
        &*self.cluster
    }

    pub fn isr_changes(&self) -> &IsrChanges {
        &self.isr_changes
    }

    /// The partition for those who read it or append to it; nobody finds it while the fence is
    /// closed.
    pub fn find(&self, topic: &str, index: i32) -> Result<Arc<Partition>, NotHere> {
        let partition = self.hosted(topic, index)?;
        match &self.fence.get() {
            Some(fence) if fence.is_closed() => Err(NotHere::Elsewhere),
            _ => Ok(partition),
        }
    }

    /// The same for orders and upkeep, which do not ask for the session.
    pub fn hosted(&self, topic: &str, index: i32) -> Result<Arc<Partition>, NotHere> {
        let hosted = self.hosted.read();
        match hosted.get(topic).and_then(|partitions| partitions.get(&index)) {
            Some(Hosted::Online(partition)) => Ok(partition.clone()),
            Some(Hosted::Offline) => Err(NotHere::Offline),
            None if self.cluster.has_partition(topic, index) => Err(NotHere::Elsewhere),
            None => Err(NotHere::Unknown),
        }
    }

    /// Every partition that is online.
    pub fn partitions(&self) -> Vec<Arc<Partition>> {
        let hosted = self.hosted.read();
        hosted
            .values()
            .flat_map(BTreeMap::values)
            .filter_map(|hosted| match hosted {
                Hosted::Online(partition) => Some(partition.clone()),
                Hosted::Offline => None,
            })
            .collect()
    }

    /// Partitions whose log directory failed.
    pub fn offline_count(&self) -> usize {
        let hosted = self.hosted.read();
        let all = hosted.values().flat_map(BTreeMap::values);
        all.filter(|hosted| matches!(hosted, Hosted::Offline)).count()
    }

    /// Has an append synced, and shown if it may not be seen before, off the path of its caller.
    pub fn flush_soon(&self, partition: &Arc<Partition>, info: &AppendInfo, origin: AppendOrigin) {
        if info.flush_due {
            let partition = partition.clone();
            self.unseen.lock().push(Unseen { partition, info: *info, origin });
        }
        self.note_work();
    }

    /// Syncs and shows what waits for it. Blocks on the disk.
    pub fn show_unseen(&self, now_ms: TimestampMs) {
        let unseen = std::mem::take(&mut *self.unseen.lock());
        for Unseen { partition, info, origin } in unseen {
            if let Err(error) = partition.flush_and_show(&info, origin, now_ms) {
                self.upkeep_failed(&partition.name(), &error);
            }
        }
    }

    /// Something is to be synced soon, off the path of requests.
    pub fn note_work(&self) {
        self.work.notify_one();
    }

    /// Returns once `note_work` was called since the last time.
    pub async fn wait_for_work(&self) {
        self.work.notified().await;
    }

    /// Notes a controller's epoch; an older one than before has nothing to say.
    pub fn hear_controller(
        &self,
        _: &Authorized<'_, op::ClusterAction, Cluster>,
        epoch: i32,
    ) -> Result<(), StaleController> {
        self.controller(epoch).map(drop)
    }

    /// The same, and nobody else gives orders while the result is held.
    fn controller(&self, epoch: i32) -> Result<MutexGuard<'_, i32>, StaleController> {
        let mut known = self.controller_epoch.lock();
        if epoch < *known {
            return Err(StaleController { got: epoch, known: *known });
        }
        *known = epoch;
        Ok(known)
    }

    /// Carries out a LeaderAndIsr. Opens and makes logs, so it blocks on the disk.
    pub fn take_roles(
        &self,
        _: &Authorized<'_, op::ClusterAction, Cluster>,
        controller_epoch: i32,
        orders: &[RoleOrder],
        now_ms: TimestampMs,
    ) -> Result<Obeyed, StaleController> {
        let _one = self.controller(controller_epoch)?;
        let mut obeyed = Obeyed::default();
        let mut to_follow = Vec::new();
        let mut known = 0;
        for order in orders {
            let result = self.take_role(order, now_ms);
            let result = result.map(|became| {
                let partition = TopicPartition::new(order.topic.clone(), order.index);
                let term = (partition, order.assignment.leader_epoch);
                match became {
                    Became::Leader { new_epoch: true } => obeyed.leaders.push(term),
                    Became::Follower { new_epoch: true } => {
                        self.fetchers.stop(&term.0);
                        to_follow.extend(self.follow_order(order, &term.0));
                        obeyed.followers.push(term);
                    }
                    _ => {}
                }
            });
            match &result {
                Ok(()) => {}
                // A controller that takes office says so of every partition.
                Err(OrderError::KnownEpoch) => known += 1,
                Err(error @ OrderError::InconsistentTopicId { .. }) => {
                    let (topic, index) = (&order.topic, order.index);
                    tracing::error!(topic, index, %error, "a role was not taken");
                }
                Err(error) => {
                    let (topic, index) = (&order.topic, order.index);
                    tracing::warn!(topic, index, %error, "a role was not taken");
                    self.judge_disk(error);
                }
            }
            obeyed.results.push(result);
        }
        if known > 0 {
            let of = orders.len();
            tracing::info!(known, of, "roles that were taken in their leader epochs already");
        }
        self.fetchers.follow(to_follow);
        self.fetchers.end_idle();
        self.note_work();
        Ok(obeyed)
    }

    fn take_role(&self, order: &RoleOrder, now_ms: TimestampMs) -> Result<Became, OrderError> {
        let partition = self.host(&order.topic, order.index)?;
        if !partition.is_consistent_with(order.topic_id) && !self.replaces_log(&partition, now_ms) {
            return Err(OrderError::InconsistentTopicId {
                ours: partition.topic_id().unwrap_or_default(),
                theirs: order.topic_id,
            });
        }
        let verdict = partition.judge(&order.assignment);
        match verdict {
            Verdict::NotAReplica => return Err(OrderError::NotAReplica),
            Verdict::Stale => {
                let same =
                    order.assignment.leader_epoch == partition.with_state(|s| s.leader_epoch());
                if same && !order.topic_id.is_zero() && partition.topic_id().is_none() {
                    partition.adopt_topic_id(order.topic_id)?;
                    self.fetchers.set_topic_id(&partition.name(), order.topic_id);
                    return Ok(Became::Unchanged);
                }
                if !same {
                    return Err(OrderError::StaleEpoch);
                }
                partition.ask_isr_again();
                return Err(OrderError::KnownEpoch);
            }
            Verdict::Lead | Verdict::Follow => {}
        }
        if let Err(error) = self.open_log(&partition, order, now_ms) {
            self.set_offline(&order.topic, order.index);
            return Err(error);
        }
        if verdict == Verdict::Lead {
            self.fetchers.stop(&partition.name());
            return Ok(partition.lead(&order.assignment, order.topic_id, now_ms)?);
        }
        if !self.cluster.is_alive(order.assignment.leader) {
            // The epoch stays as it is, so that the same order works once the leader is back.
            return Ok(Became::Unchanged);
        }
        Ok(partition.follow(&order.assignment, order.topic_id)?)
    }

    /// The partition's object, made if there is none.
    fn host(&self, topic: &str, index: i32) -> Result<Arc<Partition>, OrderError> {
        let mut hosted = self.hosted.write();
        let name = match hosted.get_key_value(topic) {
            Some((name, _)) => name.clone(),
            None => Arc::from(topic),
        };
        let partitions = hosted.entry(name.clone()).or_default();
        match partitions.get(&index) {
            Some(Hosted::Online(partition)) => return Ok(partition.clone()),
            Some(Hosted::Offline) => return Err(OrderError::Offline),
            None => {}
        }
        let around = Surroundings {
            metrics: self.metrics.of(&name),
            cluster: self.cluster.clone(),
            isr_changes: self.isr_changes.clone(),
        };
        let found = self.logs.log(&TopicPartition::new(topic, index));
        let found_id = found.and_then(|log| log.topic_id());
        let partition = Arc::new(Partition::new(name, index, self.broker_id, found_id, around));
        partitions.insert(index, Hosted::Online(partition.clone()));
        Ok(partition)
    }

    /// Carries out a StopReplica. Renames directories, so it blocks on the disk.
    pub fn stop(
        &self,
        _: &Authorized<'_, op::ClusterAction, Cluster>,
        controller_epoch: i32,
        orders: &[StopOrder],
        now_ms: TimestampMs,
    ) -> Result<Vec<Result<(), OrderError>>, StaleController> {
        let _one = self.controller(controller_epoch)?;
        let stop = |order| self.stop_one(order, now_ms).inspect_err(|error| self.judge_disk(error));
        let results = orders.iter().map(stop).collect();
        self.judge_checkpoints(self.logs.forget_deleted());
        self.fetchers.end_idle();
        Ok(results)
    }

    fn stop_one(&self, order: &StopOrder, now_ms: TimestampMs) -> Result<(), OrderError> {
        match self.hosted(&order.topic, order.index) {
            Err(NotHere::Offline) => return Err(OrderError::Offline),
            Err(_) => {}
            Ok(partition) => {
                let ours = partition.with_state(|state| state.leader_epoch());
                let any = [NO_EPOCH, EPOCH_DURING_DELETE].contains(&order.leader_epoch);
                if !any && order.leader_epoch < ours {
                    return Err(OrderError::FencedLeaderEpoch);
                }
                self.fetchers.stop(&partition.name());
                if !order.delete {
                    partition.release_waiters();
                }
            }
        }
        if order.delete {
            // Out of sight first: whoever still holds the partition finds it without a log, and
            // those who waited are told what they are told who ask now.
            if let Some(partition) = self.unhost(&order.topic, order.index) {
                partition.detach_log();
            }
            let name = TopicPartition::new(order.topic.clone(), order.index);
            self.logs.delete_future(&name, random::uuid(), now_ms)?;
            self.logs.delete(&name, random::uuid(), now_ms)?;
        }
        Ok(())
    }

    /// The broker's configuration changed, and with it every topic's.
    pub fn reconfigure_all(&self) {
        let topics: Vec<_> = self.hosted.read().keys().cloned().collect();
        topics.iter().for_each(|topic| self.reconfigure(topic));
    }

    /// A topic's configuration changed: it holds for the next operation of each of its logs.
    pub fn reconfigure(&self, topic: &str) {
        let config = self.cluster.log_config(topic);
        let hosted = self.hosted.read();
        for partition in hosted.get(topic).into_iter().flat_map(BTreeMap::values) {
            if let Hosted::Online(partition) = partition
                && let Some(log) = partition.log()
            {
                log.set_config(config.clone());
                if let Some(future) = self.logs.future(log.partition()) {
                    future.set_config(config.clone());
                }
            }
        }
    }

    /// Notes every partition's high watermark in its directory's checkpoint. Blocks on the disk.
    pub fn checkpoint_high_watermarks(&self) {
        let watermarks: Offsets = self
            .partitions()
            .iter()
            .filter(|partition| partition.log().is_some())
            .map(|partition| (partition.name(), partition.high_watermark()))
            .collect();
        self.judge_checkpoints(self.logs.checkpoint_high_watermarks(&watermarks));
    }

    /// Notes recovery points and log starts. Blocks on the disk.
    pub fn checkpoint(&self) {
        self.judge_checkpoints(self.logs.checkpoint());
    }
}
