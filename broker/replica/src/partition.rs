//! The state of one partition on this broker: leader or follower, by which epochs, with which
//! replicas, and the checks and transitions of KIP-101/320/497. Knows no log but three offsets of
//! it, no clock and no connection; see Kafka's `Partition`.

use std::collections::BTreeMap;

use protocol::ids::{BrokerId, LeaderEpoch, Offset, TimestampMs};

use protocol::planted::{self, Planted};

use crate::isr::{Isr, IsrAnswer, IsrChange, IsrOutcome};
use crate::watermark::{self, FollowerFetch, FollowerProgress, LogOffsets};

/// What the controller says of one partition (LeaderAndIsr).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionAssignment {
    pub controller_epoch: i32,
    /// −1: the partition has no leader.
    pub leader: BrokerId,
    pub leader_epoch: LeaderEpoch,
    pub isr: Vec<BrokerId>,
    /// Version of the partition's state znode.
    pub partition_epoch: i32,
    pub replicas: Vec<BrokerId>,
    pub adding: Vec<BrokerId>,
    pub removing: Vec<BrokerId>,
}

/// Why a request may not use this replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    #[error("this broker does not lead the partition")]
    NotLeader,
    #[error("the request's leader epoch is older")]
    FencedLeaderEpoch,
    #[error("the request's leader epoch is newer, or it comes from an unknown replica")]
    UnknownLeaderEpoch,
}

/// Whether a LeaderAndIsr for this partition is to be acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// This broker leads from now on.
    Lead,
    /// Another broker leads, or nobody.
    Follow,
    /// This broker is not among the replicas.
    NotAReplica,
    /// The leader epoch is not newer than the one in force.
    Stale,
}

/// What becoming leader changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MadeLeader {
    /// The partition epoch is older than the one in force: nothing changed.
    Outdated,
    /// The same leader epoch with other replicas or another ISR.
    SameEpoch,
    /// `epoch` starts at `start`; the leader-epoch cache is to say so.
    NewEpoch { epoch: LeaderEpoch, start: Offset, was_leader: bool },
}

/// Whether an acks=all append is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcksAll {
    Waiting,
    Replicated,
    /// It is on every in-sync replica, but those have become too few.
    NotEnoughReplicas,
    NotLeader,
}

/// Fewer replicas are in sync than `min.insync.replicas` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{in_sync} replicas in sync, {needed} needed")]
pub struct NotEnoughReplicas {
    pub in_sync: usize,
    pub needed: usize,
}

/// One partition as this broker holds it.
#[derive(Debug, Clone)]
pub struct PartitionState {
    local: BrokerId,
    /// −1 until the first LeaderAndIsr.
    leader: BrokerId,
    leader_epoch: LeaderEpoch,
    partition_epoch: i32,
    controller_epoch: i32,
    replicas: Vec<BrokerId>,
    adding: Vec<BrokerId>,
    removing: Vec<BrokerId>,
    isr: Isr,
    /// Every other replica, while this broker leads.
    followers: BTreeMap<BrokerId, FollowerProgress>,
    /// Log end offset at which the present leader epoch began, while this broker leads.
    epoch_start: Option<Offset>,
}

impl PartitionState {
    /// A partition that the controller has not spoken of yet.
    pub fn new(local: BrokerId) -> PartitionState {
        PartitionState {
            local,
            leader: -1,
            leader_epoch: -1,
            partition_epoch: 0,
            controller_epoch: 0,
            replicas: Vec::new(),
            adding: Vec::new(),
            removing: Vec::new(),
            isr: Isr::default(),
            followers: BTreeMap::new(),
            epoch_start: None,
        }
    }

    pub fn is_leader(&self) -> bool {
        self.leader == self.local
    }

    /// −1 if there is none.
    pub fn leader(&self) -> BrokerId {
        self.leader
    }

    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    pub fn partition_epoch(&self) -> i32 {
        self.partition_epoch
    }

    pub fn controller_epoch(&self) -> i32 {
        self.controller_epoch
    }

    pub fn replicas(&self) -> &[BrokerId] {
        &self.replicas
    }

