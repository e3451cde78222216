//! A static member (`group.instance.id`) that comes back without its member id, as after a restart:
//! it takes its old place, and a stable group need not rebalance for it. See KIP-345 and KIP-814.

use protocol::ids::Offset;

use super::metadata::{Group, State, Step};
use super::records::GroupRecord;
use super::request::{JoinAnswer, JoinRequest, Protocol, SyncAnswer};
use super::shard::{PendingKind, append};
use super::{GroupError, Name};
use crate::shard::Ticket;
use crate::shard::writer::AppendError;

/// A replaced member id on its way into the log.
#[derive(Debug)]
pub struct PendingStaticMember {
    caller: Ticket,
    generation: i32,
    old_id: Name,
    new_id: Name,
    /// Who led when the member came back; perhaps the member itself, under its old id.
    old_leader: Name,
    old_protocols: Vec<Protocol>,
    old_rebalance_timeout_ms: i32,
    old_session_timeout_ms: i32,
    can_skip_assignment: bool,
}

impl Group {
    /// The instance's old member id is fenced from now on.
    pub(super) fn join_as_known_instance(
        &mut self,
        step: &mut Step<'_>,
        caller: Ticket,
        old_id: &Name,
        new_id: Name,
        join: JoinRequest,
    ) {
        let Some(member) = self.get(old_id) else { return };
        tracing::info!(group = %self.id, old = %old_id, new = %new_id, state = %self.state,
            "a static member came back");
        let pending = PendingStaticMember {
            caller,
            generation: self.generation,
            old_id: old_id.clone(),
            new_id: new_id.clone(),
            old_leader: self.leader_or_empty(),
            old_protocols: member.protocols.clone(),
            old_rebalance_timeout_ms: member.rebalance_timeout_ms,
            old_session_timeout_ms: member.session_timeout_ms,
            can_skip_assignment: join.can_skip_assignment,
        };
        self.fence(step, old_id);
        self.rename(old_id, new_id.clone());
        self.pending_sync.remove(old_id);
        step.timers.cancel(&self.session_key(old_id));
        self.update_member(step, caller, &new_id, join);
        self.arm_session(step, &new_id);
        match self.state {
            State::Stable if self.select_protocol() == self.protocol => {
                self.update_sync_timer(step);
                let record = GroupRecord::Group {
                    group: self.id.clone(),
                    snapshot: Some(self.snapshot(|member| member.assignment.clone())),
                };
                let (acks, kind) = (step.config.commit_acks(), PendingKind::StaticMember(pending));
                step.out.appends.push(append(self, vec![record], acks, step.now, kind));
            }
            State::Stable => {
                self.prepare_rebalance(step, "a static member came back with other protocols");
            }
            // The leader may have been told the old id: what it assigns would reach nobody.
            State::CompletingRebalance => self.prepare_rebalance(step, "a static member came back"),
            State::PreparingRebalance | State::Empty | State::Dead => {}
        }
    }

    /// The new member id is recorded, or not. If the group has begun to rebalance meanwhile, the
    /// member waits for that like everyone else.
    pub(super) fn static_member_appended(
        &mut self,
        step: &mut Step<'_>,
        pending: PendingStaticMember,
        outcome: Result<Offset, AppendError>,
    ) {
        let waits = |member: &super::member::Member| member.awaiting_join == Some(pending.caller);
        let undisturbed = self.is(State::Stable)
            && self.generation == pending.generation
            && self.get(&pending.new_id).is_some_and(waits);
        if !undisturbed {
            return;
        }
        self.take_join(&pending.new_id);
        let mut answer = self.current_generation(&pending.new_id);
        match outcome {
            Ok(_) if pending.can_skip_assignment => {
                answer.skip_assignment = self.is_leader(&pending.new_id);
            }
            // An old client must not think that it leads: nobody would hear its assignment. Under
            // the old leader's id it cannot recognise itself.
            Ok(_) => {
                answer.leader = pending.old_leader;
                answer.members.clear();
            }
            Err(error) => {
                tracing::warn!(group = %self.id, %error, "a return was not recorded");
                answer = JoinAnswer {
                    error: Some(GroupError::from_group_append(error)),
                    leader: pending.old_leader.clone(),
                    member_id: "".into(),
                    members: Vec::new(),
                    ..answer
                };
                self.undo_return(step, &pending);
            }
        }
        step.answer_join(pending.caller, answer);
        // While it waited its session could not end; from here on it can.
        self.arm_session(step, &pending.new_id);
    }

    fn undo_return(&mut self, step: &mut Step<'_>, pending: &PendingStaticMember) {
        step.timers.cancel(&self.session_key(&pending.new_id));
        self.set_protocols(&pending.new_id, pending.old_protocols.clone());
        if let Some(member) = self.get_mut(&pending.new_id) {
            member.rebalance_timeout_ms = pending.old_rebalance_timeout_ms;
            member.session_timeout_ms = pending.old_session_timeout_ms;
        }
        self.rename(&pending.new_id, pending.old_id.clone());
        self.arm_session(step, &pending.old_id);
    }

    /// Whoever still waits under the id that is about to go is a duplicate of the one that came.
    fn fence(&mut self, step: &mut Step<'_>, member_id: &Name) {
        if let Some(caller) = self.take_join(member_id) {
            step.answer_join(caller, JoinAnswer::refused(member_id, GroupError::FencedInstanceId));
        }
        if let Some(caller) = self.get_mut(member_id).and_then(|member| member.awaiting_sync.take())
        {
            step.answer_sync(caller, SyncAnswer::refused(GroupError::FencedInstanceId));
        }
    }
}
