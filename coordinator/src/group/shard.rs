//! The groups of one `__consumer_offsets` partition as a [`Shard`]: finds the group of a request,
//! keeps the timers, and hears the outcome of appends. Knows no clock and no log.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::{Offset, ProducerId};

use super::load::Loading;
use super::metadata::{Group, State, Step};
use super::records::{self, GroupRecord};
use super::request::{Answer, JoinAnswer, Request, SyncAnswer};
use super::{GroupConfig, GroupError, Name};
use crate::shard::timers::Timers;
use crate::shard::writer::{Acks, AppendError};
use crate::shard::{Append, Effects, KeyValue, Now, Shard, StoredBatch, Ticket};

pub type Out = Effects<GroupRecord, Answer, Pending>;

/// What a deadline is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimerKey {
    /// The end of the wait for members to join.
    Join { group: Name },
    /// The end of the wait for members to sync.
    Sync { group: Name },
    /// A member's session, or the time a pending one has to come back.
    Member { group: Name, member: Name },
    /// The time that a member of a group of the new protocol has to give partitions up.
    Revocation { group: Name, member: Name },
    /// The time that a member of the classic protocol in such a group has to join again.
    Rejoin { group: Name, member: Name },
    /// The time that it has to fetch what it was given.
    MemberSync { group: Name, member: Name },
}

/// What must be known when the outcome of an append comes back.
#[derive(Debug)]
pub struct Pending {
    pub(super) group: Name,
    pub(super) incarnation: u64,
    pub(super) kind: PendingKind,
}

impl Pending {
    /// Whether a caller waits for this outcome and for nothing else.
    #[cfg(test)]
    pub(super) fn has_caller(&self) -> bool {
        match &self.kind {
            PendingKind::Commit(_) => true,
            PendingKind::Consumer(changes) => changes.caller.is_some(),
            _ => false,
        }
    }
}

#[derive(Debug)]
pub(super) enum PendingKind {
    Assignment(super::sync::PendingAssignment),
    StaticMember(super::static_member::PendingStaticMember),
    Commit(super::commit::PendingCommit),
    Consumer(super::consumer::heartbeat::PendingChanges),
    /// A rebalance that left nobody.
    Emptied,
    Tombstones,
}

/// All groups of one partition.
#[derive(Debug)]
pub struct GroupShard {
    pub(super) config: GroupConfig,
    pub(super) groups: BTreeMap<Name, Group>,
    pub(super) timers: Timers<TimerKey>,
    /// Groups that hold offsets of a producer's open transaction.
    pub(super) open_transactions: BTreeMap<ProducerId, BTreeSet<Name>>,
    pub(super) next_incarnation: u64,
    next_expiry_ms: Option<i64>,
    loading: Option<Box<Loading>>,
    checks: check::Checks,
}

impl GroupShard {
    /// A shard that is to be loaded by `replay` and `loaded`.
    pub fn new(config: GroupConfig) -> GroupShard {
        GroupShard {
            config,
            groups: BTreeMap::new(),
            timers: Timers::default(),
            open_transactions: BTreeMap::new(),
            next_incarnation: 0,
            next_expiry_ms: None,
            loading: Some(Box::default()),
            checks: check::Checks::default(),
        }
    }

