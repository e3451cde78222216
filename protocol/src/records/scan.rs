//! Walks the records of a compressed magic-2 batch as they come out of the decompressor, without
//! keeping keys or values: what a leader needs to check a batch that it stores as received. Knows
//! nothing of the rules themselves.

use super::batch::BatchHeader;
use super::codec::{Decompressor, Limits};
use super::record::RecordError;
use super::view::RecordsError;
use crate::ids::TimestampMs;
use crate::varint::{self, VARINT_BYTES_MAX, VARLONG_BYTES_MAX, VarintError};

/// Decompressed bytes held at a time.
const WINDOW_BYTES: usize = 16 << 10;

/// What the walk tells of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScannedRecord {
    pub offset_delta: i32,
    pub timestamp: TimestampMs,
    pub has_key: bool,
}

/// The records of one batch, in order. Ends after the first error.
pub struct Scanner<'a> {
    header: BatchHeader,
    stream: Decompressor<'a>,
    window: Box<[u8]>,
    at: usize,
    filled: usize,
    /// Bytes read since the current record's length.
    used: u64,
    left: i32,
}

impl<'a> Scanner<'a> {
    /// `packed` is the batch's bytes behind its header.
    pub fn new(
        header: &BatchHeader,
        packed: &'a [u8],
        limits: &Limits,
    ) -> Result<Scanner<'a>, RecordsError> {
        if header.record_count < 0 {
            return Err(RecordError::Count(header.record_count).into());
        }
        Ok(Scanner {
            header: *header,
            stream: Decompressor::new(header.codec_kind()?, 2, packed, limits)?,
            window: vec![0; WINDOW_BYTES].into_boxed_slice(),
            at: 0,
            filled: 0,
            used: 0,
            left: header.record_count,
        })
    }

    fn read(&mut self) -> Result<ScannedRecord, RecordsError> {
        let declared = self.varint()?;
        let size = u64::try_from(declared).map_err(|_| RecordError::Length(declared))?;
        self.used = 0;
        self.byte()?;
        let timestamp_delta = self.varlong()?;
        let offset_delta = self.varint()?;
        let key_size = self.varint()?;
        self.skip(key_size)?;
        let value_size = self.varint()?;
        self.skip(value_size)?;
        let headers = self.varint()?;
        if headers < 0 {
            return Err(RecordError::HeaderCount(headers).into());
        }
        for _ in 0..headers {
            let size = self.varint()?;
            if size < 0 {
                return Err(RecordError::Length(size).into());
            }
            self.skip(size)?;
            let size = self.varint()?;
            self.skip(size)?;
        }
        if self.used != size {
            let used = self.used as usize;
            return Err(RecordError::Size { declared: size as usize, used }.into());
        }
        if self.left == 1 && self.fill()? {
            return Err(RecordError::Trailing(self.filled - self.at).into());
        }
        let timestamp = self.header.record_timestamp(timestamp_delta);
        Ok(ScannedRecord { offset_delta, timestamp, has_key: key_size >= 0 })
    }

    /// Makes at least one byte ready; false at the end of the stream.
    fn fill(&mut self) -> Result<bool, RecordsError> {
        if self.at == self.filled {
            self.at = 0;
            self.filled = self.stream.read(&mut self.window)?;
        }
        Ok(self.at < self.filled)
    }

    fn byte(&mut self) -> Result<u8, RecordsError> {
        if !self.fill()? {
            return Err(RecordError::Short.into());
        }
        self.at += 1;
        self.used += 1;
        Ok(self.window[self.at - 1])
    }

    fn unsigned(&mut self, bytes_max: usize) -> Result<u64, RecordsError> {
        let mut value = 0u64;
        for i in 0..bytes_max {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(RecordError::Varint(VarintError::Long).into())
    }

    fn varint(&mut self) -> Result<i32, RecordsError> {
        self.unsigned(VARINT_BYTES_MAX).map(|value| varint::unzigzag_i32(value as u32))
    }

    fn varlong(&mut self) -> Result<i64, RecordsError> {
        self.unsigned(VARLONG_BYTES_MAX).map(varint::unzigzag_i64)
    }

    /// A negative size is null: nothing to pass over.
    fn skip(&mut self, size: i32) -> Result<(), RecordsError> {
        let mut left = usize::try_from(size).unwrap_or(0);
        self.used += left as u64;
        while left > 0 {
            if !self.fill()? {
                return Err(RecordError::Short.into());
            }
            let n = left.min(self.filled - self.at);
            self.at += n;
            left -= n;
        }
        Ok(())
    }
}

impl Iterator for Scanner<'_> {
    type Item = Result<ScannedRecord, RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let record = self.read();
        self.left = if record.is_ok() { self.left - 1 } else { 0 };
        Some(record)
    }
}
