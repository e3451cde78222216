//! What the controller's orders do to this broker: LeaderAndIsr, StopReplica and UpdateMetadata,
//! each with all the parts that it concerns. Knows no versions and no responses.

use std::sync::Arc;
use std::time::Duration;

use metadata::znodes::config::ConfigEntity;
use protocol::ids::TopicPartition;
use protocol::messages::update_metadata::UpdateMetadataRequest;

use crate::authorizer::{Authorized, Cluster, op};
use crate::clock::Clock;
use crate::dynamic_config::changes::ConfigChanges;
use crate::groups::Groups;
use crate::identity::Identity;
use crate::metadata_cache::{MetadataCache, Snapshot};
use crate::replication::lost_leaders::LostLeaders;
use crate::replication::manager::strays::Doomed;
use crate::replication::manager::{
    Obeyed, OrderError, ReplicaManager, RoleOrder, StaleController, StopOrder,
};
use crate::replication::topic_configs::{Overrides, TopicConfigs};
use crate::transactions::Transactions;

/// Longest wait for the values of new topics: the controller waits for the answer.
const CONFIGS_WAIT_MAX: Duration = Duration::from_secs(5);

/// The leader of a partition that is being deleted.
const LEADER_DURING_DELETE: i32 = -2;

/// The controller, which alone gives orders.
type Action<'a> = Authorized<'a, op::ClusterAction, Cluster>;

/// The parts that orders concern.
pub struct Orders {
    pub clock: Clock,
    pub identity: Arc<Identity>,
    pub metadata: Arc<MetadataCache>,
    pub topic_configs: Arc<TopicConfigs>,
    pub config_changes: Arc<ConfigChanges>,
    pub replicas: Arc<ReplicaManager>,
    pub lost_leaders: Arc<LostLeaders>,
    pub groups: Arc<Groups>,
    pub transactions: Arc<Transactions>,
}

/// Why a whole request was not obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("it was meant for a former life of this broker")]
    StaleBroker,
    #[error(transparent)]
    StaleController(#[from] StaleController),
}

impl Orders {
    fn check_broker(&self, broker_epoch: i64) -> Result<(), Refusal> {
        let stale = broker_epoch != -1 && broker_epoch < self.identity.broker_epoch();
        if stale { Err(Refusal::StaleBroker) } else { Ok(()) }
    }

    /// Nobody is notified of the values that a topic is made with: they are read when a partition
    /// of it comes here first.
    pub async fn learn_configs(&self, _: &Action<'_>, partitions: &[(&str, Vec<i32>)]) {
        let hosted = |topic: &str, index: &i32| self.replicas.hosted(topic, *index).is_ok();
        let new: Vec<ConfigEntity> = partitions
            .iter()
            .filter(|(topic, indexes)| !indexes.iter().any(|index| hosted(topic, index)))
            .map(|(topic, _)| ConfigEntity::topic((*topic).to_owned()))
            .collect();
        if new.is_empty() {
            return;
        }
        let reading = self.config_changes.take_over(new);
        if tokio::time::timeout(CONFIGS_WAIT_MAX, reading).await.is_err() {
            tracing::warn!("topics' own settings are not known yet: the store does not answer");
        }
    }

    /// Carries a LeaderAndIsr out. Blocks on the disk.
    pub fn take_roles(
        &self,
        allowed: &Action<'_>,
        (controller_epoch, broker_epoch): (i32, i64),
        orders: &[RoleOrder],
    ) -> Result<Obeyed, Refusal> {
        self.check_broker(broker_epoch)?;
        let now_ms = self.clock.now_ms();
        let obeyed = self.replicas.take_roles(allowed, controller_epoch, orders, now_ms);
        let obeyed = obeyed.inspect_err(|stale| {
            tracing::warn!(%stale, "LeaderAndIsr of a former controller");
        })?;
        self.groups.took_roles(allowed, &obeyed);
        self.transactions.took_roles(allowed, &obeyed);
        Ok(obeyed)
    }

    /// Carries a StopReplica out; gives one result per order. Blocks on the disk.
    pub fn stop(
        &self,
        allowed: &Action<'_>,
        (controller_epoch, broker_epoch): (i32, i64),
        orders: &[StopOrder],
    ) -> Result<Vec<Result<(), OrderError>>, Refusal> {
        self.check_broker(broker_epoch)?;
        let now_ms = self.clock.now_ms();
        let results = self.replicas.stop(allowed, controller_epoch, orders, now_ms);
        let results = results.inspect_err(|stale| {
            tracing::warn!(%stale, "StopReplica of a former controller");
        })?;
        for (order, _) in orders.iter().zip(&results).filter(|(_, result)| result.is_ok()) {
            self.groups.stopped(allowed, order);
            self.transactions.stopped(allowed, order);
        }
        Ok(results)
    }

    /// Takes an UpdateMetadata over, which `in_shape` brings into the shape of the latest version.
    /// Gives what it left to do: logs of deleted topics that nobody else deletes.
    pub fn update(
        &self,
        allowed: &Action<'_>,
        mut request: UpdateMetadataRequest,
        in_shape: impl FnOnce(&mut UpdateMetadataRequest, &Snapshot),
    ) -> Result<Vec<Doomed>, Refusal> {
        self.check_broker(request.broker_epoch)?;
        let heard = self.replicas.hear_controller(allowed, request.controller_epoch);
        heard
            .inspect_err(|stale| tracing::warn!(%stale, "UpdateMetadata of a former controller"))?;
        in_shape(&mut request, &self.metadata.load());
        for gone in self.metadata.load().brokers.keys() {
            if request.live_brokers.iter().all(|live| live.id != *gone) {
                self.lost_leaders.note(*gone, self.clock.monotonic_ms());
            }
        }
        self.metadata.apply(&request);
        let deleted = deleted_in(&request);
        let cluster = self.metadata.load();
        let partitions: Vec<_> = deleted.iter().map(|gone| gone.partition.clone()).collect();
        for gone in partitions.iter().filter(|gone| cluster.topic(&gone.topic).is_none()) {
            // A topic of the same name that is made later has values of its own, or none.
            self.topic_configs.set(&gone.topic, Overrides::new());
        }
        self.groups.partitions_deleted(allowed, partitions);
        Ok(deleted.into_iter().filter(|gone| self.replicas.is_stray(gone)).collect())
    }

    /// Deletes the logs that `update` gave. Blocks on the disk.
    pub fn delete_strays(&self, allowed: &Action<'_>, controller_epoch: i32, strays: &[Doomed]) {
        let now_ms = self.clock.now_ms();
        if let Err(stale) = self.replicas.delete_strays(allowed, controller_epoch, strays, now_ms) {
            tracing::warn!(%stale, "UpdateMetadata of a former controller");
        }
    }
}

/// The partitions that the request takes out of the cluster, because their topics are deleted.
fn deleted_in(request: &UpdateMetadataRequest) -> Vec<Doomed> {
    let states = request
        .topic_states
        .iter()
        .flat_map(|topic| topic.partition_states.iter().map(move |state| (topic, state)));
    states
        .filter(|(_, state)| state.leader == LEADER_DURING_DELETE)
        .map(|(topic, state)| Doomed {
            partition: TopicPartition::new(topic.topic_name.clone(), state.partition_index),
            topic_id: topic.topic_id,
        })
        .collect()
}
