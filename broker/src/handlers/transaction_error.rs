//! The protocol's codes for what the transaction coordinator refuses. Knows nothing of any one API.

use coordinator::transaction::TransactionError;
use coordinator::transaction::verification::Doubt;
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

/// For a client whose partition is not known to be in its transaction.
pub fn unverified(doubt: Doubt, knows_abortable: bool) -> ErrorCode {
    let word = match doubt {
        Doubt::NoCoordinator => return ErrorCode::COORDINATOR_NOT_AVAILABLE,
        Doubt::Lost => return ErrorCode::NETWORK_EXCEPTION,
        Doubt::Fenced => return ErrorCode::INVALID_PRODUCER_EPOCH,
        // A fault between brokers, which no client is to take for its own.
        Doubt::AnsweredAll(ErrorCode::CLUSTER_AUTHORIZATION_FAILED) => {
            return ErrorCode::INVALID_TXN_STATE;
        }
        Doubt::AnsweredAll(code) => return code,
        Doubt::Refused(error) => code(error),
        Doubt::Answered(code) => code,
    };
    match word {
        ErrorCode::PRODUCER_FENCED => ErrorCode::INVALID_PRODUCER_EPOCH,
        ErrorCode::TRANSACTION_ABORTABLE if !knows_abortable => ErrorCode::INVALID_TXN_STATE,
        word => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_of_doubts_in_codes_that_they_know() {
        let abortable = Doubt::Answered(ErrorCode::TRANSACTION_ABORTABLE);
        let fenced = TransactionError::ProducerFenced;
        for (doubt, knows_abortable, expected) in [
            (abortable, false, ErrorCode::INVALID_TXN_STATE),
            (abortable, true, ErrorCode::TRANSACTION_ABORTABLE),
            (
                Doubt::Refused(TransactionError::TransactionAbortable),
                false,
                ErrorCode::INVALID_TXN_STATE,
            ),
            (Doubt::Refused(fenced), true, ErrorCode::INVALID_PRODUCER_EPOCH),
            (Doubt::Answered(ErrorCode::PRODUCER_FENCED), true, ErrorCode::INVALID_PRODUCER_EPOCH),
            (Doubt::Fenced, true, ErrorCode::INVALID_PRODUCER_EPOCH),
            (Doubt::Lost, true, ErrorCode::NETWORK_EXCEPTION),
            (Doubt::NoCoordinator, true, ErrorCode::COORDINATOR_NOT_AVAILABLE),
            (
                Doubt::AnsweredAll(ErrorCode::CLUSTER_AUTHORIZATION_FAILED),
                true,
                ErrorCode::INVALID_TXN_STATE,
            ),
            (
                Doubt::AnsweredAll(ErrorCode::UNKNOWN_SERVER_ERROR),
                true,
                ErrorCode::UNKNOWN_SERVER_ERROR,
            ),
        ] {
            assert_eq!(unverified(doubt, knows_abortable), expected, "{doubt:?}");
        }
    }

    #[test]
    fn old_clients_are_told_of_an_epoch() {
        let fenced = TransactionError::ProducerFenced;
        assert_eq!(code_for(fenced, true), ErrorCode::PRODUCER_FENCED);
        assert_eq!(code_for(fenced, false), ErrorCode::INVALID_PRODUCER_EPOCH);
        assert_eq!(code_of(Ok(()), true), ErrorCode::NONE);
        assert_eq!(code_of(Err(fenced), false), ErrorCode::INVALID_PRODUCER_EPOCH);
    }
}
