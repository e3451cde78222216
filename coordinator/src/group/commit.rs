//! OffsetCommit and OffsetFetch: what a group has read so far. Knows nothing of requests' versions
//! and of the old offsets in ZooKeeper.

use protocol::ids::{Offset, ProducerId, TopicPartition};

use super::metadata::{Group, State};
use super::records::GroupRecord;
use super::request::{Answer, CommitRequest, FetchRequest, FetchedOffset, OffsetCommit};
use super::shard::{GroupShard, Out, Pending, PendingKind};
use super::{GroupError, Name};
use crate::shard::writer::AppendError;
use crate::shard::{Append, Marker, Now, Ticket};

/// A commit on its way into the log.
#[derive(Debug)]
pub struct PendingCommit {
    caller: Ticket,
    producer: Option<ProducerId>,
    /// Every partition of the request; those with an error already are not in the log.
    offsets: Vec<(TopicPartition, OffsetCommit, Option<GroupError>)>,
}

impl GroupShard {
    pub(super) fn commit(
        &mut self,
        caller: Ticket,
        group_id: &str,
        commit: CommitRequest,
        now: Now,
        out: &mut Out,
    ) {
        if let Err(error) = self.check_commit(group_id, &commit, now, out) {
            let refused = commit.offsets.into_iter().map(|(tp, _)| (tp, Some(error))).collect();
            out.answers.push((caller, Answer::Commit(refused)));
            return;
        }
        let max_units = self.config.offset_metadata_max_units;
        let check = |commit: &OffsetCommit| {
            let too_large = commit.metadata.encode_utf16().count() > max_units;
            too_large.then_some(GroupError::OffsetMetadataTooLarge)
        };
        let offsets: Vec<_> = commit
            .offsets
            .into_iter()
            .map(|(tp, commit)| {
                let error = check(&commit);
                (tp, commit, error)
            })
            .collect();
        let Some(group) = self.groups.get_mut(group_id) else { return };
        let producer = commit.producer;
        let mut records = Vec::with_capacity(offsets.len());
        for (tp, commit, error) in &offsets {
            if error.is_none() {
                match producer {
                    Some(of) => group.offsets.stage_in_transaction(of.id, tp, None, commit),
                    None => group.offsets.stage(tp, commit),
                }
                records.push(offset_record(&group.id, tp, Some(commit.clone())));
            }
        }
        let pending = PendingCommit { caller, producer: producer.map(|of| of.id), offsets };
        if records.is_empty() {
            out.answers.push((caller, Answer::Commit(pending.results(None))));
            return;
        }
        let id = group.id.clone();
        out.appends.push(Append {
            records,
            producer,
            guard: commit.guard,
            acks: self.config.commit_acks(),
            base_sequence: 0,
            timestamp_ms: now.wall_ms,
            pending: Pending {
                group: id.clone(),
                incarnation: group.incarnation,
                kind: PendingKind::Commit(pending),
            },
        });
        if let Some(of) = producer {
            self.open_transactions.entry(of.id).or_default().insert(id);
        }
    }

    /// Whether the commit may be stored. The first commit creates a group that nobody manages.
    fn check_commit(
        &mut self,
        group_id: &str,
        commit: &CommitRequest,
        now: Now,
        out: &mut Out,
    ) -> Result<(), GroupError> {
        let creates = commit.producer.is_some() || commit.caller.generation < 0;
        if !creates && !self.groups.contains_key(group_id) {
            return Err(GroupError::IllegalGeneration);
        }
        if !self.ensure_group(group_id, now) {
            return Err(GroupError::CoordinatorNotAvailable);
        }
        let Some((group, mut step)) = self.step(group_id, now, out) else {
            return Err(GroupError::CoordinatorNotAvailable);
        };
        group.check_commit(commit)?;
        if commit.producer.is_none() {
            match group.state {
                State::Empty | State::Dead => {}
                // Allowed while members join: the heartbeat tells this one to join as well.
                State::Stable | State::PreparingRebalance => {
                    group.arm_session(&mut step, &Name::from(commit.caller.member_id.as_str()));
                }
                State::CompletingRebalance => return Err(GroupError::RebalanceInProgress),
            }
        }
        Ok(())
    }