    /// Replicas that a reassignment is to take away.
    pub fn removing(&self) -> &[BrokerId] {
        &self.removing
    }

    pub fn isr(&self) -> &Isr {
        &self.isr
    }

    pub fn epoch_start(&self) -> Option<Offset> {
        self.epoch_start
    }

    pub fn follower(&self, replica: BrokerId) -> Option<&FollowerProgress> {
        self.followers.get(&replica)
    }

    /// Fewer in-sync replicas than replicas; those being added do not count yet.
    pub fn is_under_replicated(&self) -> bool {
        let settled = self.replicas.iter().filter(|id| !self.adding.contains(id)).count();
        self.is_leader() && self.isr.members().len() < settled
    }

    /// Replicas come or go, or both, and this broker leads meanwhile.
    pub fn is_reassigning(&self) -> bool {
        self.is_leader() && !(self.adding.is_empty() && self.removing.is_empty())
    }

    pub fn is_under_min_isr(&self, min_isr: usize) -> bool {
        self.is_leader() && self.check_min_isr(min_isr).is_err()
    }

    /// Compares a request's leader epoch with ours; −1 means that it does not say.
    pub fn check_epoch(&self, current: LeaderEpoch) -> Result<(), AccessError> {
        match current {
            -1 => Ok(()),
            epoch if epoch < self.leader_epoch => Err(AccessError::FencedLeaderEpoch),
            epoch if epoch > self.leader_epoch => Err(AccessError::UnknownLeaderEpoch),
            _ => Ok(()),
        }
    }

    /// `check_epoch`, and that this broker leads unless a follower may answer too.
    pub fn check_access(&self, current: LeaderEpoch, leader_only: bool) -> Result<(), AccessError> {
        self.check_epoch(current)?;
        if leader_only && !self.is_leader() { Err(AccessError::NotLeader) } else { Ok(()) }
    }

    /// Whether `replica` is one of ours; one that knows the epoch must know it from a newer state.
    pub fn check_follower(
        &self,
        replica: BrokerId,
        current: LeaderEpoch,
    ) -> Result<(), AccessError> {
        match (self.followers.contains_key(&replica), current) {
            (true, _) => Ok(()),
            (false, -1) => Err(AccessError::NotLeader),
            (false, _) => Err(AccessError::UnknownLeaderEpoch),
        }
    }

    /// What to do with a LeaderAndIsr, by its leader epoch.
    pub fn judge(&self, assignment: &PartitionAssignment) -> Verdict {
        if assignment.leader_epoch <= self.leader_epoch {
            Verdict::Stale
        } else if !assignment.replicas.contains(&self.local) {
            Verdict::NotAReplica
        } else if assignment.leader == self.local {
            Verdict::Lead
        } else {
            Verdict::Follow
        }
    }

    /// Takes the lead. The caller writes the epoch's start and then evaluates the high watermark.
    pub fn make_leader(
        &mut self,
        assignment: &PartitionAssignment,
        log_end: Offset,
        now_ms: TimestampMs,
    ) -> MadeLeader {
        if assignment.partition_epoch < self.partition_epoch {
            return MadeLeader::Outdated;
        }
        let was_leader = self.is_leader();
        let new_epoch = assignment.leader_epoch > self.leader_epoch;
        self.take_over(assignment);
        self.isr = Isr::committed(assignment.isr.clone());
        let others = assignment.replicas.iter().copied().filter(|id| *id != self.local);
        let mut known = std::mem::take(&mut self.followers);
        self.followers = others.map(|id| (id, known.remove(&id).unwrap_or_default())).collect();
        self.leader = self.local;
        if !new_epoch {
            self.check();
            return MadeLeader::SameEpoch;
        }
        // Unlike Apache's: after an epoch that was missed here another may have led, and followers
        // may have cut what they are known to have.
        let keep = was_leader && assignment.leader_epoch == self.leader_epoch + 1;
        for (id, follower) in &mut self.followers {
            follower.reset(now_ms, log_end, keep, self.isr.contains(*id));
        }
        self.leader_epoch = assignment.leader_epoch;
        self.epoch_start = Some(log_end);
        self.check();
        MadeLeader::NewEpoch { epoch: self.leader_epoch, start: log_end, was_leader }
    }

