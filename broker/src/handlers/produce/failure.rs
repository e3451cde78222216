//! Why a partition was not appended to, and what the response says about it.

use protocol::error_code::ErrorCode;
use protocol::messages::produce::BatchIndexAndErrorMessage;
use protocol::records::validate::Refusal;
use storage::AppendError;

use crate::replication::manager::ReplicaManager;
use crate::replication::partition::{Partition, ProduceError};

/// Why a partition was not appended to, with what the response says about it.
#[derive(Debug, Clone)]
pub struct Failure {
    pub code: ErrorCode,
    /// −1 if it is not told.
    pub log_start: i64,
    pub message: Option<String>,
    pub records: Vec<BatchIndexAndErrorMessage>,
}

impl Failure {
    pub fn code(code: ErrorCode) -> Failure {
        Failure { code, log_start: -1, message: None, records: Vec::new() }
    }

    /// A refused append. The log start goes with every error but those that Kafka expects.
    pub fn of_append(
        replicas: &ReplicaManager,
        partition: &Partition,
        error: &ProduceError,
    ) -> Failure {
        let mut failure = Failure::code(refused(replicas, partition, error));
        if !is_expected(failure.code) {
            failure.log_start = partition.log_start();
        }
        let ProduceError::Append(AppendError::Invalid(invalid)) = error else { return failure };
        let name = partition.name();
        failure.message = invalid.message(&name);
        let told = invalid.rejections().iter().map(|record| BatchIndexAndErrorMessage {
            batch_index: record.index,
            batch_index_error_message: Some(record.message(&name)),
        });
        failure.records = told.collect();
        failure
    }
}

/// The errors that tell no log start: see `ReplicaManager.appendToLocalLog`.
fn is_expected(code: ErrorCode) -> bool {
    [
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ErrorCode::MESSAGE_TOO_LARGE,
        ErrorCode::RECORD_LIST_TOO_LARGE,
        ErrorCode::CORRUPT_MESSAGE,
        ErrorCode::KAFKA_STORAGE_ERROR,
    ]
    .contains(&code)
}

/// Notes a refused append; gives its error code.
pub fn refused(
    replicas: &ReplicaManager,
    partition: &Partition,
    error: &ProduceError,
) -> ErrorCode {
    tracing::debug!(?partition, %error, "records were not appended");
    if let ProduceError::Append(AppendError::Disk(disk)) = error
        && !disk.is_full()
    {
        replicas.disk_failed(&partition.name(), disk);
    }
    code_of(error)
}

/// The error code of a refused append.
pub fn code_of(error: &ProduceError) -> ErrorCode {
    let error = match error {
        ProduceError::NotLeader => return ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ProduceError::NotEnoughReplicas => return ErrorCode::NOT_ENOUGH_REPLICAS,
        ProduceError::Append(error) => error,
    };
    match error {
        AppendError::Corrupt(_) => ErrorCode::CORRUPT_MESSAGE,
        AppendError::Invalid(invalid) => match invalid.refusal() {
            Refusal::InvalidRecord => ErrorCode::INVALID_RECORD,
            Refusal::InvalidTimestamp => ErrorCode::INVALID_TIMESTAMP,
            Refusal::CorruptMessage => ErrorCode::CORRUPT_MESSAGE,
            Refusal::UnsupportedCompressionType => ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
            Refusal::MessageTooLarge => ErrorCode::MESSAGE_TOO_LARGE,
            Refusal::Unreadable => ErrorCode::UNKNOWN_SERVER_ERROR,
            // Nothing was appended, and any producer tries again.
            Refusal::Busy => ErrorCode::NOT_ENOUGH_REPLICAS,
        },
        AppendError::BaseOffset(_) => ErrorCode::INVALID_RECORD,
        AppendError::MessageTooLarge { .. } => ErrorCode::MESSAGE_TOO_LARGE,
        AppendError::RecordListTooLarge { .. } => ErrorCode::RECORD_LIST_TOO_LARGE,
        AppendError::OutOfOrderSequence { .. } => ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
        AppendError::InvalidProducerEpoch { .. } => ErrorCode::INVALID_PRODUCER_EPOCH,
        AppendError::InvalidTxnState { .. } => ErrorCode::INVALID_TXN_STATE,
        AppendError::CoordinatorFenced { .. } => ErrorCode::TRANSACTION_COORDINATOR_FENCED,
        AppendError::UnexpectedOffset { .. } | AppendError::OffsetsExhausted { .. } => {
            ErrorCode::UNKNOWN_SERVER_ERROR
        }
        AppendError::Disk(_) | AppendError::Failed(_) => ErrorCode::KAFKA_STORAGE_ERROR,
    }
}
