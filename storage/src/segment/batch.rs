//! One entry of a `.log` file, of any magic, as far as the log must know it, and the scan from
//! entry to entry. Knows nothing of the records inside, except a control batch's marker.

use protocol::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TimestampMs};
use protocol::records::batch::{BatchError, BatchHeader, CRC_FROM, HEADER_BYTES, MAGIC_AT};
use protocol::records::control::EndTxnMarker;
use protocol::records::record::RecordIter;

use crate::disk::DiskFile;

/// Magic 0 and 1: what follows offset and size is at least this long.
const LEGACY_MESSAGE_BYTES_MIN: i32 = 14;
/// Where the CRC of a magic 0 or 1 message begins to count.
const LEGACY_CRC_FROM: usize = 16;
/// Bytes that are enough to know any entry.
pub(crate) const PEEK_BYTES: usize = HEADER_BYTES;
/// A marker's batch is under 100 bytes; a longer one is not believed.
const CONTROL_BATCH_BYTES_MAX: usize = 4096;

/// The fixed fields of a batch (magic 2) or message (magic 0 and 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogBatch {
    pub magic: i8,
    /// For magic 0 and 1 the same as `last_offset`: the first is inside.
    pub base_offset: Offset,
    pub last_offset: Offset,
    /// Bytes of the whole entry.
    pub size: u64,
    pub crc: u32,
    pub leader_epoch: LeaderEpoch,
    pub max_timestamp: TimestampMs,
    /// 0 for magic 0 and 1, except for the codec.
    pub attributes: i16,
    pub producer_id: ProducerId,
    pub producer_epoch: ProducerEpoch,
    pub base_sequence: i32,
    pub last_sequence: i32,
    pub record_count: i32,
}

impl LogBatch {
    /// Reads the entry that begins at `bytes[0]`; at least `PEEK_BYTES` unless the file ends.
    pub fn parse(bytes: &[u8]) -> Result<LogBatch, BatchError> {
        if bytes.len() <= MAGIC_AT {
            return Err(BatchError::Short { have: bytes.len(), need: MAGIC_AT + 1 });
        }
        match bytes[MAGIC_AT] as i8 {
            0 | 1 => LogBatch::parse_legacy(bytes),
            _ => BatchHeader::parse(bytes).map(LogBatch::from),
        }
    }

    fn parse_legacy(bytes: &[u8]) -> Result<LogBatch, BatchError> {
        let magic = bytes[MAGIC_AT] as i8;
        let need = if magic == 1 { 26 } else { 18 };
        if bytes.len() < need {
            return Err(BatchError::Short { have: bytes.len(), need });
        }
        let number = |at: usize| i64::from_be_bytes(bytes[at..at + 8].try_into().expect("8"));
        let size = i32::from_be_bytes(bytes[8..12].try_into().expect("4 bytes"));
        if size < LEGACY_MESSAGE_BYTES_MIN + if magic == 1 { 8 } else { 0 } {
            return Err(BatchError::Length(size));
        }
        Ok(LogBatch {
            magic,
            base_offset: number(0),
            last_offset: number(0),
            size: 12 + size as u64,
            crc: u32::from_be_bytes(bytes[12..16].try_into().expect("4 bytes")),
            leader_epoch: -1,
            max_timestamp: if magic == 1 { number(18) } else { -1 },
            attributes: i16::from(bytes[17] & 0x07),
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            last_sequence: -1,
            record_count: -1,
        })
    }

    pub fn next_offset(&self) -> Offset {
        self.last_offset.saturating_add(1)
    }

    pub fn is_control(&self) -> bool {
        self.attributes & protocol::records::batch::ATTR_CONTROL != 0
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes & protocol::records::batch::ATTR_TRANSACTIONAL != 0
    }

    pub fn has_producer_id(&self) -> bool {
        self.producer_id >= 0
    }

    /// Whether the CRC of the whole entry holds.
    pub fn crc_holds(&self, whole: &[u8]) -> bool {
        let from = if self.magic >= 2 { CRC_FROM } else { LEGACY_CRC_FROM };
        whole.len() as u64 == self.size && self.crc_of(&whole[from..]) == self.crc
    }

    fn crc_of(&self, bytes: &[u8]) -> u32 {
        if self.magic >= 2 { crc32c::crc32c(bytes) } else { crc32fast::hash(bytes) }
    }
}

impl From<BatchHeader> for LogBatch {
    fn from(h: BatchHeader) -> Self {
        LogBatch {
            magic: 2,
            base_offset: h.base_offset,
            last_offset: h.last_offset(),
            size: h.size() as u64,
            crc: h.crc,
            leader_epoch: h.leader_epoch,
            max_timestamp: h.max_timestamp,
            attributes: h.attributes,
            producer_id: h.producer_id,
            producer_epoch: h.producer_epoch,
            base_sequence: h.base_sequence,
            last_sequence: h.last_sequence(),
            record_count: h.record_count,
        }
    }
}

/// What ended a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndMarker {
    pub commit: bool,
    pub coordinator_epoch: i32,
    pub timestamp: TimestampMs,
}

/// Reads the marker of a whole control batch. `None` for a control batch without records, of
/// another type than commit and abort, or not readable.
pub fn parse_end_marker(whole: &[u8]) -> Option<EndMarker> {
    let header = BatchHeader::parse(whole).ok()?;
    if !header.is_control() || header.is_compressed() {
        return None;
    }
    let record = RecordIter::new(&header, whole.get(HEADER_BYTES..)?).ok()?.next()?.ok()?;
    let marker = EndTxnMarker::parse(record.key?, record.value?).ok()??;
    Some(EndMarker {
        commit: marker.committed,
        coordinator_epoch: marker.coordinator_epoch,
        timestamp: record.timestamp,
    })
}

