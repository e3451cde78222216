//! What the controller knows: brokers, topics, who leads, and where every partition and replica is
//! in its life. Knows nothing of the store or of requests.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::{BrokerId, TopicPartition, Uuid};

use metadata::znodes::broker::BrokerRegistration;
use metadata::znodes::partition_state::PartitionState;
use metadata::znodes::topic::ReplicaAssignment;

/// A partition's life (`PartitionState` of Kafka's controller).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum PartitionPhase {
    #[default]
    NonExistent,
    New,
    Online,
    Offline,
}

impl PartitionPhase {
    pub(super) fn may_follow(self, before: PartitionPhase) -> bool {
        use PartitionPhase::*;
        match self {
            New => before == NonExistent,
            Online | Offline => matches!(before, New | Online | Offline),
            NonExistent => before == Offline,
        }
    }
}

/// A replica's life (`ReplicaState` of Kafka's controller).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum ReplicaPhase {
    #[default]
    NonExistent,
    New,
    Online,
    Offline,
    DeletionStarted,
    DeletionSuccessful,
    DeletionIneligible,
}

impl ReplicaPhase {
    pub(super) fn may_follow(self, before: ReplicaPhase) -> bool {
        use ReplicaPhase::*;
        match self {
            New => before == NonExistent,
            Online | Offline => matches!(before, New | Online | Offline | DeletionIneligible),
            DeletionStarted => before == Offline,
            DeletionSuccessful => before == DeletionStarted,
            DeletionIneligible => matches!(before, Offline | DeletionStarted),
            NonExistent => before == DeletionSuccessful,
        }
    }
}

/// One replica of one partition.
pub(super) type Replica = (TopicPartition, BrokerId);

