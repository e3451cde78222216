//! JoinGroup: a member enters or stays, and waits for the rebalance to complete. Knows nothing of
//! requests' versions; see KIP-394 for the two steps of a new member.

use bytes::Bytes;

use super::consumer::topics::Topics;
use super::member::Member;
use super::metadata::{Group, State, Step};
use super::request::{Answer, Caller, JoinAnswer, JoinRequest};
use super::shard::{GroupShard, Out};
use super::{GroupError, Name};
use crate::shard::{Now, Ticket};

impl GroupShard {
    pub(super) fn join(
        &mut self,
        caller: Ticket,
        group_id: &str,
        join: JoinRequest,
        topics: &Topics,
        now: Now,
        out: &mut Out,
    ) {
        let range = self.config.min_session_timeout_ms..=self.config.max_session_timeout_ms;
        let is_new = join.member_id.is_empty();
        let refusal = if !range.contains(&join.session_timeout_ms) {
            Some(GroupError::InvalidSessionTimeout)
        } else if !is_new && !self.groups.contains_key(group_id) {
            Some(GroupError::UnknownMemberId)
        } else if !self.ensure_group(group_id, now) {
            Some(GroupError::CoordinatorNotAvailable)
        } else {
            None
        };
        if let Some(error) = refusal {
            let answer = JoinAnswer::refused(&join.member_id, error);
            out.answers.push((caller, Answer::Join(answer)));
            return;
        }
        if let Some((group, mut step)) = self.step(group_id, now, out) {
            group.become_classic(&mut step);
            if group.consumer.is_some() {
                group.join_consumer(&mut step, caller, &join, topics);
                return;
            }
            group.join(&mut step, caller, join);
        }
    }
}

impl Group {
    fn join(&mut self, step: &mut Step<'_>, caller: Ticket, join: JoinRequest) {
        if !self.accepts(&join.member_id, step.config.max_size) {
            self.discard(step, &Name::from(join.member_id.as_str()));
            step.answer_join(caller, JoinAnswer::refused("", GroupError::GroupMaxSizeReached));
        } else if !self.supports(&join.protocol_type, &join.protocols) {
            let error = GroupError::InconsistentGroupProtocol;
            step.answer_join(caller, JoinAnswer::refused(&join.member_id, error));
        } else if join.member_id.is_empty() {
            self.join_new(step, caller, join);
        } else {
            self.join_known(step, caller, join);
        }
        self.complete_join_if_ready(step);
    }

    /// Whether there is room. While members join, those that wait are counted, not all: the group
    /// may be above a lowered maximum, and then the last to return are the ones to go.
    fn accepts(&self, member_id: &str, max_size: i32) -> bool {
        let max_size = usize::try_from(max_size).unwrap_or(0);
        match self.state {
            State::Empty | State::Dead => true,
            State::PreparingRebalance => {
                self.get(member_id).is_some_and(Member::is_awaiting_join)
                    || self.awaiting_join() < max_size
            }
            State::CompletingRebalance | State::Stable => {
                self.has(member_id) || self.len() < max_size
            }
        }
    }

    fn join_new(&mut self, step: &mut Step<'_>, caller: Ticket, join: JoinRequest) {
        let prefix = join.instance_id.as_ref().unwrap_or(&join.client_id);
        let new_id: Name = format!("{prefix}-{}", uuid_text(join.random)).into();
        let known = join.instance_id.as_deref().and_then(|id| self.static_id(id)).cloned();
        if let Some(old_id) = known {
            self.join_as_known_instance(step, caller, &old_id, new_id, join);
        } else if join.instance_id.is_none() && join.needs_known_member_id {
            if self.pending_members.len() >= step.config.pending_members_max {
                step.answer_join(caller, JoinAnswer::refused("", GroupError::GroupMaxSizeReached));
                return;
            }
            self.pending_members.insert(new_id.clone());
            let at_ms = step.after_ms(i64::from(join.session_timeout_ms));
            step.timers.arm(self.session_key(&new_id), at_ms);
            let answer = JoinAnswer::refused(&new_id, GroupError::MemberIdRequired);
            step.answer_join(caller, answer);
        } else {
            self.add_and_rebalance(step, caller, new_id, join);
        }
    }

