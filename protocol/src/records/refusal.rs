//! Why a produced record set is refused, and what its producer is told: the error code it stands
//! for and Kafka's words for single records.

use super::batch::BatchError;
use super::builder::BuildError;
use super::codec::{Codec, CodecError};
use super::legacy::{LegacyError, Message};
use super::scan::ScannedRecord;
use super::view::RecordsError;
use crate::ids::{Offset, TopicPartition};

/// One record's reason to be refused, for the response's `record_errors`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRejection {
    /// Index in the batch, from 0.
    pub index: i32,
    text: String,
    /// The text goes on with the partition's name.
    names_partition: bool,
}

impl RecordRejection {
    pub(super) fn new(index: i32, text: String, names_partition: bool) -> RecordRejection {
        RecordRejection { index, text, names_partition }
    }

    /// What the producer is told, in the words of Kafka's `LogValidator`.
    pub fn message(&self, partition: &TopicPartition) -> String {
        match self.names_partition {
            true => format!("{} in topic partition {partition}", self.text),
            false => self.text.clone(),
        }
    }
}

/// Which error code a refusal stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    InvalidRecord,
    InvalidTimestamp,
    CorruptMessage,
    UnsupportedCompressionType,
    MessageTooLarge,
    /// Kafka meets these bytes unprepared: UNKNOWN_SERVER_ERROR.
    Unreadable,
    /// Nothing is wrong with the set; later there will be room for it.
    Busy,
}

/// Why a record set is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValidateError {
    #[error("record set has no batches at all")]
    NoBatch,
    #[error("record set has more than one batch")]
    ManyBatches,
    #[error("batch magic {found} is not the first batch's magic {first}")]
    MixedMagic { found: i8, first: i8 },
    #[error("invalid offset range [{base}, {last}]")]
    OffsetRange { base: Offset, last: Offset },
    #[error("invalid record count {0}")]
    Count(i32),
    #[error("offset range [{base}, {last}] does not fit record count {count}")]
    CountOfRange { base: Offset, last: Offset, count: i32 },
    #[error("inner offsets of a compressed batch do not count 0, 1, 2, …")]
    OffsetDeltas,
    #[error("clients may not write control records")]
    Control,
    #[error("invalid sequence number {sequence} in a batch of producer id {producer_id}")]
    Sequence { sequence: i32, producer_id: i64 },
    #[error("One or more records have been rejected due to invalid timestamp")]
    Timestamps(Vec<RecordRejection>),
    #[error("One or more records have been rejected due to {} record errors", .0.len())]
    Rejected(Vec<RecordRejection>),
    #[error(transparent)]
    Records(#[from] RecordsError),
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Rejections reported for one batch; the rest are only counted in the log.
pub const REJECTIONS_MAX: usize = 1_000;
/// Of those, how many the text for the whole batch names.
const REJECTIONS_SHOWN: usize = 3;

impl ValidateError {
    pub fn refusal(&self) -> Refusal {
        match self {
            ValidateError::Timestamps(_) => Refusal::InvalidTimestamp,
            ValidateError::Records(RecordsError::Batch(_)) => Refusal::CorruptMessage,
            ValidateError::Records(RecordsError::Legacy(LegacyError::Crc { .. })) => {
                Refusal::CorruptMessage
            }
            ValidateError::Records(RecordsError::Legacy(LegacyError::Size(_))) => {
                Refusal::CorruptMessage
            }
            ValidateError::Records(
                RecordsError::Codec(error) | RecordsError::Legacy(LegacyError::Codec(error)),
            ) => of_codec(error),
            ValidateError::Records(RecordsError::Legacy(LegacyError::Short)) => Refusal::Unreadable,
            ValidateError::Build(BuildError::TooLarge) => Refusal::MessageTooLarge,
            _ => Refusal::InvalidRecord,
        }
    }

    /// Per-record reasons, where there are any.
    pub fn rejections(&self) -> &[RecordRejection] {
        match self {
            ValidateError::Timestamps(all) | ValidateError::Rejected(all) => all,
            _ => &[],
        }
    }

    /// What the producer is told about the batch if single records are the reason.
    pub fn message(&self, partition: &TopicPartition) -> Option<String> {
        match self {
            ValidateError::Timestamps(_) => Some(self.to_string()),
            ValidateError::Rejected(all) => {
                let shown: Vec<String> = all
                    .iter()
                    .take(REJECTIONS_SHOWN)
                    .map(|one| {
                        let (index, message) = (one.index, one.message(partition));
                        format!("RecordError(batchIndex={index}, message='{message}')")
                    })
                    .collect();
                Some(format!(
                    "{self} in total, and only showing the first three errors at most: [{}]",
                    shown.join(", ")
                ))
            }
            _ => None,
        }
    }
}

/// Of Kafka's codecs, what is not their format fails as an I/O error.
fn of_codec(error: &CodecError) -> Refusal {
    match error {
        CodecError::Busy { .. } => Refusal::Busy,
        CodecError::Unknown(_) | CodecError::Corrupt { .. } => Refusal::Unreadable,
        _ => Refusal::InvalidRecord,
    }
}

impl From<CodecError> for ValidateError {
    fn from(error: CodecError) -> Self {
        ValidateError::Records(error.into())
    }
}

impl From<BatchError> for ValidateError {
    fn from(error: BatchError) -> Self {
        ValidateError::Records(error.into())
    }
}

/// A record as Kafka prints it; `partial` where it has read no more than the sizes.
pub(super) fn show_record(record: &ScannedRecord, partial: bool) -> String {
    let (class, least) = if partial { ("PartialDefaultRecord", -1) } else { ("DefaultRecord", 0) };
    let ScannedRecord { offset_delta, timestamp, key_size, value_size } = record;
    format!(
        "{class}(offset={offset_delta}, timestamp={timestamp}, key={} bytes, value={} bytes)",
        key_size.max(&least),
        value_size.max(&least)
    )
}

pub(super) fn size_of(bytes: Option<&[u8]>) -> i32 {
    bytes.map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap_or(i32::MAX))
}

/// A message as Kafka prints it.
pub(super) fn show_message(message: &Message<'_>) -> String {
    let codec = message.codec().map_or("unknown", Codec::name);
    let time = match (message.magic, message.is_log_append_time()) {
        (0, _) => String::new(),
        (_, true) => format!("LogAppendTime={}, ", message.timestamp),
        (_, false) => format!("CreateTime={}, ", message.timestamp),
    };
    format!(
        "LegacyRecordBatch(offset={}, Record(magic={}, attributes={}, compression={codec}, \
         crc={}, {time}key={} bytes, value={} bytes))",
        message.offset,
        message.magic,
        message.attributes(),
        message.crc(),
        size_of(message.key).max(0),
        size_of(message.value).max(0)
    )
}
