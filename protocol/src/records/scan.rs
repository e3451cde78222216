//! Walks the records of a magic-2 batch, plain or as they come out of the decompressor, without
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
    /// Negative: null.
    pub key_size: i32,
    /// Negative: null.
    pub value_size: i32,
}

impl ScannedRecord {
    pub fn has_key(&self) -> bool {
        self.key_size >= 0
    }
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
        Ok(ScannedRecord { offset_delta, timestamp, key_size, value_size })
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

/// The same of a batch that is not compressed: `RecordIter` without what nobody asks for. Of the
/// work that a leader does for each record, this is nearly all.
pub struct PlainScanner<'a> {
    header: BatchHeader,
    rest: &'a [u8],
    left: i32,
}

impl<'a> PlainScanner<'a> {
    /// `body` is the batch's bytes behind its header.
    pub fn new(header: &BatchHeader, body: &'a [u8]) -> Result<PlainScanner<'a>, RecordError> {
        if header.record_count < 0 {
            return Err(RecordError::Count(header.record_count));
        }
        Ok(PlainScanner { header: *header, rest: body, left: header.record_count })
    }

    #[inline]
    fn read(&mut self) -> Result<ScannedRecord, RecordError> {
        let declared = varint(&mut self.rest)?;
        let size = usize::try_from(declared).map_err(|_| RecordError::Length(declared))?;
        let mut record = take(&mut self.rest, size)?;
        take(&mut record, 1)?;
        let timestamp_delta = varlong(&mut record)?;
        let offset_delta = varint(&mut record)?;
        let key_size = skip_nullable(&mut record)?;
        let value_size = skip_nullable(&mut record)?;
        let headers = varint(&mut record)?;
        if headers != 0 {
            skip_headers(&mut record, headers)?;
        }
        if !record.is_empty() {
            return Err(RecordError::Size { declared: size, used: size - record.len() });
        }
        if self.left == 1 && !self.rest.is_empty() {
            return Err(RecordError::Trailing(self.rest.len()));
        }
        let timestamp = self.header.record_timestamp(timestamp_delta);
        Ok(ScannedRecord { offset_delta, timestamp, key_size, value_size })
    }
}

impl Iterator for PlainScanner<'_> {
    type Item = Result<ScannedRecord, RecordError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let record = self.read();
        self.left = if record.is_ok() { self.left - 1 } else { 0 };
        Some(record)
    }
}

#[inline]
fn take<'a>(bytes: &mut &'a [u8], size: usize) -> Result<&'a [u8], RecordError> {
    let (taken, rest) = bytes.split_at_checked(size).ok_or(RecordError::Short)?;
    *bytes = rest;
    Ok(taken)
}

/// Nearly all of a record's numbers take one byte or two.
#[inline]
fn short<'a>(bytes: &mut &'a [u8]) -> Option<u32> {
    let all: &'a [u8] = bytes;
    match all {
        [first, rest @ ..] if *first < 0x80 => {
            *bytes = rest;
            Some(u32::from(*first))
        }
        [first, second, rest @ ..] if *second < 0x80 => {
            *bytes = rest;
            Some(u32::from(first & 0x7f) | u32::from(*second) << 7)
        }
        _ => None,
    }
}

#[inline]
fn varint(bytes: &mut &[u8]) -> Result<i32, RecordError> {
    if let Some(value) = short(bytes) {
        return Ok(varint::unzigzag_i32(value));
    }
    let (value, size) = varint::read_i32(bytes)?;
    *bytes = &bytes[size..];
    Ok(value)
}

#[inline]
fn varlong(bytes: &mut &[u8]) -> Result<i64, RecordError> {
    if let Some(value) = short(bytes) {
        return Ok(varint::unzigzag_i64(value.into()));
    }
    let (value, size) = varint::read_i64(bytes)?;
    *bytes = &bytes[size..];
    Ok(value)
}

/// Returns the length; every negative one means null.
#[inline]
fn skip_nullable(bytes: &mut &[u8]) -> Result<i32, RecordError> {
    let size = varint(bytes)?;
    if let Ok(present) = usize::try_from(size) {
        take(bytes, present)?;
    }
    Ok(size)
}

fn skip_headers(bytes: &mut &[u8], declared: i32) -> Result<(), RecordError> {
    let count = usize::try_from(declared).map_err(|_| RecordError::HeaderCount(declared))?;
    if count > bytes.len() {
        return Err(RecordError::HeaderCount(declared));
    }
    for _ in 0..count {
        let size = varint(bytes)?;
        take(bytes, usize::try_from(size).map_err(|_| RecordError::Length(size))?)?;
        skip_nullable(bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::records::batch::HEADER_BYTES;
    use crate::records::builder::{BatchBuilder, BatchOptions};
    use crate::records::record::{Header, RecordIter};

    /// What both walks find, up to the first error.
    fn agree(batch: &[u8]) {
        let header = BatchHeader::parse(batch).expect("a header");
        let body = &batch[HEADER_BYTES..];
        let whole = RecordIter::new(&header, body).map(|records| {
            let scanned = records.map(|record| {
                record.map(|record| ScannedRecord {
                    offset_delta: record.offset.wrapping_sub(header.base_offset) as i32,
                    timestamp: record.timestamp,
                    key_size: record.key.map_or(-1, |key| key.len() as i32),
                    value_size: record.value.map_or(-1, |value| value.len() as i32),
                })
            });
            scanned.collect::<Vec<_>>()
        });
        let plain = PlainScanner::new(&header, body).map(|records| {
            let scanned = records.map(|record| {
                record.map(|record| ScannedRecord {
                    key_size: record.key_size.max(-1),
                    value_size: record.value_size.max(-1),
                    ..record
                })
            });
            scanned.collect::<Vec<_>>()
        });
        assert_eq!(plain, whole);
    }

    type Part = Option<Vec<u8>>;

    proptest! {
        #[test]
        fn the_short_walk_finds_what_the_long_one_finds(
            records in prop::collection::vec(
                (0..1i64 << 60, any::<Part>(), any::<Part>(), 0..3usize), 1..8),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in 0..20usize,
        ) {
            let mut builder = BatchBuilder::new(BatchOptions::default());
            for (timestamp, key, value, headers) in &records {
                let header = Header { key: b"name", value: value.as_deref() };
                let headers = vec![header; *headers];
                builder
                    .append(*timestamp, key.as_deref(), value.as_deref(), &headers)
                    .expect("a small batch");
            }
            let mut batch = builder.finish().expect("a batch").to_vec();
            agree(&batch);
            let len = batch.len() - HEADER_BYTES;
            for (at, byte) in damage {
                batch[HEADER_BYTES + at.index(len)] = byte;
            }
            agree(&batch);
            batch.truncate(batch.len() - cut.min(len));
            agree(&batch);
        }
    }
}