    /// Every group, in the order of the ids.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    pub fn group(&self, id: &str) -> Option<&Group> {
        self.groups.get(id)
    }

    /// The group of that name and what a step of it works with.
    pub(super) fn step<'a>(
        &'a mut self,
        id: &str,
        now: Now,
        out: &'a mut Out,
    ) -> Option<(&'a mut Group, Step<'a>)> {
        let group = self.groups.get_mut(id)?;
        Some((group, Step { config: &self.config, timers: &mut self.timers, now, out }))
    }

    /// Creates the group unless it exists; `false` if the shard holds as many as it may.
    pub(super) fn ensure_group(&mut self, id: &str, now: Now) -> bool {
        if self.groups.contains_key(id) {
            return true;
        }
        if self.groups.len() >= self.config.groups_max {
            tracing::warn!(group = id, max = self.config.groups_max, "too many groups");
            return false;
        }
        let id: Name = id.into();
        self.next_incarnation += 1;
        self.groups.insert(id.clone(), Group::new(id, self.next_incarnation, now.wall_ms));
        true
    }

    /// Takes a group and its timers out of memory.
    pub(super) fn forget_group(&mut self, id: &Name) {
        let Some(group) = self.groups.remove(id) else { return };
        for producer in group.offsets.transactions() {
            self.close_transaction(producer, id);
        }
        self.timers.cancel(&TimerKey::Join { group: id.clone() });
        self.timers.cancel(&TimerKey::Sync { group: id.clone() });
        for member in group.members().map(|m| &m.id).chain(&group.pending_members) {
            self.timers.cancel(&group.session_key(member));
        }
        for member in group.consumer.iter().flat_map(|consumer| consumer.members()) {
            self.timers.cancel(&group.session_key(&member.id));
            let (group, member) = (id.clone(), member.id.clone());
            let key = TimerKey::Revocation { group: group.clone(), member: member.clone() };
            self.timers.cancel(&key);
            let key = TimerKey::Rejoin { group: group.clone(), member: member.clone() };
            self.timers.cancel(&key);
            self.timers.cancel(&TimerKey::MemberSync { group, member });
        }
    }

    pub(super) fn close_transaction(&mut self, producer: ProducerId, group: &Name) {
        if let Some(groups) = self.open_transactions.get_mut(&producer) {
            groups.remove(group);
            if groups.is_empty() {
                self.open_transactions.remove(&producer);
            }
        }
    }

    fn on_timer(&mut self, key: TimerKey, now: Now, out: &mut Out) {
        match key {
            TimerKey::Join { group } => {
                if let Some((group, mut step)) = self.step(&group, now, out) {
                    group.on_join_timer(&mut step);
                }
            }
            TimerKey::Sync { group } => {
                if let Some((group, mut step)) = self.step(&group, now, out) {
                    group.on_sync_timer(&mut step);
                }
            }
            TimerKey::Member { group, member } => {
                if let Some((group, mut step)) = self.step(&group, now, out) {
                    match group.consumer {
                        Some(_) => group.on_consumer_session_timer(&mut step, &member),
                        None => group.on_member_timer(&mut step, &member),
                    }
                }
            }
            TimerKey::Revocation { group, member } => {
                if let Some((group, mut step)) = self.step(&group, now, out) {
                    group.on_revocation_timer(&mut step, &member);
                }
            }
            TimerKey::Rejoin { group, member } | TimerKey::MemberSync { group, member } => {
                if let Some((group, mut step)) = self.step(&group, now, out) {
                    group.on_classic_timer(&mut step, &member);
                }
            }
        }
    }

    fn expire_offsets_when_due(&mut self, now: Now, out: &mut Out) {
        // Bounded steps would need a cursor; Kafka does it in one go too, every ten minutes.
        if self.next_expiry_ms.is_some_and(|at_ms| at_ms <= now.steady_ms) {
            let interval_ms = self.config.retention_check_interval_ms.max(1);
            self.next_expiry_ms = Some(now.steady_ms.saturating_add(interval_ms));
            let ids: Vec<Name> = self.groups.keys().cloned().collect();
            for id in ids {
                self.expire_offsets(&id, now, out);
            }
        }
    }

    fn serve(&mut self, caller: Ticket, request: Request, now: Now, out: &mut Out) {
        match request {
            Request::Join { group, join, topics } => {
                self.join(caller, &group, join, &topics, now, out);
            }
            Request::Sync { group, sync } => match self.step(&group, now, out) {
                Some((group, mut step)) => group.sync(&mut step, caller, sync),
                None => {
                    let answer = SyncAnswer::refused(GroupError::UnknownMemberId);
                    out.answers.push((caller, Answer::Sync(answer)));
                }
            },
            Request::Heartbeat { group, caller: member } => {
                let result = match self.step(&group, now, out) {
                    Some((group, mut step)) => group.heartbeat(&mut step, &member),
                    None => Err(GroupError::UnknownMemberId),
                };
                out.answers.push((caller, Answer::Heartbeat(result)));
            }
            Request::Leave { group, members } => self.leave(caller, &group, &members, now, out),
            Request::Commit { group, commit } => self.commit(caller, &group, commit, now, out),
            Request::ConsumerHeartbeat { group, heartbeat, topics } => {
                self.consumer_heartbeat(caller, &group, heartbeat, &topics, now, out);
            }
            Request::DescribeConsumer { group, topics } => {
                let description = self.describe_consumer(&group, &topics);
                out.answers.push((caller, Answer::DescribeConsumer(description)));
            }
            Request::Fetch { group, fetch } => {
                let offsets = self.fetch(&group, fetch);
                out.answers.push((caller, Answer::Fetch(offsets)));
            }
            Request::Describe { group } => {
                out.answers.push((caller, Answer::Describe(self.describe(&group))));
            }
            Request::List => out.answers.push((caller, Answer::List(self.list()))),
            Request::Delete { group } => {
                let result = self.delete(&group, now, out);
                out.answers.push((caller, Answer::Delete(result)));
            }
            Request::DeleteOffsets { group, partitions } => {
                let result = self.delete_offsets(&group, partitions, now, out);
                out.answers.push((caller, Answer::DeleteOffsets(result)));
            }
            Request::PartitionsDeleted { partitions } => {
                self.partitions_deleted(&partitions, now, out);
                out.answers.push((caller, Answer::Done));
            }
            Request::TransactionEnded { producer_id, marker } => {
                self.end_transaction(producer_id, marker);
                out.answers.push((caller, Answer::Done));
            }
        }
    }

    fn take_outcome(
        &mut self,
        pending: Pending,
        outcome: Result<Offset, AppendError>,
        now: Now,
        out: &mut Out,
    ) {
        let Pending { group: id, incarnation, kind } = pending;
        let alive = self.groups.get(&id).is_some_and(|group| group.incarnation == incarnation);
        match kind {
            PendingKind::Commit(commit) => {
                self.commit_appended(&id, alive, commit, outcome, out);
            }
            PendingKind::Assignment(assignment) if alive => {
                if let Some((group, mut step)) = self.step(&id, now, out) {
                    group.assignment_appended(&mut step, assignment, outcome);
                }
            }
            PendingKind::StaticMember(joining) if alive => {
                if let Some((group, mut step)) = self.step(&id, now, out) {
                    group.static_member_appended(&mut step, joining, outcome);
                }
            }
            PendingKind::Consumer(mut changes) => {
                if let Some(group) = self.groups.get_mut(&id).filter(|_| alive) {
                    group.changes_appended(&mut changes, outcome.is_err());
                }
                let Some((caller, answer)) = changes.caller else { return };
                let answer = match outcome {
                    Ok(_) => answer,
                    Err(error) => answer.refused(GroupError::from_consumer_append(error)),
                };
                out.answers.push((caller, answer));
            }
            PendingKind::Assignment(_) | PendingKind::StaticMember(_) => {}
            PendingKind::Emptied | PendingKind::Tombstones => {
                // The previous record may come back after a restart: its members time out again,
                // and expired offsets expire again.
                if let Err(error) = outcome {
                    tracing::warn!(group = %id, %error, "a group's removal was not recorded");
                }
            }
        }
    }
}

