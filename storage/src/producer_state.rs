//! What a partition knows of its idempotent and transactional producers: sequences, epochs, open
//! transactions (KIP-98). Pure; files are `producer_snapshot.rs`'s.

use std::collections::{BTreeMap, HashMap, VecDeque};

use protocol::ids::{Offset, ProducerEpoch, ProducerId, TimestampMs};

use crate::batch::{EndMarker, LogBatch};
use crate::error::AppendError;
use crate::index::transaction::AbortedTxn;

/// Batches per producer that are recognised when they are sent again.
pub const BATCHES_KEPT: usize = 5;
const NO_EPOCH: ProducerEpoch = -1;
const NO_SEQUENCE: i32 = -1;

/// Who brings a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A producer: everything is checked.
    Client,
    /// A coordinator of this broker: markers and its own records; sequences are not checked.
    Coordinator,
    /// The leader: what it accepted is taken, violations are only logged.
    Replication,
}

/// One batch that a producer appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchMetadata {
    pub last_sequence: i32,
    pub last_offset: Offset,
    /// Last minus first offset.
    pub offset_delta: i32,
    pub timestamp: TimestampMs,
}

impl BatchMetadata {
    pub fn first_sequence(&self) -> i32 {
        (i64::from(self.last_sequence) - i64::from(self.offset_delta)).rem_euclid(1 << 31) as i32
    }

    pub fn first_offset(&self) -> Offset {
        self.last_offset - i64::from(self.offset_delta)
    }
}

/// The state of one producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerEntry {
    pub producer_epoch: ProducerEpoch,
    /// −1 before the first marker.
    pub coordinator_epoch: i32,
    pub last_timestamp: TimestampMs,
    /// Where its open transaction began.
    pub current_txn_first_offset: Option<Offset>,
    /// Oldest first, at most [`BATCHES_KEPT`], all of `producer_epoch`.
    pub batches: VecDeque<BatchMetadata>,
}

impl ProducerEntry {
    fn unknown() -> Self {
        ProducerEntry {
            producer_epoch: NO_EPOCH,
            coordinator_epoch: -1,
            last_timestamp: -1,
            current_txn_first_offset: None,
            batches: VecDeque::new(),
        }
    }

    /// −1 if no data batch of this epoch is known.
    pub fn last_sequence(&self) -> i32 {
        self.batches.back().map_or(NO_SEQUENCE, |b| b.last_sequence)
    }

    /// −1 if no data batch of this epoch is known.
    pub fn last_offset(&self) -> Offset {
        self.batches.back().map_or(-1, |b| b.last_offset)
    }

    fn enter_epoch(&mut self, epoch: ProducerEpoch) {
        if self.producer_epoch != epoch {
            self.batches.clear();
            self.producer_epoch = epoch;
        }
    }

    fn duplicate_of(&self, batch: &LogBatch) -> Option<BatchMetadata> {
        if batch.producer_epoch != self.producer_epoch {
            return None;
        }
        let same = |known: &&BatchMetadata| {
            known.first_sequence() == batch.base_sequence
                && known.last_sequence == batch.last_sequence
        };
        self.batches.iter().find(same).copied()
    }

    fn is_expired(&self, now_ms: TimestampMs, expiration_ms: i64) -> bool {
        self.current_txn_first_offset.is_none()
            && now_ms.saturating_sub(self.last_timestamp) >= expiration_ms
    }
}

/// A transaction that a marker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompletedTxn {
    pub producer_id: ProducerId,
    pub first_offset: Offset,
    /// Offset of the marker.
    pub last_offset: Offset,
    pub aborted: bool,
}

/// What one append changes; applied only once its bytes are written.
#[derive(Debug, Default)]
pub(crate) struct ProducerUpdates {
    entries: BTreeMap<ProducerId, ProducerEntry>,
    started: Vec<(Offset, ProducerId)>,
    completed: Vec<CompletedTxn>,
}

/// All producers of one partition.
#[derive(Debug, Clone, Default)]
pub struct ProducerState {
    producers: HashMap<ProducerId, ProducerEntry>,
    /// Open transactions by first offset.
    ongoing: BTreeMap<Offset, ProducerId>,
    /// Ended transactions whose marker may not be replicated yet: first offset -> marker's.
    unreplicated: BTreeMap<Offset, Offset>,
    /// Every batch below is contained.
    pub(crate) end_offset: Offset,
}

