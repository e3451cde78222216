//! Notices that others leave in the tree: ISR changes of old brokers, failed log directories, and
//! elections asked for by old tools. Knows nothing of APIs.

use std::collections::BTreeSet;

use protocol::ids::{BrokerId, TopicPartition};

use super::core::{Core, Halt};
use super::election::Strategy;
use super::state::ReplicaPhase;
use super::store_access::{children, get};
use metadata::store::Op;
use metadata::znodes::{isr_change, log_dir_event, preferred_election};

impl Core {
    /// Leaders before 2.7 wrote their ISR themselves: read it and tell everybody.
    pub(super) async fn on_isr_notifications(&mut self) -> Result<(), Halt> {
        let names = self.list(vec![children(isr_change::PATH, true)]).await?.remove(0);
        let names: Vec<_> =
            names.into_iter().filter(|n| n.starts_with(isr_change::PREFIX)).collect();
        let ops = names.iter().map(|name| get(isr_change::path(name), false)).collect();
        let mut changed = BTreeSet::new();
        for (name, node) in names.iter().zip(self.read(ops).await?) {
            let Some((data, _)) = node else { continue };
            match isr_change::decode(name, data.as_deref()) {
                Ok(tps) => changed.extend(tps),
                Err(error) => tracing::warn!(%error, "notice skipped"),
            }
        }
        changed.retain(|tp| self.cluster.partition(tp).is_some());
        let changed: Vec<TopicPartition> = changed.into_iter().collect();
        if !changed.is_empty() {
            for (tp, leadership) in self.read_states(&changed).await? {
                if let Some(partition) = self.cluster.partition_mut(&tp) {
                    partition.leadership = Some(leadership);
                }
            }
            let all = self.all_brokers();
            self.send_metadata(&all, &changed);
            self.complete_reassignments(changed).await?;
        }
        self.delete_nodes(names.iter().map(|name| isr_change::path(name)).collect()).await
    }

    /// A broker lost a directory: it is told all its replicas again and answers which are gone.
    pub(super) async fn on_log_dir_notifications(&mut self) -> Result<(), Halt> {
        let names = self.list(vec![children(log_dir_event::PATH, true)]).await?.remove(0);
        let names: Vec<_> =
            names.into_iter().filter(|n| n.starts_with(log_dir_event::PREFIX)).collect();
        let ops = names.iter().map(|name| get(log_dir_event::path(name), false)).collect();
        let mut brokers: BTreeSet<BrokerId> = BTreeSet::new();
        for (name, node) in names.iter().zip(self.read(ops).await?) {
            let Some((data, _)) = node else { continue };
            match log_dir_event::decode(name, data.as_deref()) {
                Ok(broker) => drop(brokers.insert(broker)),
                Err(error) => tracing::warn!(%error, "notice skipped"),
            }
        }
        let replicas = self.cluster.replicas_on(&brokers);
        self.replicas_to(&replicas, ReplicaPhase::Online).await?;
        self.delete_nodes(names.iter().map(|name| log_dir_event::path(name)).collect()).await
    }

    /// `/admin/preferred_replica_election` may be there: elect, then take it away.
    pub(super) async fn on_preferred_election_node(&mut self) -> Result<(), Halt> {
        let path = preferred_election::PATH.to_owned();
        let watch = Op::Exists { path, watch: true };
        let nodes = self.read(vec![watch, get(preferred_election::PATH, false)]).await?;
        let Some((data, _)) = &nodes[1] else { return Ok(()) };
        match preferred_election::decode(data.as_deref()) {
            Ok(wanted) => self.elect_preferred(wanted).await?,
            Err(error) => tracing::warn!(%error, "election skipped"),
        }
        self.delete_nodes(vec![preferred_election::PATH.to_owned()]).await?;
        // Created again in between: its watch was for what is gone.
        let path = preferred_election::PATH.to_owned();
        self.read(vec![Op::Exists { path, watch: true }]).await.map(drop)
    }

    /// Moves leadership to the first replica where another leads.
    pub(super) async fn elect_preferred(
        &mut self,
        wanted: BTreeSet<TopicPartition>,
    ) -> Result<(), Halt> {
        let needed = |tp: &TopicPartition| {
            let Some(partition) = self.cluster.partition(tp) else { return false };
            let leader = partition.leadership.as_ref().map(|l| l.state.leader);
            !self.cluster.is_queued_for_deletion(&tp.topic)
                && partition.assignment.replicas.first().copied() != leader
        };
        let needed: Vec<_> = wanted.into_iter().filter(needed).collect();
        self.partitions_online(&needed, Strategy::Preferred).await.map(drop)
    }
}
