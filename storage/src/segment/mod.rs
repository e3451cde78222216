//! One segment: a `.log` file and its three indexes. Knows positions and bytes; which segment is
//! active, and who may see how much, is `log/state.rs`'s business.

pub mod batch;
pub mod mapped;
pub mod partition_dir;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use protocol::ids::{Offset, TimestampMs};

use crate::disk::{Disk, DiskFile};
use crate::error::{At, DiskError, ReadError, StorageError};
use crate::index::offset::OffsetIndex;
use crate::index::time::TimeIndex;
use crate::index::transaction::TransactionIndex;
use crate::segment::batch::{LogBatch, Scan, Torn};
use crate::segment::mapped::Growth;
use crate::segment::partition_dir::{LazyFile, PartitionDir, segment_file_name};

pub(crate) const LOG_SUFFIX: &str = ".log";
pub(crate) const OFFSET_INDEX_SUFFIX: &str = ".index";
pub(crate) const TIME_INDEX_SUFFIX: &str = ".timeindex";
pub(crate) const TXN_INDEX_SUFFIX: &str = ".txnindex";
/// A removed file waits under this suffix for its deletion.
pub(crate) const DELETED_SUFFIX: &str = ".deleted";

/// `segment.index.bytes` goes no further.
const INDEX_BYTES_MAX: u64 = i32::MAX as u64;

/// Bytes at a segment's end whose CRCs are checked, as far as they follow the last index entry,
/// before anything is appended behind them after a clean stop; more than what follows an index
/// entry, except where a follower wrote a lot at once.
const VERIFIED_BYTES: u64 = 64 * 1024;

/// The largest timestamp of a segment, and the last offset of the batch that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MaxTimestamp {
    pub timestamp: TimestampMs,
    pub offset: Offset,
}

#[derive(Debug)]
pub(crate) struct Segment {
    pub base_offset: Offset,
    pub log: Arc<LazyFile>,
    pub offset_index: OffsetIndex,
    pub time_index: TimeIndex,
    pub txn_index: TransactionIndex,
    pub growth: Growth,
    /// Logical length; the file may be longer while the segment is active.
    size: AtomicU64,
    /// When the segment began, for rolling by time where records have no timestamps.
    created_ms: TimestampMs,
    times: Mutex<Times>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Times {
    /// Of the first batch; `None` until it is known.
    first: Option<TimestampMs>,
    max: Option<MaxTimestamp>,
    /// Every batch was looked at for it: the index is not believed alone.
    is_read: bool,
}

impl Segment {
    /// A new segment; no file exists yet.
    pub fn new(dir: &Arc<PartitionDir>, base_offset: Offset, now_ms: TimestampMs) -> Segment {
        Segment::with_suffix(dir, base_offset, "", now_ms)
    }

    /// The same with `suffix` behind every file's name.
    pub fn with_suffix(
        dir: &Arc<PartitionDir>,
        base_offset: Offset,
        suffix: &str,
        now_ms: TimestampMs,
    ) -> Segment {
        let file = |kind| dir.file(segment_file_name(base_offset, kind) + suffix);
        Segment {
            base_offset,
            log: file(LOG_SUFFIX),
            offset_index: OffsetIndex::new(base_offset, file(OFFSET_INDEX_SUFFIX), None),
            time_index: TimeIndex::new(base_offset, file(TIME_INDEX_SUFFIX), None),
            txn_index: TransactionIndex::empty(file(TXN_INDEX_SUFFIX)),
            growth: Growth::default(),
            size: AtomicU64::new(0),
            created_ms: now_ms,
            times: Mutex::new(Times { is_read: true, ..Times::default() }),
        }
    }

    /// An existing segment. Lengths are of its files; `None` for one that is not there.
    pub fn existing(
        dir: &Arc<PartitionDir>,
        base_offset: Offset,
        lengths: &FileLengths,
        now_ms: TimestampMs,
    ) -> Result<Segment, StorageError> {
        let file = |suffix| dir.file(segment_file_name(base_offset, suffix));
        let txn_file = file(TXN_INDEX_SUFFIX);
        let txn_index = match lengths.txn_index {
            Some(_) => TransactionIndex::load(txn_file, base_offset)?,
            None => TransactionIndex::empty(txn_file),
        };
        Ok(Segment {
            offset_index: OffsetIndex::new(
                base_offset,
                file(OFFSET_INDEX_SUFFIX),
                lengths.offset_index,
            ),
            time_index: TimeIndex::new(base_offset, file(TIME_INDEX_SUFFIX), lengths.time_index),
            txn_index,
            size: AtomicU64::new(lengths.log),
            times: Mutex::default(),
            ..Segment::new(dir, base_offset, now_ms)
        })
    }

    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Publishes bytes that are written.
    pub fn set_size(&self, size: u64) {
        self.size.store(size, Ordering::Release);
    }

