//! Brokers that went and came back unseen: what was decided before counts on records that they may
//! have lost with the power. Knows nothing of how a broker goes.
//!
//! A broker that was seen to go has left its ISRs by the time it is back. One that registered after
//! a partition's state was written and is in its ISR all the same went and came back while no
//! controller looked: it is treated as if it had been seen to go, wherever a replica that stayed
//! can take its place.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::{BrokerId, TopicPartition};

use super::core::{Core, Halt};
use super::state::{Broker, Leadership, PartitionPhase};
use super::store_access::STATE_WRITE_ATTEMPTS;
use metadata::store::StoreError;
use metadata::znodes::partition_state::PartitionState;

/// Registration epochs of the brokers that are there: transactions, as those of states are.
pub(super) type Epochs = BTreeMap<BrokerId, i64>;

pub(super) fn epochs_of(brokers: &BTreeMap<BrokerId, Broker>) -> Epochs {
    brokers.iter().map(|(id, broker)| (*id, broker.epoch)).collect()
}

impl Core {
    /// Reads the states of `tps`, and writes those anew that count on brokers which came back
    /// since. Returns the partitions whose state was changed; whom to tell is left to the caller.
    pub(super) async fn load_states(
        &mut self,
        tps: &[TopicPartition],
        registered: &Epochs,
    ) -> Result<Vec<TopicPartition>, Halt> {
        let mut changed = BTreeSet::new();
        let mut remaining = tps.to_vec();
        for _ in 0..STATE_WRITE_ATTEMPTS {
            let mut writes = Vec::new();
            for (tp, (leadership, written)) in self.find_states(&remaining).await? {
                if let Some(state) = self.without_returned(&tp, &leadership, written, registered) {
                    writes.push((tp.clone(), Leadership { state, ..leadership.clone() }));
                    changed.insert(tp.clone());
                }
                self.keep_leadership(&tp, leadership);
            }
            remaining.clear();
            let results = self.write_states(&writes).await?;
            for ((tp, meant), result) in writes.into_iter().zip(results) {
                match result {
                    Ok(partition_epoch) => {
                        self.keep_leadership(&tp, Leadership { partition_epoch, ..meant });
                    }
                    // Written by another, or by a first try of ours whose answer was lost.
                    Err(StoreError::BadVersion(_)) => remaining.push(tp),
                    // To be told what stands would make it lead again.
                    Err(error) => return Err(error.into()),
                }
            }
            if remaining.is_empty() {
                return Ok(changed.into_iter().collect());
            }
        }
        Err(StoreError::Other("partition states change faster than they are written".into()).into())
    }

    /// Brokers join that were not known before: normally nothing counts on them. They are not among
    /// the known ones yet.
    pub(super) async fn distrust_returned(
        &mut self,
        new: &BTreeMap<BrokerId, Broker>,
    ) -> Result<(), Halt> {
        let counts_on = |l: &Leadership| {
            l.state.isr.len() > 1 && l.state.isr.iter().any(|id| new.contains_key(id))
        };
        let concerned: Vec<_> = self
            .cluster
            .all_partitions()
            .filter(|(_, p)| p.leadership.as_ref().is_some_and(counts_on))
            .map(|(tp, _)| tp)
            .collect();
        if concerned.is_empty() {
            return Ok(());
        }
        let mut registered = epochs_of(&self.cluster.brokers);
        registered.extend(epochs_of(new));
        for tp in self.load_states(&concerned, &registered).await? {
            let Some(partition) = self.cluster.partition(&tp) else { continue };
            let replicas = partition.assignment.replicas.clone();
            let leader = self.cluster.leadership(&tp).map(|l| l.state.leader);
            if leader.is_some_and(|id| self.cluster.is_online(id, &tp)) {
                self.set_online(&tp);
            }
            self.batch.leader_and_isr(&self.cluster, replicas, &tp, false);
        }
        self.send_batch();
        Ok(())
    }

    fn set_online(&mut self, tp: &TopicPartition) {
        if let Some(partition) = self.cluster.partition_mut(tp) {
            partition.phase = PartitionPhase::Online;
        }
    }

    fn keep_leadership(&mut self, tp: &TopicPartition, leadership: Leadership) {
        if let Some(partition) = self.cluster.partition_mut(tp) {
            partition.leadership = Some(leadership);
        }
    }