/// Why a scan ended before the end it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Torn {
    /// The bytes at this place are no batch.
    Header(String),
    /// The batch reaches past the end.
    Cut { need: u64, have: u64 },
    /// Its CRC does not hold.
    Crc,
}

impl std::fmt::Display for Torn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Torn::Header(reason) => f.write_str(reason),
            Torn::Cut { need, have } => write!(f, "a batch of {need} bytes, {have} are there"),
            Torn::Crc => f.write_str("the CRC does not hold"),
        }
    }
}

/// Bytes that a scan reads at once.
const READ_AHEAD_BYTES: usize = 64 * 1024;
/// What a scan that only looks for one place reads at once: an index interval and a header.
const SEEK_AHEAD_BYTES: usize = 4096 + PEEK_BYTES;

/// Walks from entry to entry of an open file, never past `end`.
pub struct Scan<'a> {
    file: &'a dyn DiskFile,
    position: u64,
    end: u64,
    buffer: Vec<u8>,
    buffer_at: u64,
    ahead: usize,
}

impl<'a> Scan<'a> {
    /// `end` is the logical length: what lies behind it does not exist.
    pub fn new(file: &'a dyn DiskFile, position: u64, end: u64) -> Self {
        Scan { file, position, end, buffer: Vec::new(), buffer_at: 0, ahead: READ_AHEAD_BYTES }
    }

    /// The same for finding one place near `position`.
    pub fn near(file: &'a dyn DiskFile, position: u64, end: u64) -> Self {
        Scan { ahead: SEEK_AHEAD_BYTES, ..Scan::new(file, position, end) }
    }

    /// Where the next entry begins.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next entry's header and position; `None` at the end. The scan moves behind it.
    pub fn next_batch(&mut self) -> std::io::Result<Option<Result<(LogBatch, u64), Torn>>> {
        if self.position >= self.end {
            return Ok(None);
        }
        let at = self.position;
        let have = self.end - at;
        let peek = PEEK_BYTES.min(have as usize);
        self.fill(at, peek)?;
        let from = (at - self.buffer_at) as usize;
        let batch = match LogBatch::parse(&self.buffer[from..]) {
            Ok(batch) => batch,
            Err(e) => return Ok(Some(Err(Torn::Header(e.to_string())))),
        };
        if batch.size > have {
            return Ok(Some(Err(Torn::Cut { need: batch.size, have })));
        }
        self.position = at + batch.size;
        Ok(Some(Ok((batch, at))))
    }

    /// The same, with the CRC checked; the scan stays before an entry whose CRC fails.
    pub fn next_verified(&mut self) -> std::io::Result<Option<Result<(LogBatch, u64), Torn>>> {
        let found = self.next_batch()?;
        if let Some(Ok((batch, at))) = &found
            && !self.verify(batch, *at)?
        {
            self.position = *at;
            return Ok(Some(Err(Torn::Crc)));
        }
        Ok(found)
    }

    /// The whole bytes of a control batch that `next` just gave; `None` if it is too long.
    pub fn control_bytes(&mut self, batch: &LogBatch, at: u64) -> std::io::Result<Option<Vec<u8>>> {
        if batch.size as usize > CONTROL_BATCH_BYTES_MAX {
            return Ok(None);
        }
        let mut bytes = vec![0; batch.size as usize];
        let read = self.file.read_at(&mut bytes, at)?;
        Ok((read == bytes.len()).then_some(bytes))
    }

    /// Whether the CRC of an entry at `at` holds. Read in pieces: a length is never believed before
    /// the bytes are there.
    pub fn verify(&mut self, batch: &LogBatch, at: u64) -> std::io::Result<bool> {
        let skip = if batch.magic >= 2 { CRC_FROM } else { LEGACY_CRC_FROM } as u64;
        let (mut from, end) = (at + skip, at + batch.size);
        let mut crc32 = crc32fast::Hasher::new();
        let mut crc32c = 0;
        while from < end {
            let want = ((end - from) as usize).min(READ_AHEAD_BYTES);
            self.fill(from, 1)?;
            let start = (from - self.buffer_at) as usize;
            let piece = &self.buffer[start..(start + want).min(self.buffer.len())];
            if piece.is_empty() {
                return Ok(false);
            }
            match batch.magic {
                2 => crc32c = crc32c::crc32c_append(crc32c, piece),
                _ => crc32.update(piece),
            }
            from += piece.len() as u64;
        }
        Ok(batch.crc == if batch.magic >= 2 { crc32c } else { crc32.finalize() })
    }

    /// Makes `want` bytes at `at` present in the buffer, fewer only if the file is shorter.
    fn fill(&mut self, at: u64, want: usize) -> std::io::Result<()> {
        let buffered = self.buffer_at..self.buffer_at + self.buffer.len() as u64;
        if at >= buffered.start && at + want as u64 <= buffered.end {
            return Ok(());
        }
        let len = ((self.end - at) as usize).min(self.ahead.max(want));
        self.buffer.resize(len, 0);
        self.buffer_at = at;
        let read = self.file.read_at(&mut self.buffer, at)?;
        self.buffer.truncate(read);
        Ok(())
    }
}

/// Whether the bytes `from..to` of a file are all zeros.
pub(crate) fn only_zeros(file: &dyn DiskFile, from: u64, to: u64) -> std::io::Result<bool> {
    let mut buffer = vec![0; 64 * 1024];
    let mut at = from;
    while at < to {
        let want = buffer.len().min((to - at) as usize);
        let read = file.read_at(&mut buffer[..want], at)?;
        if buffer[..read].iter().any(|b| *b != 0) {
            return Ok(false);
        }
        if read == 0 {
            break;
        }
        at += read as u64;
    }
    Ok(true)
}
