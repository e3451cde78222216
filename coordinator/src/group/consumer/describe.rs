//! ConsumerGroupDescribe: what administrators see of a group of the new protocol.

use std::sync::Arc;

use protocol::ids::Uuid;

use super::super::request::{ConsumerDescription, ConsumerMemberDescription, NamedPartitions};
use super::super::shard::GroupShard;
use super::Partitions;
use super::member::ConsumerMember;
use super::topics::Topics;

impl GroupShard {
    /// `None` if there is no such group of the new protocol.
    pub(in super::super) fn describe_consumer(
        &self,
        id: &str,
        topics: &Topics,
    ) -> Option<ConsumerDescription> {
        let consumer = self.group(id)?.consumer.as_deref()?;
        let describe = |member: &ConsumerMember| ConsumerMemberDescription {
            member_id: member.id.clone(),
            epoch: member.current.epoch,
            is_classic: member.is_classic(),
            subscription: member.subscription.clone(),
            assigned: named(&member.current.assigned, topics),
            target: consumer.target(&member.id).map(|t| named(t, topics)).unwrap_or_default(),
        };
        Some(ConsumerDescription {
            state: consumer.state(),
            epoch: consumer.epoch(),
            target_epoch: consumer.target_epoch(),
            assignor: consumer.assignor(&self.config.consumer),
            members: consumer.members().map(describe).collect(),
        })
    }
}

/// Topics that are gone meanwhile are left out.
fn named(partitions: &Partitions, topics: &Topics) -> Vec<NamedPartitions> {
    let name = |id: &Uuid| -> Option<Arc<str>> { topics.0.name(*id) };
    partitions
        .iter()
        .filter_map(|(id, partitions)| {
            let partitions = partitions.iter().copied().collect();
            Some(NamedPartitions { topic_id: *id, topic: name(id)?, partitions })
        })
        .collect()
}