    /// Follows `assignment.leader`. `None` if the partition epoch is older than ours, else whether
    /// the leader epoch is new: then waiting requests end and fetching starts anew.
    pub fn make_follower(&mut self, assignment: &PartitionAssignment) -> Option<bool> {
        if assignment.partition_epoch < self.partition_epoch {
            return None;
        }
        let new_epoch = assignment.leader_epoch > self.leader_epoch;
        self.take_over(assignment);
        self.leader = assignment.leader;
        self.leader_epoch = assignment.leader_epoch;
        self.isr = Isr::default();
        self.followers.clear();
        self.epoch_start = None;
        self.check();
        Some(new_epoch)
    }

    /// Of an assignment that was judged.
    fn take_over(&mut self, assignment: &PartitionAssignment) {
        let (ours, theirs) = (self.leader_epoch, assignment.leader_epoch);
        debug_assert!(theirs >= ours, "the leader epoch goes back from {ours} to {theirs}");
        self.controller_epoch = assignment.controller_epoch;
        self.partition_epoch = assignment.partition_epoch;
        self.replicas.clone_from(&assignment.replicas);
        self.adding.clone_from(&assignment.adding);
        self.removing.clone_from(&assignment.removing);
    }

    /// Before an acks=all append. `min_isr` is the topic's `min.insync.replicas`, which counts at
    /// most as many as there are replicas.
    pub fn check_min_isr(&self, min_isr: usize) -> Result<(), NotEnoughReplicas> {
        let (in_sync, needed) = (self.isr.members().len(), self.effective_min_isr(min_isr));
        if in_sync < needed { Err(NotEnoughReplicas { in_sync, needed }) } else { Ok(()) }
    }

    fn effective_min_isr(&self, min_isr: usize) -> usize {
        min_isr.min(self.followers.len() + 1)
    }

    /// Whether an ISR of `isr_len` is this broker alone, or smaller than `min_isr`, though there
    /// are other replicas: a power loss of fewer brokers than an acks=all append was promised to
    /// survive would then lose what is only in memory here. So it is made durable before.
    pub fn is_isr_thin(&self, isr_len: usize, min_isr: usize) -> bool {
        !self.followers.is_empty() && isr_len < self.effective_min_isr(min_isr).max(2)
    }

    /// Whether a shrink to a thin ISR was asked for: the controller may have made it already. What
    /// is committed from then on must be durable here first.
    pub fn is_thinning(&self, min_isr: usize) -> bool {
        self.isr.shrinking_to().is_some_and(|isr_len| self.is_isr_thin(isr_len, min_isr))
    }

    /// Whether `min_isr` is met without one to spare.
    pub fn is_at_min_isr(&self, min_isr: usize) -> bool {
        self.is_leader() && self.isr.members().len() == self.effective_min_isr(min_isr)
    }

    /// Where the high watermark may go now, if that is further. Evaluate after an append, a
    /// follower's fetch, an ISR answer and a transition.
    ///
    /// Replicas that are caught up count even outside the ISR, so that they can come in.
    pub fn next_high_watermark(
        &self,
        log: &LogOffsets,
        min_isr: usize,
        max_lag_ms: i64,
        now_ms: TimestampMs,
        alive: &dyn Fn(BrokerId) -> bool,
    ) -> Option<Offset> {
        if !self.is_leader() || self.is_under_min_isr(min_isr) {
            return None;
        }
        let holding = self.followers.iter().filter(|(id, follower)| {
            if planted::is(Planted::WatermarkAlone) {
                return false;
            }
            self.isr.maximal_contains(**id)
                || (follower.is_caught_up(log.end, now_ms, max_lag_ms) && alive(**id))
        });
        watermark::high_watermark(log, holding.map(|(_, follower)| follower))
    }

