//! SyncGroup, Heartbeat and LeaveGroup of members that speak the classic protocol in a group of the
//! new one: their generation is the member's epoch. Knows nothing of requests' versions; see
//! `GroupMetadataManager.classicGroupSyncToConsumerGroup` and its like.

use super::super::metadata::{CONSUMER_PROTOCOL_TYPE, Group, Step};
use super::super::request::{Answer, Caller, LeaveAnswer, LeavingMember, SyncAnswer, SyncRequest};
use super::super::{GroupError, Name};
use super::classic_join::{rejoin, sync};
use super::embedded;
use super::group::ConsumerGroup;
use super::heartbeat::revocation;
use super::member::{ClassicMember, ConsumerMember, MemberState};
use crate::shard::Ticket;

impl Group {
    /// What the member has now, as its JoinGroup has settled.
    pub(in super::super) fn sync_consumer(
        &mut self,
        step: &mut Step<'_>,
        asked: &SyncRequest,
    ) -> SyncAnswer {
        let Some(consumer) = self.consumer.as_deref() else {
            return SyncAnswer::refused(GroupError::UnknownMemberId);
        };
        let (member, classic) = match consumer.classic_member(&asked.caller) {
            Ok(known) => known,
            Err(error) => return SyncAnswer::refused(error),
        };
        let Some(spoken) = classic.protocols.first() else {
            return SyncAnswer::refused(GroupError::InconsistentGroupProtocol);
        };
        let differs = |said: &Option<String>, is: &str| said.as_deref().is_some_and(|s| s != is);
        if differs(&asked.protocol_type, CONSUMER_PROTOCOL_TYPE)
            || differs(&asked.protocol, &spoken.name)
        {
            return SyncAnswer::refused(GroupError::InconsistentGroupProtocol);
        }
        let gives_up = member.current.state == MemberState::UnrevokedPartitions;
        // Whoever gives something up has joined, and joins again when it has done so.
        if consumer.epoch() > member.current.epoch && !gives_up {
            self.await_rejoin(step, member);
            return SyncAnswer::refused(GroupError::RebalanceInProgress);
        }
        let (assigned, metadata) = (&member.current.assigned, &spoken.metadata);
        let assignment = embedded::write_assignment(assigned, &consumer.topics, metadata);
        step.timers.cancel(&sync(&self.id, &member.id));
        self.arm_classic(step, member, classic);
        SyncAnswer {
            error: None,
            protocol_type: asked.protocol_type.clone(),
            protocol: asked.protocol.clone(),
            assignment,
        }
    }