impl ProducerState {
    /// No producer is known, and every batch below `end_offset` counts as contained.
    pub(crate) fn starting_at(end_offset: Offset) -> ProducerState {
        ProducerState { end_offset, ..ProducerState::default() }
    }

    pub fn get(&self, producer_id: ProducerId) -> Option<&ProducerEntry> {
        self.producers.get(&producer_id)
    }

    /// Sorted by producer id.
    pub fn producers(&self) -> BTreeMap<ProducerId, &ProducerEntry> {
        self.producers.iter().map(|(id, entry)| (*id, entry)).collect()
    }

    pub fn len(&self) -> usize {
        self.producers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.producers.is_empty() && self.unreplicated.is_empty()
    }

    pub(crate) fn insert(&mut self, producer_id: ProducerId, entry: ProducerEntry) {
        if let Some(first) = entry.current_txn_first_offset {
            self.ongoing.insert(first, producer_id);
        }
        self.producers.insert(producer_id, entry);
    }

    /// The batch that a client sends again, if it is one of the last five of its producer.
    pub(crate) fn duplicate_of(&self, batch: &LogBatch) -> Option<BatchMetadata> {
        self.producers.get(&batch.producer_id)?.duplicate_of(batch)
    }

    /// Judges a data batch and notes what it changes.
    pub(crate) fn prepare_data(
        &self,
        updates: &mut ProducerUpdates,
        batch: &LogBatch,
        origin: AppendOrigin,
    ) -> Result<(), AppendError> {
        let id = batch.producer_id;
        let known = self.producers.get(&id);
        let mut entry =
            updates.entries.get(&id).or(known).cloned().unwrap_or_else(ProducerEntry::unknown);
        check_epoch(id, &entry, batch.producer_epoch, origin, batch.base_offset)?;
        if origin == AppendOrigin::Client {
            let never_seen = known.is_none_or(|e| e.producer_epoch == NO_EPOCH);
            check_sequence(id, &entry, never_seen, batch)?;
        }
        entry.enter_epoch(batch.producer_epoch);
        if entry.batches.len() == BATCHES_KEPT {
            entry.batches.pop_front();
        }
        entry.batches.push_back(BatchMetadata {
            last_sequence: batch.last_sequence,
            last_offset: batch.last_offset,
            offset_delta: (batch.last_offset - batch.base_offset) as i32,
            timestamp: batch.max_timestamp,
        });
        entry.last_timestamp = batch.max_timestamp;
        match (entry.current_txn_first_offset, batch.is_transactional()) {
            (Some(_), false) if origin == AppendOrigin::Replication => {
                tracing::warn!(
                    producer_id = id,
                    offset = batch.base_offset,
                    "replicated batch is not transactional inside a transaction"
                );
            }
            (Some(_), false) => {
                let reason = "a batch outside the transaction that is open";
                return Err(AppendError::InvalidTxnState { producer_id: id, reason });
            }
            (None, true) => {
                entry.current_txn_first_offset = Some(batch.base_offset);
                updates.started.push((batch.base_offset, id));
            }
            _ => {}
        }
        updates.entries.insert(id, entry);
        Ok(())
    }

    /// Judges a marker and notes what it changes.
    pub(crate) fn prepare_marker(
        &self,
        updates: &mut ProducerUpdates,
        batch: &LogBatch,
        marker: &EndMarker,
        origin: AppendOrigin,
    ) -> Result<(), AppendError> {
        let id = batch.producer_id;
        let mut entry = updates
            .entries
            .get(&id)
            .or_else(|| self.producers.get(&id))
            .cloned()
            .unwrap_or_else(ProducerEntry::unknown);
        check_epoch(id, &entry, batch.producer_epoch, origin, batch.base_offset)?;
        if entry.coordinator_epoch > marker.coordinator_epoch {
            if origin != AppendOrigin::Replication {
                return Err(AppendError::CoordinatorFenced {
                    producer_id: id,
                    got: marker.coordinator_epoch,
                    current: entry.coordinator_epoch,
                });
            }
            tracing::info!(
                producer_id = id,
                offset = batch.base_offset,
                "replicated marker of an older coordinator"
            );
        }
        if let Some(first_offset) = entry.current_txn_first_offset.take() {
            updates.completed.push(CompletedTxn {
                producer_id: id,
                first_offset,
                last_offset: batch.base_offset,
                aborted: !marker.commit,
            });
        }
        entry.enter_epoch(batch.producer_epoch);
        entry.coordinator_epoch = marker.coordinator_epoch;
        entry.last_timestamp = marker.timestamp;
        updates.entries.insert(id, entry);
        Ok(())
    }

