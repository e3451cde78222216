//! Appending: what a leader checks, assigns and stores, and what a follower takes over. Knows no
//! sockets and no watermark.

use protocol::ids::{
    LeaderEpoch, Offset, ProducerEpoch, ProducerId, TimestampMs, VerificationGuard,
};
use protocol::planted::{self, Planted};
use protocol::records::batch::BatchHeader;
use protocol::records::view::{Batches, RecordsError};

use crate::config::{LogConfig, TimestampType};
use crate::disk::Durable;
use crate::error::{AppendError, DiskError};
use crate::log::piece::Piece;
use crate::log::produced::{check, seal_header};
use crate::log::{Boundary, Changes, Log};
use crate::producers::producer_state::{AppendOrigin, BatchMetadata, ProducerUpdates};
use crate::producers::verification;
use crate::segment::Segment;
use crate::segment::batch::{LogBatch, parse_end_marker};

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendInfo {
    /// −1 if nothing was appended.
    pub first_offset: Offset,
    pub last_offset: Offset,
    /// −1 unless the topic's timestamps are times of append.
    pub log_append_time_ms: TimestampMs,
    pub max_timestamp: TimestampMs,
    pub log_start_offset: Offset,
    pub record_count: i64,
    /// Bytes as stored.
    pub bytes: u64,
    /// The batch was here already; the offsets are those of then.
    pub duplicate: bool,
    /// A segment was closed: the old one waits for `flush`.
    pub rolled: bool,
    /// `flush.messages` or `flush.ms` asks for a sync before this is acknowledged.
    pub flush_due: bool,
}

impl Log {
    /// Appends without asking whether the coordinator knows of a transaction; see
    /// `append_verified`.
    pub fn append_as_leader(
        &self,
        records: &[u8],
        leader_epoch: LeaderEpoch,
        origin: AppendOrigin,
        now_ms: TimestampMs,
    ) -> Result<AppendInfo, AppendError> {
        self.append_verified(records, leader_epoch, origin, None, now_ms)
    }

    /// Appends one produced record set as leader. `records` is stored as received but for what
    /// the leader assigns, unless the topic's rules change format or codec.
    ///
    /// With a `guard`, a transactional batch that begins a transaction here needs it to be that of
    /// the question which the coordinator has answered (`begin_verification`, KIP-890); `None`
    /// asks for nothing.
    ///
    /// Checks and decompression happen before any lock is taken.
    pub fn append_verified(
        &self,
        records: &[u8],
        leader_epoch: LeaderEpoch,
        origin: AppendOrigin,
        guard: Option<VerificationGuard>,
        now_ms: TimestampMs,
    ) -> Result<AppendInfo, AppendError> {
        let config = self.config();
        let Some(mut checked) = check(records, origin, now_ms, &config)? else {
            return Ok(self.nothing());
        };
        let mut changes = self.changes.lock();
        self.check_appendable(&changes)?;
        let base = self.log_end_offset();
        seal_header(&mut checked, base, leader_epoch);
        let header = BatchHeader::parse(&checked.header).expect("a header that was checked");
        let stored = LogBatch::from(header);
        let log_append_time_ms = match config.message_timestamp_type {
            TimestampType::LogAppendTime => now_ms,
            TimestampType::CreateTime => -1,
        };
        let whole_if_control = stored.is_control().then(|| {
            let mut whole = checked.header.to_vec();
            whole.extend_from_slice(checked.records());
            whole
        });
        let updates = {
            let producers = self.producers.read();
            if origin == AppendOrigin::Client
                && stored.has_producer_id()
                && !planted::is(Planted::ForgetSequences)
                && let Some(known) = producers.duplicate_of(&stored)
            {
                return Ok(self.duplicate(&known));
            }
            check_offsets_left(base, header.last_offset_delta)?;
            let mut updates = ProducerUpdates::default();
            let whole = whole_if_control.as_deref();
            let guard = guard.filter(|_| !planted::is(Planted::BeginUnverified));
            prepare(&producers, &mut updates, &stored, whole, origin, guard)?;
            updates
        };
        let piece = Piece { batches: &[stored], parts: &[&checked.header, checked.records()] };
        let rolled = self.write(&mut changes, &config, &piece, updates, now_ms)?;
        let mut info = self.appended(&mut changes, &config, &[stored], now_ms);
        info.rolled = rolled;
        info.log_append_time_ms = log_append_time_ms;
        info.max_timestamp = checked.max_timestamp;
        Ok(info)
    }

