//! What compaction keeps of one batch: all, some records, the bare header, nothing (Kafka's
//! `Cleaner.cleanInto` and `MemoryRecords.filterTo`). Knows no files.

use std::collections::BTreeMap;

use protocol::ids::{Offset, ProducerEpoch, ProducerId, TimestampMs};
use protocol::records::batch::BatchHeader;
use protocol::records::builder::{BatchBuilder, BatchOptions, BuildError};
use protocol::records::codec::{Codec, Limits};
use protocol::records::view::{OpenBatch, RawBatch, RecordsError};

use super::offset_map::OffsetMap;
use super::transactions::{CleanedTransactions, Marker};
use crate::index::transaction::AbortedTxn;
use crate::segment::batch::{LogBatch, parse_end_marker};

/// Of an active producer: the offset of its last data batch, and its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LastRecord {
    pub data_offset: Option<Offset>,
    pub epoch: ProducerEpoch,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Filter<'a> {
    pub map: &'a OffsetMap,
    pub now_ms: TimestampMs,
    pub delete_retention_ms: i64,
    /// Tombstones of magic 0 and 1 in this segment stay.
    pub keep_legacy_tombstones: bool,
    pub last_records: &'a BTreeMap<ProducerId, LastRecord>,
    /// Where this compaction ends at most: the last batch below stays, even if it loses all its
    /// records, so that a replica made from the compacted log ends where its leader does
    /// (KAFKA-17076).
    pub round_end: Offset,
}

/// What stays of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Nothing,
    Original,
    Rewritten(Vec<u8>),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub read: u64,
    pub kept: u64,
    /// Records without a key: they should not be there.
    pub invalid: u64,
}

/// A batch that cannot be read, or not written again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FilterError {
    #[error(transparent)]
    Records(#[from] RecordsError),
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// How the records of a batch are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judge {
    /// None stays.
    Discard,
    /// All stay: the batch is a marker.
    Keep,
    ByKey,
}

/// The marker of a control batch.
pub(super) fn marker_of(batch: &LogBatch, whole: &[u8]) -> Marker {
    match parse_end_marker(whole) {
        Some(marker) if marker.commit => Marker::Commit,
        Some(_) => Marker::Abort,
        None if batch.record_count == 0 => Marker::Empty,
        None => Marker::Other,
    }
}