/// Who leads a partition, as last written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leadership {
    pub state: PartitionState,
    /// Data version of the state node.
    pub partition_epoch: i32,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Partition {
    pub assignment: ReplicaAssignment,
    /// `None`: nobody ever led it.
    pub leadership: Option<Leadership>,
    pub phase: PartitionPhase,
    pub replicas: BTreeMap<BrokerId, ReplicaPhase>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Topic {
    /// Zero only until the controller has given it one.
    pub id: Uuid,
    pub partitions: BTreeMap<i32, Partition>,
    /// Marked in `/admin/delete_topics`.
    pub queued_for_deletion: bool,
    /// Marked too, but a reassignment goes on: until it is through the topic lives as others do.
    pub deletion_waits: bool,
    /// Its partitions were taken out of service once.
    pub deletion_started: bool,
    /// Deletion cannot go on: a replica is offline.
    pub ineligible_for_deletion: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Broker {
    /// Transaction id of its registration.
    pub epoch: i64,
    pub registration: BrokerRegistration,
}

/// Everything; void with the session and with the office.
#[derive(Debug, Default)]
pub(super) struct ClusterState {
    /// Epoch of the office.
    pub epoch: i32,
    /// Data version of `/controller_epoch` that fences every write.
    pub epoch_version: i32,
    /// Registered brokers, those about to stop too.
    pub brokers: BTreeMap<BrokerId, Broker>,
    pub shutting_down: BTreeSet<BrokerId>,
    pub topics: BTreeMap<String, Topic>,
    /// Topics whose nodes cannot be read: not among `topics`, and not known to be gone.
    pub unreadable: BTreeSet<String>,
    /// Replicas that are on a failed log directory of a live broker.
    pub offline_dirs: BTreeMap<BrokerId, BTreeSet<TopicPartition>>,
}

impl ClusterState {
    /// Whether a broker can serve a replica of `tp` now.
    pub(super) fn is_online(&self, broker: BrokerId, tp: &TopicPartition) -> bool {
        !self.shutting_down.contains(&broker) && self.is_online_or_stopping(broker, tp)
    }

    pub(super) fn is_online_or_stopping(&self, broker: BrokerId, tp: &TopicPartition) -> bool {
        self.brokers.contains_key(&broker)
            && !self.offline_dirs.get(&broker).is_some_and(|tps| tps.contains(tp))
    }

    /// Whether there is such a topic, as far as can be told.
    pub(super) fn is_topic(&self, name: &str) -> bool {
        self.topics.contains_key(name) || self.unreadable.contains(name)
    }

    pub(super) fn partition(&self, tp: &TopicPartition) -> Option<&Partition> {
        self.topics.get(&tp.topic)?.partitions.get(&tp.partition)
    }

    pub(super) fn partition_mut(&mut self, tp: &TopicPartition) -> Option<&mut Partition> {
        self.topics.get_mut(&tp.topic)?.partitions.get_mut(&tp.partition)
    }

    pub(super) fn leadership(&self, tp: &TopicPartition) -> Option<&Leadership> {
        self.partition(tp)?.leadership.as_ref()
    }

    pub(super) fn is_queued_for_deletion(&self, topic: &str) -> bool {
        self.topics.get(topic).is_some_and(|t| t.queued_for_deletion)
    }

    pub(super) fn partitions_of(&self, topic: &str) -> Vec<TopicPartition> {
        let numbers = self.topics.get(topic).into_iter().flat_map(|t| t.partitions.keys());
        numbers.map(|p| TopicPartition::new(topic, *p)).collect()
    }

    pub(super) fn all_partitions(&self) -> impl Iterator<Item = (TopicPartition, &Partition)> {
        self.topics.iter().flat_map(|(name, topic)| {
            topic.partitions.iter().map(|(p, state)| (TopicPartition::new(name.clone(), *p), state))
        })
    }

    /// Every replica that the assignments name.
    pub(super) fn all_replicas(&self) -> Vec<Replica> {
        self.all_partitions()
            .flat_map(|(tp, p)| p.assignment.replicas.iter().map(move |id| (tp.clone(), *id)))
            .collect()
    }

    pub(super) fn replicas_on(&self, brokers: &BTreeSet<BrokerId>) -> Vec<Replica> {
        self.all_replicas().into_iter().filter(|(_, id)| brokers.contains(id)).collect()
    }

    pub(super) fn replicas_of(&self, partitions: &[TopicPartition]) -> Vec<Replica> {
        let of = |tp: &TopicPartition| {
            let ids = self.partition(tp).map(|p| p.assignment.replicas.clone()).unwrap_or_default();
            ids.into_iter().map(|id| (tp.clone(), id)).collect::<Vec<_>>()
        };
        partitions.iter().flat_map(of).collect()
    }

    pub(super) fn replicas_in(&self, topic: &str, phase: ReplicaPhase) -> Vec<Replica> {
        let all = self.replicas_of(&self.partitions_of(topic));
        all.into_iter().filter(|replica| self.replica_phase(replica) == phase).collect()
    }

    pub(super) fn replica_phase(&self, (tp, broker): &Replica) -> ReplicaPhase {
        let phase = self.partition(tp).and_then(|p| p.replicas.get(broker).copied());
        phase.unwrap_or_default()
    }

    pub(super) fn set_replica_phase(&mut self, (tp, broker): &Replica, phase: ReplicaPhase) {
        let Some(partition) = self.partition_mut(tp) else { return };
        match phase {
            ReplicaPhase::NonExistent => partition.replicas.remove(broker),
            phase => partition.replicas.insert(*broker, phase),
        };
    }

    /// Partitions whose leader cannot serve them, except those on their way out.
    pub(super) fn with_offline_leader(&self) -> Vec<TopicPartition> {
        self.all_partitions()
            .filter(|(tp, p)| {
                p.leadership.as_ref().is_some_and(|l| !self.is_online(l.state.leader, tp))
                    && !self.is_queued_for_deletion(&tp.topic)
            })
            .map(|(tp, _)| tp)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_transitions() {
        use PartitionPhase::*;
        let all = [NonExistent, New, Online, Offline];
        let legal = |to: PartitionPhase| all.map(|from| to.may_follow(from));
        assert_eq!(legal(New), [true, false, false, false]);
        assert_eq!(legal(Online), [false, true, true, true]);
        assert_eq!(legal(Offline), [false, true, true, true]);
        assert_eq!(legal(NonExistent), [false, false, false, true]);
    }

    #[test]
    fn replica_transitions() {
        use ReplicaPhase::*;
        let all = [
            NonExistent,
            New,
            Online,
            Offline,
            DeletionStarted,
            DeletionSuccessful,
            DeletionIneligible,
        ];
        let legal = |to: ReplicaPhase| -> String {
            all.iter().map(|from| if to.may_follow(*from) { 'x' } else { '.' }).collect()
        };
        assert_eq!(legal(New), "x......");
        assert_eq!(legal(Online), ".xxx..x");
        assert_eq!(legal(Offline), ".xxx..x");
        assert_eq!(legal(DeletionStarted), "...x...");
        assert_eq!(legal(DeletionSuccessful), "....x..");
        assert_eq!(legal(DeletionIneligible), "...xx..");
        assert_eq!(legal(NonExistent), ".....x.");
    }
}