    /// The guard to append a producer's batch with once the transaction coordinator has confirmed
    /// that the partition is in its transaction; `None` if that has begun here, so that nobody need
    /// be asked. `sequence`: of the batch's first record.
    pub fn begin_verification(
        &self,
        producer: (ProducerId, ProducerEpoch),
        sequence: i32,
        now_ms: TimestampMs,
    ) -> Option<VerificationGuard> {
        // Nearly every batch finds its transaction open.
        if self.has_open_transaction(producer.0) {
            return None;
        }
        let fresh = verification::fresh_guard();
        self.producers.write().begin_verification(producer, sequence, fresh, now_ms)
    }

    /// Appends what a leader sent, as received. Batches of an epoch above `leader_epoch`, the one
    /// the fetch was made under, are left out with all that follow (KAFKA-18723).
    pub fn append_as_follower(
        &self,
        records: &[u8],
        leader_epoch: LeaderEpoch,
        now_ms: TimestampMs,
    ) -> Result<AppendInfo, AppendError> {
        let config = self.config();
        let batches = check_replicated(records, leader_epoch)?;
        let mut changes = self.changes.lock();
        self.check_appendable(&changes)?;
        let mut log_end = self.log_end_offset();
        for batch in &batches {
            if batch.base_offset < log_end {
                let (first, last) = (batch.base_offset, batch.last_offset);
                return Err(AppendError::UnexpectedOffset { first, last, log_end });
            }
            log_end = batch.next_offset();
        }
        let mut rolled = false;
        let (mut at, mut from) = (0, 0);
        while from < batches.len() {
            let count = fitting(&batches[from..], &config);
            let group = &batches[from..from + count];
            let bytes: u64 = group.iter().map(|b| b.size).sum();
            let piece_bytes = &records[at..at + bytes as usize];
            let updates = self.replicated_updates(group, piece_bytes)?;
            let piece = Piece { batches: group, parts: &[piece_bytes] };
            rolled |= self.write(&mut changes, &config, &piece, updates, now_ms)?;
            at += bytes as usize;
            from += count;
        }
        let mut info = self.appended(&mut changes, &config, &batches, now_ms);
        info.rolled = rolled;
        Ok(info)
    }

    fn replicated_updates(
        &self,
        batches: &[LogBatch],
        bytes: &[u8],
    ) -> Result<ProducerUpdates, AppendError> {
        let producers = self.producers.read();
        let mut updates = ProducerUpdates::default();
        let mut at = 0;
        for batch in batches {
            let whole = &bytes[at..at + batch.size as usize];
            let origin = AppendOrigin::Replication;
            prepare(&producers, &mut updates, batch, Some(whole), origin, None)?;
            at += batch.size as usize;
        }
        Ok(updates)
    }

    fn check_appendable(&self, changes: &Changes) -> Result<(), AppendError> {
        if changes.failed {
            return Err(AppendError::Failed(self.partition.to_string()));
        }
        Ok(())
    }

    /// What an append without a whole batch comes to.
    fn nothing(&self) -> AppendInfo {
        AppendInfo {
            first_offset: -1,
            last_offset: -1,
            log_append_time_ms: -1,
            max_timestamp: -1,
            log_start_offset: self.log_start_offset(),
            record_count: 0,
            bytes: 0,
            duplicate: false,
            rolled: false,
            flush_due: false,
        }
    }

    fn duplicate(&self, known: &BatchMetadata) -> AppendInfo {
        AppendInfo {
            first_offset: known.first_offset(),
            last_offset: known.last_offset,
            log_append_time_ms: known.timestamp,
            max_timestamp: known.timestamp,
            log_start_offset: self.log_start_offset(),
            record_count: 0,
            bytes: 0,
            duplicate: true,
            rolled: false,
            flush_due: false,
        }
    }

