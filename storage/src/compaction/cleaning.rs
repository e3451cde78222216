//! One log being compacted: first the keys of the dirty part are read into a map, then the segments
//! from the beginning on are written anew, group by group (Kafka's `Cleaner.doClean`). Goes on
//! wherever the last step stopped. Knows one log, no thread, no clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::ids::{Offset, ProducerId, TimestampMs};
use protocol::records::codec::Limits;
use protocol::records::view::RawBatch;

use super::cleaner::CleanerSettings;
use super::filter::{Counts, Filter, Kept, LastRecord, marker_of};
use super::offset_map::OffsetMap;
use super::output::{OutputOptions, Outputs, remove_files};
use super::range::{Cleanable, groups, modified_ms, span};
use super::reader::BatchReader;
use super::transactions::CleanedTransactions;
use crate::config::LogConfig;
use crate::error::{At, DiskError, ReadError, StorageError};
use crate::index::transaction::AbortedTxn;
use crate::log::Log;
use crate::segment::Segment;
use crate::segment::batch::{LogBatch, Torn};

/// Why a compaction ended early.
#[derive(Debug)]
pub(super) enum Stop {
    /// The log changed meanwhile; the next compaction sees what became of it.
    Aborted,
    Failed(StorageError),
}

impl<E: Into<StorageError>> From<E> for Stop {
    fn from(error: E) -> Stop {
        Stop::Failed(error.into())
    }
}

/// What a compaction did; times are the caller's business.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CleaningStats {
    pub records_read: u64,
    pub records_kept: u64,
    pub records_invalid: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
    pub map_bytes_read: u64,
    /// Part of the key buffer that was used, 0 to 1.
    pub buffer_utilization: f64,
}

#[derive(Debug)]
enum Phase {
    /// Reading keys: which dirty segment, and where in it.
    Map { segment: usize, position: u64 },
    /// Writing: which group, which segment of it, and where in that.
    Write { group: usize, segment: usize, position: u64 },
}

#[derive(Debug)]
pub(super) struct Cleaning {
    pub log: Arc<Log>,
    config: Arc<LogConfig>,
    cleanable: Cleanable,
    io_bytes: usize,
    segment_bytes_max: u64,
    /// When the compaction began: what counts for tombstones.
    now_ms: TimestampMs,
    /// Tombstones of old formats in segments not changed since may go.
    legacy_horizon_ms: TimestampMs,
    all: Vec<Arc<Segment>>,
    dirty: Vec<Arc<Segment>>,
    groups: Vec<Vec<Arc<Segment>>>,
    map: OffsetMap,
    transactions: CleanedTransactions,
    reader: BatchReader,
    output: Option<Outputs>,
    last_records: BTreeMap<ProducerId, LastRecord>,
    phase: Phase,
    pub stats: CleaningStats,
}

impl Cleaning {
    pub fn begin(
        log: Arc<Log>,
        cleanable: Cleanable,
        settings: &CleanerSettings,
        now_ms: TimestampMs,
    ) -> Result<Cleaning, StorageError> {
        let config = log.config();
        let all = log.segments().to_vec();
        let clean = span(&all, -1, cleanable.first_dirty);
        let legacy_horizon_ms = match clean.last() {
            Some(last) => modified_ms(&log, last)? - config.delete_retention_ms,
            None => 0,
        };
        let dirty = span(&all, cleanable.first_dirty, cleanable.first_uncleanable).to_vec();
        let offsets = (cleanable.first_uncleanable - cleanable.first_dirty).max(0) as u64;
        let map = OffsetMap::new(settings.dedupe_bytes_per_thread(), settings.load_factor, offsets);
        let mut transactions = CleanedTransactions::default();
        let (from, to) = (cleanable.first_dirty, cleanable.first_uncleanable);
        transactions.expect(&aborted(&all, from, to));
        let position = match dirty.first() {
            Some(segment) => start_position(segment, cleanable.first_dirty)?,
            None => 0,
        };
        let io_bytes = settings.io_bytes_per_thread();
        Ok(Cleaning {
            log,
            config,
            cleanable,
            io_bytes,
            segment_bytes_max: settings.segment_bytes_max,
            now_ms,
            legacy_horizon_ms,
            all,
            dirty,
            groups: Vec::new(),
            map,
            transactions,
            reader: BatchReader::new(io_bytes),
            output: None,
            last_records: BTreeMap::new(),
            phase: Phase::Map { segment: 0, position },
            stats: CleaningStats::default(),
        })
    }