    fn join_known(&mut self, step: &mut Step<'_>, caller: Ticket, join: JoinRequest) {
        let id: Name = join.member_id.as_str().into();
        // Only dynamic members are ever pending, so one that now claims an instance is not ours.
        if self.pending_members.contains(&id) && join.instance_id.is_none() {
            self.add_and_rebalance(step, caller, id, join);
            return;
        }
        if let Err(error) = self.check_member(&join.member_id, join.instance_id.as_deref()) {
            step.answer_join(caller, JoinAnswer::refused(&join.member_id, error));
            return;
        }
        let unchanged = self.get(&id).is_some_and(|member| member.protocols == join.protocols);
        match self.state {
            State::PreparingRebalance => self.update_and_rebalance(step, caller, &id, join),
            // It missed the answer to its JoinGroup; the generation is still the current one.
            State::CompletingRebalance if unchanged => {
                step.answer_join(caller, self.current_generation(&id));
            }
            // The leader joins again when what it assigns has changed, a topic's partitions say.
            State::Stable if unchanged && !self.is_leader(&id) => {
                step.answer_join(caller, self.current_generation(&id));
            }
            State::CompletingRebalance | State::Stable => {
                self.update_and_rebalance(step, caller, &id, join);
            }
            State::Empty | State::Dead => {
                let answer = JoinAnswer::refused(&id, GroupError::UnknownMemberId);
                step.answer_join(caller, answer);
            }
        }
    }

    fn add_and_rebalance(
        &mut self,
        step: &mut Step<'_>,
        caller: Ticket,
        id: Name,
        join: JoinRequest,
    ) {
        // Only the very first generation waits longer for those that come late.
        if self.is(State::PreparingRebalance) && self.generation == 0 {
            self.new_member_added = true;
        }
        let reason = join.reason.as_deref().unwrap_or("not provided");
        tracing::info!(group = %self.id, member = %id, state = %self.state, reason,
            "a member joins");
        let member = Member {
            id: id.clone(),
            instance_id: join.instance_id,
            client_id: join.client_id,
            client_host: join.client_host,
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            session_timeout_ms: join.session_timeout_ms,
            protocols: join.protocols,
            assignment: Bytes::new(),
            awaiting_join: Some(caller),
            awaiting_sync: None,
            is_new: true,
        };
        self.add(member, &join.protocol_type);
        self.arm_new_member(step, &id);
        self.rebalance_if_settled(step, "a member joined");
    }

    fn update_and_rebalance(
        &mut self,
        step: &mut Step<'_>,
        caller: Ticket,
        id: &Name,
        join: JoinRequest,
    ) {
        self.update_member(step, caller, id, join);
        self.rebalance_if_settled(step, "a member joined again");
    }

    /// Takes over what the member says now, and lets `caller` wait in its name.
    pub(super) fn update_member(
        &mut self,
        step: &mut Step<'_>,
        caller: Ticket,
        id: &Name,
        join: JoinRequest,
    ) {
        self.set_protocols(id, join.protocols);
        if let Some(member) = self.get_mut(id) {
            member.rebalance_timeout_ms = join.rebalance_timeout_ms;
            member.session_timeout_ms = join.session_timeout_ms;
        }
        if let Some(earlier) = self.await_join(id, caller) {
            // Its client gave that request up and sent another. Kafka never answers it.
            let answer = JoinAnswer::refused(id, GroupError::RebalanceInProgress);
            step.answer_join(earlier, answer);
        }
    }

    /// Whether a request in this member's name is really from the current member.
    pub(super) fn check_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), GroupError> {
        if let Some(instance_id) = instance_id {
            match self.static_id(instance_id) {
                Some(current) if &**current != member_id => {
                    return Err(GroupError::FencedInstanceId);
                }
                Some(_) => {}
                None => return Err(GroupError::UnknownMemberId),
            }
        }
        if self.has(member_id) { Ok(()) } else { Err(GroupError::UnknownMemberId) }
    }

    /// As `check_member`, and in the current generation.
    pub(super) fn check_caller(&self, caller: &Caller) -> Result<(), GroupError> {
        self.check_member(&caller.member_id, caller.instance_id.as_deref())?;
        if caller.generation == self.generation {
            Ok(())
        } else {
            Err(GroupError::IllegalGeneration)
        }
    }
}

/// A random (version 4) UUID in its usual form.
fn uuid_text(random: u128) -> String {
    let bits = (random & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        bits >> 96,
        (bits >> 80) & 0xffff,
        (bits >> 64) & 0xffff,
        (bits >> 48) & 0xffff,
        bits & 0xffff_ffff_ffff
    )
}
