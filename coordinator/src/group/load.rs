//! Rebuilds a partition's groups from its records, in log order. Knows nothing of how those are
//! read.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::{Offset, ProducerId, TopicPartition};

use super::Name;
use super::consumer::load::StoredGroup;
use super::consumer::records::ConsumerRecord;
use super::metadata::{Group, Step};
use super::offsets::Committed;
use super::records::{self, GroupRecord, GroupSnapshot};
use super::request::OffsetCommit;
use super::shard::{GroupShard, Out};
use crate::shard::{Marker, Now, StoredBatch, StoredRecord};

type Key = (Name, TopicPartition);

/// What has been read so far: bounded by what a compacted partition holds.
#[derive(Debug, Default)]
pub(super) struct Loading {
    offsets: BTreeMap<Key, Committed>,
    in_transaction: BTreeMap<ProducerId, BTreeMap<Key, Committed>>,
    groups: BTreeMap<Name, GroupSnapshot>,
    consumer_groups: BTreeMap<Name, StoredGroup>,
    /// Records that could not be understood.
    skipped: u64,
}

impl Loading {
    pub(super) fn replay(&mut self, batch: StoredBatch) {
        match batch {
            StoredBatch::Marker { producer_id, marker } => self.end(producer_id, marker),
            StoredBatch::Records { transaction, records } => {
                let base = records.first().map_or(0, |record| record.offset);
                for record in records {
                    self.record(transaction, base, record);
                }
            }
        }
    }

    fn record(&mut self, transaction: Option<ProducerId>, base: Offset, record: StoredRecord) {
        match records::decode(record.key.as_ref(), record.value.as_ref()) {
            Ok(Some(GroupRecord::Offset { group, partition, commit })) => {
                self.offset(transaction, base, (group, partition), commit);
            }
            Ok(Some(GroupRecord::Group { group, snapshot: Some(snapshot) })) => {
                // A group speaks one protocol at a time, that of the later record: when it changed
                // and its old records were not taken back in time, they mean nothing any more.
                self.consumer_groups.remove(&group);
                self.groups.insert(group, snapshot);
            }
            Ok(Some(GroupRecord::Group { group, snapshot: None })) => {
                self.groups.remove(&group);
            }
            Ok(Some(GroupRecord::Consumer { group, record })) => {
                if let ConsumerRecord::Epoch(Some(_)) = record {
                    self.groups.remove(&group);
                }
                self.consumer_groups.entry(group).or_default().replay(record);
            }
            // Of share groups, which there are none of here.
            Ok(None) => self.skipped += 1,
            Err(error) => {
                tracing::error!(offset = record.offset, %error, "a group record cannot be read");
                self.skipped += 1;
            }
        }
    }

    fn offset(
        &mut self,
        transaction: Option<ProducerId>,
        base: Offset,
        key: Key,
        commit: Option<OffsetCommit>,
    ) {
        let offsets = match transaction {
            Some(producer) => self.in_transaction.entry(producer).or_default(),
            None => &mut self.offsets,
        };
        match commit {
            Some(commit) => {
                offsets.insert(key, Committed { batch_offset: base, commit });
            }
            None => {
                offsets.remove(&key);
            }
        }
    }

    fn end(&mut self, producer: ProducerId, marker: Marker) {
        let Some(held) = self.in_transaction.remove(&producer) else { return };
        if marker == Marker::Abort {
            return;
        }
        for (key, entry) in held {
            let stands_later = |current: &Committed| current.batch_offset >= entry.batch_offset;
            if !self.offsets.get(&key).is_some_and(stands_later) {
                self.offsets.insert(key, entry);
            }
        }
    }
}

impl GroupShard {
    /// Makes what was read the shard's state. Members get a fresh session; groups known by their
    /// offsets alone have no protocol type.
    pub(super) fn adopt(&mut self, loading: Loading, now: Now, out: &mut Out) {
        if loading.skipped > 0 {
            tracing::warn!(records = loading.skipped, "group records were passed over");
        }
        for (id, snapshot) in loading.groups {
            self.next_incarnation += 1;
            let group = Group::restore(id.clone(), self.next_incarnation, snapshot);
            self.groups.insert(id, group);
        }
        for (id, stored) in loading.consumer_groups {
            if !stored.is_gone() {
                self.next_incarnation += 1;
                let mut group = Group::new(id.clone(), self.next_incarnation, now.wall_ms);
                group.consumer = Some(Box::new(stored.restore()));
                self.groups.insert(id, group);
            }
        }
        for ((id, partition), entry) in loading.offsets {
            self.loaded_group(&id, now).offsets.restore(partition, entry);
        }
        for (producer, held) in loading.in_transaction {
            let mut groups = BTreeSet::new();
            for ((id, partition), Committed { batch_offset, commit }) in held {
                let offsets = &mut self.loaded_group(&id, now).offsets;
                offsets.stage_in_transaction(producer, &partition, Some(batch_offset), &commit);
                groups.insert(id);
            }
            if !groups.is_empty() {
                self.open_transactions.insert(producer, groups);
            }
        }
        for group in self.groups.values_mut() {
            let mut step = Step { config: &self.config, timers: &mut self.timers, now, out };
            group.start_after_load(&mut step);
        }
    }

    /// Not bounded by `groups_max`: what was acknowledged once is kept.
    fn loaded_group(&mut self, id: &Name, now: Now) -> &mut Group {
        let incarnation = &mut self.next_incarnation;
        self.groups.entry(id.clone()).or_insert_with(|| {
            *incarnation += 1;
            Group::new(id.clone(), *incarnation, now.wall_ms)
        })
    }
}

impl Group {
    fn start_after_load(&mut self, step: &mut Step<'_>) {
        self.start_consumer_after_load(step);
        let max_size = usize::try_from(step.config.max_size).unwrap_or(0);
        if self.len() > max_size {
            self.prepare_rebalance(step, "the group was loaded with more members than allowed");
        }
        for id in self.member_ids() {
            self.arm_session(step, &id);
        }
    }
}
