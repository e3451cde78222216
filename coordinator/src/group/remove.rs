//! How groups and offsets go: deleted, expired, or their partitions gone. Each leaves tombstones.

use protocol::ids::TopicPartition;

use super::commit::offset_record;
use super::metadata::{CONSUMER_PROTOCOL_TYPE, State};
use super::records::GroupRecord;
use super::request::{CommitAnswer, OffsetCommit};
use super::shard::{GroupShard, Out, PendingKind, append};
use super::{GroupError, Name};
use crate::shard::Now;
use crate::shard::writer::Acks;

impl GroupShard {
    pub(super) fn delete(
        &mut self,
        group_id: &str,
        now: Now,
        out: &mut Out,
    ) -> Result<(), GroupError> {
        let group = self.groups.get_mut(group_id).ok_or(GroupError::GroupIdNotFound)?;
        if !group.is_vacant() {
            return Err(GroupError::NonEmptyGroup);
        }
        group.transition(State::Dead, now.wall_ms);
        let (id, removed) = (group.id.clone(), group.offsets.remove_all());
        tracing::info!(group = %id, offsets = removed.len(), "the group was deleted");
        self.settle(&id, removed, now, out);
        Ok(())
    }

    /// Deletes single offsets: all of an empty group, and of a consumer group those that nobody
    /// reads. The results come in an order of their own.
    pub(super) fn delete_offsets(
        &mut self,
        group_id: &str,
        partitions: Vec<TopicPartition>,
        now: Now,
        out: &mut Out,
    ) -> Result<CommitAnswer, GroupError> {
        let group = self.groups.get_mut(group_id).ok_or(GroupError::GroupIdNotFound)?;
        let (read, free): (Vec<_>, Vec<_>) = match group.state {
            State::Dead => return Err(GroupError::GroupIdNotFound),
            State::Empty if group.is_vacant() => (Vec::new(), partitions),
            _ if group.consumer.is_some() || group.is_consumer_group() => {
                partitions.into_iter().partition(|tp| group.is_subscribed_to(&tp.topic))
            }
            _ => return Err(GroupError::NonEmptyGroup),
        };
        if !free.is_empty() {
            let (id, removed) = (group.id.clone(), group.offsets.remove(&free));
            tracing::info!(group = %id, offsets = removed.len(), "offsets were deleted");
            self.settle(&id, removed, now, out);
        }
        let refused = read.into_iter().map(|tp| (tp, Some(GroupError::GroupSubscribedToTopic)));
        Ok(refused.chain(free.into_iter().map(|tp| (tp, None))).collect())
    }

    pub(super) fn partitions_deleted(
        &mut self,
        partitions: &[TopicPartition],
        now: Now,
        out: &mut Out,
    ) {
        let ids: Vec<Name> = self.groups.keys().cloned().collect();
        for id in ids {
            if let Some(group) = self.groups.get_mut(&id) {
                let removed = group.offsets.remove(partitions);
                self.settle(&id, removed, now, out);
            }
        }
    }

    /// Removes the offsets of one group that have outlived `offsets.retention.minutes`: of a group
    /// without members, counted from when the last one went; of a consumer group at work, those of
    /// topics that nobody reads, counted from their commit; of a group that only stores offsets,
    /// counted from their commit.
    pub(super) fn expire_offsets(&mut self, id: &Name, now: Now, out: &mut Out) {
        let retention_ms = self.config.offsets_retention_ms;
        let Some(group) = self.groups.get_mut(id) else { return };
        let now_ms = now.wall_ms;
        let by_commit = |commit: &OffsetCommit| commit.commit_ms;
        let removed = match (&group.protocol_type, group.state, &group.subscribed_topics) {
            _ if group.consumer.is_some() => {
                let consumer = group.consumer.as_deref();
                let is_read = |topic: &str| consumer.is_some_and(|c| c.is_subscribed_to(topic));
                group.offsets.remove_expired(now_ms, retention_ms, by_commit, is_read)
            }
            (Some(_), State::Empty, _) => {
                let since_ms = group.state_since_ms;
                let base_ms = |commit: &OffsetCommit| since_ms.unwrap_or(commit.commit_ms);
                group.offsets.remove_expired(now_ms, retention_ms, base_ms, |_| false)
            }
            (Some(kind), State::Stable, Some(topics)) if kind == CONSUMER_PROTOCOL_TYPE => {
                let is_read = |topic: &str| topics.contains(topic);
                group.offsets.remove_expired(now_ms, retention_ms, by_commit, is_read)
            }
            (None, _, _) => {
                group.offsets.remove_expired(now_ms, retention_ms, by_commit, |_| false)
            }
            _ => Vec::new(),
        };
        if !removed.is_empty() {
            tracing::info!(group = %id, offsets = removed.len(), "offsets expired");
        }
        self.settle(id, removed, now, out);
    }

    /// Writes tombstones for what was removed, and lets a group go that has nothing left. A group
    /// that never had a generation has no record to take back. It is enough that the leader has the
    /// tombstones: whoever loads the partition without them removes the same things again.
    fn settle(&mut self, id: &Name, removed: Vec<TopicPartition>, now: Now, out: &mut Out) {
        let Some(group) = self.groups.get_mut(id) else { return };
        if group.is_vacant() && group.offsets.is_empty() {
            tracing::info!(group = %id, generation = group.generation, "the group is gone");
            group.transition(State::Dead, now.wall_ms);
        }
        let mut records: Vec<GroupRecord> =
            removed.iter().map(|tp| offset_record(id, tp, None)).collect();
        let dead = group.is(State::Dead);
        if dead && group.generation > 0 {
            records.push(GroupRecord::Group { group: id.clone(), snapshot: None });
        }
        if let Some(consumer) = group.consumer.as_ref().filter(|_| dead) {
            records.extend(consumer.tombstones(id));
        }
        if !records.is_empty() {
            let kind = PendingKind::Tombstones;
            out.appends.push(append(group, records, Acks::Leader, now, kind));
        }
        if dead {
            self.forget_group(id);
        }
    }
}
