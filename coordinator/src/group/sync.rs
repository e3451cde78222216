//! SyncGroup: the leader brings the assignment, everyone takes theirs home. Knows nothing of how
//! work is divided.

use std::collections::BTreeMap;

use bytes::Bytes;
use protocol::ids::Offset;

use super::metadata::{Group, State, Step};
use super::records::GroupRecord;
use super::request::{SyncAnswer, SyncRequest};
use super::shard::{PendingKind, append};
use super::{GroupError, Name};
use crate::shard::Ticket;
use crate::shard::writer::AppendError;

/// A leader's assignment on its way into the log.
#[derive(Debug)]
pub struct PendingAssignment {
    generation: i32,
    assignments: BTreeMap<Name, Bytes>,
}

impl Group {
    pub(super) fn sync(&mut self, step: &mut Step<'_>, caller: Ticket, sync: SyncRequest) {
        if self.consumer.is_some() {
            let answer = self.sync_consumer(step, &sync);
            step.answer_sync(caller, answer);
            return;
        }
        let refusal = match self.check_sync(&sync) {
            Err(error) => Some(error),
            Ok(()) => match self.state {
                State::Empty | State::Dead => Some(GroupError::UnknownMemberId),
                State::PreparingRebalance => Some(GroupError::RebalanceInProgress),
                State::CompletingRebalance | State::Stable => None,
            },
        };
        if let Some(error) = refusal {
            step.answer_sync(caller, SyncAnswer::refused(error));
            return;
        }
        let id: Name = sync.caller.member_id.as_str().into();
        self.pending_sync.remove(&id);
        self.update_sync_timer(step);
        if self.is(State::Stable) {
            let answer = self.assignment_of(&id);
            step.answer_sync(caller, answer);
            self.arm_session(step, &id);
            return;
        }
        if let Some(earlier) = self.get_mut(&id).and_then(|m| m.awaiting_sync.replace(caller)) {
            // Its client gave that request up and sent another. Kafka never answers it.
            step.answer_sync(earlier, SyncAnswer::refused(GroupError::RebalanceInProgress));
        }
        if self.is_leader(&id) {
            self.store_assignment(step, sync.assignments);
        }
    }

    /// The assignment is recorded, or not. In another state or generation it is of no use any more.
    pub(super) fn assignment_appended(
        &mut self,
        step: &mut Step<'_>,
        pending: PendingAssignment,
        outcome: Result<Offset, AppendError>,
    ) {
        if !self.is(State::CompletingRebalance) || self.generation != pending.generation {
            return;
        }
        if let Err(error) = outcome {
            tracing::warn!(group = %self.id, %error, "an assignment was not recorded");
            self.refuse_assignments(step, GroupError::from_group_append(error));
            self.prepare_rebalance(step, "the assignment was not recorded");
            return;
        }
        let mut assignments = pending.assignments;
        for member in self.members_mut() {
            member.assignment = assignments.remove(&member.id).unwrap_or_default();
        }
        for id in self.member_ids() {
            let waiting = self.get_mut(&id).and_then(|member| member.awaiting_sync.take());
            if let Some(caller) = waiting {
                let answer = self.assignment_of(&id);
                step.answer_sync(caller, answer);
                // While it waited its session could not end; from here on it can.
                self.arm_session(step, &id);
            }
        }
        self.transition(State::Stable, step.now.wall_ms);
    }

    fn store_assignment(&mut self, step: &mut Step<'_>, given: Vec<(String, Bytes)>) {
        let given: BTreeMap<String, Bytes> = given.into_iter().collect();
        let assignments: BTreeMap<Name, Bytes> = self
            .members()
            .map(|member| (member.id.clone(), given.get(&*member.id).cloned().unwrap_or_default()))
            .collect();
        tracing::info!(group = %self.id, generation = self.generation, members = self.len(),
            "the leader's assignment arrived");
        let assigned = |id: &Name| assignments.get(id).cloned().unwrap_or_default();
        let record = GroupRecord::Group {
            group: self.id.clone(),
            snapshot: Some(self.snapshot(|member| assigned(&member.id))),
        };
        let kind =
            PendingKind::Assignment(PendingAssignment { generation: self.generation, assignments });
        let acks = step.config.commit_acks();
        step.out.appends.push(append(self, vec![record], acks, step.now, kind));
    }

    fn assignment_of(&self, id: &Name) -> SyncAnswer {
        SyncAnswer {
            error: None,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: self.get(id).map(|member| member.assignment.clone()).unwrap_or_default(),
        }
    }

    fn check_sync(&self, sync: &SyncRequest) -> Result<(), GroupError> {
        self.check_caller(&sync.caller)?;
        let matches =
            |given: &Option<String>, ours: &Option<String>| given.is_none() || given == ours;
        if matches(&sync.protocol_type, &self.protocol_type)
            && matches(&sync.protocol, &self.protocol)
        {
            Ok(())
        } else {
            Err(GroupError::InconsistentGroupProtocol)
        }
    }
}
