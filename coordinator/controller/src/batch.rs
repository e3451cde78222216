//! Collects what one change means for each broker and turns it into requests: LeaderAndIsr, then
//! UpdateMetadata, then StopReplica. Knows nothing of why a change is made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol::ids::{BrokerId, TopicPartition};

use super::effect::{
    ControlBody, ControlRequest, EPOCH_DURING_DELETE, Effect, LEADER_DURING_DELETE,
    LeaderAndIsrPartition, LiveBroker, NO_EPOCH, StopReplicaPartition, UpdateMetadataPartition,
};
use super::state::ClusterState;
use super::step::Settings;

/// Requests in the making. Empty between two changes.
#[derive(Debug, Default)]
pub(super) struct Batch {
    leader_and_isr: BTreeMap<BrokerId, BTreeMap<TopicPartition, LeaderAndIsrPartition>>,
    update_metadata_to: BTreeSet<BrokerId>,
    update_metadata: BTreeMap<TopicPartition, UpdateMetadataPartition>,
    stop_replica: BTreeMap<BrokerId, BTreeMap<TopicPartition, bool>>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.leader_and_isr.is_empty()
            && self.update_metadata_to.is_empty()
            && self.update_metadata.is_empty()
            && self.stop_replica.is_empty()
    }

    /// Tells `brokers` the partition's leader, ISR and replicas as known here, and everybody the
    /// metadata. Whoever has been told "new" once in a batch is not told otherwise.
    pub(super) fn leader_and_isr(
        &mut self,
        cluster: &ClusterState,
        brokers: impl IntoIterator<Item = BrokerId>,
        tp: &TopicPartition,
        is_new: bool,
    ) {
        let topic_id = cluster.topics.get(&tp.topic).map(|t| t.id).unwrap_or_default();
        let Some(partition) = cluster.partition(tp) else { return };
        let Some(leadership) = &partition.leadership else { return };
        for broker in brokers.into_iter().filter(|id| *id >= 0) {
            let of_broker = self.leader_and_isr.entry(broker).or_default();
            let is_new = is_new || of_broker.get(tp).is_some_and(|before| before.is_new);
            let entry = LeaderAndIsrPartition {
                tp: tp.clone(),
                topic_id,
                state: leadership.state.clone(),
                partition_epoch: leadership.partition_epoch,
                assignment: partition.assignment.clone(),
                is_new,
            };
            of_broker.insert(tp.clone(), entry);
        }
        let everybody: Vec<_> = cluster.brokers.keys().copied().collect();
        self.update_metadata(cluster, everybody, [tp]);
    }

    /// Tells `brokers` who is alive, and the leaders of those of `partitions` that ever had one.
    pub(super) fn update_metadata<'a>(
        &mut self,
        cluster: &ClusterState,
        brokers: impl IntoIterator<Item = BrokerId>,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) {
        self.update_metadata_to.extend(brokers.into_iter().filter(|id| *id >= 0));
        for tp in partitions {
            let Some(partition) = cluster.partition(tp) else { continue };
            let Some(leadership) = &partition.leadership else { continue };
            let mut state = leadership.state.clone();
            let mut partition_epoch = leadership.partition_epoch;
            if cluster.is_queued_for_deletion(&tp.topic) {
                state.leader = LEADER_DURING_DELETE;
                state.leader_epoch = 0;
                partition_epoch = 0;
            }
            let replicas = partition.assignment.replicas.clone();
            let offline = |id: &BrokerId| !cluster.is_online(*id, tp);
            let entry = UpdateMetadataPartition {
                tp: tp.clone(),
                topic_id: cluster.topics.get(&tp.topic).map(|t| t.id).unwrap_or_default(),
                state,
                partition_epoch,
                offline_replicas: replicas.iter().copied().filter(offline).collect(),
                replicas,
            };
            self.update_metadata.insert(tp.clone(), entry);
        }
    }

    /// Tells `broker` to stop its replica; once "delete" in a batch, always.
    pub(super) fn stop_replica(&mut self, broker: BrokerId, tp: &TopicPartition, delete: bool) {
        if broker >= 0 {
            *self.stop_replica.entry(broker).or_default().entry(tp.clone()).or_default() |= delete;
        }
    }

    /// The requests to those brokers that are registered; the batch is empty afterwards.
    pub(super) fn take(&mut self, cluster: &ClusterState, settings: &Settings) -> Vec<Effect> {
        let batch = std::mem::take(self);
        let request = |broker: &BrokerId, body: ControlBody| {
            cluster.brokers.get(broker).map(|registered| {
                Effect::Send(ControlRequest {
                    broker: *broker,
                    broker_epoch: registered.epoch,
                    controller_id: settings.broker_id,
                    controller_epoch: cluster.epoch,
                    body,
                })
            })
        };
        let mut effects = Vec::new();
        for (broker, partitions) in batch.leader_and_isr {
            let leaders: BTreeSet<_> = partitions.values().map(|p| p.state.leader).collect();
            let live_leaders = leaders.into_iter().filter_map(|id| {
                let registration = &cluster.brokers.get(&id)?.registration;
                let endpoint = registration.endpoint(&settings.inter_broker_listener)?;
                Some((id, endpoint.clone()))
            });
            let body = ControlBody::LeaderAndIsr {
                live_leaders: live_leaders.collect(),
                partitions: partitions.into_values().collect(),
            };
            effects.extend(request(&broker, body));
        }
        if !batch.update_metadata_to.is_empty() {
            let partitions = Arc::new(batch.update_metadata.into_values().collect::<Vec<_>>());
            let live_brokers = Arc::new(live_brokers(cluster));
            effects.extend(batch.update_metadata_to.iter().filter_map(|broker| {
                let (partitions, live_brokers) = (partitions.clone(), live_brokers.clone());
                request(broker, ControlBody::UpdateMetadata { partitions, live_brokers })
            }));
        }
        for (broker, partitions) in batch.stop_replica {
            let entry = |(tp, delete): (TopicPartition, bool)| {
                let leader_epoch = match cluster.is_queued_for_deletion(&tp.topic) {
                    true => EPOCH_DURING_DELETE,
                    false => cluster.leadership(&tp).map_or(NO_EPOCH, |l| l.state.leader_epoch),
                };
                StopReplicaPartition { tp, leader_epoch, delete }
            };
            let partitions = partitions.into_iter().map(entry).collect();
            effects.extend(request(&broker, ControlBody::StopReplica { partitions }));
        }
        effects
    }
}

fn live_brokers(cluster: &ClusterState) -> Vec<LiveBroker> {
    let live = |(id, broker): (&BrokerId, &super::state::Broker)| LiveBroker {
        id: *id,
        endpoints: broker.registration.endpoints.clone(),
        rack: broker.registration.rack.clone(),
    };
    cluster.brokers.iter().map(live).collect()
}
