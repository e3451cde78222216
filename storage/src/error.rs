//! What can go wrong in each operation of a log. Knows nothing of protocol error codes: handlers
//! map these.

use std::io;
use std::path::{Path, PathBuf};

use protocol::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TimestampMs};
use protocol::records::validate::{Refusal, ValidateError};
use protocol::records::view::RecordsError;

/// A file operation failed. The directory it happened in is no longer trustworthy: after a failed
/// sync nothing may be acknowledged from it again (`reliability.md` §1), and it is never retried.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {}: {source}", path.display())]
pub struct DiskError {
    pub operation: &'static str,
    pub path: PathBuf,
    pub source: io::Error,
}

/// What a failed sync is called.
const SYNC: &str = "sync";

impl DiskError {
    /// The disk or the quota is full: nothing is damaged, the append simply did not happen. A sync
    /// that says so has lost what was written before.
    pub fn is_full(&self) -> bool {
        let full = matches!(self.source.raw_os_error(), Some(libc::ENOSPC) | Some(libc::EDQUOT));
        full && self.operation != SYNC
    }

    /// Descriptors or memory ran out, or the file had just been removed: a read that fails so says
    /// nothing of the disk.
    pub fn is_passing(&self) -> bool {
        let passing = [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOENT];
        self.source.raw_os_error().is_none_or(|errno| passing.contains(&errno))
    }
}

/// Names the operation and the file of an `io::Error`.
pub(crate) trait At<T> {
    fn at(self, operation: &'static str, path: &Path) -> Result<T, DiskError>;

    /// The same where a path must be put together first: only an error pays for that.
    fn at_path(
        self,
        operation: &'static str,
        path: impl FnOnce() -> PathBuf,
    ) -> Result<T, DiskError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, operation: &'static str, path: &Path) -> Result<T, DiskError> {
        self.at_path(operation, || path.to_owned())
    }

    fn at_path(
        self,
        operation: &'static str,
        path: impl FnOnce() -> PathBuf,
    ) -> Result<T, DiskError> {
        self.map_err(|source| DiskError { operation, path: path(), source })
    }
}

/// Opening, loading, recovering or maintaining a log or a log directory failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The bytes of a file cannot be what they should be.
    #[error("{}: {reason}", path.display())]
    Corrupt { path: PathBuf, reason: String },
    /// A log has lost or damaged records that were written below `expected_end`: it is refused
    /// until they are back or their loss is accepted.
    #[error("{}: {reason}", path.display())]
    Damaged { path: PathBuf, reason: String, expected_end: Offset },
    /// Another process holds `.lock`.
    #[error("{}: another process uses this log directory", path.display())]
    Locked { path: PathBuf },
    /// `meta.properties` or `partition.metadata` name another cluster, broker or topic.
    #[error("{}: {field} is {found}, expected {expected}", path.display())]
    Mismatch { path: PathBuf, field: &'static str, found: String, expected: String },
    /// The same partition was found twice, or a directory exists that should not.
    #[error("{}: {reason}", path.display())]
    Conflict { path: PathBuf, reason: String },
    /// An earlier write of this log failed; it must be opened again before it is used.
    #[error("log of {0} is closed after a failed write")]
    Failed(String),
    /// The log was deleted or moved away while it was worked on: nothing is wrong with the disk.
    #[error("log of {0} was deleted or moved")]
    Gone(String),
    /// No log can be cut there.
    #[error("{0} is no offset")]
    NoOffset(Offset),
}

impl StorageError {
    /// See [`DiskError::is_full`].
    pub fn is_full(&self) -> bool {
        matches!(self, StorageError::Disk(error) if error.is_full())
    }
}

/// Why an append did not happen. Except after `Disk`, the log is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The bytes are not whole batches, or a CRC does not hold (CORRUPT_MESSAGE).
    #[error("corrupt batch: {0}")]
    Corrupt(#[from] RecordsError),
    /// A rule of the format or of the topic is broken; `refusal()` and `rejections()` of the
    /// inner error say which error code and which records.
    #[error(transparent)]
    Invalid(#[from] ValidateError),
    /// INVALID_RECORD: a client's batch must begin at offset 0.
    #[error("base offset {0} in a produced batch, 0 expected")]
    BaseOffset(Offset),
    /// Larger than `max.message.bytes` (MESSAGE_TOO_LARGE).
    #[error("batch of {size} bytes, at most {max} are allowed")]
    MessageTooLarge { size: usize, max: usize },
    /// Larger than `segment.bytes` (RECORD_LIST_TOO_LARGE).
    #[error("records of {size} bytes, a segment holds {max}")]
    RecordListTooLarge { size: usize, max: usize },
    /// OUT_OF_ORDER_SEQUENCE_NUMBER.
    #[error("producer {producer_id}: sequence {got} where {expected} was expected")]
    OutOfOrderSequence { producer_id: ProducerId, got: i32, expected: i32 },
    /// INVALID_PRODUCER_EPOCH.
    #[error("producer {producer_id}: epoch {got} is below {current}")]
    InvalidProducerEpoch { producer_id: ProducerId, got: ProducerEpoch, current: ProducerEpoch },
    /// INVALID_TXN_STATE.
    #[error("producer {producer_id}: {reason}")]
    InvalidTxnState { producer_id: ProducerId, reason: &'static str },
    /// TRANSACTION_COORDINATOR_FENCED.
    #[error("producer {producer_id}: coordinator epoch {got} is below {current}")]
    CoordinatorFenced { producer_id: ProducerId, got: i32, current: i32 },
    /// A follower was given offsets that it already has, or that do not rise.
    #[error("batch of offsets {first}..={last} where {log_end} comes next")]
    UnexpectedOffset { first: Offset, last: Offset, log_end: Offset },
    /// No offset is left (UNKNOWN_SERVER_ERROR): the last one has none after it.
    #[error("no offsets are left for {records} records from {log_end} on")]
    OffsetsExhausted { log_end: Offset, records: i64 },
    /// The disk refused (KAFKA_STORAGE_ERROR); see [`DiskError`].
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// An earlier write failed (KAFKA_STORAGE_ERROR).
    #[error("log of {0} is closed after a failed write")]
    Failed(String),
}

impl AppendError {
    /// Whether the same bytes may be accepted later.
    pub fn retriable(&self) -> bool {
        match self {
            AppendError::Corrupt(_) | AppendError::Disk(_) | AppendError::Failed(_) => true,
            AppendError::Invalid(invalid) => invalid.refusal() == Refusal::Busy,
            _ => false,
        }
    }
}

/// Why a read returned nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// OFFSET_OUT_OF_RANGE.
    #[error("offset {offset} is outside {log_start}..={log_end}")]
    OffsetOutOfRange { offset: Offset, log_start: Offset, log_end: Offset },
    /// KAFKA_STORAGE_ERROR: the bytes at that place are no batch.
    #[error("{}: {reason}", path.display())]
    Corrupt { path: PathBuf, reason: String },
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Deleting records or raising the log start failed.
#[derive(Debug, thiserror::Error)]
pub enum DeleteRecordsError {
    /// OFFSET_OUT_OF_RANGE.
    #[error("offset {offset} is above the high watermark {high_watermark}")]
    OffsetOutOfRange { offset: Offset, high_watermark: Offset },
}

/// A timestamp and the offset of the record that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampOffset {
    pub timestamp: TimestampMs,
    pub offset: Offset,
    /// Epoch of the leader that appended it; −1 in batches older than magic 2.
    pub leader_epoch: LeaderEpoch,
}