impl Filter<'_> {
    /// Judges one batch. The entry is what the new segment's transaction index gets.
    pub fn apply(
        &self,
        batch: &LogBatch,
        whole: &[u8],
        transactions: &mut CleanedTransactions,
        counts: &mut Counts,
    ) -> Result<(Kept, Option<AbortedTxn>), FilterError> {
        if batch.magic < 2 {
            return Ok((self.legacy(batch, whole, counts)?, None));
        }
        let header = BatchHeader::parse(whole).map_err(RecordsError::from)?;
        let (ended, entry, discard) = if batch.is_control() {
            let (ended, entry) = transactions.on_control(batch, marker_of(batch, whole));
            let horizon = header.delete_horizon_ms();
            (ended, entry, ended && horizon.is_some_and(|horizon| horizon <= self.now_ms))
        } else {
            (false, None, transactions.on_data(batch))
        };
        let stays = (batch.has_producer_id() && self.is_last_of_producer(batch))
            || batch.next_offset() == self.round_end;
        if discard && !stays {
            return Ok((Kept::Nothing, entry));
        }
        let judge = match (discard, batch.is_control()) {
            (true, _) => Judge::Discard,
            (false, true) => Judge::Keep,
            (false, false) => Judge::ByKey,
        };
        let kept = self.v2(&header, whole, (judge, ended, stays), counts)?;
        Ok((kept, entry))
    }

    /// The state of an active producer is in its last data batch; of one that has none, in its
    /// marker, which holds the epoch.
    fn is_last_of_producer(&self, batch: &LogBatch) -> bool {
        self.last_records.get(&batch.producer_id).is_some_and(|last| match last.data_offset {
            Some(offset) => batch.last_offset == offset,
            None => batch.is_control() && batch.producer_epoch == last.epoch,
        })
    }

    fn v2(
        &self,
        header: &BatchHeader,
        whole: &[u8],
        (judge, ended, stays_empty): (Judge, bool, bool),
        counts: &mut Counts,
    ) -> Result<Kept, FilterError> {
        let open = OpenBatch::open_v2(whole, &Limits::default())?;
        let horizon = header.delete_horizon_ms();
        let mut stays: Vec<bool> = Vec::new();
        let mut tombstones = false;
        for record in open.records()? {
            let record = record?;
            counts.read += 1;
            let deletable = horizon.is_some_and(|horizon| self.now_ms >= horizon);
            let keep = match judge {
                Judge::Discard => false,
                Judge::Keep => true,
                Judge::ByKey => self.keeps(
                    record.key,
                    record.offset,
                    record.value.is_some() || !deletable,
                    counts,
                ),
            };
            tombstones |= keep && record.value.is_none();
            stays.push(keep);
        }
        let kept = stays.iter().filter(|stays| **stays).count();
        counts.kept += kept as u64;
        if kept == 0 {
            return Ok(match stays_empty {
                true => Kept::Rewritten(emptied(header)?),
                false => Kept::Nothing,
            });
        }
        let sets_horizon = (tombstones || ended) && horizon.is_none();
        if kept == stays.len() && !sets_horizon {
            return Ok(Kept::Original);
        }
        let delete_horizon_ms = match sets_horizon {
            true => Some(self.now_ms.saturating_add(self.delete_retention_ms)),
            false => horizon,
        };
        let options = BatchOptions {
            codec: header.codec_kind().map_err(RecordsError::from)?,
            delete_horizon_ms,
            ..options_of(header)
        };
        let mut builder = BatchBuilder::new(options);
        for (record, stays) in open.records()?.zip(stays) {
            let record = record?;
            if stays {
                builder.append_record(record.offset, &record)?;
            }
        }
        builder.keep_last_offset(header.last_offset());
        Ok(Kept::Rewritten(builder.finish()?))
    }

    /// Messages of the old formats stay or go with their wrapper.
    fn legacy(
        &self,
        batch: &LogBatch,
        whole: &[u8],
        counts: &mut Counts,
    ) -> Result<Kept, FilterError> {
        let open = RawBatch { magic: batch.magic, bytes: whole }.open(&Limits::default())?;
        let (mut read, mut kept) = (0, false);
        for record in open.records()? {
            let record = record?;
            read += 1;
            let has_value = record.value.is_some() || self.keep_legacy_tombstones;
            kept |= self.keeps(record.key, record.offset, has_value, counts);
        }
        counts.read += read;
        // The old formats have no batch without records; Apache's cleaner gives up here.
        kept |= batch.next_offset() == self.round_end;
        counts.kept += if kept { read } else { 0 };
        Ok(if kept { Kept::Original } else { Kept::Nothing })
    }

    /// `retained` says whether the record would stay as the last one of its key.
    fn keeps(
        &self,
        key: Option<&[u8]>,
        offset: Offset,
        retained: bool,
        counts: &mut Counts,
    ) -> bool {
        if offset > self.map.latest_offset() {
            return true;
        }
        let Some(key) = key else {
            counts.invalid += 1;
            return false;
        };
        let is_last = self.map.get(key).is_none_or(|last| offset >= last);
        is_last && retained
    }
}

fn options_of(header: &BatchHeader) -> BatchOptions {
    BatchOptions {
        base_offset: header.base_offset,
        leader_epoch: header.leader_epoch,
        codec: Codec::None,
        level: None,
        append_time_ms: header.is_log_append_time().then_some(header.max_timestamp),
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        transactional: header.is_transactional(),
        control: header.is_control(),
        delete_horizon_ms: None,
    }
}

/// The header alone: what its producer's next sequence follows on.
fn emptied(header: &BatchHeader) -> Result<Vec<u8>, BuildError> {
    let mut builder = BatchBuilder::new(options_of(header));
    builder.keep_last_offset(header.last_offset());
    builder.keep_max_timestamp(header.max_timestamp);
    builder.finish()
}
