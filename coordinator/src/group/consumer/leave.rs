//! How members of a group of the new protocol go: they leave, for a while or for good, fall silent,
//! or do not give up in time what they must. Knows nothing of requests' versions.

use super::super::metadata::{Group, Step};
use super::super::records::GroupRecord;
use super::super::request::{ConsumerAnswer, ConsumerHeartbeat, Refusal};
use super::super::{GroupError, Name};
use super::group::ConsumerGroup;
use super::heartbeat::{refuse, revocation, unknown_instance};
use super::member::{Current, MemberState};
use super::{LEAVE_STATIC_EPOCH, Partitions};

impl Group {
    /// A heartbeat with one of the epochs that mean farewell.
    pub(super) fn leave_consumer(
        &mut self,
        step: &mut Step<'_>,
        heartbeat: &ConsumerHeartbeat,
    ) -> Result<(ConsumerAnswer, Vec<GroupRecord>), Refusal> {
        let group_id = self.id.clone();
        let Some(consumer) = self.consumer.as_deref_mut() else {
            return refuse(GroupError::GroupIdNotFound, "not a consumer group");
        };
        let id = consumer.leaving_member(heartbeat)?;
        let records = if heartbeat.epoch == LEAVE_STATIC_EPOCH {
            consumer.leave_for_a_while(&id);
            step.timers.cancel(&revocation(&group_id, &id));
            Vec::new()
        } else {
            self.put_out(step, &id, "it left")
        };
        let answer = ConsumerAnswer {
            member_id: id,
            epoch: heartbeat.epoch,
            heartbeat_interval_ms: 0,
            assignment: None,
        };
        Ok((answer, records))
    }

    /// Nothing was heard of the member for its session timeout.
    pub(in super::super) fn on_consumer_session_timer(&mut self, step: &mut Step<'_>, id: &Name) {
        let records = self.put_out(step, id, "its session ended");
        self.write_changes(step, records, None);
    }

    /// The member had its rebalance timeout to give partitions up.
    pub(in super::super) fn on_revocation_timer(&mut self, step: &mut Step<'_>, id: &Name) {
        let waits = self
            .consumer
            .as_deref()
            .and_then(|consumer| consumer.member(id))
            .is_some_and(|member| member.current.state == MemberState::UnrevokedPartitions);
        if waits {
            let records = self.put_out(step, id, "it did not give partitions up in time");
            self.write_changes(step, records, None);
        }
    }

    /// What the member had is free for others from the next epoch on. Gives the records of a group
    /// that becomes a classic one by that.
    pub(super) fn put_out(
        &mut self,
        step: &mut Step<'_>,
        id: &Name,
        reason: &str,
    ) -> Vec<GroupRecord> {
        if self.may_downgrade(step, id) {
            tracing::info!(group = %self.id, member = %id, reason,
                "the last member of the consumer protocol is out of its group");
            return self.downgrade(step, id);
        }
        let Some(consumer) = self.consumer.as_deref_mut() else { return Vec::new() };
        if consumer.remove(id).is_some() {
            consumer.forget_unread_topics();
            consumer.bump_epoch();
            tracing::info!(group = %self.id, member = %id, epoch = consumer.epoch(), reason,
                "a member is out of its consumer group");
        }
        self.cancel_member_timers(step, id);
        Vec::new()
    }
}

impl ConsumerGroup {
    fn leaving_member(&self, heartbeat: &ConsumerHeartbeat) -> Result<Name, Refusal> {
        let known = match &heartbeat.instance_id {
            None => self.members.get_key_value(heartbeat.member_id.as_str()).map(|(id, _)| id),
            Some(instance_id) => match self.static_members.get(instance_id) {
                Some(id) if **id != *heartbeat.member_id => {
                    let message = format!(
                        "Static member {} with instance id {instance_id} was fenced by member \
                         {id}.",
                        heartbeat.member_id
                    );
                    return refuse(GroupError::FencedInstanceId, message);
                }
                Some(id) => Some(id),
                None => return refuse(GroupError::UnknownMemberId, unknown_instance(instance_id)),
            },
        };
        match known {
            Some(id) => Ok(id.clone()),
            None => {
                let message = format!("Member {} is not in the group.", heartbeat.member_id);
                refuse(GroupError::UnknownMemberId, message)
            }
        }
    }

    /// A static member's place is kept until its session ends; it need not give anything up now,
    /// since it has stopped reading.
    fn leave_for_a_while(&mut self, id: &Name) {
        let Some(member) = self.members.get(id) else { return };
        let current = Current {
            epoch: LEAVE_STATIC_EPOCH,
            previous_epoch: member.current.previous_epoch,
            state: member.current.state,
            assigned: member.current.assigned.clone(),
            revoking: Partitions::new(),
        };
        self.set_current(id, current);
    }
}
