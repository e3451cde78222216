//! How a group changes between the classic protocol and the new one. Knows nothing of requests.

use super::super::GroupError;
use super::super::metadata::{Group, State, Step};
use super::super::records::GroupRecord;
use super::super::request::Refusal;
use super::super::shard::{PendingKind, append};
use super::group::ConsumerGroup;
use super::heartbeat::refuse;
use crate::shard::writer::Acks;

impl Group {
    /// A classic group without members becomes one of the new protocol; its offsets stay.
    pub(super) fn become_consumer(&mut self, step: &mut Step<'_>) -> Result<(), Refusal> {
        if !self.is(State::Empty) {
            let message = format!("Group {} is not a consumer group.", self.id);
            return refuse(GroupError::GroupIdNotFound, message);
        }
        for id in std::mem::take(&mut self.pending_members) {
            step.timers.cancel(&self.session_key(&id));
        }
        if self.generation > 0 {
            let tombstone = GroupRecord::Group { group: self.id.clone(), snapshot: None };
            let acks = step.config.commit_acks();
            step.out.appends.push(append(
                self,
                vec![tombstone],
                acks,
                step.now,
                PendingKind::Tombstones,
            ));
        }
        self.protocol_type = None;
        self.protocol = None;
        self.generation = 0;
        self.leader = None;
        self.subscribed_topics = None;
        self.consumer = Some(Box::<ConsumerGroup>::default());
        tracing::info!(group = %self.id, "the group speaks the consumer protocol from now on");
        Ok(())
    }

    /// A group of the new protocol without members becomes a classic one; its offsets stay.
    pub(in super::super) fn become_classic(&mut self, step: &mut Step<'_>) {
        let Some(consumer) = self.consumer.take_if(|consumer| consumer.is_empty()) else { return };
        let tombstones = consumer.tombstones(&self.id);
        let kind = PendingKind::Tombstones;
        step.out.appends.push(append(self, tombstones, Acks::Leader, step.now, kind));
        self.state_since_ms = Some(step.now.wall_ms);
        tracing::info!(group = %self.id, "the group speaks the classic protocol from now on");
    }
}