    /// `written`: the transaction that wrote what stands.
    fn without_returned(
        &self,
        tp: &TopicPartition,
        stands: &Leadership,
        written: i64,
        registered: &Epochs,
    ) -> Option<PartitionState> {
        if stands.state.controller_epoch > self.cluster.epoch {
            tracing::error!(partition = %tp, "a later controller wrote its state");
            return None;
        }
        let since = |id: &BrokerId| registered.get(id).map(|epoch| *epoch > written);
        let serves = |id: &BrokerId| {
            let failed = self.cluster.offline_dirs.get(id).is_some_and(|tps| tps.contains(tp));
            !failed && !self.cluster.shutting_down.contains(id)
        };
        let returned = |id: &BrokerId| since(id) == Some(true);
        let stayed = |id: &BrokerId| since(id) == Some(false) && serves(id);
        let replicas = &self.cluster.partition(tp)?.assignment.replicas;
        let state = without(&stands.state, replicas, returned, stayed, self.cluster.epoch)?;
        tracing::warn!(
            partition = %tp, before = ?stands.state, after = ?state,
            "a replica's broker has gone and come back unseen: it is not counted on"
        );
        Some(state)
    }
}

/// The state without the members that have `returned`, led by one that has `stayed` if its leader
/// is among them. `None`: nobody has returned, or nobody who stayed has what was acknowledged.
fn without(
    state: &PartitionState,
    replicas: &[BrokerId],
    returned: impl Fn(&BrokerId) -> bool,
    stayed: impl Fn(&BrokerId) -> bool,
    controller_epoch: i32,
) -> Option<PartitionState> {
    let heir = replicas.iter().copied().find(|id| state.isr.contains(id) && stayed(id))?;
    let isr: Vec<BrokerId> = state.isr.iter().copied().filter(|id| !returned(id)).collect();
    if isr.len() == state.isr.len() {
        return None;
    }
    Some(PartitionState {
        leader: if returned(&state.leader) { heir } else { state.leader },
        leader_epoch: state.leader_epoch + 1,
        isr,
        controller_epoch,
        recovering: state.recovering,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use metadata::znodes::partition_state::NO_LEADER;

    fn ids(text: &str) -> Vec<BrokerId> {
        text.split(',').filter(|t| !t.is_empty()).map(|t| t.parse().unwrap()).collect()
    }

    /// Replicas 1,2,3. Whoever neither returned nor stayed is away.
    ///
    /// leader | isr | returned | stayed | leader isr, one leader epoch later
    const TABLE: &str = "
        3  | 3,1,2 | 3     | 1,2   | 1 1,2
        3  | 3,1,2 | 3     | 2     | 2 1,2
        3  | 3,1,2 | 3,1   | 2     | 2 2
        1  | 1,2,3 | 3     | 1,2   | 1 1,2
        1  | 1,2,3 | 3     | 2     | 1 1,2
        -1 | 1,2,3 | 3     | 2     | -1 1,2
        3  | 3,1,2 |       | 1,2,3 | -
        3  | 3,1,2 | 1,2,3 |       | -
        3  | 3,1,2 | 3     |       | -
        3  | 3     | 3     | 1,2   | -
        2  | 2,1   | 3     | 1,2   | -
        4  | 4,3   | 3     | 4     | -
    ";

    #[test]
    fn whoever_stayed_takes_the_place() {
        for line in TABLE.lines().filter(|line| !line.trim().is_empty()) {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let [leader, isr, returned, stayed, expected] = cells[..] else { panic!("{line}") };
            let state = PartitionState {
                leader: leader.parse().unwrap(),
                leader_epoch: 4,
                isr: ids(isr),
                controller_epoch: 1,
                recovering: false,
            };
            let (returned, stayed) = (ids(returned), ids(stayed));
            let is_in = |list: Vec<BrokerId>| move |id: &BrokerId| list.contains(id);
            let after = without(&state, &[1, 2, 3], is_in(returned), is_in(stayed), 7);
            let shown = after.map_or("-".to_owned(), |after| {
                assert_eq!((after.leader_epoch, after.controller_epoch), (5, 7), "{line}");
                assert!(after.leader == NO_LEADER || after.isr.contains(&after.leader), "{line}");
                let isr: Vec<_> = after.isr.iter().map(ToString::to_string).collect();
                format!("{} {}", after.leader, isr.join(","))
            });
            assert_eq!(shown, expected, "{line}");
        }
    }
}