    pub(super) fn commit_appended(
        &mut self,
        id: &Name,
        alive: bool,
        pending: PendingCommit,
        outcome: Result<Offset, AppendError>,
        out: &mut Out,
    ) {
        if let Some(group) = self.groups.get_mut(id).filter(|_| alive) {
            for (tp, commit, _) in pending.offsets.iter().filter(|entry| entry.2.is_none()) {
                match (pending.producer, outcome) {
                    (Some(producer), Ok(at)) => {
                        group.offsets.appended_in_transaction(producer, tp, at, commit);
                    }
                    (Some(producer), Err(_)) => group.offsets.failed_in_transaction(producer, tp),
                    (None, Ok(at)) => group.offsets.committed(tp, at, commit),
                    (None, Err(_)) => group.offsets.failed(tp, commit),
                }
            }
            let closed = pending.producer.filter(|of| !group.offsets.has_transaction(*of));
            if let Some(producer) = closed {
                self.close_transaction(producer, id);
            }
        }
        let results = pending.results(outcome.err());
        out.answers.push((pending.caller, Answer::Commit(results)));
    }

    pub(super) fn end_transaction(&mut self, producer: ProducerId, marker: Marker) {
        for id in self.open_transactions.remove(&producer).unwrap_or_default() {
            if let Some(group) = self.groups.get_mut(&id) {
                group.offsets.end_transaction(producer, marker);
            }
        }
    }

    /// What is committed, whatever state the group is in: it may not use the group protocol at all.
    pub(super) fn fetch(
        &self,
        group_id: &str,
        fetch: FetchRequest,
    ) -> Result<Vec<FetchedOffset>, GroupError> {
        let FetchRequest { partitions, require_stable, member } = fetch;
        let Some(group) = self.groups.get(group_id) else {
            let asked = partitions.unwrap_or_default().into_iter();
            let nothing = |partition| FetchedOffset { partition, commit: Ok(None) };
            return Ok(asked.map(nothing).collect());
        };
        // Classic groups do not look at who asks.
        if let (Some(consumer), Some((id, epoch))) = (&group.consumer, &member) {
            consumer.check_fetch(Some(id.as_str()), *epoch)?;
        }
        let asked = partitions.unwrap_or_else(|| group.offsets.partitions().cloned().collect());
        let found = asked
            .into_iter()
            .map(|partition| {
                let commit = if require_stable && group.offsets.is_unstable(&partition) {
                    Err(GroupError::UnstableOffsetCommit)
                } else {
                    Ok(group.offsets.get(&partition).cloned())
                };
                FetchedOffset { partition, commit }
            })
            .collect();
        Ok(found)
    }
}

impl PendingCommit {
    fn results(&self, failure: Option<AppendError>) -> Vec<(TopicPartition, Option<GroupError>)> {
        let failure = failure.map(GroupError::from_offset_append);
        self.offsets.iter().map(|(tp, _, error)| (tp.clone(), error.or(failure))).collect()
    }
}

impl Group {
    fn check_commit(&self, commit: &CommitRequest) -> Result<(), GroupError> {
        if let Some(consumer) = &self.consumer {
            return consumer.check_commit(commit);
        }
        let caller = &commit.caller;
        let is_member =
            caller.generation >= 0 || !caller.member_id.is_empty() || caller.instance_id.is_some();
        if self.is(State::Empty) && caller.generation < 0 {
            // An administrator, or a consumer that divides its partitions without the group.
            Ok(())
        } else if is_member {
            self.check_caller(caller)
        } else if commit.producer.is_none() && !self.is(State::Empty) {
            Err(GroupError::UnknownMemberId)
        } else {
            // Old transactional producers do not say which member they are.
            Ok(())
        }
    }
}

pub(super) fn offset_record(
    group: &Name,
    partition: &TopicPartition,
    commit: Option<OffsetCommit>,
) -> GroupRecord {
    GroupRecord::Offset { group: group.clone(), partition: partition.clone(), commit }
}
