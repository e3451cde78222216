//! The offsets of one group: committed, on their way into the log, and held back by transactions.
//! Knows nothing of members.

use std::collections::BTreeMap;

use protocol::ids::{Offset, ProducerId, TimestampMs, TopicPartition};

use super::request::OffsetCommit;
use crate::shard::Marker;

/// A committed offset and where its record's batch starts in the log. Of a transactional and an
/// ordinary commit the one that stands later in the log wins, whichever is known first; otherwise
/// compaction could bring the other one back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    pub batch_offset: Offset,
    pub commit: OffsetCommit,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct InTransaction {
    /// `None` until the append is known to have succeeded.
    batch_offset: Option<Offset>,
    commit: OffsetCommit,
}

/// Bounded by the partitions that exist: handlers refuse commits for others.
#[derive(Debug, Clone, Default)]
pub struct Offsets {
    committed: BTreeMap<TopicPartition, Committed>,
    /// Appended, outcome not known yet.
    pending: BTreeMap<TopicPartition, OffsetCommit>,
    transactional: BTreeMap<ProducerId, BTreeMap<TopicPartition, InTransaction>>,
}

impl Offsets {
    pub fn get(&self, partition: &TopicPartition) -> Option<&OffsetCommit> {
        self.committed.get(partition).map(|entry| &entry.commit)
    }

    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.committed.keys()
    }

    pub fn len(&self) -> usize {
        self.committed.len()
    }

    /// Nothing committed, nothing on its way.
    pub fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.pending.is_empty() && self.transactional.is_empty()
    }

    /// Whether what is committed may change without a new request.
    pub fn is_unstable(&self, partition: &TopicPartition) -> bool {
        self.pending.contains_key(partition)
            || self.transactional.values().any(|held| held.contains_key(partition))
    }

    pub fn has_transaction(&self, producer: ProducerId) -> bool {
        self.transactional.contains_key(&producer)
    }

    pub fn transactions(&self) -> impl Iterator<Item = ProducerId> + '_ {
        self.transactional.keys().copied()
    }

    /// An ordinary commit goes to the log.
    pub fn stage(&mut self, partition: &TopicPartition, commit: &OffsetCommit) {
        self.pending.insert(partition.clone(), commit.clone());
    }

    /// It is in the log, in the batch at `batch_offset`. If the partition was deleted meanwhile
    /// nothing is pending any more and the commit is dropped.
    pub fn committed(
        &mut self,
        partition: &TopicPartition,
        batch_offset: Offset,
        commit: &OffsetCommit,
    ) {
        let Some(staged) = self.pending.get(partition) else { return };
        if staged == commit {
            self.pending.remove(partition);
        }
        self.put_if_later(partition, Committed { batch_offset, commit: commit.clone() });
    }

    /// It did not get there.
    pub fn failed(&mut self, partition: &TopicPartition, commit: &OffsetCommit) {
        if self.pending.get(partition) == Some(commit) {
            self.pending.remove(partition);
        }
    }

    /// A transactional commit goes to the log, or (`batch_offset` known) was read from it.
    pub fn stage_in_transaction(
        &mut self,
        producer: ProducerId,
        partition: &TopicPartition,
        batch_offset: Option<Offset>,
        commit: &OffsetCommit,
    ) {
        let held = InTransaction { batch_offset, commit: commit.clone() };
        self.transactional.entry(producer).or_default().insert(partition.clone(), held);
    }

    pub fn appended_in_transaction(
        &mut self,
        producer: ProducerId,
        partition: &TopicPartition,
        batch_offset: Offset,
        commit: &OffsetCommit,
    ) {
        let held = self.transactional.get_mut(&producer).and_then(|all| all.get_mut(partition));
        if let Some(held) = held.filter(|held| held.commit == *commit) {
            held.batch_offset = Some(batch_offset);
        }
    }

    pub fn failed_in_transaction(&mut self, producer: ProducerId, partition: &TopicPartition) {
        if let Some(held) = self.transactional.get_mut(&producer) {
            held.remove(partition);
            if held.is_empty() {
                self.transactional.remove(&producer);
            }
        }
    }

    /// The marker is in the log. A commit whose own append is not known to have succeeded was not
    /// acknowledged to the producer, which could not have committed then: it is dropped.
    pub fn end_transaction(&mut self, producer: ProducerId, marker: Marker) {
        let Some(held) = self.transactional.remove(&producer) else { return };
        if marker == Marker::Abort {
            return;
        }
        for (partition, InTransaction { batch_offset, commit }) in held {
            if let Some(batch_offset) = batch_offset {
                self.put_if_later(&partition, Committed { batch_offset, commit });
            }
        }
    }

    /// As read from the log, in its order.
    pub fn restore(&mut self, partition: TopicPartition, entry: Committed) {
        self.committed.insert(partition, entry);
    }

    /// Forgets these partitions; gives those that have a record in the log, or will have one when
    /// what is on its way arrives, so that tombstones after it can take it back. (Kafka writes none
    /// for the latter, and finds the offset again after a restart.)
    pub fn remove(&mut self, partitions: &[TopicPartition]) -> Vec<TopicPartition> {
        let mut removed = Vec::new();
        for partition in partitions {
            for held in self.transactional.values_mut() {
                held.remove(partition);
            }
            let was_pending = self.pending.remove(partition).is_some();
            if self.committed.remove(partition).is_some() || was_pending {
                removed.push(partition.clone());
            }
        }
        removed
    }

    pub fn remove_all(&mut self) -> Vec<TopicPartition> {
        let mut all: Vec<_> = self.committed.keys().chain(self.pending.keys()).cloned().collect();
        all.sort();
        all.dedup();
        self.remove(&all)
    }

    /// Forgets what has outlived its retention, counted from `since_ms(commit)`, or from the
    /// commit's own deadline if it has one; spares what has a commit on its way and the topics
    /// `is_kept` names.
    pub fn remove_expired(
        &mut self,
        now_ms: TimestampMs,
        retention_ms: i64,
        since_ms: impl Fn(&OffsetCommit) -> TimestampMs,
        is_kept: impl Fn(&str) -> bool,
    ) -> Vec<TopicPartition> {
        let pending = &self.pending;
        let expired: Vec<_> = self
            .committed
            .iter()
            .filter(|(partition, entry)| {
                !is_kept(&partition.topic)
                    && !pending.contains_key(partition)
                    && match entry.commit.expire_ms {
                        Some(expire_ms) => now_ms >= expire_ms,
                        None => now_ms.saturating_sub(since_ms(&entry.commit)) >= retention_ms,
                    }
            })
            .map(|(partition, _)| partition.clone())
            .collect();
        for partition in &expired {
            self.committed.remove(partition);
        }
        expired
    }

    fn put_if_later(&mut self, partition: &TopicPartition, entry: Committed) {
        let stands_later = |current: &Committed| current.batch_offset >= entry.batch_offset;
        if !self.committed.get(partition).is_some_and(stands_later) {
            self.committed.insert(partition.clone(), entry);
        }
    }
}
