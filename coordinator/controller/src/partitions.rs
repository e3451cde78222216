//! Partitions from New to Online to Offline and away: first states, elections, and the writes that
//! make them true. Knows nothing of why a partition changes.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::{BrokerId, TopicPartition};

use super::core::{Core, Halt};
use super::election::{Candidates, Elected, Strategy, elect};
use super::state::{Leadership, PartitionPhase};
use super::store_access::{STATE_WRITE_ATTEMPTS, WRITES_PER_MULTI, create, get};
use metadata::store::{Op, StoreError};
use metadata::znodes::config::{self, ConfigEntity};
use metadata::znodes::partition_state::{self, PartitionState};

/// The topic configuration that allows a leader from outside the ISR.
const UNCLEAN_KEY: &str = "unclean.leader.election.enable";

impl Core {
    /// To a phase that only this memory knows of: New, Offline or NonExistent.
    pub(super) fn partitions_to(&mut self, tps: &[TopicPartition], phase: PartitionPhase) {
        debug_assert_ne!(phase, PartitionPhase::Online);
        for tp in self.partitions_that_may(tps, phase) {
            if let Some(partition) = self.cluster.partition_mut(&tp) {
                partition.phase = phase;
            }
        }
    }

    /// Finds leaders and tells the replicas. Returns the partitions that are now online.
    pub(super) async fn partitions_online(
        &mut self,
        tps: &[TopicPartition],
        strategy: Strategy,
    ) -> Result<BTreeSet<TopicPartition>, Halt> {
        let is_new = |core: &Core, tp: &TopicPartition| {
            core.cluster.partition(tp).is_some_and(|p| p.phase == PartitionPhase::New)
        };
        let legal = self.partitions_that_may(tps, PartitionPhase::Online);
        let (new, old): (Vec<_>, Vec<_>) = legal.into_iter().partition(|tp| is_new(self, tp));
        let mut online = self.initialise(&new).await?;
        online.extend(self.elect_leaders(old, strategy).await?);
        self.send_batch();
        Ok(online)
    }

    fn partitions_that_may(
        &self,
        tps: &[TopicPartition],
        phase: PartitionPhase,
    ) -> Vec<TopicPartition> {
        let may = |tp: &&TopicPartition| {
            let before = self.cluster.partition(tp).map(|p| p.phase);
            let legal = before.is_some_and(|before| phase.may_follow(before));
            if !legal {
                tracing::debug!(partition = %tp, ?before, ?phase, "no such change of a partition");
            }
            legal
        };
        tps.iter().filter(may).cloned().collect()
    }

    /// First leaders: the first replica alive, and an ISR of all that are.
    async fn initialise(
        &mut self,
        tps: &[TopicPartition],
    ) -> Result<BTreeSet<TopicPartition>, Halt> {
        let mut first: Vec<(TopicPartition, PartitionState)> = Vec::new();
        for tp in tps {
            let Some(partition) = self.cluster.partition(tp) else { continue };
            let online = |id: &&BrokerId| self.cluster.is_online(**id, tp);
            let isr: Vec<_> =
                partition.assignment.replicas.iter().filter(online).copied().collect();
            let Some(leader) = isr.first().copied() else {
                tracing::warn!(partition = %tp, "no replica is alive: it stays without a leader");
                continue;
            };
            let controller_epoch = self.cluster.epoch;
            let state = PartitionState {
                leader,
                leader_epoch: 0,
                isr,
                controller_epoch,
                recovering: false,
            };
            first.push((tp.clone(), state));
        }
        let created = self.create_states(&first).await?;
        let mut online = BTreeSet::new();
        for (tp, state) in first {
            if !created.contains(&tp) {
                continue;
            }
            let isr = state.isr.clone();
            if let Some(partition) = self.cluster.partition_mut(&tp) {
                partition.leadership = Some(Leadership { state, partition_epoch: 0 });
                partition.phase = PartitionPhase::Online;
            }
            self.batch.leader_and_isr(&self.cluster, isr, &tp, true);
            online.insert(tp);
        }
        Ok(online)
    }

