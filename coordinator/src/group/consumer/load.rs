//! A group of the new protocol rebuilt from its records. Knows nothing of how those are read.

use std::collections::BTreeMap;

use super::super::Name;
use super::super::metadata::{Group, Step};
use super::Partitions;
use super::group::ConsumerGroup;
use super::heartbeat::revocation;
use super::member::{ConsumerMember, Current, MemberState, Subscription};
use super::records::ConsumerRecord;
use super::topics::TopicInfo;

/// What the records read so far say.
#[derive(Debug, Default)]
pub struct StoredGroup {
    /// `None`: the group is gone, or has not begun.
    epoch: Option<i32>,
    target_epoch: i32,
    topics: BTreeMap<String, TopicInfo>,
    subscriptions: BTreeMap<Name, Subscription>,
    currents: BTreeMap<Name, Current>,
    targets: BTreeMap<Name, Partitions>,
}

impl StoredGroup {
    pub fn replay(&mut self, record: ConsumerRecord) {
        match record {
            ConsumerRecord::Epoch(epoch) => self.epoch = epoch,
            ConsumerRecord::Topics(topics) => {
                self.topics = topics.unwrap_or_default().into_iter().collect();
            }
            ConsumerRecord::TargetEpoch(epoch) => self.target_epoch = epoch.unwrap_or(0),
            ConsumerRecord::Member(id, subscription) => {
                set(&mut self.subscriptions, id, subscription)
            }
            ConsumerRecord::Target(id, target) => set(&mut self.targets, id, target),
            ConsumerRecord::Current(id, current) => set(&mut self.currents, id, current),
        }
    }

    /// Whether nothing is left of the group.
    pub fn is_gone(&self) -> bool {
        self.epoch.is_none() && self.subscriptions.is_empty()
    }

    pub fn restore(self) -> ConsumerGroup {
        let mut group = ConsumerGroup::default();
        group.epoch = self.epoch.unwrap_or(0);
        group.target_epoch = self.target_epoch;
        group.topics = self.topics;
        let mut currents = self.currents;
        for (id, subscription) in self.subscriptions {
            let current = currents.remove(&id).unwrap_or_default();
            group.restore(ConsumerMember { id, subscription, current });
        }
        group.targets =
            self.targets.into_iter().filter(|(id, _)| group.member(id).is_some()).collect();
        group
    }
}

fn set<V>(all: &mut BTreeMap<Name, V>, id: Name, value: Option<V>) {
    match value {
        Some(value) => {
            all.insert(id, value);
        }
        None => {
            all.remove(&id);
        }
    }
}

impl Group {
    /// Everyone has a whole session again, and as long as before to give partitions up.
    pub(in super::super) fn start_consumer_after_load(&mut self, step: &mut Step<'_>) {
        let Some(consumer) = self.consumer.as_deref() else { return };
        for member in consumer.members() {
            let session_ms = match &member.subscription.classic {
                Some(classic) => classic.session_timeout_ms,
                None => step.config.consumer.session_timeout_ms,
            };
            step.timers.arm(self.session_key(&member.id), step.after_ms(i64::from(session_ms)));
            if member.current.state == MemberState::UnrevokedPartitions {
                let wait_ms = i64::from(member.subscription.rebalance_timeout_ms.max(0));
                step.timers.arm(revocation(&self.id, &member.id), step.after_ms(wait_ms));
            }
        }
    }
}
