//! The header of a record batch (magic 2), read and patched in place. Knows nothing of the records
//! inside; see KIP-98 and Kafka's `DefaultRecordBatch`.

use super::codec::{Codec, CodecError};
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TimestampMs};

/// Bytes before the records of a magic-2 batch.
pub const HEADER_BYTES: usize = 61;
/// `baseOffset` and `batchLength`: what every magic begins with.
pub const LOG_OVERHEAD: usize = 12;
/// Where the magic byte stands, in every format.
pub const MAGIC_AT: usize = 16;
/// The CRC covers everything from here to the end of the batch.
pub const CRC_FROM: usize = 21;

pub const ATTR_CODEC_MASK: i16 = 0x07;
pub const ATTR_LOG_APPEND_TIME: i16 = 0x08;
pub const ATTR_TRANSACTIONAL: i16 = 0x10;
pub const ATTR_CONTROL: i16 = 0x20;
pub const ATTR_DELETE_HORIZON: i16 = 0x40;

/// Why bytes are not a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error("{have} bytes, {need} needed")]
    Short { have: usize, need: usize },
    #[error("batch length {0} is impossible")]
    Length(i32),
    #[error("magic {0} is not 2")]
    Magic(i8),
    #[error("CRC is {stored:#010x}, the bytes give {computed:#010x}")]
    Crc { stored: u32, computed: u32 },
}

/// The fixed part of a magic-2 batch, as plain numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: Offset,
    /// Bytes after this field; the whole batch is `LOG_OVERHEAD` longer.
    pub batch_length: i32,
    pub leader_epoch: LeaderEpoch,
    pub crc: u32,
    pub attributes: i16,
    pub last_offset_delta: i32,
    /// With `ATTR_DELETE_HORIZON` set this is the horizon.
    pub base_timestamp: TimestampMs,
    pub max_timestamp: TimestampMs,
    pub producer_id: ProducerId,
    pub producer_epoch: ProducerEpoch,
    pub base_sequence: i32,
    pub record_count: i32,
}

fn be<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the caller checked the length")
}

impl BatchHeader {
    /// Reads the header of a batch that starts at `bytes[0]`. The records need not be there.
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
        if bytes.len() < HEADER_BYTES {
            return Err(BatchError::Short { have: bytes.len(), need: HEADER_BYTES });
        }
        let magic = bytes[MAGIC_AT] as i8;
        if magic != 2 {
            return Err(BatchError::Magic(magic));
        }
        let batch_length = i32::from_be_bytes(be(bytes, 8));
        if batch_length < (HEADER_BYTES - LOG_OVERHEAD) as i32 {
            return Err(BatchError::Length(batch_length));
        }
        Ok(BatchHeader {
            base_offset: i64::from_be_bytes(be(bytes, 0)),
            batch_length,
            leader_epoch: i32::from_be_bytes(be(bytes, 12)),
            crc: u32::from_be_bytes(be(bytes, 17)),
            attributes: i16::from_be_bytes(be(bytes, 21)),
            last_offset_delta: i32::from_be_bytes(be(bytes, 23)),
            base_timestamp: i64::from_be_bytes(be(bytes, 27)),
            max_timestamp: i64::from_be_bytes(be(bytes, 35)),
            producer_id: i64::from_be_bytes(be(bytes, 43)),
            producer_epoch: i16::from_be_bytes(be(bytes, 51)),
            base_sequence: i32::from_be_bytes(be(bytes, 53)),
            record_count: i32::from_be_bytes(be(bytes, 57)),
        })
    }

    /// Bytes of the whole batch.
    pub fn size(&self) -> usize {
        LOG_OVERHEAD + self.batch_length as usize
    }

    pub fn last_offset(&self) -> Offset {
        self.base_offset.wrapping_add(i64::from(self.last_offset_delta))
    }

    /// The first offset after this batch.
    pub fn next_offset(&self) -> Offset {
        self.last_offset().wrapping_add(1)
    }

    /// Sequence of the last record; sequences wrap from `i32::MAX` to 0.
    pub fn last_sequence(&self) -> i32 {
        self.sequence_at(self.last_offset_delta)
    }

    /// Sequence of the record at `offset_delta`; −1 without a producer id.
    pub fn sequence_at(&self, offset_delta: i32) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        (i64::from(self.base_sequence) + i64::from(offset_delta)).rem_euclid(1 << 31) as i32
    }

    /// Timestamp of a record that stores `delta`: under append time all records have the batch's.
    pub fn record_timestamp(&self, delta: i64) -> TimestampMs {
        match self.is_log_append_time() {
            true => self.max_timestamp,
            false => self.base_timestamp.wrapping_add(delta),
        }
    }

    pub fn codec(&self) -> i16 {
        self.attributes & ATTR_CODEC_MASK
    }

    /// The codec; an error if its number is nobody's.
    pub fn codec_kind(&self) -> Result<Codec, CodecError> {
        Codec::from_id(self.codec())
    }

    pub fn is_compressed(&self) -> bool {
        self.codec() != 0
    }

    pub fn is_log_append_time(&self) -> bool {
        self.attributes & ATTR_LOG_APPEND_TIME != 0
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes & ATTR_TRANSACTIONAL != 0
    }

    pub fn is_control(&self) -> bool {
        self.attributes & ATTR_CONTROL != 0
    }

    pub fn has_producer_id(&self) -> bool {
        self.producer_id >= 0
    }

    /// The time at which tombstones of a compacted batch may go, once compaction set one.
    pub fn delete_horizon_ms(&self) -> Option<TimestampMs> {
        (self.attributes & ATTR_DELETE_HORIZON != 0).then_some(self.base_timestamp)
    }
}

/// Checks that `batch` is exactly one whole magic-2 batch and that its CRC-32C holds.
pub fn verify(batch: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::parse(batch)?;
    if batch.len() != header.size() {
        return Err(BatchError::Short { have: batch.len(), need: header.size() });
    }
    let computed = crc32c::crc32c(&batch[CRC_FROM..]);
    if computed != header.crc {
        return Err(BatchError::Crc { stored: header.crc, computed });
    }
    Ok(header)
}

/// Writes what the leader assigns. Both fields stand before the CRC's range, so it stays valid.
pub fn assign(batch: &mut [u8], base_offset: Offset, leader_epoch: LeaderEpoch) {
    batch[0..8].copy_from_slice(&base_offset.to_be_bytes());
    batch[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
}

/// Sets the attributes and the largest timestamp, and computes the CRC anew.
pub fn set_timestamps(batch: &mut [u8], attributes: i16, max_timestamp: TimestampMs) {
    batch[21..23].copy_from_slice(&attributes.to_be_bytes());
    batch[35..43].copy_from_slice(&max_timestamp.to_be_bytes());
    let crc = crc32c::crc32c(&batch[CRC_FROM..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// Sets who wrote the batch and its place among that producer's, and computes the CRC anew.
pub fn set_producer(
    batch: &mut [u8],
    producer_id: ProducerId,
    producer_epoch: ProducerEpoch,
    base_sequence: i32,
) {
    batch[43..51].copy_from_slice(&producer_id.to_be_bytes());
    batch[51..53].copy_from_slice(&producer_epoch.to_be_bytes());
    batch[53..57].copy_from_slice(&base_sequence.to_be_bytes());
    let crc = crc32c::crc32c(&batch[CRC_FROM..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}