    /// Creates state nodes, many behind one check. Returns those that now hold what was meant.
    async fn create_states(
        &mut self,
        first: &[(TopicPartition, PartitionState)],
    ) -> Result<BTreeSet<TopicPartition>, Halt> {
        let topics: BTreeSet<&str> = first.iter().map(|(tp, _)| tp.topic.as_str()).collect();
        let containers =
            topics.iter().map(|t| vec![create(partition_state::partitions_path(t), None)]);
        let nodes = |(tp, state): &(TopicPartition, PartitionState)| {
            let container = create(partition_state::partition_path(tp), None);
            [container, create(partition_state::path(tp), Some(state.encode()))]
        };
        let pieces: Vec<_> = first.chunks(WRITES_PER_MULTI).collect();
        let multis = pieces.iter().map(|piece| piece.iter().flat_map(nodes).collect::<Vec<Op>>());
        let groups: Vec<_> = containers.chain(multis).collect();
        // The containers' own results do not matter: they may be there already.
        let results = self.fenced(groups).await?.split_off(topics.len());
        let mut created = BTreeSet::new();
        for (result, piece) in results.into_iter().zip(pieces) {
            if result.is_ok() {
                created.extend(piece.iter().map(|(tp, _)| tp.clone()));
                continue;
            }
            // Some node is there already: one by one then.
            let groups = piece.iter().flat_map(|entry| nodes(entry).map(|op| vec![op])).collect();
            let results = self.fenced(groups).await?;
            let mut in_question = Vec::new();
            for ((tp, state), result) in piece.iter().zip(results.into_iter().skip(1).step_by(2)) {
                match result {
                    Ok(_) => drop(created.insert(tp.clone())),
                    Err(StoreError::NodeExists(_)) => in_question.push((tp.clone(), state)),
                    Err(error) => {
                        tracing::error!(partition = %tp, %error, "no state written");
                        self.look_again();
                    }
                }
            }
            // Perhaps a first try of ours whose answer was lost.
            let tps: Vec<_> = in_question.iter().map(|(tp, _)| tp.clone()).collect();
            let found = self.read_states(&tps).await?;
            for (tp, state) in in_question {
                if found.get(&tp).is_some_and(|l| l.state == *state && l.partition_epoch == 0) {
                    created.insert(tp);
                } else {
                    tracing::error!(partition = %tp, "it has a state that it should not have");
                }
            }
        }
        Ok(created)
    }

    /// Reads the states, decides, writes over what was read, and again where another wrote first.
    async fn elect_leaders(
        &mut self,
        tps: Vec<TopicPartition>,
        strategy: Strategy,
    ) -> Result<BTreeSet<TopicPartition>, Halt> {
        let mut elected = BTreeSet::new();
        let mut remaining = tps;
        let mut tried: BTreeMap<TopicPartition, (Leadership, Elected)> = BTreeMap::new();
        for _ in 0..STATE_WRITE_ATTEMPTS {
            if remaining.is_empty() {
                break;
            }
            let states = self.read_states(&remaining).await?;
            let unclean = self.unclean_topics(&states, strategy).await?;
            let mut writes = Vec::new();
            let mut outcomes = Vec::new();
            for tp in std::mem::take(&mut remaining) {
                let Some(before) = states.get(&tp) else {
                    tracing::error!(partition = %tp, "it has no state to elect from");
                    continue;
                };
                if let Some((meant, outcome)) = tried.get(&tp)
                    && meant.state == before.state
                    && before.partition_epoch == meant.partition_epoch + 1
                {
                    // The first try got through; only its answer was lost.
                    self.take_leader(&tp, before.clone(), outcome);
                    elected.insert(tp);
                    continue;
                }
                let Some(outcome) = self.candidate(&tp, before, &unclean, strategy) else {
                    continue;
                };
                let state = outcome.state(before.state.leader_epoch, self.cluster.epoch);
                let meant = Leadership { state, partition_epoch: before.partition_epoch };
                tried.insert(tp.clone(), (meant.clone(), outcome.clone()));
                writes.push((tp, meant));
                outcomes.push(outcome);
            }
            let results = self.write_states(&writes).await?;
            for (((tp, meant), outcome), result) in writes.into_iter().zip(outcomes).zip(results) {
                match result {
                    Ok(partition_epoch) => {
                        let written = Leadership { partition_epoch, ..meant };
                        self.take_leader(&tp, written, &outcome);
                        elected.insert(tp);
                    }
                    Err(StoreError::BadVersion(_)) => remaining.push(tp),
                    Err(error) => {
                        tracing::error!(partition = %tp, %error, "no leader written");
                        self.look_again();
                    }
                }
            }
        }
        for tp in remaining {
            tracing::error!(partition = %tp, "its state changes faster than it can be written");
        }
        Ok(elected)
    }

