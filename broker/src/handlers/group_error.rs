//! The protocol's codes for what the group coordinator refuses. Knows nothing of any one API.

use coordinator::group::GroupError;
use protocol::error_code::ErrorCode;

pub fn code(error: GroupError) -> ErrorCode {
    match error {
        GroupError::InvalidRequest => ErrorCode::INVALID_REQUEST,
        GroupError::InvalidGroupId => ErrorCode::INVALID_GROUP_ID,
        GroupError::CoordinatorNotAvailable => ErrorCode::COORDINATOR_NOT_AVAILABLE,
        GroupError::CoordinatorLoadInProgress => ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
        GroupError::NotCoordinator => ErrorCode::NOT_COORDINATOR,
        GroupError::InvalidSessionTimeout => ErrorCode::INVALID_SESSION_TIMEOUT,
        GroupError::UnknownMemberId => ErrorCode::UNKNOWN_MEMBER_ID,
        GroupError::MemberIdRequired => ErrorCode::MEMBER_ID_REQUIRED,
        GroupError::FencedInstanceId => ErrorCode::FENCED_INSTANCE_ID,
        GroupError::FencedMemberEpoch => ErrorCode::FENCED_MEMBER_EPOCH,
        GroupError::StaleMemberEpoch => ErrorCode::STALE_MEMBER_EPOCH,
        GroupError::UnsupportedVersion => ErrorCode::UNSUPPORTED_VERSION,
        GroupError::UnreleasedInstanceId => ErrorCode::UNRELEASED_INSTANCE_ID,
        GroupError::UnsupportedAssignor => ErrorCode::UNSUPPORTED_ASSIGNOR,
        GroupError::InvalidRegularExpression => ErrorCode::INVALID_REGULAR_EXPRESSION,
        GroupError::IllegalGeneration => ErrorCode::ILLEGAL_GENERATION,
        GroupError::InconsistentGroupProtocol => ErrorCode::INCONSISTENT_GROUP_PROTOCOL,
        GroupError::GroupMaxSizeReached => ErrorCode::GROUP_MAX_SIZE_REACHED,
        GroupError::RebalanceInProgress => ErrorCode::REBALANCE_IN_PROGRESS,
        GroupError::GroupIdNotFound => ErrorCode::GROUP_ID_NOT_FOUND,
        GroupError::NonEmptyGroup => ErrorCode::NON_EMPTY_GROUP,
        GroupError::GroupSubscribedToTopic => ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC,
        GroupError::OffsetMetadataTooLarge => ErrorCode::OFFSET_METADATA_TOO_LARGE,
        GroupError::InvalidCommitOffsetSize => ErrorCode::INVALID_COMMIT_OFFSET_SIZE,
        GroupError::UnstableOffsetCommit => ErrorCode::UNSTABLE_OFFSET_COMMIT,
        GroupError::InvalidProducerEpoch => ErrorCode::INVALID_PRODUCER_EPOCH,
        GroupError::InvalidTxnState => ErrorCode::INVALID_TXN_STATE,
        GroupError::RequestTimedOut => ErrorCode::REQUEST_TIMED_OUT,
        GroupError::UnknownServerError => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}

/// 0 for no error.
pub fn number(error: Option<GroupError>) -> i16 {
    error.map_or(ErrorCode::NONE, code).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_no_error() {
        assert_eq!(number(None), 0);
        assert_eq!(number(Some(GroupError::NonEmptyGroup)), ErrorCode::NON_EMPTY_GROUP.0);
    }
}