impl Shard for GroupShard {
    type Request = Request;
    type Answer = Answer;
    type Record = GroupRecord;
    type Pending = Pending;
    type Outgoing = std::convert::Infallible;

    fn handle(&mut self, caller: Ticket, request: Request, now: Now, out: &mut Out) {
        let group = check::group_of(&request);
        self.serve(caller, request, now, out);
        self.check_after(group.as_ref());
    }

    fn appended(
        &mut self,
        pending: Pending,
        outcome: Result<Offset, AppendError>,
        now: Now,
        out: &mut Out,
    ) {
        let group = pending.group.clone();
        self.take_outcome(pending, outcome, now, out);
        self.check_after(Some(&group));
    }

    fn expire(&mut self, now: Now, out: &mut Out) {
        while let Some(key) = self.timers.pop_due(now.steady_ms) {
            let group = check::group_of_timer(&key);
            self.on_timer(key, now, out);
            self.check_after(group.as_ref());
        }
        self.expire_offsets_when_due(now, out);
    }

    fn next_deadline_ms(&self) -> Option<i64> {
        [self.timers.next_ms(), self.next_expiry_ms].into_iter().flatten().min()
    }

    fn replay(&mut self, batch: StoredBatch) {
        if let Some(loading) = &mut self.loading {
            loading.replay(batch);
        }
    }

    fn loaded(&mut self, now: Now, out: &mut Out) {
        if let Some(loading) = self.loading.take() {
            self.adopt(*loading, now, out);
            self.next_expiry_ms = Some(now.steady_ms);
            self.check_all();
        }
    }

    fn unload(&mut self, _now: Now, out: &mut Out) {
        self.timers.clear();
        self.next_expiry_ms = None;
        self.open_transactions.clear();
        for (_, mut group) in std::mem::take(&mut self.groups) {
            group.state = State::Dead;
            for id in group.member_ids() {
                if let Some(caller) = group.take_join(&id) {
                    let answer = JoinAnswer::refused(&id, GroupError::NotCoordinator);
                    out.answers.push((caller, Answer::Join(answer)));
                }
                if let Some(caller) = group.get_mut(&id).and_then(|m| m.awaiting_sync.take()) {
                    let answer = SyncAnswer::refused(GroupError::NotCoordinator);
                    out.answers.push((caller, Answer::Sync(answer)));
                }
            }
        }
    }

    fn encode(record: &GroupRecord) -> Option<KeyValue> {
        records::encode(record).ok()
    }
}

/// An append of the group's own record or of tombstones.
pub(super) fn append(
    group: &Group,
    records: Vec<GroupRecord>,
    acks: Acks,
    now: Now,
    kind: PendingKind,
) -> Append<GroupRecord, Pending> {
    Append {
        records,
        producer: None,
        guard: None,
        acks,
        base_sequence: -1,
        timestamp_ms: now.wall_ms,
        pending: Pending { group: group.id.clone(), incarnation: group.incarnation, kind },
    }
}

impl GroupConfig {
    /// How safe a commit or a group's record must be before its callers are answered.
    pub(super) fn commit_acks(&self) -> Acks {
        if self.commit_needs_isr { Acks::All } else { Acks::Leader }
    }
}

mod check;
