//! The protocol's codes for partitions that are not here, or do not obey the controller. Knows
//! nothing of any one API.

use protocol::error_code::ErrorCode;

use crate::replication::manager::{NotHere, OrderError};

pub fn not_here(error: NotHere) -> ErrorCode {
    match error {
        NotHere::Offline => ErrorCode::KAFKA_STORAGE_ERROR,
        NotHere::Elsewhere => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        NotHere::Unknown => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
    }
}

/// What LeaderAndIsr and StopReplica answer of one partition.
pub fn obeyed(result: &Result<(), OrderError>) -> ErrorCode {
    let Err(error) = result else { return ErrorCode::NONE };
    match error {
        OrderError::Offline | OrderError::Storage(_) => ErrorCode::KAFKA_STORAGE_ERROR,
        OrderError::InconsistentTopicId { .. } => ErrorCode::INCONSISTENT_TOPIC_ID,
        OrderError::NotAReplica => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        OrderError::StaleEpoch | OrderError::KnownEpoch => ErrorCode::STALE_CONTROLLER_EPOCH,
        OrderError::FencedLeaderEpoch => ErrorCode::FENCED_LEADER_EPOCH,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_that_repeats_itself_is_told_the_same_as_a_former_one() {
        let codes = [OrderError::KnownEpoch, OrderError::StaleEpoch].map(|e| obeyed(&Err(e)));
        assert_eq!(codes, [ErrorCode::STALE_CONTROLLER_EPOCH; 2]);
        assert_eq!(obeyed(&Ok(())), ErrorCode::NONE);
    }
}