    pub fn file(&self) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.log.get()
    }

    /// The first batch whose last offset is at or behind `offset`, from the index entry before it.
    /// `end` bounds the bytes that may be looked at.
    pub fn find(&self, offset: Offset, end: u64) -> Result<Option<(LogBatch, u64)>, ReadError> {
        let entry = self.offset_index.lookup(offset)?;
        let file = self.file()?;
        let mut scan = Scan::near(&*file, self.trusted_position(&*file, entry, end)?, end);
        while let Some(found) = scan.next_batch().at_path("read", || self.log.path())? {
            match found {
                Ok((batch, at)) if batch.last_offset >= offset => return Ok(Some((batch, at))),
                Ok(_) => {}
                Err(torn) => return Err(self.corrupt(scan.position(), &torn)),
            }
        }
        Ok(None)
    }

    /// Where an index entry leads, if a batch with its offset is there; else the segment's start.
    /// A damaged index makes a search slow, never wrong.
    pub fn trusted_position(
        &self,
        file: &dyn DiskFile,
        (offset, position): (Offset, u64),
        end: u64,
    ) -> Result<u64, DiskError> {
        if position == 0 || position >= end {
            return Ok(0);
        }
        match Scan::near(file, position, end).next_batch().at_path("read", || self.log.path())? {
            Some(Ok((batch, _))) if batch.last_offset == offset => Ok(position),
            _ => {
                tracing::warn!(path = %self.log.path().display(), offset, position,
                    "an offset index entry does not fit the log");
                Ok(0)
            }
        }
    }

    pub fn corrupt(&self, position: u64, torn: &Torn) -> ReadError {
        ReadError::Corrupt { path: self.log.path(), reason: format!("at byte {position}: {torn}") }
    }

    /// The offset after the last batch: found from the last index entry.
    pub fn next_offset(&self) -> Result<Offset, ReadError> {
        if self.size() == 0 {
            return Ok(self.base_offset);
        }
        let file = self.file()?;
        let last = self.offset_index.last_place()?.unwrap_or((self.base_offset, 0));
        let from = self.trusted_position(&*file, last, self.size())?;
        let mut scan = Scan::near(&*file, from, self.size());
        let mut next = self.base_offset;
        while let Some(found) = scan.next_batch().at_path("read", || self.log.path())? {
            match found {
                Ok((batch, _)) => next = batch.next_offset(),
                // A torn tail is recovery's to judge; what is before it counts.
                Err(_) => break,
            }
        }
        Ok(next)
    }

    /// Whether the segment may be used as it is after a clean stop: its indexes can be right, and
    /// if it is the one to be appended to, its end can be read back, as a later recovery must.
    pub fn is_sound(&self, lengths: &FileLengths, is_last: bool) -> Result<bool, DiskError> {
        Ok(self.indexes_plausible(lengths)? && (!is_last || self.verified_end()?.is_some()))
    }

    /// Lengths that can be, and a last entry that lies inside the log.
    fn indexes_plausible(&self, lengths: &FileLengths) -> Result<bool, DiskError> {
        let Some(offset_bytes) = lengths.offset_index else { return Ok(false) };
        let time_bytes = lengths.time_index.unwrap_or(0);
        if !offset_bytes.is_multiple_of(8) || !time_bytes.is_multiple_of(12) {
            return Ok(false);
        }
        // Kafka's are no longer; nor could memory take one that is.
        if offset_bytes.max(time_bytes) > INDEX_BYTES_MAX {
            return Ok(false);
        }
        let last = self.offset_index.last_place()?;
        Ok(last.is_none_or(|(offset, position)| {
            offset >= self.base_offset && position < lengths.log.max(1)
        }))
    }

