//! The rebalance itself: when members are asked to join again, when that is over, and what happens
//! to those who do not come. Knows nothing of requests.

use bytes::Bytes;

use super::config::NEW_MEMBER_JOIN_TIMEOUT_MS;
use super::member::Member;
use super::metadata::{Group, InitialDelay, State, Step};
use super::records::GroupRecord;
use super::request::{JoinAnswer, SyncAnswer};
use super::shard::{PendingKind, TimerKey, append};
use super::{GroupError, Name};

impl Group {
    /// Begins a rebalance unless one is at the stage of joining already.
    pub(super) fn rebalance_if_settled(&mut self, step: &mut Step<'_>, reason: &str) {
        if matches!(self.state, State::Stable | State::CompletingRebalance | State::Empty) {
            self.prepare_rebalance(step, reason);
        }
    }

    /// Everyone is to join again. Members that wait for an assignment are told so at once; the
    /// others hear it with their next heartbeat.
    pub(super) fn prepare_rebalance(&mut self, step: &mut Step<'_>, reason: &str) {
        if self.is(State::CompletingRebalance) {
            self.refuse_assignments(step, GroupError::RebalanceInProgress);
        }
        self.pending_sync.clear();
        self.update_sync_timer(step);
        let wait_ms = if self.is(State::Empty) {
            let delay_ms = i64::from(step.config.initial_rebalance_delay_ms.max(0));
            let remaining_ms = (self.rebalance_timeout_ms() - delay_ms).max(0);
            self.initial_delay = Some(InitialDelay { delay_ms, remaining_ms });
            delay_ms
        } else {
            self.initial_delay = None;
            self.rebalance_timeout_ms()
        };
        tracing::info!(group = %self.id, generation = self.generation, from = %self.state, reason,
            "preparing to rebalance");
        self.transition(State::PreparingRebalance, step.now.wall_ms);
        step.timers.arm(self.join_key(), step.after_ms(wait_ms));
        self.complete_join_if_ready(step);
    }

    /// Ends the stage of joining if everyone is there and no initial delay runs.
    pub(super) fn complete_join_if_ready(&mut self, step: &mut Step<'_>) {
        let waits_for_nobody = self.initial_delay.is_none() && self.has_all_joined();
        if self.is(State::PreparingRebalance) && waits_for_nobody {
            step.timers.cancel(&self.join_key());
            self.complete_join(step);
        }
    }

    pub(super) fn on_join_timer(&mut self, step: &mut Step<'_>) {
        if !self.is(State::PreparingRebalance) {
            return;
        }
        if let Some(InitialDelay { delay_ms, remaining_ms }) = self.initial_delay.take()
            && self.new_member_added
            && remaining_ms != 0
        {
            self.new_member_added = false;
            let next_ms =
                i64::from(step.config.initial_rebalance_delay_ms.max(0)).min(remaining_ms);
            self.initial_delay = Some(InitialDelay {
                delay_ms: next_ms,
                remaining_ms: (remaining_ms - delay_ms).max(0),
            });
            step.timers.arm(self.join_key(), step.after_ms(next_ms));
            return;
        }
        self.complete_join(step);
    }

    /// The next generation, of those who joined. Dynamic members that did not are out; static ones
    /// stay until their sessions end.
    fn complete_join(&mut self, step: &mut Step<'_>) {
        self.initial_delay = None;
        let absent: Vec<Name> = self
            .members()
            .filter(|member| !member.is_awaiting_join() && !member.is_static())
            .map(|member| member.id.clone())
            .collect();
        for id in absent {
            tracing::info!(group = %self.id, member = %id, "a member did not join again");
            self.discard(step, &id);
        }
        if !self.elect_joined_leader() && self.len() > 0 {
            tracing::warn!(group = %self.id, "nobody joined again; another round");
            step.timers.arm(self.join_key(), step.after_ms(self.rebalance_timeout_ms()));
            return;
        }
        self.generation = self.generation.wrapping_add(1);
        self.pending_sync.clear();
        if self.len() == 0 {
            self.become_empty(step);
        } else {
            self.answer_joins(step);
        }
    }

    fn become_empty(&mut self, step: &mut Step<'_>) {
        self.protocol = None;
        self.subscribed_topics = self.compute_subscribed_topics();
        self.transition(State::Empty, step.now.wall_ms);
        tracing::info!(group = %self.id, generation = self.generation, "the group is empty");
        let record = GroupRecord::Group {
            group: self.id.clone(),
            snapshot: Some(self.snapshot(|member| member.assignment.clone())),
        };
        let acks = step.config.commit_acks();
        step.out.appends.push(append(self, vec![record], acks, step.now, PendingKind::Emptied));
    }

