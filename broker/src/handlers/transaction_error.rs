//! The protocol's codes for what the transaction coordinator refuses. Knows nothing of any one API.

use coordinator::transaction::TransactionError;
use protocol::error_code::ErrorCode;

pub fn code(error: TransactionError) -> ErrorCode {
    match error {
        TransactionError::InvalidRequest => ErrorCode::INVALID_REQUEST,
        TransactionError::InvalidTransactionTimeout => ErrorCode::INVALID_TRANSACTION_TIMEOUT,
        TransactionError::InvalidProducerIdMapping => ErrorCode::INVALID_PRODUCER_ID_MAPPING,
        TransactionError::ProducerFenced => ErrorCode::PRODUCER_FENCED,
        TransactionError::ConcurrentTransactions => ErrorCode::CONCURRENT_TRANSACTIONS,
        TransactionError::InvalidTxnState => ErrorCode::INVALID_TXN_STATE,
        TransactionError::TransactionAbortable => ErrorCode::TRANSACTION_ABORTABLE,
        TransactionError::TransactionalIdNotFound => ErrorCode::TRANSACTIONAL_ID_NOT_FOUND,
        TransactionError::CoordinatorNotAvailable => ErrorCode::COORDINATOR_NOT_AVAILABLE,
        TransactionError::CoordinatorLoadInProgress => ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
        TransactionError::NotCoordinator => ErrorCode::NOT_COORDINATOR,
        TransactionError::UnknownServerError => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}

/// The code for a caller who knows PRODUCER_FENCED only from some version on.
pub fn code_for(error: TransactionError, knows_fenced: bool) -> ErrorCode {
    match code(error) {
        ErrorCode::PRODUCER_FENCED if !knows_fenced => ErrorCode::INVALID_PRODUCER_EPOCH,
        code => code,
    }
}

/// The same of a result; NONE if it is one.
pub fn code_of(result: Result<(), TransactionError>, knows_fenced: bool) -> ErrorCode {
    result.map_or_else(|error| code_for(error, knows_fenced), |()| ErrorCode::NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_clients_are_told_of_an_epoch() {
        let fenced = TransactionError::ProducerFenced;
        assert_eq!(code_for(fenced, true), ErrorCode::PRODUCER_FENCED);
        assert_eq!(code_for(fenced, false), ErrorCode::INVALID_PRODUCER_EPOCH);
        assert_eq!(code_of(Ok(()), true), ErrorCode::NONE);
        assert_eq!(code_of(Err(fenced), false), ErrorCode::INVALID_PRODUCER_EPOCH);
    }
}
