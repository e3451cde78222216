//! LeaveGroup: members go, or an administrator removes them. Knows nothing of requests' versions.

use super::metadata::{Group, Step};
use super::request::{Answer, LeaveAnswer, LeavingMember};
use super::shard::{GroupShard, Out};
use super::{GroupError, Name};
use crate::shard::{Now, Ticket};

impl GroupShard {
    pub(super) fn leave(
        &mut self,
        caller: Ticket,
        group_id: &str,
        leaving: &[LeavingMember],
        now: Now,
        out: &mut Out,
    ) {
        let members = match self.step(group_id, now, out) {
            Some((group, mut step)) if group.consumer.is_some() => {
                group.leave_consumer_group(&mut step, caller, leaving);
                return;
            }
            Some((group, mut step)) => {
                leaving.iter().map(|member| group.leave(&mut step, member).err()).collect()
            }
            None => vec![Some(GroupError::UnknownMemberId); leaving.len()],
        };
        out.answers.push((caller, Answer::Leave(LeaveAnswer { error: None, members })));
    }
}

impl Group {
    fn leave(&mut self, step: &mut Step<'_>, leaving: &LeavingMember) -> Result<(), GroupError> {
        let instance_id = leaving.instance_id.as_deref();
        let id: Name = if leaving.member_id.is_empty() {
            let current = instance_id.and_then(|instance| self.static_id(instance));
            current.cloned().ok_or(GroupError::UnknownMemberId)?
        } else {
            leaving.member_id.as_str().into()
        };
        if self.pending_members.contains(&id) {
            self.discard(step, &id);
            self.complete_join_if_ready(step);
            return Ok(());
        }
        if !leaving.member_id.is_empty() {
            self.check_member(&id, instance_id)?;
        }
        let reason = leaving.reason.as_deref().unwrap_or("not provided");
        tracing::info!(group = %self.id, member = %id, reason, "a member leaves");
        self.remove_and_rebalance(step, &id, "a member left");
        Ok(())
    }
}
