//! The protocol's codes for topics that are not made. Knows nothing of any one API.

use protocol::error_code::ErrorCode;
use replica::assignment::AssignError;

use crate::topics::create::CreateTopicError;

pub fn code(error: &CreateTopicError) -> ErrorCode {
    match error {
        CreateTopicError::Exists(_) | CreateTopicError::MarkedForDeletion(_) => {
            ErrorCode::TOPIC_ALREADY_EXISTS
        }
        CreateTopicError::InvalidName(_) | CreateTopicError::Collides { .. } => {
            ErrorCode::INVALID_TOPIC_EXCEPTION
        }
        CreateTopicError::InvalidRequest(_) => ErrorCode::INVALID_REQUEST,
        CreateTopicError::Assign(error) => not_assigned(error),
        CreateTopicError::InvalidAssignment(_) => ErrorCode::INVALID_REPLICA_ASSIGNMENT,
        CreateTopicError::UnknownConfig(_)
        | CreateTopicError::NullConfigs(_)
        | CreateTopicError::InvalidConfig(_) => ErrorCode::INVALID_CONFIG,
        CreateTopicError::Config(_) | CreateTopicError::Store(_) | CreateTopicError::Znode(_) => {
            ErrorCode::UNKNOWN_SERVER_ERROR
        }
    }
}

/// Of partitions that cannot be given to brokers.
pub fn not_assigned(error: &AssignError) -> ErrorCode {
    match error {
        AssignError::NoPartitions | AssignError::TooManyPartitions => ErrorCode::INVALID_PARTITIONS,
        AssignError::NoReplicas | AssignError::TooManyReplicas { .. } => {
            ErrorCode::INVALID_REPLICATION_FACTOR
        }
        AssignError::RackUnknown => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_is_being_deleted_is_still_there() {
        let marked = CreateTopicError::MarkedForDeletion("t".to_owned());
        assert_eq!(code(&marked), ErrorCode::TOPIC_ALREADY_EXISTS);
        let racks = CreateTopicError::Assign(AssignError::RackUnknown);
        assert_eq!(code(&racks), ErrorCode::UNKNOWN_SERVER_ERROR);
    }
}