    /// Works until about `budget_bytes` were moved; `Some` with the new first dirty offset once
    /// all is done. The bytes moved are added to `moved`.
    pub fn step(&mut self, budget_bytes: u64, moved: &mut u64) -> Result<Option<Offset>, Stop> {
        let until = *moved + budget_bytes.max(1);
        while *moved < until {
            match self.phase {
                Phase::Map { segment, position } => self.map_some(segment, position, moved)?,
                Phase::Write { group, .. } if group >= self.groups.len() => {
                    self.stats.buffer_utilization = self.map.utilization();
                    return Ok(Some(self.map.latest_offset() + 1));
                }
                Phase::Write { group, segment, position } => {
                    self.write_some(group, segment, position, moved)?;
                }
            }
        }
        Ok(None)
    }

    /// Removes what was written: the compaction is given up.
    pub fn discard(&mut self) -> Result<(), DiskError> {
        self.output.take().map_or(Ok(()), Outputs::discard)
    }

    fn map_some(&mut self, at: usize, position: u64, moved: &mut u64) -> Result<(), Stop> {
        let Some(segment) = self.dirty.get(at).cloned() else {
            self.plan_groups();
            return Ok(());
        };
        let file = segment.file()?;
        let mut position = position;
        let chunk_end = position + self.io_bytes as u64;
        let full = loop {
            if position >= chunk_end {
                break false;
            }
            let found = self.reader.batch_at(&*file, position, segment.size());
            let Some(found) = found.at("read", &segment.log.path())? else { break false };
            let (batch, whole) = found.map_err(|torn| unreadable(&segment, position, &torn))?;
            let full = map_batch(
                &mut self.map,
                &mut self.transactions,
                (&batch, whole),
                self.cleanable.first_dirty,
            )
            .map_err(|reason| unreadable(&segment, position, &Torn::Header(reason)))?;
            if full {
                break true;
            }
            position += batch.size;
            self.stats.map_bytes_read += batch.size;
            *moved += batch.size;
        };
        if full {
            self.plan_groups();
        } else if position < segment.size() {
            self.phase = Phase::Map { segment: at, position };
        } else {
            // What is missing between two segments was compacted away.
            let next = self.dirty.get(at + 1).map(|next| next.base_offset);
            self.map.pass_to(next.unwrap_or(self.cleanable.first_uncleanable) - 1);
            self.reader.forget();
            self.phase = Phase::Map { segment: at + 1, position: 0 };
        }
        Ok(())
    }

    fn plan_groups(&mut self) {
        let end = self.map.latest_offset() + 1;
        self.groups = groups(
            span(&self.all, 0, end),
            self.config.segment_bytes as u64,
            self.config.segment_index_bytes as u64,
            self.cleanable.first_uncleanable,
        );
        self.transactions = CleanedTransactions::default();
        self.reader.forget();
        self.phase = Phase::Write { group: 0, segment: 0, position: 0 };
    }

    fn write_some(
        &mut self,
        group: usize,
        at: usize,
        position: u64,
        moved: &mut u64,
    ) -> Result<(), Stop> {
        let Some(segment) = self.groups[group].get(at).cloned() else {
            self.finish_group(group, moved)?;
            self.phase = Phase::Write { group: group + 1, segment: 0, position: 0 };
            return Ok(());
        };
        if at == 0 && position == 0 {
            self.begin_group(group)?;
        }
        if position == 0 {
            let next = self.groups[group].get(at + 1).map(|next| next.base_offset);
            let upper = match next {
                Some(next) => next,
                None => segment.next_offset().map_err(crate::recovery::unreadable)?,
            };
            self.transactions.expect(&aborted(&self.all, segment.base_offset, upper));
        }
        let position = self.filter_some(&segment, position, moved)?;
        self.phase = if position < segment.size() {
            Phase::Write { group, segment: at, position }
        } else {
            self.reader.forget();
            Phase::Write { group, segment: at + 1, position: 0 }
        };
        Ok(())
    }

    fn begin_group(&mut self, group: usize) -> Result<(), Stop> {
        let base = self.groups[group][0].base_offset;
        let last = self.groups[group].last().expect("a group has a segment");
        let options = OutputOptions {
            dir: self.log.dir.clone(),
            interval: self.config.index_interval_bytes as u64,
            pending_max: self.io_bytes,
            bytes_max: self.segment_bytes_max,
            modified_ms: modified_ms(&self.log, last)?,
            now_ms: self.now_ms,
        };
        self.output = Some(Outputs::create(options, base)?);
        let producers = self.log.producers();
        self.last_records = producers
            .into_iter()
            .map(|(id, entry)| {
                let last = entry.last_offset();
                let data_offset = (last >= 0).then_some(last);
                (id, LastRecord { data_offset, epoch: entry.producer_epoch })
            })
            .collect();
        Ok(())
    }