    /// Takes the changes over; `end_offset` follows the last appended record. Returns the
    /// aborted transactions, for the transaction index.
    pub(crate) fn apply(&mut self, updates: ProducerUpdates, end: Offset) -> Vec<AbortedTxn> {
        self.producers.extend(updates.entries);
        for (first, id) in updates.started {
            self.ongoing.insert(first, id);
        }
        let mut aborted = Vec::new();
        for txn in updates.completed {
            if txn.aborted {
                aborted.push(AbortedTxn {
                    producer_id: txn.producer_id,
                    first_offset: txn.first_offset,
                    last_offset: txn.last_offset,
                    last_stable_offset: self.stable_after(&txn),
                });
            }
            self.ongoing.remove(&txn.first_offset);
            self.unreplicated.insert(txn.first_offset, txn.last_offset);
        }
        self.end_offset = end;
        aborted
    }

    fn stable_after(&self, txn: &CompletedTxn) -> Offset {
        let other = self.ongoing.iter().find(|(_, id)| **id != txn.producer_id);
        other.map_or(txn.last_offset + 1, |(first, _)| *first)
    }

    /// The first offset that a reader of committed data may not see yet: of the earliest
    /// transaction that is open, or whose marker is not below the high watermark.
    pub fn first_unstable_offset(&self, high_watermark: Offset) -> Option<Offset> {
        let open = self.ongoing.keys().next().copied();
        let waiting = self.unreplicated.iter().find(|(_, marker)| **marker >= high_watermark);
        match (open, waiting.map(|(first, _)| *first)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Forgets ended transactions whose marker is below `offset`.
    pub(crate) fn forget_replicated(&mut self, offset: Offset) {
        self.unreplicated.retain(|_, marker| *marker >= offset);
    }

    /// Forgets producers without an open transaction that were silent for `expiration_ms`.
    pub fn remove_expired(&mut self, now_ms: TimestampMs, expiration_ms: i64) {
        self.producers.retain(|_, entry| !entry.is_expired(now_ms, expiration_ms));
    }

    pub(crate) fn clear(&mut self, end_offset: Offset) {
        *self = ProducerState { end_offset, ..Self::default() };
    }

    /// Open or unreplicated transactions exist: the last stable offset may differ from the high
    /// watermark.
    pub(crate) fn has_unstable(&self) -> bool {
        !self.ongoing.is_empty() || !self.unreplicated.is_empty()
    }
}

fn check_epoch(
    producer_id: ProducerId,
    entry: &ProducerEntry,
    got: ProducerEpoch,
    origin: AppendOrigin,
    offset: Offset,
) -> Result<(), AppendError> {
    let current = entry.producer_epoch;
    if got >= current {
        return Ok(());
    }
    if origin == AppendOrigin::Replication {
        tracing::warn!(producer_id, offset, got, current, "replicated batch of an older epoch");
        return Ok(());
    }
    Err(AppendError::InvalidProducerEpoch { producer_id, got, current })
}

/// A producer that was never seen, or was forgotten, may begin anywhere; a new epoch begins at 0.
fn check_sequence(
    producer_id: ProducerId,
    entry: &ProducerEntry,
    never_seen: bool,
    batch: &LogBatch,
) -> Result<(), AppendError> {
    let got = batch.base_sequence;
    let refuse = |expected| Err(AppendError::OutOfOrderSequence { producer_id, got, expected });
    if batch.producer_epoch != entry.producer_epoch {
        return if got == 0 || entry.producer_epoch == NO_EPOCH { Ok(()) } else { refuse(0) };
    }
    let last = entry.last_sequence();
    let expected = if last == i32::MAX { 0 } else { last + 1 };
    if never_seen || got == expected { Ok(()) } else { refuse(expected) }
}

#[cfg(test)]
#[path = "producer_state_tests.rs"]
mod tests;