    fn answer_joins(&mut self, step: &mut Step<'_>) {
        self.protocol = self.select_protocol();
        self.subscribed_topics = self.compute_subscribed_topics();
        self.transition(State::CompletingRebalance, step.now.wall_ms);
        tracing::info!(group = %self.id, generation = self.generation, members = self.len(),
            "the group has a new generation");
        for id in self.member_ids() {
            if let Some(caller) = self.take_join(&id) {
                let answer = self.current_generation(&id);
                step.answer_join(caller, answer);
            }
            self.arm_session(step, &id);
            if let Some(member) = self.get_mut(&id) {
                member.is_new = false;
            }
            self.pending_sync.insert(id);
        }
        step.timers.arm(self.sync_key(), step.after_ms(self.rebalance_timeout_ms()));
    }

    /// What a member is told about the generation it is in; the leader is told about everyone.
    pub(super) fn current_generation(&self, member_id: &Name) -> JoinAnswer {
        JoinAnswer {
            error: None,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader_or_empty(),
            member_id: member_id.clone(),
            skip_assignment: false,
            members: if self.is_leader(member_id) { self.joined_members() } else { Vec::new() },
        }
    }

    /// Members that did not ask for their assignment in time are out.
    pub(super) fn on_sync_timer(&mut self, step: &mut Step<'_>) {
        let waits = matches!(self.state, State::CompletingRebalance | State::Stable);
        if !waits || self.pending_sync.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.pending_sync) {
            tracing::info!(group = %self.id, member = %id, "a member did not sync in time");
            self.discard(step, &id);
        }
        self.prepare_rebalance(step, "members did not sync in time");
    }

    /// Stops the wait for members to sync when there is nobody left to wait for.
    pub(super) fn update_sync_timer(&mut self, step: &mut Step<'_>) {
        if self.pending_sync.is_empty() {
            step.timers.cancel(&self.sync_key());
        }
    }

    pub(super) fn on_member_timer(&mut self, step: &mut Step<'_>, member_id: &Name) {
        if self.pending_members.contains(member_id) {
            tracing::info!(group = %self.id, member = %member_id, "a pending member stayed away");
            self.remove(member_id);
            self.complete_join_if_ready(step);
        } else if self.get(member_id).is_some_and(Member::fails_on_timeout) {
            tracing::info!(group = %self.id, member = %member_id, "a member's session ended");
            self.remove_and_rebalance(step, member_id, "a member's session ended");
        }
    }

    /// The member is alive: its session starts anew.
    pub(super) fn arm_session(&self, step: &mut Step<'_>, member_id: &Name) {
        if let Some(member) = self.get(member_id) {
            let timeout_ms = i64::from(member.session_timeout_ms);
            step.timers.arm(self.session_key(member_id), step.after_ms(timeout_ms));
        }
    }

    /// A new member has a fixed time until its first rebalance must be over.
    pub(super) fn arm_new_member(&self, step: &mut Step<'_>, member_id: &Name) {
        let at_ms = step.after_ms(NEW_MEMBER_JOIN_TIMEOUT_MS);
        step.timers.arm(self.session_key(member_id), at_ms);
    }

    /// Takes a member out; the group settles without it.
    pub(super) fn remove_and_rebalance(
        &mut self,
        step: &mut Step<'_>,
        member_id: &Name,
        reason: &str,
    ) {
        self.discard(step, member_id);
        match self.state {
            State::Dead | State::Empty => {}
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(step, reason),
            State::PreparingRebalance => self.complete_join_if_ready(step),
        }
    }

    /// Takes a member out, with its timer. Whoever waits in its name is answered: the id is unknown
    /// now, so a client that is still there joins as a new member.
    pub(super) fn discard(&mut self, step: &mut Step<'_>, member_id: &Name) {
        if let Some(caller) = self.take_join(member_id) {
            step.answer_join(caller, JoinAnswer::refused("", GroupError::UnknownMemberId));
        }
        let member = self.remove(member_id);
        if let Some(caller) = member.and_then(|member| member.awaiting_sync) {
            step.answer_sync(caller, SyncAnswer::refused(GroupError::UnknownMemberId));
        }
        step.timers.cancel(&self.session_key(member_id));
    }

    /// No assignment this time: everyone who waits for one hears why.
    pub(super) fn refuse_assignments(&mut self, step: &mut Step<'_>, error: GroupError) {
        for id in self.member_ids() {
            let Some(member) = self.get_mut(&id) else { continue };
            member.assignment = Bytes::new();
            if let Some(caller) = member.awaiting_sync.take() {
                step.answer_sync(caller, SyncAnswer::refused(error));
                self.arm_session(step, &id);
            }
        }
    }

    fn join_key(&self) -> TimerKey {
        TimerKey::Join { group: self.id.clone() }
    }

    fn sync_key(&self) -> TimerKey {
        TimerKey::Sync { group: self.id.clone() }
    }
}
