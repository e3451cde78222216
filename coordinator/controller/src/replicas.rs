//! Replicas from New to Online to Offline and away: who is told to start or stop, and who leaves
//! the ISR. Knows nothing of why a replica changes.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::{BrokerId, TopicPartition};

use super::core::{Core, Halt};
use super::state::{Leadership, Replica, ReplicaPhase};
use super::store_access::STATE_WRITE_ATTEMPTS;
use metadata::store::StoreError;
use metadata::znodes::partition_state::{NO_LEADER, PartitionState};

impl Core {
    /// Moves replicas to a phase, tells the brokers concerned, and skips those for which there is
    /// no such move.
    pub(super) async fn replicas_to(
        &mut self,
        replicas: &[Replica],
        phase: ReplicaPhase,
    ) -> Result<(), Halt> {
        let mut by_broker: BTreeMap<BrokerId, Vec<TopicPartition>> = BTreeMap::new();
        for replica in replicas {
            let before = self.cluster.replica_phase(replica);
            let (tp, broker) = replica;
            if phase.may_follow(before) {
                by_broker.entry(*broker).or_default().push(tp.clone());
            } else {
                tracing::debug!(partition = %tp, broker, ?before, ?phase, "no such change");
            }
        }
        for (broker, tps) in by_broker {
            match phase {
                ReplicaPhase::New => self.new_replicas(broker, &tps),
                ReplicaPhase::Online => self.online_replicas(broker, &tps),
                ReplicaPhase::Offline => self.offline_replicas(broker, &tps).await?,
                ReplicaPhase::DeletionStarted => {
                    for tp in &tps {
                        self.batch.stop_replica(broker, tp, true);
                    }
                    self.mark(broker, &tps, phase);
                }
                ReplicaPhase::DeletionSuccessful | ReplicaPhase::DeletionIneligible => {
                    self.mark(broker, &tps, phase);
                }
                ReplicaPhase::NonExistent => {
                    for tp in &tps {
                        if let Some(partition) = self.cluster.partition_mut(tp) {
                            partition.assignment.replicas.retain(|id| *id != broker);
                        }
                    }
                    self.mark(broker, &tps, phase);
                }
            }
        }
        self.send_batch();
        Ok(())
    }

    fn mark(&mut self, broker: BrokerId, tps: &[TopicPartition], phase: ReplicaPhase) {
        for tp in tps {
            self.cluster.set_replica_phase(&(tp.clone(), broker), phase);
        }
    }

    fn new_replicas(&mut self, broker: BrokerId, tps: &[TopicPartition]) {
        for tp in tps {
            let leader = self.cluster.leadership(tp).map(|l| l.state.leader);
            if leader == Some(broker) {
                tracing::error!(partition = %tp, broker, "a leader cannot be a new replica");
                continue;
            }
            if leader.is_some() {
                self.batch.leader_and_isr(&self.cluster, [broker], tp, true);
            }
            self.cluster.set_replica_phase(&(tp.clone(), broker), ReplicaPhase::New);
        }
    }

    fn online_replicas(&mut self, broker: BrokerId, tps: &[TopicPartition]) {
        for tp in tps {
            let replica = (tp.clone(), broker);
            if self.cluster.replica_phase(&replica) == ReplicaPhase::New {
                if let Some(partition) = self.cluster.partition_mut(tp)
                    && !partition.assignment.replicas.contains(&broker)
                {
                    partition.assignment.replicas.push(broker);
                }
            } else {
                // Without a leader there is nothing to tell yet.
                self.batch.leader_and_isr(&self.cluster, [broker], tp, false);
            }
            self.cluster.set_replica_phase(&replica, ReplicaPhase::Online);
        }
    }