    /// The offset after the last batch, if everything from the last index entry on is whole batches
    /// with rising offsets, and the CRCs hold of the last one and of those in the last
    /// [`VERIFIED_BYTES`]. `None` if not, or if no batch is where the entry says.
    pub fn verified_end(&self) -> Result<Option<Offset>, DiskError> {
        let end = self.size();
        let mut next = self.base_offset;
        if end == 0 {
            return Ok(Some(next));
        }
        let entry = self.offset_index.last_place()?;
        let (entry_offset, from) = entry.unwrap_or((next, 0));
        if entry.is_some() && (from == 0 || from >= end) {
            return Ok(None);
        }
        let path = self.log.path();
        let file = self.file()?;
        let mut scan = Scan::near(&*file, from, end);
        while let Some(found) = scan.next_batch().at("read", &path)? {
            let Ok((batch, at)) = found else { return Ok(None) };
            let first = if batch.magic >= 2 { batch.base_offset } else { batch.last_offset };
            let fits = at != from || entry.is_none() || batch.last_offset == entry_offset;
            let rises = first >= next && batch.last_offset >= first;
            if !fits || !rises || batch.last_offset == Offset::MAX {
                return Ok(None);
            }
            let behind = at + batch.size;
            if behind + VERIFIED_BYTES > end && !scan.verify(&batch, at).at("read", &path)? {
                return Ok(None);
            }
            next = batch.next_offset();
        }
        Ok(Some(next))
    }

    /// Timestamp of the first batch, for rolling by time; `None` while the segment is empty.
    pub fn first_timestamp(&self) -> Result<Option<TimestampMs>, DiskError> {
        if let Some(first) = self.times.lock().first {
            return Ok(Some(first));
        }
        if self.size() == 0 {
            return Ok(None);
        }
        let file = self.file()?;
        let found = Scan::near(&*file, 0, self.size()).next_batch().at("read", &self.log.path())?;
        let Some(Ok((batch, _))) = found else { return Ok(None) };
        self.times.lock().first = Some(batch.max_timestamp);
        Ok(Some(batch.max_timestamp))
    }

    /// How long the segment has been growing as of a batch of `timestamp`.
    pub fn age_for_roll(&self, now_ms: i64, timestamp: TimestampMs) -> Result<i64, DiskError> {
        Ok(match self.first_timestamp()? {
            Some(first) if first >= 0 => timestamp.saturating_sub(first),
            _ => now_ms.saturating_sub(self.created_ms),
        })
    }

    /// Largest timestamp so far; from the time index's last entry if nothing else is known.
    pub fn max_timestamp(&self) -> Result<MaxTimestamp, DiskError> {
        if let Some(max) = self.times.lock().max {
            return Ok(max);
        }
        let last = self.time_index.last_time()?;
        let (timestamp, offset) = last.unwrap_or((-1, self.base_offset));
        let max = MaxTimestamp { timestamp, offset };
        self.times.lock().max = Some(max);
        Ok(max)
    }

    /// Finds the largest timestamp: the time index's last entry, or a later batch's.
    pub fn load_max_timestamp(&self) -> Result<(), ReadError> {
        if self.is_time_read() {
            return Ok(());
        }
        let last = self.time_index.last_time()?;
        let (timestamp, offset) = last.unwrap_or((-1, self.base_offset));
        let mut max = MaxTimestamp { timestamp, offset };
        let entry = self.offset_index.lookup(offset)?;
        if self.size() > 0 {
            let file = self.file()?;
            let position = self.trusted_position(&*file, entry, self.size())?;
            let mut scan = Scan::new(&*file, position, self.size());
            while let Some(Ok((batch, _))) = scan.next_batch().at("read", &self.log.path())? {
                if batch.max_timestamp > max.timestamp {
                    max =
                        MaxTimestamp { timestamp: batch.max_timestamp, offset: batch.last_offset };
                }
            }
        }
        self.times.lock().max = Some(max);
        Ok(())
    }

    /// Whether `max_timestamp` is what the batches say.
    pub fn is_time_read(&self) -> bool {
        self.times.lock().is_read
    }