    /// Whether everything below `required` is replicated.
    pub fn acks_all(&self, required: Offset, high_watermark: Offset, min_isr: usize) -> AcksAll {
        if !self.is_leader() {
            AcksAll::NotLeader
        } else if high_watermark < required && !planted::is(Planted::AckBeforeIsr) {
            AcksAll::Waiting
        } else if self.isr.maximal_len() < self.effective_min_isr(min_isr) {
            AcksAll::NotEnoughReplicas
        } else {
            AcksAll::Replicated
        }
    }

    /// Notes a follower's fetch; whether its log end moved, so that the watermark may. A fetch of a
    /// former life of that broker, by its broker epoch, counts for nothing (KIP-903).
    pub fn follower_fetched(
        &mut self,
        replica: BrokerId,
        fetch: &FollowerFetch,
        now_ms: TimestampMs,
    ) -> Result<bool, AccessError> {
        let Some(follower) = self.followers.get_mut(&replica) else {
            return Err(AccessError::NotLeader);
        };
        if fetch.broker_epoch >= 0 && fetch.broker_epoch < follower.broker_epoch {
            return Err(AccessError::NotLeader);
        }
        let moved = follower.log_end != fetch.offset;
        follower.fetched(fetch, now_ms);
        self.check();
        Ok(moved)
    }

    /// Asks for `replica` to join the ISR, if it is alive and has all that is committed.
    pub fn expand_isr(
        &mut self,
        replica: BrokerId,
        log: &LogOffsets,
        alive: &dyn Fn(BrokerId) -> bool,
    ) -> Option<IsrChange> {
        // What nearly every fetch comes to.
        if self.isr.contains(replica) || self.isr.in_flight() {
            return None;
        }
        let end = self.followers.get(&replica)?.log_end;
        let in_sync = planted::is(Planted::ExpandTooEarly)
            || end >= log.high_watermark && end >= self.epoch_start?;
        if !in_sync || !self.is_leader() || !alive(replica) {
            return None;
        }
        let change = self.isr.expand(replica, self.leader_epoch, self.partition_epoch);
        self.check();
        change
    }

    /// Asks for every follower that lags longer than `max_lag_ms` to leave the ISR.
    pub fn shrink_isr(
        &mut self,
        log_end: Offset,
        max_lag_ms: i64,
        now_ms: TimestampMs,
    ) -> Option<IsrChange> {
        if !self.is_leader() {
            return None;
        }
        let lagging: Vec<_> = self
            .isr
            .members()
            .iter()
            .copied()
            .filter(|id| *id != self.local)
            .filter(|id| {
                !self
                    .followers
                    .get(id)
                    .is_some_and(|follower| follower.is_caught_up(log_end, now_ms, max_lag_ms))
            })
            .collect();
        let change = self.isr.shrink(&lagging, self.leader_epoch, self.partition_epoch);
        self.check();
        change
    }

    /// See [`Isr::ask_again`].
    pub fn ask_isr_again(&mut self) -> Option<IsrChange> {
        let change = self.isr.ask_again();
        self.check();
        change
    }

    /// Takes the controller's answer to `asked`.
    pub fn isr_answered(&mut self, asked: &IsrChange, answer: &IsrAnswer) -> IsrOutcome {
        let outcome = self.isr.answered(asked, answer, self.partition_epoch);
        if let (IsrOutcome::Committed, IsrAnswer::Committed { partition_epoch, .. }) =
            (outcome, answer)
        {
            self.partition_epoch = *partition_epoch;
        }
        if outcome == IsrOutcome::Reverted {
            // It may be about to stop. Until it fetches again nobody waits for it.
            for id in asked.new_isr.iter().filter(|id| !self.isr.contains(**id)) {
                self.followers.entry(*id).and_modify(FollowerProgress::await_no_more);
            }
        }
        self.check();
        outcome
    }

    /// The offset below which records are deleted on every living replica.
    pub fn low_watermark(&self, log_start: Offset, alive: &dyn Fn(BrokerId) -> bool) -> Offset {
        let living = self.followers.iter().filter(|(id, _)| alive(**id));
        watermark::low_watermark(log_start, living.map(|(_, follower)| follower))
    }
}

mod check;
#[cfg(test)]
mod tests;
