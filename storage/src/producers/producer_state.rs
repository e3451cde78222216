//! What a partition knows of its idempotent and transactional producers: sequences, epochs, open
//! transactions (KIP-98). Pure; files are `producer_snapshot.rs`'s.

use std::collections::{BTreeMap, HashMap, VecDeque};

use protocol::ids::{Offset, ProducerEpoch, ProducerId, TimestampMs, VerificationGuard};

use crate::error::AppendError;
use crate::index::transaction::AbortedTxn;
use crate::producers::verification::Verifications;
use crate::segment::batch::{EndMarker, LogBatch};

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
    /// Whose transactions have begun or ended, so that no answer about them is waited for.
    verified: Vec<ProducerId>,
}

/// All producers of one partition.
#[derive(Debug, Clone, Default)]
pub struct ProducerState {
    producers: HashMap<ProducerId, ProducerEntry>,
    /// Open transactions by first offset.
    ongoing: BTreeMap<Offset, ProducerId>,
    /// Ended transactions whose marker may not be replicated yet: first offset -> marker's.
    unreplicated: BTreeMap<Offset, Offset>,
    /// Whom the transaction coordinator is being asked about.
    verifications: Verifications,
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

    /// Begins a question to the coordinator, unless the producer's transaction is open here
    /// already. `fresh` is given to one question only.
    pub(crate) fn begin_verification(
        &mut self,
        (producer_id, epoch): (ProducerId, ProducerEpoch),
        sequence: i32,
        fresh: VerificationGuard,
        now_ms: TimestampMs,
    ) -> Option<VerificationGuard> {
        let known = self.producers.get(&producer_id);
        if known.is_some_and(|entry| entry.current_txn_first_offset.is_some()) {
            return None;
        }
        Some(self.verifications.begin(producer_id, epoch, sequence, fresh, now_ms))
    }

    /// A batch may begin a transaction only if the coordinator knows of it, and said so since the
    /// transaction before ended.
    fn check_verified(
        &self,
        producer_id: ProducerId,
        entry: &ProducerEntry,
        guard: VerificationGuard,
    ) -> Result<(), AppendError> {
        if entry.current_txn_first_offset.is_some()
            || self.verifications.is_current(producer_id, guard)
        {
            return Ok(());
        }
        let reason = "a batch of no transaction that the coordinator is known to know";
        Err(AppendError::InvalidTxnState { producer_id, reason })
    }

    /// Judges a data batch and notes what it changes. `guard`: see `Log::append_verified`.
    pub(crate) fn prepare_data(
        &self,
        updates: &mut ProducerUpdates,
        batch: &LogBatch,
        origin: AppendOrigin,
        guard: Option<VerificationGuard>,
    ) -> Result<(), AppendError> {
        let id = batch.producer_id;
        let known = self.producers.get(&id);
        let mut entry =
            updates.entries.get(&id).or(known).cloned().unwrap_or_else(ProducerEntry::unknown);
        // A producer that was fenced may begin again, one whose batch is in no transaction may not:
        // the epoch is looked at first (KAFKA-19690).
        check_epoch(id, &entry, batch.producer_epoch, origin, batch.base_offset)?;
        if let Some(guard) = guard.filter(|_| batch.is_transactional()) {
            self.check_verified(id, &entry, guard)?;
        }
        if origin == AppendOrigin::Client {
            let never_seen = known.is_none_or(|e| e.producer_epoch == NO_EPOCH);
            let first = self.verifications.lowest_sequence(id);
            check_sequence(id, &entry, never_seen, first, batch)?;
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
        if batch.is_transactional() {
            updates.verified.push(id);
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
        updates.verified.push(id);
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
        for id in updates.verified {
            self.verifications.end(id);
        }
        self.end_offset = end;
        aborted
    }

    fn stable_after(&self, txn: &CompletedTxn) -> Offset {
        let other = self.ongoing.iter().find(|(_, id)| **id != txn.producer_id);
        other.map_or(txn.last_offset.saturating_add(1), |(first, _)| *first)
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

    /// Whether some producer's transaction has ended here.
    pub(crate) fn has_seen_markers(&self) -> bool {
        self.producers.values().any(|entry| entry.coordinator_epoch >= 0)
    }

    /// Takes over from `whole` which transactions' markers are not below the high watermark.
    pub(crate) fn recall_ended(&mut self, whole: &ProducerState, high_watermark: Offset) {
        let above = whole.unreplicated.iter().filter(|(_, marker)| **marker >= high_watermark);
        self.unreplicated.extend(above);
    }

    /// Forgets ended transactions whose marker is below `offset`.
    pub(crate) fn forget_replicated(&mut self, offset: Offset) {
        self.unreplicated.retain(|_, marker| *marker >= offset);
    }

    /// Forgets producers without an open transaction that were silent for `expiration_ms`, and
    /// questions that nobody answered for as long.
    pub fn remove_expired(&mut self, now_ms: TimestampMs, expiration_ms: i64) {
        self.verifications.remove_older(now_ms, expiration_ms);
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

/// A producer that was never seen, or was forgotten, may begin anywhere, but not behind the `first`
/// batch that was to begin its transaction; a new epoch begins at 0.
fn check_sequence(
    producer_id: ProducerId,
    entry: &ProducerEntry,
    never_seen: bool,
    first: Option<i32>,
    batch: &LogBatch,
) -> Result<(), AppendError> {
    let got = batch.base_sequence;
    let refuse = |expected| Err(AppendError::OutOfOrderSequence { producer_id, got, expected });
    if let Some(first) = first.filter(|first| got > *first) {
        return refuse(first);
    }
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