    /// Looks at every batch for the largest timestamp, once; how long the rest is kept that cannot
    /// be read, the file's own time says. Appends may go on: then it is done another time.
    pub fn read_max_timestamp(&self, disk: &dyn Disk) -> Result<(), DiskError> {
        if self.is_time_read() {
            return Ok(());
        }
        let indexed = self.max_timestamp()?;
        let (size, path) = (self.size(), self.log.path());
        let file = self.file()?;
        let mut scan = Scan::near(&*file, 0, size);
        let mut max = indexed;
        while let Some(found) = scan.next_batch().at("read", &path)? {
            let (timestamp, offset) = match &found {
                Ok((batch, _)) => (batch.max_timestamp, batch.last_offset),
                Err(_) => {
                    let stat = disk.stat(&path).at("stat", &path)?;
                    (stat.map_or(TimestampMs::MAX, |stat| stat.modified_ms), max.offset)
                }
            };
            if timestamp > max.timestamp {
                max = MaxTimestamp { timestamp, offset };
            }
            if found.is_err() {
                break;
            }
        }
        if max != indexed {
            tracing::warn!(path = %path.display(), indexed = indexed.timestamp,
                found = max.timestamp, "a time index does not fit the log");
        }
        let mut times = self.times.lock();
        if self.size() == size {
            times.is_read = true;
            times.max = times.max.filter(|known| known.timestamp >= max.timestamp).or(Some(max));
        }
        Ok(())
    }

    /// Takes a batch that was appended into account.
    pub fn note_batch(&self, batch: &LogBatch) -> Result<MaxTimestamp, DiskError> {
        let known = self.max_timestamp()?;
        let mut times = self.times.lock();
        if times.first.is_none() && self.size() == 0 {
            times.first = Some(batch.max_timestamp);
        }
        if batch.max_timestamp > known.timestamp {
            let max = MaxTimestamp { timestamp: batch.max_timestamp, offset: batch.last_offset };
            times.max = Some(max);
            return Ok(max);
        }
        Ok(known)
    }

    /// Enters a batch at `position`, by Kafka's rule: an entry if more than `interval` bytes came
    /// since the last one, which `since_index` counts.
    pub fn index_batch(
        &self,
        batch: &LogBatch,
        position: u64,
        since_index: &mut u64,
        interval: u64,
    ) -> Result<(), DiskError> {
        let max = self.note_batch(batch)?;
        if *since_index > interval {
            self.offset_index.append(batch.last_offset, position);
            self.time_index.maybe_append(max.timestamp, max.offset)?;
            *since_index = 0;
        }
        *since_index += batch.size;
        Ok(())
    }

    /// Renames the files that exist, the log first, to their plain names with `suffix` behind.
    pub fn rename_files(&self, suffix: &str) -> Result<(), DiskError> {
        let kinds = [LOG_SUFFIX, OFFSET_INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX];
        for (file, kind) in self.files().iter().zip(kinds) {
            file.rename(segment_file_name(self.base_offset, kind) + suffix)?;
        }
        Ok(())
    }

    /// Enters the largest timestamp as the closing entry, cuts the indexes to their entries.
    pub fn close_indexes(&self) -> Result<(), DiskError> {
        let max = self.max_timestamp()?;
        if self.size() > 0 {
            self.time_index.activate()?;
            self.time_index.maybe_append(max.timestamp, max.offset)?;
        }
        self.offset_index.seal()?;
        self.time_index.seal()
    }

    /// Whether the indexes are in memory, to be appended to.
    pub fn indexes_active(&self) -> bool {
        self.offset_index.is_active() || self.time_index.is_active()
    }

    /// Makes log and indexes durable.
    pub fn sync(&self) -> Result<(), DiskError> {
        self.file()?.sync().at("sync", &self.log.path())?;
        self.offset_index.sync()?;
        self.time_index.sync()?;
        self.txn_index.sync()
    }

    /// The files that exist of this segment.
    pub fn files(&self) -> Vec<Arc<LazyFile>> {
        let mut files =
            vec![self.log.clone(), self.offset_index.file.clone(), self.time_index.file.clone()];
        if !self.txn_index.is_empty() {
            files.push(self.txn_index.file.clone());
        }
        files
    }

    pub fn index_files(&self) -> [&Arc<LazyFile>; 3] {
        [&self.offset_index.file, &self.time_index.file, &self.txn_index.file]
    }

    /// The log and its indexes, there or not.
    pub fn all_files(&self) -> [&Arc<LazyFile>; 4] {
        [&self.log, &self.offset_index.file, &self.time_index.file, &self.txn_index.file]
    }

    pub fn close_files(&self) {
        self.all_files().into_iter().for_each(|file| file.close());
    }

    /// Lets go of what nobody used since the last call; `true` if there was something.
    pub fn close_unused_files(&self) -> bool {
        self.all_files().into_iter().fold(false, |any, file| file.close_if_unused() | any)
    }
}

/// Lengths of a segment's files.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FileLengths {
    pub log: u64,
    pub offset_index: Option<u64>,
    pub time_index: Option<u64>,
    pub txn_index: Option<u64>,
}
