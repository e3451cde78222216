//! Writes a magic-2 batch. Knows nothing of logs; offsets and epochs may be patched in later with
//! `batch::assign`. See Kafka's `MemoryRecordsBuilder`.

use super::batch::{
    ATTR_CONTROL, ATTR_DELETE_HORIZON, ATTR_LOG_APPEND_TIME, ATTR_TRANSACTIONAL, CRC_FROM,
    HEADER_BYTES, LOG_OVERHEAD, MAGIC_AT,
};
use super::codec::{self, Codec, CodecError};
use super::record::{Header, Record};
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TimestampMs};
use crate::varint;

/// Why a batch could not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    #[error("offset {offset} is not above the last one, {last}")]
    Offset { offset: Offset, last: Offset },
    #[error("offset {offset} is more than 2³¹ − 1 above the batch's first, {base}")]
    OffsetDelta { offset: Offset, base: Offset },
    #[error("timestamp {0} is negative and not −1")]
    Timestamp(TimestampMs),
    #[error("a batch cannot be larger than 2 GiB")]
    TooLarge,
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// What the header of a batch says beside its records. The default is an uncompressed, plain batch
/// at offset 0 with create time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchOptions {
    pub base_offset: Offset,
    pub leader_epoch: LeaderEpoch,
    pub codec: Codec,
    /// The codec's own level; see `codec::compress`.
    pub level: Option<i32>,
    /// Set, the batch has append time and this is every record's timestamp.
    pub append_time_ms: Option<TimestampMs>,
    pub producer_id: ProducerId,
    pub producer_epoch: ProducerEpoch,
    pub base_sequence: i32,
    pub transactional: bool,
    pub control: bool,
    /// When compaction may drop the batch's tombstones; stored as the base timestamp.
    pub delete_horizon_ms: Option<TimestampMs>,
}

impl Default for BatchOptions {
    fn default() -> Self {
        BatchOptions {
            base_offset: 0,
            leader_epoch: -1,
            codec: Codec::None,
            level: None,
            append_time_ms: None,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            transactional: false,
            control: false,
            delete_horizon_ms: None,
        }
    }
}

/// Collects records, then writes one batch.
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    options: BatchOptions,
    base_timestamp: Option<TimestampMs>,
    timestamp_max: TimestampMs,
    last_offset: Option<Offset>,
    count: i32,
    /// The records, uncompressed.
    body: Vec<u8>,
    /// One record while it is written.
    record: Vec<u8>,
}

impl BatchBuilder {
    pub fn new(options: BatchOptions) -> BatchBuilder {
        BatchBuilder {
            base_timestamp: options.delete_horizon_ms,
            options,
            timestamp_max: -1,
            last_offset: None,
            count: 0,
            body: Vec::new(),
            record: Vec::new(),
        }
    }

    /// Appends at the offset after the last one.
    pub fn append(
        &mut self,
        timestamp: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) -> Result<(), BuildError> {
        let offset = self.next_offset();
        self.append_at(offset, timestamp, key, value, headers)
    }

    /// Appends at `offset`, which must be above the last one.
    pub fn append_at(
        &mut self,
        offset: Offset,
        timestamp: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) -> Result<(), BuildError> {
        self.begin(offset, timestamp, key, value)?;
        varint::write_i32(&mut self.record, headers.len() as i32);
        for header in headers {
            varint::write_i32(&mut self.record, header.key.len() as i32);
            self.record.extend_from_slice(header.key);
            write_nullable(&mut self.record, header.value);
        }
        self.end(offset, timestamp)
    }

    /// Appends a copy of a record of any batch at `offset`.
    pub fn append_record(&mut self, offset: Offset, record: &Record<'_>) -> Result<(), BuildError> {
        self.begin(offset, record.timestamp, record.key, record.value)?;
        varint::write_i32(&mut self.record, record.headers.len() as i32);
        self.record.extend_from_slice(record.headers.bytes());
        self.end(offset, record.timestamp)
    }

    /// Lets the batch end at `last_offset` whatever record is its last: compaction keeps where a
    /// batch ended. Call it after the last append.
    pub fn keep_last_offset(&mut self, last_offset: Offset) {
        self.last_offset = Some(last_offset);
    }

    /// Sets the largest timestamp, of a batch that has lost its records.
    pub fn keep_max_timestamp(&mut self, timestamp: TimestampMs) {
        self.timestamp_max = timestamp;
    }