    fn candidate(
        &self,
        tp: &TopicPartition,
        before: &Leadership,
        unclean: &BTreeSet<String>,
        strategy: Strategy,
    ) -> Option<Elected> {
        if before.state.controller_epoch > self.cluster.epoch {
            tracing::error!(partition = %tp, "a later controller wrote its state");
            return None;
        }
        let elected = elect(
            strategy,
            &Candidates {
                assignment: &self.cluster.partition(tp)?.assignment,
                state: &before.state,
                online: &self.online_brokers(tp),
                shutting_down: &self.cluster.shutting_down,
                unclean_allowed: unclean.contains(&tp.topic)
                    || strategy == Strategy::Offline { allow_unclean: true },
            },
        );
        if elected.is_none() {
            tracing::warn!(partition = %tp, ?strategy, "nobody can lead it");
        }
        elected
    }

    fn take_leader(&mut self, tp: &TopicPartition, leadership: Leadership, outcome: &Elected) {
        if outcome.recovering {
            let leader = outcome.leader;
            tracing::error!(partition = %tp, leader, "unclean election: records may be lost");
        }
        if let Some(partition) = self.cluster.partition_mut(tp) {
            partition.leadership = Some(leadership);
            partition.phase = PartitionPhase::Online;
        }
        self.batch.leader_and_isr(&self.cluster, outcome.recipients.iter().copied(), tp, false);
    }

    /// Of the topics that have a partition whose whole ISR is offline, those that accept a leader
    /// from outside it.
    async fn unclean_topics(
        &mut self,
        states: &BTreeMap<TopicPartition, Leadership>,
        strategy: Strategy,
    ) -> Result<BTreeSet<String>, Halt> {
        if strategy != (Strategy::Offline { allow_unclean: false }) {
            return Ok(BTreeSet::new());
        }
        let lost = |(tp, l): &(&TopicPartition, &Leadership)| {
            !l.state.isr.iter().any(|id| self.cluster.is_online(*id, tp))
        };
        let topics: BTreeSet<String> =
            states.iter().filter(lost).map(|(tp, _)| tp.topic.clone()).collect();
        let entity = |topic: &String| ConfigEntity::topic(topic.clone());
        let ops = topics.iter().map(|topic| get(entity(topic).path(), false)).collect();
        let mut allowed = BTreeSet::new();
        for (topic, node) in topics.iter().zip(self.read(ops).await?) {
            let data = node.and_then(|(data, _)| data);
            let by_default = self.settings.unclean_leader_election_enable;
            let allows = match config::decode(&entity(topic), data.as_deref()) {
                Ok(values) => values.get(UNCLEAN_KEY).map_or(by_default, |v| v == "true"),
                Err(error) => {
                    tracing::warn!(%error, "configuration unreadable: no unclean election");
                    false
                }
            };
            if allows {
                allowed.insert(topic.clone());
            }
        }
        Ok(allowed)
    }
}