    async fn offline_replicas(
        &mut self,
        broker: BrokerId,
        tps: &[TopicPartition],
    ) -> Result<(), Halt> {
        for tp in tps {
            self.batch.stop_replica(broker, tp, false);
        }
        let (led, never_led): (Vec<_>, Vec<_>) =
            tps.iter().cloned().partition(|tp| self.cluster.leadership(tp).is_some());
        let left = self.leave_isr(broker, &led).await?;
        // A topic on its way out needs no ISR: one that cannot be read does not hold it up.
        let mut going = led;
        going.retain(|tp| {
            self.cluster.is_queued_for_deletion(&tp.topic) && !left.iter().any(|(of, _)| of == tp)
        });
        self.mark(broker, &going, ReplicaPhase::Offline);
        for (tp, leadership) in left {
            let Some(partition) = self.cluster.partition_mut(&tp) else { continue };
            partition.leadership = Some(leadership);
            let others = partition.assignment.replicas.iter().copied().filter(|id| *id != broker);
            let others: Vec<_> = others.collect();
            if !self.cluster.is_queued_for_deletion(&tp.topic) {
                self.batch.leader_and_isr(&self.cluster, others, &tp, false);
            }
            self.cluster.set_replica_phase(&(tp, broker), ReplicaPhase::Offline);
        }
        if !never_led.is_empty() {
            let all = self.all_brokers();
            self.batch.update_metadata(&self.cluster, all, &never_led);
        }
        self.mark(broker, &never_led, ReplicaPhase::Offline);
        Ok(())
    }

    /// Takes `broker` out of the ISRs that have it. Returns the states that stand now, also where
    /// there was nothing to change; what could not be read or written is left out.
    async fn leave_isr(
        &mut self,
        broker: BrokerId,
        tps: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, Leadership)>, Halt> {
        let mut done = Vec::new();
        let mut remaining: BTreeSet<TopicPartition> = tps.iter().cloned().collect();
        for _ in 0..STATE_WRITE_ATTEMPTS {
            if remaining.is_empty() {
                break;
            }
            let tps: Vec<_> = std::mem::take(&mut remaining).into_iter().collect();
            let mut states = self.read_states(&tps).await?;
            let mut writes = Vec::new();
            for tp in tps {
                let Some(before) = states.remove(&tp) else {
                    tracing::error!(partition = %tp, "it has no state to take a replica from");
                    continue;
                };
                if before.state.controller_epoch > self.cluster.epoch {
                    tracing::error!(partition = %tp, "a later controller wrote its state");
                } else if !before.state.isr.contains(&broker) {
                    done.push((tp, before));
                } else {
                    let state = without(&before.state, broker, self.cluster.epoch);
                    writes.push((tp, Leadership { state, ..before }));
                }
            }
            let results = self.write_states(&writes).await?;
            for ((tp, meant), result) in writes.into_iter().zip(results) {
                match result {
                    Ok(partition_epoch) => done.push((tp, Leadership { partition_epoch, ..meant })),
                    Err(StoreError::BadVersion(_)) => drop(remaining.insert(tp)),
                    Err(error) => {
                        tracing::error!(partition = %tp, %error, "ISR not written");
                        self.look_again();
                    }
                }
            }
        }
        for tp in remaining {
            tracing::error!(partition = %tp, "its state changes faster than it can be written");
        }
        Ok(done)
    }
}

/// The state without `broker`. The last member stays in the ISR: only it has what was acknowledged.
fn without(state: &PartitionState, broker: BrokerId, controller_epoch: i32) -> PartitionState {
    let mut isr = state.isr.clone();
    if isr.len() > 1 {
        isr.retain(|id| *id != broker);
    }
    PartitionState {
        leader: if state.leader == broker { NO_LEADER } else { state.leader },
        leader_epoch: state.leader_epoch + 1,
        isr,
        controller_epoch,
        recovering: state.recovering,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaving_the_isr() {
        let state = |leader, leader_epoch, isr: &[BrokerId], controller_epoch| {
            let isr = isr.to_vec();
            PartitionState { leader, leader_epoch, isr, controller_epoch, recovering: false }
        };
        assert_eq!(without(&state(1, 4, &[1, 2], 1), 1, 3), state(-1, 5, &[2], 3));
        assert_eq!(without(&state(1, 4, &[1, 2], 1), 2, 3), state(1, 5, &[1], 3));
        assert_eq!(without(&state(1, 4, &[1], 1), 1, 3), state(-1, 5, &[1], 3));
    }
}
