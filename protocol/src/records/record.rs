//! One record of a magic-2 batch, borrowed from the batch's bytes, and the iterator over them.
//! Knows nothing of compression. See KIP-98 and Kafka's `DefaultRecord`.

use super::batch::BatchHeader;
use crate::ids::{Offset, TimestampMs};
use crate::varint::{self, VarintError};

/// Why bytes are not the records that a batch's header announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("a record is cut off")]
    Short,
    #[error(transparent)]
    Varint(#[from] VarintError),
    #[error("length {0} of a record, key, value or header is impossible")]
    Length(i32),
    #[error("{0} record headers are impossible")]
    HeaderCount(i32),
    #[error("a record of {declared} bytes has {used}")]
    Size { declared: usize, used: usize },
    #[error("record count {0} is impossible")]
    Count(i32),
    #[error("{0} bytes remain after the last record")]
    Trailing(usize),
}

/// A record, whatever the format it was stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    pub offset: Offset,
    /// −1 in message format 0. The batch's append time where that is the timestamp type.
    pub timestamp: TimestampMs,
    /// −1 without an idempotent producer.
    pub sequence: i32,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

/// A record's headers, checked when the record was read. Formats 0 and 1 have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers<'a> {
    count: usize,
    bytes: &'a [u8],
}

/// One header; Kafka says that the key is UTF-8, nobody checks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    pub key: &'a [u8],
    pub value: Option<&'a [u8]>,
}

impl<'a> Headers<'a> {
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = Header<'a>> + use<'a> {
        let mut rest = Reader { bytes: self.bytes };
        (0..self.count).map(move |_| rest.header().expect("walked once when the record was read"))
    }

    /// The headers as they are stored, without their count.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// The records of one batch, in order. Ends after the first error.
#[derive(Debug, Clone)]
pub struct RecordIter<'a> {
    header: BatchHeader,
    rest: Reader<'a>,
    left: i32,
}

impl<'a> RecordIter<'a> {
    /// `body` holds the batch's records, decompressed.
    pub fn new(header: &BatchHeader, body: &'a [u8]) -> Result<RecordIter<'a>, RecordError> {
        if header.record_count < 0 {
            return Err(RecordError::Count(header.record_count));
        }
        Ok(RecordIter { header: *header, rest: Reader { bytes: body }, left: header.record_count })
    }

    fn read(&mut self) -> Result<Record<'a>, RecordError> {
        let declared = self.rest.varint()?;
        let size = usize::try_from(declared).map_err(|_| RecordError::Length(declared))?;
        let body = self.rest.take(size)?;
        let mut reader = Reader { bytes: body };
        reader.take(1)?; // Attributes: no bit of them is used.
        let timestamp_delta = reader.varlong()?;
        let offset_delta = reader.varint()?;
        let key = reader.nullable()?;
        let value = reader.nullable()?;
        let headers = reader.headers()?;
        if !reader.bytes.is_empty() {
            return Err(RecordError::Size { declared: size, used: size - reader.bytes.len() });
        }
        if self.left == 1 && !self.rest.bytes.is_empty() {
            return Err(RecordError::Trailing(self.rest.bytes.len()));
        }
        let header = &self.header;
        Ok(Record {
            offset: header.base_offset.wrapping_add(i64::from(offset_delta)),
            timestamp: header.record_timestamp(timestamp_delta),
            sequence: header.sequence_at(offset_delta),
            key,
            value,
            headers,
        })
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<Record<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let record = self.read();
        self.left = if record.is_ok() { self.left - 1 } else { 0 };
        Some(record)
    }
}

#[derive(Debug, Clone, Copy)]
struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, size: usize) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = self.bytes.split_at_checked(size).ok_or(RecordError::Short)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<i32, RecordError> {
        let (value, size) = varint::read_i32(self.bytes)?;
        self.bytes = &self.bytes[size..];
        Ok(value)
    }

    fn varlong(&mut self) -> Result<i64, RecordError> {
        let (value, size) = varint::read_i64(self.bytes)?;
        self.bytes = &self.bytes[size..];
        Ok(value)
    }

    /// Kafka reads every negative length as null.
    fn nullable(&mut self) -> Result<Option<&'a [u8]>, RecordError> {
        match usize::try_from(self.varint()?) {
            Ok(size) => self.take(size).map(Some),
            Err(_) => Ok(None),
        }
    }

    fn headers(&mut self) -> Result<Headers<'a>, RecordError> {
        let declared = self.varint()?;
        let count = usize::try_from(declared).map_err(|_| RecordError::HeaderCount(declared))?;
        if count > self.bytes.len() {
            return Err(RecordError::HeaderCount(declared));
        }
        let bytes = self.bytes;
        for _ in 0..count {
            self.header()?;
        }
        Ok(Headers { count, bytes: &bytes[..bytes.len() - self.bytes.len()] })
    }

    fn header(&mut self) -> Result<Header<'a>, RecordError> {
        let size = self.varint()?;
        let key = self.take(usize::try_from(size).map_err(|_| RecordError::Length(size))?)?;
        Ok(Header { key, value: self.nullable()? })
    }
}
