//! Reading: from an offset to a range of a file, and from a timestamp to an offset. Never waits for
//! an append, never maps log bytes; knows no socket.

use std::sync::Arc;

use protocol::ids::{LeaderEpoch, Offset, TimestampMs};
use protocol::records::batch::{BatchHeader, HEADER_BYTES};
use protocol::records::codec::Limits;
use protocol::records::scan::Scanner;
use protocol::records::view::{RawBatch, RecordsError};

use crate::disk::DiskFile;
use crate::error::{At, DiskError, ReadError, TimestampOffset};
use crate::index::transaction::AbortedTxn;
use crate::log::{Boundary, Log};
use crate::segment::Segment;
use crate::segment::batch::{LogBatch, PEEK_BYTES, Scan};
use crate::segment::partition_dir::LazyFile;

/// A range of an open file, for sendfile or pread. The descriptor stays open with it, and the
/// bytes stay as they are even if the log is truncated or the segment deleted.
#[derive(Debug, Clone)]
pub struct LogSlice {
    pub file: Arc<dyn DiskFile>,
    pub position: u64,
    pub len: u64,
    /// Which file of a log it is.
    source: Option<Arc<LazyFile>>,
}

impl LogSlice {
    /// A range of a file that is in no log.
    pub fn of_file(file: Arc<dyn DiskFile>, position: u64, len: u64) -> LogSlice {
        LogSlice { file, position, len, source: None }
    }

    /// The failure of its disk that made a send fail; `None` for one of the socket, or of a file
    /// in no log.
    pub fn disk_error(&self, error: &std::io::Error) -> Option<DiskError> {
        let of_disks = [libc::EIO, libc::EUCLEAN, libc::ENXIO, libc::ENODEV];
        let errno = error.raw_os_error().filter(|errno| of_disks.contains(errno))?;
        let source = std::io::Error::from_raw_os_error(errno);
        Some(DiskError { operation: "send", path: self.source.as_ref()?.path(), source })
    }

    /// The bytes, copied. For conversion and for tests; sockets take the file.
    pub fn read(&self) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.len as usize];
        let read = self.file.read_at(&mut bytes, self.position)?;
        if read < bytes.len() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes)
    }

    /// The header of the first batch, if it is within the slice.
    pub fn first_batch(&self) -> std::io::Result<Option<LogBatch>> {
        let mut bytes = vec![0; PEEK_BYTES.min(self.len as usize)];
        let read = self.file.read_at(&mut bytes, self.position)?;
        Ok(LogBatch::parse(&bytes[..read]).ok())
    }
}

/// What a read found. Whole batches, except that the last one may be cut off, as Kafka's may.
#[derive(Debug, Clone)]
pub struct LogRead {
    /// In order; empty if nothing is there below the bound.
    pub slices: Vec<LogSlice>,
    /// Bytes of all slices.
    pub len: u64,
    /// The first batch is larger than the bytes given, which hold only its beginning.
    pub first_incomplete: bool,
    pub log_start_offset: Offset,
    pub log_end_offset: Offset,
    /// Base of the segment and position in it where the bytes begin and end.
    pub segment_base: Offset,
    pub begin_position: u64,
    pub end_position: u64,
}

/// One consistent look at the log.
struct Snapshot {
    segments: Arc<Vec<Arc<Segment>>>,
    /// Of the active segment, as of `log_end`.
    active_size: u64,
    log_start: Offset,
    log_end: Offset,
    first: usize,
    begin: Option<Boundary>,
    end: Option<Boundary>,
}

impl Log {
    /// Batches from the one that holds `offset`, at most `max_bytes`, below `upper_bound` (a high
    /// watermark, a last stable offset, or `Offset::MAX` for a follower). With `min_one_batch` the
    /// first batch is given whole even if it is larger. One segment at a time.
    pub fn read(
        &self,
        offset: Offset,
        max_bytes: u64,
        upper_bound: Offset,
        min_one_batch: bool,
    ) -> Result<LogRead, ReadError> {
        let snapshot = self.snapshot(offset, upper_bound);
        let (log_start, log_end) = (snapshot.log_start, snapshot.log_end);
        if offset < log_start || offset > log_end {
            return Err(ReadError::OffsetOutOfRange { offset, log_start, log_end });
        }
        let upper = upper_bound.min(log_end);
        let mut read = LogRead {
            slices: Vec::new(),
            len: 0,
            first_incomplete: false,
            log_start_offset: log_start,
            log_end_offset: log_end,
            segment_base: snapshot.segments[snapshot.first].base_offset,
            begin_position: 0,
            end_position: 0,
        };
        if offset >= upper {
            return Ok(read);
        }
        for i in snapshot.first..snapshot.segments.len() {
            let end = snapshot.end_position(i, upper)?;
            let Some((begin, first)) = snapshot.begin_position(i, offset, end)? else { continue };
            let segment = &snapshot.segments[i];
            read.segment_base = segment.base_offset;
            fill(&mut read, segment, begin..end, first, max_bytes, min_one_batch)?;
            break;
        }
        Ok(read)
    }

