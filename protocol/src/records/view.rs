//! Record sets of any format: split into batches, each opened and read as [`Record`]s. Knows
//! nothing of rules about what a batch may hold; see `validate`.

use std::ops::Deref;

use super::batch::{self, BatchError, BatchHeader, CRC_FROM, HEADER_BYTES, LOG_OVERHEAD, MAGIC_AT};
use super::codec::{self, Codec, CodecError, Held, Limits};
use super::legacy::{self, LegacyError, Message, OpenMessage};
use super::record::{Record, RecordError, RecordIter};
use crate::ids::Offset;

/// Why records could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordsError {
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error(transparent)]
    Legacy(#[from] LegacyError),
}

impl RecordsError {
    /// The bytes may be good: other requests hold too much to tell.
    pub fn is_busy(&self) -> bool {
        let (RecordsError::Codec(error) | RecordsError::Legacy(LegacyError::Codec(error))) = self
        else {
            return false;
        };
        matches!(error, CodecError::Busy { .. })
    }
}

/// One whole batch (magic 2) or outer message (magic 0 and 1), as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawBatch<'a> {
    pub magic: i8,
    pub bytes: &'a [u8],
}

impl<'a> RawBatch<'a> {
    /// The offset in front: the first record's in magic 2, the last one's before.
    pub fn base_offset(&self) -> Offset {
        i64::from_be_bytes(*self.bytes.first_chunk().expect("a batch has more bytes than these"))
    }

    /// The number of the codec, whether there is such a codec or not.
    pub fn codec_id(&self) -> i16 {
        let at = if self.magic == 2 { CRC_FROM + 1 } else { legacy::ATTRIBUTES_AT };
        i16::from(self.bytes.get(at).copied().unwrap_or_default()) & batch::ATTR_CODEC_MASK
    }

    /// Checks the CRC and nothing else: what it covers may still be no message of format 0 or 1.
    pub fn verify_crc(&self) -> Result<(), RecordsError> {
        match self.magic {
            2 => self.verify(),
            _ => Ok(legacy::verify_crc(self.bytes)?),
        }
    }

    /// Checks the CRC of this batch's format.
    pub fn verify(&self) -> Result<(), RecordsError> {
        match self.magic {
            2 => batch::verify(self.bytes).map(drop).map_err(RecordsError::from),
            _ => Ok(Message::parse(self.bytes)?.verify()?),
        }
    }

    /// The codec; an error if its number is nobody's.
    pub fn codec(&self) -> Result<Codec, RecordsError> {
        match self.magic {
            2 => Ok(BatchHeader::parse(self.bytes)?.codec_kind()?),
            _ => Ok(Message::parse(self.bytes)?.codec()?),
        }
    }

    /// Decompresses what must be; nothing is copied otherwise.
    pub fn open(&self, limits: &Limits) -> Result<OpenBatch<'a>, RecordsError> {
        match self.magic {
            2 => OpenBatch::open_v2(self.bytes, limits),
            _ => Ok(OpenBatch::Legacy(OpenMessage::open(Message::parse(self.bytes)?, limits)?)),
        }
    }
}

/// Splits a record set. A cut-off last batch ends it, as Kafka's fetch may cut one; a batch that
/// cannot be one is an error and ends it too.
#[derive(Debug, Clone)]
pub struct Batches<'a> {
    rest: &'a [u8],
}

impl<'a> Batches<'a> {
    pub fn new(set: &'a [u8]) -> Batches<'a> {
        Batches { rest: set }
    }

    /// What has not been given yet; after the end, the cut-off tail.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<RawBatch<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let overhead = self.rest.get(..LOG_OVERHEAD)?;
        let length = i32::from_be_bytes(*overhead[8..].first_chunk().expect("four bytes are left"));
        if length < legacy::SIZE_MIN {
            self.rest = &[];
            return Some(Err(BatchError::Length(length)));
        }
        let magic = *self.rest.get(MAGIC_AT)? as i8;
        if !(0..=2).contains(&magic) {
            self.rest = &[];
            return Some(Err(BatchError::Magic(magic)));
        }
        let (bytes, rest) = self.rest.split_at_checked(LOG_OVERHEAD + length as usize)?;
        self.rest = rest;
        Some(Ok(RawBatch { magic, bytes }))
    }
}

/// A batch whose records can be read, as often as wanted.
#[derive(Debug)]
pub enum OpenBatch<'a> {
    V2 { header: BatchHeader, body: Body<'a> },
    Legacy(OpenMessage<'a>),
}

/// Records as they came, or out of a compressed stream.
#[derive(Debug)]
pub enum Body<'a> {
    Plain(&'a [u8]),
    Unpacked(Held),
}

impl Deref for Body<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Body::Plain(bytes) => bytes,
            Body::Unpacked(held) => held,
        }
    }
}

impl<'a> OpenBatch<'a> {
    /// Opens the magic-2 batch at the start of `bytes`. The CRC is not looked at.
    pub fn open_v2(bytes: &'a [u8], limits: &Limits) -> Result<OpenBatch<'a>, RecordsError> {
        let header = BatchHeader::parse(bytes)?;
        let need = header.size();
        let packed =
            bytes.get(HEADER_BYTES..need).ok_or(BatchError::Short { have: bytes.len(), need })?;
        let body = match header.codec_kind()? {
            Codec::None => Body::Plain(packed),
            // Nothing is behind a count of 0, not even an empty stream.
            _ if header.record_count == 0 => Body::Plain(&[]),
            codec => Body::Unpacked(codec::hold(codec, 2, packed, limits)?),
        };
        Ok(OpenBatch::V2 { header, body })
    }

    /// The records in order; ends after the first error.
    pub fn records(&self) -> Result<Records<'_>, RecordsError> {
        match self {
            OpenBatch::V2 { header, body } => Ok(Records::V2(RecordIter::new(header, body)?)),
            OpenBatch::Legacy(open) => Ok(Records::Legacy(Box::new(open.messages()))),
        }
    }
}

/// The records of one batch.
pub enum Records<'a> {
    V2(RecordIter<'a>),
    Legacy(Box<dyn Iterator<Item = Result<Message<'a>, LegacyError>> + 'a>),
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Records::V2(records) => records.next().map(|r| r.map_err(RecordsError::from)),
            Records::Legacy(messages) => {
                messages.next().map(|m| m.map(|m| m.record()).map_err(RecordsError::from))
            }
        }
    }
}