    /// Rolls if it must, writes, indexes, publishes. Any error but a full disk before the first
    /// byte leaves the log unusable.
    fn write(
        &self,
        changes: &mut Changes,
        config: &LogConfig,
        piece: &Piece<'_>,
        updates: ProducerUpdates,
        now_ms: TimestampMs,
    ) -> Result<bool, AppendError> {
        let result = self.try_write(changes, config, piece, updates, now_ms);
        if let Err(e) = &result {
            // A full disk may have left bytes behind the log's end, which must not look like a
            // batch that follows a torn one.
            let undone = e.is_full() && self.retire(changes, &self.active(), true).is_ok();
            changes.failed |= !undone;
        }
        Ok(result?)
    }

    fn try_write(
        &self,
        changes: &mut Changes,
        config: &LogConfig,
        piece: &Piece<'_>,
        updates: ProducerUpdates,
        now_ms: TimestampMs,
    ) -> Result<bool, DiskError> {
        let mut active = self.active();
        // Before this append changes anything, so that an error leaves nothing half done.
        active.offset_index.make_room()?;
        active.time_index.make_room()?;
        self.sync_metadata()?;
        self.note_epochs(changes, piece.batches)?;
        let rolled = self.must_roll(&active, config, piece, now_ms)?;
        if rolled {
            active = self.roll_at(changes, piece.batches[0].base_offset, now_ms)?;
        }
        let position = active.size();
        piece.assert_follows(self.log_end_offset(), active.base_offset, position);
        self.write_end(changes, config, &active, piece.parts, position, now_ms)?;
        self.index(changes, config, &active, piece, position)?;
        let next = piece.batches.last().expect("a piece has a batch").next_offset();
        let aborted = self.producers.write().apply(updates, next);
        // Before anybody can read the marker: who reads committed data must know what it aborted.
        for txn in aborted {
            // The producers are past what is then not there: a full disk is no excuse any more.
            active.txn_index.append(txn).inspect_err(|_| changes.failed = true)?;
        }
        let end = position + piece.batches.iter().map(|b| b.size).sum::<u64>();
        let mut view = self.view.write();
        active.set_size(end);
        view.log_end = next;
        view.remember(Boundary { offset: next, base: active.base_offset, position: end });
        Ok(rolled)
    }

    /// Epochs reach their file before the first batch that carries them is written.
    fn note_epochs(&self, changes: &mut Changes, batches: &[LogBatch]) -> Result<(), DiskError> {
        for batch in batches {
            let latest = self.epochs.read().latest();
            if latest.is_some_and(|l| l.epoch == batch.leader_epoch) && batch.magic >= 2 {
                continue;
            }
            let mut epochs = self.epochs.write();
            changes.epochs_dirty |= match batch.magic {
                2 => epochs.assign(batch.leader_epoch, batch.base_offset),
                // Old formats carry no epoch: truncation falls back to the high watermark.
                _ => epochs.clear(),
            };
        }
        if changes.epochs_dirty {
            self.write_epochs(changes, Durable::Later)?;
        }
        Ok(())
    }

    fn must_roll(
        &self,
        active: &Segment,
        config: &LogConfig,
        piece: &Piece<'_>,
        now_ms: TimestampMs,
    ) -> Result<bool, DiskError> {
        let bytes: u64 = piece.batches.iter().map(|b| b.size).sum();
        let size = active.size();
        let last = piece.batches.last().expect("a piece has a batch").last_offset;
        let index_bytes = config.segment_index_bytes as usize;
        if last - active.base_offset > i64::from(i32::MAX) {
            return Ok(true);
        }
        if size == 0 {
            return Ok(false);
        }
        if size + bytes > config.segment_bytes as u64
            || active.offset_index.is_full(index_bytes)
            || active.time_index.is_full(index_bytes)
        {
            return Ok(true);
        }
        let newest = piece.batches.iter().map(|b| b.max_timestamp).max().unwrap_or(-1);
        let jitter = jitter_ms(&self.partition.topic, active.base_offset, config);
        Ok(active.age_for_roll(now_ms, newest)? > config.segment_ms - jitter)
    }

    fn index(
        &self,
        changes: &mut Changes,
        config: &LogConfig,
        active: &Segment,
        piece: &Piece<'_>,
        mut position: u64,
    ) -> Result<(), DiskError> {
        active.offset_index.activate()?;
        active.time_index.activate()?;
        for batch in piece.batches {
            let interval = config.index_interval_bytes as u64;
            active.index_batch(batch, position, &mut changes.since_index, interval)?;
            position += batch.size;
        }
        Ok(())
    }

