//! Why a transaction's request was refused. The codes of the protocol are the handlers' business.

use crate::shard::writer::AppendError;

/// What a caller of the transaction coordinator may be told instead of an answer. Each has the
/// meaning of the protocol error of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    #[error("the transactional id is empty")]
    InvalidRequest,
    #[error("the timeout is out of range")]
    InvalidTransactionTimeout,
    #[error("the producer id is not that of the transactional id")]
    InvalidProducerIdMapping,
    #[error("another producer took the transactional id over")]
    ProducerFenced,
    #[error("the transaction is being changed or ended")]
    ConcurrentTransactions,
    #[error("the transaction is in no state for that")]
    InvalidTxnState,
    #[error("the partition is not in the transaction")]
    TransactionAbortable,
    #[error("there is no such transactional id")]
    TransactionalIdNotFound,
    #[error("the coordinator is not available")]
    CoordinatorNotAvailable,
    #[error("the coordinator is loading its partition")]
    CoordinatorLoadInProgress,
    #[error("another broker coordinates this transactional id")]
    NotCoordinator,
    #[error("the record could not be stored")]
    UnknownServerError,
}

impl TransactionError {
    /// Whether the same request may succeed later, perhaps elsewhere.
    pub fn retriable(self) -> bool {
        matches!(
            self,
            TransactionError::ConcurrentTransactions
                | TransactionError::CoordinatorNotAvailable
                | TransactionError::CoordinatorLoadInProgress
                | TransactionError::NotCoordinator
        )
    }

    /// A failed append of a transaction's state, as its producer is told.
    pub fn from_append(error: AppendError) -> TransactionError {
        match error {
            AppendError::UnknownPartition
            | AppendError::NotEnoughReplicas
            | AppendError::NotEnoughReplicasAfterAppend
            | AppendError::TimedOut => TransactionError::CoordinatorNotAvailable,
            AppendError::NotLeader | AppendError::Storage => TransactionError::NotCoordinator,
            AppendError::TooLarge
            | AppendError::Refused
            | AppendError::ProducerFenced
            | AppendError::NoTransaction => TransactionError::UnknownServerError,
        }
    }
}