    fn snapshot(&self, offset: Offset, upper: Offset) -> Snapshot {
        let view = self.view.read();
        Snapshot {
            segments: view.segments.clone(),
            active_size: view.segments.last().expect("a log has a segment").size(),
            log_start: view.log_start,
            log_end: view.log_end,
            first: view.segment_at(offset),
            begin: view.recent(offset),
            end: view.recent(upper),
        }
    }

    /// The aborted transactions that a reader of committed data must know for these bytes.
    pub fn aborted_transactions(
        &self,
        from: Offset,
        read: &LogRead,
    ) -> Result<Vec<AbortedTxn>, ReadError> {
        let segments = self.segments();
        let at = segments.partition_point(|s| s.base_offset < read.segment_base);
        let mut found = Vec::new();
        let Some(segment) = segments.get(at) else { return Ok(found) };
        let upper = match segment.offset_index.first_offset_at(read.end_position)? {
            Some(offset) => offset,
            None => segments.get(at + 1).map_or(read.log_end_offset, |s| s.base_offset),
        };
        for segment in &segments[at..] {
            if segment.txn_index.collect(from, upper, &mut found) {
                break;
            }
        }
        Ok(found)
    }

    /// The first record at or behind the log start whose timestamp is at least `timestamp`.
    pub fn offset_for_timestamp(
        &self,
        timestamp: TimestampMs,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        let snapshot = self.snapshot(0, 0);
        for (i, segment) in snapshot.segments.iter().enumerate() {
            if segment.max_timestamp()?.timestamp < timestamp {
                continue;
            }
            let from = segment.time_index.lookup(timestamp)?.max(snapshot.log_start);
            let entry = segment.offset_index.lookup(from)?;
            let size = snapshot.size(i);
            let wanted =
                |r: &TimestampOffset| r.timestamp >= timestamp && r.offset >= snapshot.log_start;
            if let Some(found) = search(segment, entry, size, timestamp, wanted)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The first record that has the largest timestamp of the log. Records without one count as −1,
    /// but for those of format 0, which has no timestamps: `None` if there are no others.
    pub fn max_timestamp_offset(&self) -> Result<Option<TimestampOffset>, ReadError> {
        let snapshot = self.snapshot(0, 0);
        let mut best: Option<(usize, TimestampMs, Offset)> = None;
        for (i, segment) in snapshot.segments.iter().enumerate() {
            let max = segment.max_timestamp()?;
            if best.is_none_or(|(_, t, _)| max.timestamp > t) {
                best = Some((i, max.timestamp, max.offset));
            }
        }
        let Some((i, timestamp, offset)) = best else { return Ok(None) };
        let segment = &snapshot.segments[i];
        let entry = segment.offset_index.lookup(offset)?;
        let wanted = |r: &TimestampOffset| r.timestamp >= timestamp;
        search(segment, entry, snapshot.size(i), timestamp, wanted)
    }
}

impl Snapshot {
    fn size(&self, i: usize) -> u64 {
        if i + 1 == self.segments.len() { self.active_size } else { self.segments[i].size() }
    }

    /// Where the bytes below `upper` end in segment `i`.
    fn end_position(&self, i: usize, upper: Offset) -> Result<u64, ReadError> {
        let size = self.size(i);
        let next_base = self.segments.get(i + 1).map_or(self.log_end, |s| s.base_offset);
        if upper >= next_base {
            return Ok(size);
        }
        let segment = &self.segments[i];
        match self.end {
            Some(b) if b.base == segment.base_offset && b.position <= size => Ok(b.position),
            _ => Ok(segment.find(upper, size)?.map_or(size, |(_, position)| position)),
        }
    }

    /// Where the batch with `offset` or the next one begins in segment `i`, and its header if it
    /// was looked at; `None` if segment `i` has none below `end`.
    fn begin_position(
        &self,
        i: usize,
        offset: Offset,
        end: u64,
    ) -> Result<Option<(u64, Option<LogBatch>)>, ReadError> {
        let segment = &self.segments[i];
        if let Some(b) = self.begin
            && b.base == segment.base_offset
        {
            return Ok((b.position < end).then_some((b.position, None)));
        }
        let found = segment.find(offset, end)?;
        Ok(found.map(|(batch, position)| (position, Some(batch))))
    }
}

fn fill(
    read: &mut LogRead,
    segment: &Arc<Segment>,
    range: std::ops::Range<u64>,
    first: Option<LogBatch>,
    max_bytes: u64,
    min_one_batch: bool,
) -> Result<(), ReadError> {
    let file = segment.file()?;
    let available = range.end - range.start;
    let mut len = available.min(max_bytes);
    if len < available {
        let first = match first {
            Some(first) => first,
            None => match Scan::near(&*file, range.start, range.end).next_batch() {
                Ok(Some(Ok((first, _)))) => first,
                Ok(Some(Err(torn))) => return Err(segment.corrupt(range.start, &torn)),
                Ok(None) => return Ok(()),
                Err(e) => return Err(e).at("read", &segment.log.path()).map_err(ReadError::from),
            },
        };
        if min_one_batch {
            len = len.max(first.size.min(available));
        }
        read.first_incomplete = len < first.size;
    }
    read.begin_position = range.start;
    read.end_position = range.start + len;
    read.len = len;
    if len > 0 {
        let source = Some(segment.log.clone());
        read.slices.push(LogSlice { file, position: range.start, len, source });
    }
    Ok(())
}

/// The first record that is wanted, in batches from an index entry on whose largest timestamp
/// reaches.
fn search(
    segment: &Segment,
    entry: (Offset, u64),
    size: u64,
    timestamp: TimestampMs,
    wanted: impl Fn(&TimestampOffset) -> bool,
) -> Result<Option<TimestampOffset>, ReadError> {
    let file = segment.file()?;
    let position = segment.trusted_position(&*file, entry, size)?;
    let mut scan = Scan::new(&*file, position, size);
    while let Some(found) = scan.next_batch().at_path("read", || segment.log.path())? {
        let (batch, at) = match found {
            Ok(found) => found,
            Err(torn) => return Err(segment.corrupt(scan.position(), &torn)),
        };
        if batch.max_timestamp < timestamp || batch.magic == 0 {
            continue;
        }
        // The scan saw that the file has these bytes: the size is no one's mere claim.
        let slice = LogSlice::of_file(file.clone(), at, batch.size);
        let bytes = slice.read().at_path("read", || segment.log.path())?;
        let corrupt = |reason: String| ReadError::Corrupt {
            path: segment.log.path(),
            reason: format!("at byte {at}: {reason}"),
        };
        let raw = RawBatch { magic: batch.magic, bytes: &bytes };
        raw.verify().map_err(|e| corrupt(e.to_string()))?;
        let unreadable = |e: RecordsError| corrupt(e.to_string());
        let found = match raw.magic {
            2 => first_in_v2(&bytes, batch.leader_epoch, &wanted).map_err(unreadable)?,
            _ => first_in_legacy(&raw, batch.leader_epoch, &wanted).map_err(unreadable)?,
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Read as it is unpacked: nothing of it is held.
fn first_in_v2(
    bytes: &[u8],
    leader_epoch: LeaderEpoch,
    wanted: &impl Fn(&TimestampOffset) -> bool,
) -> Result<Option<TimestampOffset>, RecordsError> {
    let header = BatchHeader::parse(bytes)?;
    if header.record_count == 0 {
        return Ok(None);
    }
    let body = &bytes[HEADER_BYTES..];
    for record in Scanner::new(&header, body, &Limits::default())? {
        let record = record?;
        let offset = header.base_offset.wrapping_add(record.offset_delta.into());
        let found = TimestampOffset { timestamp: record.timestamp, offset, leader_epoch };
        if wanted(&found) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Wrappers of old formats are in logs of old brokers only: clients' are written anew.
fn first_in_legacy(
    raw: &RawBatch<'_>,
    leader_epoch: LeaderEpoch,
    wanted: &impl Fn(&TimestampOffset) -> bool,
) -> Result<Option<TimestampOffset>, RecordsError> {
    for record in raw.open(&Limits::default())?.records()? {
        let record = record?;
        let (timestamp, offset) = (record.timestamp, record.offset);
        let found = TimestampOffset { timestamp, offset, leader_epoch };
        if wanted(&found) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