    /// Copies what stays of some batches; returns the position behind them.
    fn filter_some(
        &mut self,
        segment: &Arc<Segment>,
        from: u64,
        moved: &mut u64,
    ) -> Result<u64, Stop> {
        let file = segment.file()?;
        let path = segment.log.path();
        let filter = Filter {
            map: &self.map,
            now_ms: self.now_ms,
            delete_retention_ms: self.config.delete_retention_ms,
            keep_legacy_tombstones: modified_ms(&self.log, segment)? > self.legacy_horizon_ms,
            last_records: &self.last_records,
            round_end: self.cleanable.first_uncleanable,
        };
        let output = self.output.as_mut().expect("a group's output is made first");
        let mut counts = Counts::default();
        let mut position = from;
        while position < from + self.io_bytes as u64 {
            let found = self.reader.batch_at(&*file, position, segment.size());
            let Some(found) = found.at("read", &path)? else { break };
            let (batch, whole) = found.map_err(|torn| unreadable(segment, position, &torn))?;
            let (kept, entry) = filter
                .apply(&batch, whole, &mut self.transactions, &mut counts)
                .map_err(|e| unreadable(segment, position, &Torn::Header(e.to_string())))?;
            let written = match &kept {
                Kept::Nothing => 0,
                Kept::Original => output.push(&batch, whole)?,
                Kept::Rewritten(bytes) => {
                    let batch = LogBatch::parse(bytes).expect("a batch that was just built");
                    output.push(&batch, bytes)?
                }
            };
            if let Some(entry) = entry {
                output.push_aborted(entry)?;
            }
            output.pass_to(batch.next_offset());
            position += batch.size;
            self.stats.bytes_read += batch.size;
            self.stats.bytes_written += written;
            *moved += batch.size + written;
        }
        self.stats.records_read += counts.read;
        self.stats.records_kept += counts.kept;
        self.stats.records_invalid += counts.invalid;
        Ok(position)
    }

    fn finish_group(&mut self, group: usize, moved: &mut u64) -> Result<(), Stop> {
        let Some(output) = self.output.take() else { return Ok(()) };
        let old = &self.groups[group];
        let (cleaned, written) = output.finish()?;
        self.stats.bytes_written += written;
        *moved += written;
        if !self.log.replace_segments(&cleaned, old, self.now_ms)? {
            cleaned.iter().try_for_each(|segment| remove_files(segment))?;
            return Err(Stop::Aborted);
        }
        // Later groups look for aborted transactions in what the log holds now.
        self.all = self.log.segments().to_vec();
        Ok(())
    }
}

/// Takes a dirty batch into the map; `true` if the map is full.
fn map_batch(
    map: &mut OffsetMap,
    transactions: &mut CleanedTransactions,
    (batch, whole): (&LogBatch, &[u8]),
    first_dirty: Offset,
) -> Result<bool, String> {
    let skipped = if batch.is_control() {
        transactions.on_control(batch, marker_of(batch, whole));
        true
    } else {
        transactions.on_data(batch)
    };
    if !skipped {
        let raw = RawBatch { magic: batch.magic, bytes: whole };
        let open = raw.open(&Limits::default()).map_err(|e| e.to_string())?;
        for record in open.records().map_err(|e| e.to_string())? {
            let record = record.map_err(|e| e.to_string())?;
            let Some(key) = record.key.filter(|_| record.offset >= first_dirty) else { continue };
            if !map.insert(key, record.offset) {
                return Ok(true);
            }
        }
    }
    if batch.last_offset >= first_dirty {
        map.pass_to(batch.last_offset);
    }
    Ok(false)
}

/// Aborted transactions that touch `from..upper`.
fn aborted(segments: &[Arc<Segment>], from: Offset, upper: Offset) -> Vec<AbortedTxn> {
    let first = segments.partition_point(|s| s.base_offset <= from).saturating_sub(1);
    let mut found = Vec::new();
    for segment in segments.get(first..).unwrap_or(&[]) {
        if segment.txn_index.collect(from, upper, &mut found) {
            break;
        }
    }
    found
}

fn start_position(segment: &Segment, offset: Offset) -> Result<u64, DiskError> {
    let entry = segment.offset_index.lookup(offset)?;
    let file = segment.file()?;
    segment.trusted_position(&*file, entry, segment.size())
}

fn unreadable(segment: &Segment, position: u64, torn: &Torn) -> Stop {
    match segment.corrupt(position, torn) {
        ReadError::Corrupt { path, reason } => Stop::Failed(StorageError::Corrupt { path, reason }),
        _ => unreachable!("a corrupt batch is told as one"),
    }
}