    /// The member is alive, and has to join again if there is something for it to do.
    pub(in super::super) fn heartbeat_consumer(
        &mut self,
        step: &mut Step<'_>,
        caller: &Caller,
    ) -> Result<(), GroupError> {
        let consumer = self.consumer.as_deref().ok_or(GroupError::UnknownMemberId)?;
        let (member, classic) = consumer.classic_member(caller)?;
        self.arm_classic(step, member, classic);
        let current = &member.current;
        let may_go_on = match current.state {
            MemberState::UnrevokedPartitions => true,
            MemberState::UnreleasedPartitions => !consumer.waits_for_others(member),
            MemberState::Stable | MemberState::Unknown => false,
        };
        if may_go_on || current.epoch < consumer.epoch() {
            self.await_rejoin(step, member);
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    /// Members go, those of the classic protocol alone; the caller is answered when that is in the
    /// log.
    pub(in super::super) fn leave_consumer_group(
        &mut self,
        step: &mut Step<'_>,
        caller: Ticket,
        leaving: &[LeavingMember],
    ) {
        let mut results = Vec::with_capacity(leaving.len());
        let mut gone = false;
        for member in leaving {
            let result = self.remove_classic(step, member);
            gone |= result.is_ok();
            results.push(result.err());
        }
        if let Some(consumer) = self.consumer.as_deref_mut().filter(|_| gone) {
            consumer.forget_unread_topics();
            consumer.bump_epoch();
        }
        let answer = Answer::Leave(LeaveAnswer { error: None, members: results });
        self.write_changes(step, Vec::new(), Some((caller, answer)));
    }

    fn remove_classic(
        &mut self,
        step: &mut Step<'_>,
        leaving: &LeavingMember,
    ) -> Result<(), GroupError> {
        let unknown = GroupError::UnknownMemberId;
        let consumer = self.consumer.as_deref_mut().ok_or(unknown)?;
        let id: Name = match &leaving.instance_id {
            None => leaving.member_id.as_str().into(),
            Some(instance_id) => {
                let id = consumer.static_members.get(instance_id).ok_or(unknown)?;
                // An administrator names the instance alone.
                if !leaving.member_id.is_empty() && *leaving.member_id != **id {
                    return Err(GroupError::FencedInstanceId);
                }
                id.clone()
            }
        };
        if !consumer.member(&id).is_some_and(ConsumerMember::is_classic) {
            return Err(unknown);
        }
        let reason = leaving.reason.as_deref().unwrap_or("not provided");
        tracing::info!(group = %self.id, member = %id, reason, "a member leaves");
        consumer.remove(&id);
        self.cancel_member_timers(step, &id);
        Ok(())
    }

    /// The member did not do in time what the classic protocol asks of it.
    pub(in super::super) fn on_classic_timer(&mut self, step: &mut Step<'_>, id: &Name) {
        let records = self.put_out(step, id, "it did not join or sync in time");
        self.write_changes(step, records, None);
    }

    pub(in super::super) fn cancel_member_timers(&self, step: &mut Step<'_>, id: &Name) {
        step.timers.cancel(&self.session_key(id));
        step.timers.cancel(&revocation(&self.id, id));
        step.timers.cancel(&rejoin(&self.id, id));
        step.timers.cancel(&sync(&self.id, id));
    }

    /// From the first time that it is told on, not from the last.
    fn await_rejoin(&self, step: &mut Step<'_>, member: &ConsumerMember) {
        let key = rejoin(&self.id, &member.id);
        if !step.timers.is_armed(&key) {
            let wait_ms = i64::from(member.subscription.rebalance_timeout_ms.max(0));
            step.timers.arm(key, step.after_ms(wait_ms));
        }
    }

    fn arm_classic(&self, step: &mut Step<'_>, member: &ConsumerMember, classic: &ClassicMember) {
        let at_ms = step.after_ms(i64::from(classic.session_timeout_ms));
        step.timers.arm(self.session_key(&member.id), at_ms);
    }
}

impl ConsumerGroup {
    /// Who sends a classic member's request, if it is in the generation that it says.
    fn classic_member(
        &self,
        caller: &Caller,
    ) -> Result<(&ConsumerMember, &ClassicMember), GroupError> {
        if let Some(instance_id) = &caller.instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(GroupError::UnknownMemberId),
                Some(id) if **id != *caller.member_id => return Err(GroupError::FencedInstanceId),
                Some(_) => {}
            }
        }
        let member = self.member(&caller.member_id).ok_or(GroupError::UnknownMemberId)?;
        let classic = member.subscription.classic.as_ref().ok_or(GroupError::UnknownMemberId)?;
        if member.current.epoch != caller.generation {
            return Err(GroupError::IllegalGeneration);
        }
        Ok((member, classic))
    }

    /// Whether some of the member's target is still with somebody else.
    fn waits_for_others(&self, member: &ConsumerMember) -> bool {
        let Some(target) = self.target(&member.id) else { return false };
        target.iter().any(|(topic, partitions)| {
            let has = member.current.assigned.get(topic);
            let lacks = |partition: &&i32| !has.is_some_and(|has| has.contains(*partition));
            partitions.iter().filter(lacks).any(|partition| self.is_held(*topic, *partition))
        })
    }
}