    fn appended(
        &self,
        changes: &mut Changes,
        config: &LogConfig,
        batches: &[LogBatch],
        now_ms: TimestampMs,
    ) -> AppendInfo {
        let count = batches.last().map_or(0, |l| l.next_offset() - batches[0].base_offset);
        changes.unflushed += count;
        let silent_ms = now_ms.saturating_sub(changes.last_flush_ms);
        AppendInfo {
            first_offset: batches.first().map_or(-1, |b| b.base_offset),
            last_offset: batches.last().map_or(-1, |b| b.last_offset),
            log_append_time_ms: -1,
            max_timestamp: batches.iter().map(|b| b.max_timestamp).max().unwrap_or(-1),
            log_start_offset: self.log_start_offset(),
            record_count: batches.iter().map(|b| i64::from(b.record_count.max(1))).sum(),
            bytes: batches.iter().map(|b| b.size).sum(),
            duplicate: false,
            rolled: false,
            flush_due: changes.unflushed >= config.flush_messages || silent_ms >= config.flush_ms,
        }
    }
}

/// The offset after a batch's last one must be an offset too: it is the log's end then.
fn check_offsets_left(log_end: Offset, last_offset_delta: i32) -> Result<(), AppendError> {
    let records = i64::from(last_offset_delta) + 1;
    match log_end.checked_add(records) {
        Some(_) => Ok(()),
        None => Err(AppendError::OffsetsExhausted { log_end, records }),
    }
}

/// How many of the leading batches fit into one segment; at least one.
fn fitting(batches: &[LogBatch], config: &LogConfig) -> usize {
    let first = batches[0].base_offset;
    let mut bytes = 0;
    let fits = batches.iter().take_while(|b| {
        bytes += b.size;
        bytes <= config.segment_bytes as u64 && b.last_offset - first <= i64::from(i32::MAX)
    });
    fits.count().max(1)
}

/// The same for the same segment, different between partitions: they do not all roll at once.
fn jitter_ms(topic: &str, base_offset: Offset, config: &LogConfig) -> i64 {
    if config.segment_jitter_ms == 0 {
        return 0;
    }
    let seed = crc32c::crc32c_append(crc32c::crc32c(topic.as_bytes()), &base_offset.to_be_bytes());
    i64::from(seed) % config.segment_jitter_ms.min(config.segment_ms)
}

fn prepare(
    producers: &crate::producers::producer_state::ProducerState,
    updates: &mut ProducerUpdates,
    batch: &LogBatch,
    whole: Option<&[u8]>,
    origin: AppendOrigin,
    guard: Option<VerificationGuard>,
) -> Result<(), AppendError> {
    if !batch.has_producer_id() {
        return Ok(());
    }
    if !batch.is_control() {
        return producers.prepare_data(updates, batch, origin, guard);
    }
    match whole.and_then(parse_end_marker) {
        Some(marker) => producers.prepare_marker(updates, batch, &marker, origin),
        None => Ok(()),
    }
}

/// The batches of a replicated set whose CRCs hold, up to the first of a later epoch.
fn check_replicated(
    records: &[u8],
    leader_epoch: LeaderEpoch,
) -> Result<Vec<LogBatch>, AppendError> {
    let mut batches = Vec::new();
    let mut last_offset = -1;
    for raw in Batches::new(records) {
        let raw = raw.map_err(RecordsError::from)?;
        let batch = LogBatch::parse(raw.bytes).map_err(RecordsError::from)?;
        if batch.leader_epoch > leader_epoch {
            tracing::info!(
                offset = batch.base_offset,
                batch_epoch = batch.leader_epoch,
                leader_epoch,
                "leaving out replicated batches of a later epoch"
            );
            break;
        }
        raw.verify()?;
        let (first, last) = (batch.base_offset, batch.last_offset);
        if last == Offset::MAX {
            return Err(AppendError::OffsetsExhausted { log_end: first, records: 1 });
        }
        if last < first || last <= last_offset {
            return Err(AppendError::UnexpectedOffset { first, last, log_end: last_offset + 1 });
        }
        last_offset = last;
        batches.push(batch);
    }
    Ok(batches)
}
