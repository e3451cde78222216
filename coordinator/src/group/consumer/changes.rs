//! What of a group is not in the log yet. The state in memory goes ahead, and what is written is
//! always the newest: when an append fails, its keys wait for the group's next one. Knows nothing
//! of why something changed.

use std::collections::BTreeSet;

use super::super::Name;
use super::super::records::GroupRecord;
use super::group::ConsumerGroup;
use super::records::ConsumerRecord;

/// One record of the group, in the order in which they stand in a batch: as in Kafka, those of a
/// member's end begin with what it has, and otherwise a member comes before what refers to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// The record that the group had while it spoke the classic protocol.
    EndOfClassic,
    EndOfCurrent(Name),
    EndOfTarget(Name),
    EndOfMember(Name),
    Member(Name),
    Topics,
    Epoch,
    Target(Name),
    TargetEpoch,
    Current(Name),
}

/// The records that an append carries, as they are found again if it fails.
#[derive(Debug, Default)]
pub struct Changes(pub(super) BTreeSet<Key>);

impl ConsumerGroup {
    pub(super) fn member_ended(&mut self, id: &Name) {
        for key in [Key::Member(id.clone()), Key::Target(id.clone()), Key::Current(id.clone())] {
            self.unwritten.0.remove(&key);
        }
        self.unwritten.0.insert(Key::EndOfCurrent(id.clone()));
        self.unwritten.0.insert(Key::EndOfTarget(id.clone()));
        self.unwritten.0.insert(Key::EndOfMember(id.clone()));
    }

    pub(super) fn member_began(&mut self, id: &Name) {
        self.unwritten.0.remove(&Key::EndOfCurrent(id.clone()));
        self.unwritten.0.remove(&Key::EndOfTarget(id.clone()));
        self.unwritten.0.remove(&Key::EndOfMember(id.clone()));
    }

    pub(super) fn changed(&mut self, key: Key) {
        self.unwritten.0.insert(key);
    }

    /// What has changed since the last call, as records.
    pub(in super::super) fn take_changes(&mut self, group: &Name) -> (Vec<GroupRecord>, Changes) {
        let changes = std::mem::take(&mut self.unwritten);
        (changes.0.iter().map(|key| self.record(group, key)).collect(), changes)
    }

    /// They did not get into the log.
    pub(in super::super) fn not_written(&mut self, changes: Changes) {
        for key in changes.0 {
            let overtaken = match &key {
                Key::EndOfCurrent(id) | Key::EndOfTarget(id) | Key::EndOfMember(id) => {
                    self.members.contains_key(id)
                }
                Key::Member(id) | Key::Target(id) | Key::Current(id) => {
                    !self.members.contains_key(id)
                }
                Key::EndOfClassic | Key::Topics | Key::Epoch | Key::TargetEpoch => false,
            };
            match (overtaken, key) {
                (false, key) => self.changed(key),
                // Whatever became of the member since: all of it is written again.
                (true, Key::EndOfCurrent(id)) => self.changed(Key::Current(id)),
                (true, Key::EndOfTarget(id)) => self.changed(Key::Target(id)),
                (true, Key::EndOfMember(id)) => self.changed(Key::Member(id)),
                (true, Key::Member(id) | Key::Target(id) | Key::Current(id)) => {
                    self.member_ended(&id);
                }
                (true, Key::EndOfClassic | Key::Topics | Key::Epoch | Key::TargetEpoch) => {}
            }
        }
    }

    /// Takes back everything that the group ever wrote.
    pub(in super::super) fn tombstones(&self, group: &Name) -> Vec<GroupRecord> {
        let mut records = Vec::new();
        // Ends that are not in the log yet.
        let ends = self.unwritten.0.iter().filter(|key| key.is_end());
        let ends: Vec<GroupRecord> = ends.map(|key| self.record(group, key)).collect();
        for id in self.members.keys() {
            records.push(ConsumerRecord::Current(id.clone(), None));
            records.push(ConsumerRecord::Target(id.clone(), None));
            records.push(ConsumerRecord::Member(id.clone(), None));
        }
        records.push(ConsumerRecord::TargetEpoch(None));
        records.push(ConsumerRecord::Topics(None));
        records.push(ConsumerRecord::Epoch(None));
        let of_group = |record| GroupRecord::Consumer { group: group.clone(), record };
        ends.into_iter().chain(records.into_iter().map(of_group)).collect()
    }

    fn record(&self, group: &Name, key: &Key) -> GroupRecord {
        let record = match key {
            Key::EndOfClassic => {
                return GroupRecord::Group { group: group.clone(), snapshot: None };
            }
            Key::EndOfCurrent(id) => ConsumerRecord::Current(id.clone(), None),
            Key::EndOfTarget(id) => ConsumerRecord::Target(id.clone(), None),
            Key::EndOfMember(id) => ConsumerRecord::Member(id.clone(), None),
            Key::Member(id) => {
                let member = self.members.get(id);
                ConsumerRecord::Member(id.clone(), member.map(|m| m.subscription.clone()))
            }
            Key::Current(id) => {
                let member = self.members.get(id);
                ConsumerRecord::Current(id.clone(), member.map(|m| m.current.clone()))
            }
            Key::Target(id) => ConsumerRecord::Target(id.clone(), self.targets.get(id).cloned()),
            Key::Topics => {
                let topics = self.topics.iter().map(|(name, topic)| (name.clone(), topic.clone()));
                ConsumerRecord::Topics(Some(topics.collect()))
            }
            Key::Epoch => ConsumerRecord::Epoch(Some(self.epoch)),
            Key::TargetEpoch => ConsumerRecord::TargetEpoch(Some(self.target_epoch)),
        };
        GroupRecord::Consumer { group: group.clone(), record }
    }
}

impl Key {
    fn is_end(&self) -> bool {
        use Key::*;
        matches!(self, EndOfClassic | EndOfCurrent(_) | EndOfTarget(_) | EndOfMember(_))
    }
}