    pub fn next_offset(&self) -> Offset {
        self.last_offset.map_or(self.options.base_offset, |last| last + 1)
    }

    pub fn count(&self) -> i32 {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the batch if it were not compressed.
    pub fn size(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }

    /// The largest timestamp appended; −1 if none had one.
    pub fn timestamp_max(&self) -> TimestampMs {
        self.timestamp_max
    }

    /// Writes the batch. Without records it is an empty batch at the base offset, as compaction
    /// leaves one.
    pub fn finish(self) -> Result<Vec<u8>, BuildError> {
        let mut out = Vec::new();
        self.finish_into(&mut out)?;
        Ok(out)
    }

    /// Appends the batch to `out`, which may hold others already.
    pub fn finish_into(self, out: &mut Vec<u8>) -> Result<(), BuildError> {
        let options = &self.options;
        let start = out.len();
        out.reserve(HEADER_BYTES + self.body.len());
        out.resize(start + HEADER_BYTES, 0);
        if self.count > 0 {
            codec::compress(options.codec, options.level, 2, &self.body, out)?;
        }
        let length =
            i32::try_from(out.len() - start - LOG_OVERHEAD).map_err(|_| BuildError::TooLarge)?;
        let last = self.last_offset.unwrap_or(options.base_offset);
        let batch = &mut out[start..];
        let mut put = |at: usize, bytes: &[u8]| batch[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &options.base_offset.to_be_bytes());
        put(8, &length.to_be_bytes());
        put(12, &options.leader_epoch.to_be_bytes());
        put(MAGIC_AT, &[2]);
        put(21, &self.attributes().to_be_bytes());
        put(23, &((last - options.base_offset) as i32).to_be_bytes());
        put(27, &self.base_timestamp.unwrap_or(-1).to_be_bytes());
        put(35, &options.append_time_ms.unwrap_or(self.timestamp_max).to_be_bytes());
        put(43, &options.producer_id.to_be_bytes());
        put(51, &options.producer_epoch.to_be_bytes());
        put(53, &options.base_sequence.to_be_bytes());
        put(57, &self.count.to_be_bytes());
        let crc = crc32c::crc32c(&batch[CRC_FROM..]);
        batch[17..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
        Ok(())
    }

    fn attributes(&self) -> i16 {
        let flag = |set: bool, bit: i16| if set { bit } else { 0 };
        self.options.codec.id()
            | flag(self.options.append_time_ms.is_some(), ATTR_LOG_APPEND_TIME)
            | flag(self.options.transactional, ATTR_TRANSACTIONAL)
            | flag(self.options.control, ATTR_CONTROL)
            | flag(self.options.delete_horizon_ms.is_some(), ATTR_DELETE_HORIZON)
    }

    fn begin(
        &mut self,
        offset: Offset,
        timestamp: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(), BuildError> {
        let base = self.options.base_offset;
        let last = self.last_offset.unwrap_or(base.saturating_sub(1));
        if offset <= last {
            return Err(BuildError::Offset { offset, last });
        }
        let delta = offset
            .checked_sub(base)
            .and_then(|delta| i32::try_from(delta).ok())
            .ok_or(BuildError::OffsetDelta { offset, base })?;
        if timestamp < -1 {
            return Err(BuildError::Timestamp(timestamp));
        }
        let base_timestamp = *self.base_timestamp.get_or_insert(timestamp);
        self.record.clear();
        self.record.push(0);
        varint::write_i64(&mut self.record, timestamp.wrapping_sub(base_timestamp));
        varint::write_i32(&mut self.record, delta);
        write_nullable(&mut self.record, key);
        write_nullable(&mut self.record, value);
        Ok(())
    }

    fn end(&mut self, offset: Offset, timestamp: TimestampMs) -> Result<(), BuildError> {
        let size = i32::try_from(self.record.len()).map_err(|_| BuildError::TooLarge)?;
        if self.size() + self.record.len() + varint::VARINT_BYTES_MAX > i32::MAX as usize {
            return Err(BuildError::TooLarge);
        }
        varint::write_i32(&mut self.body, size);
        self.body.extend_from_slice(&self.record);
        self.last_offset = Some(offset);
        self.timestamp_max = self.timestamp_max.max(timestamp);
        self.count += 1;
        Ok(())
    }
}

fn write_nullable(out: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => varint::write_i32(out, -1),
        Some(bytes) => {
            varint::write_i32(out, bytes.len() as i32);
            out.extend_from_slice(bytes);
        }
    }
}
