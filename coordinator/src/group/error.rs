//! Why a group request was refused. The codes of the protocol are the handlers' business.

use crate::shard::writer::AppendError;

/// What a caller of the group coordinator may be told instead of an answer. Each has the meaning of
/// the protocol error of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    #[error("the request says too little, or contradicts itself")]
    InvalidRequest,
    #[error("the group id is not valid for this request")]
    InvalidGroupId,
    #[error("the coordinator is not available")]
    CoordinatorNotAvailable,
    #[error("the coordinator is loading its partition")]
    CoordinatorLoadInProgress,
    #[error("another broker coordinates this group")]
    NotCoordinator,
    #[error("the session timeout is out of range")]
    InvalidSessionTimeout,
    #[error("the member is not known in the group")]
    UnknownMemberId,
    #[error("the member must join again with the id it was given")]
    MemberIdRequired,
    #[error("another member took over the group instance id")]
    FencedInstanceId,
    #[error("the member's epoch is over: it must give everything up and join again")]
    FencedMemberEpoch,
    #[error("the member's epoch is not the current one")]
    StaleMemberEpoch,
    #[error("the request's version does not know what the group needs")]
    UnsupportedVersion,
    #[error("another member still holds the group instance id")]
    UnreleasedInstanceId,
    #[error("the assignor is not known")]
    UnsupportedAssignor,
    #[error("the regular expression is not valid")]
    InvalidRegularExpression,
    #[error("the generation is not the group's")]
    IllegalGeneration,
    #[error("the protocols do not match the group's")]
    InconsistentGroupProtocol,
    #[error("the group is full")]
    GroupMaxSizeReached,
    #[error("the group is rebalancing")]
    RebalanceInProgress,
    #[error("there is no such group")]
    GroupIdNotFound,
    #[error("the group has members")]
    NonEmptyGroup,
    #[error("the group is subscribed to the topic")]
    GroupSubscribedToTopic,
    #[error("the metadata of the offset is too large")]
    OffsetMetadataTooLarge,
    #[error("the commit is too large for the partition")]
    InvalidCommitOffsetSize,
    #[error("a transaction has an offset of the partition pending")]
    UnstableOffsetCommit,
    #[error("the producer has been fenced")]
    InvalidProducerEpoch,
    #[error("the producer is in no transaction")]
    InvalidTxnState,
    #[error("the records were not committed in time")]
    RequestTimedOut,
    #[error("the records could not be stored")]
    UnknownServerError,
}

impl GroupError {
    /// Whether the same request may succeed later, perhaps elsewhere.
    pub fn retriable(self) -> bool {
        matches!(
            self,
            GroupError::CoordinatorNotAvailable
                | GroupError::CoordinatorLoadInProgress
                | GroupError::NotCoordinator
                | GroupError::UnstableOffsetCommit
                | GroupError::RequestTimedOut
        )
    }

    /// A failed append of a group record, as its members are told.
    pub fn from_group_append(error: AppendError) -> GroupError {
        match error {
            AppendError::UnknownPartition
            | AppendError::NotEnoughReplicas
            | AppendError::NotEnoughReplicasAfterAppend => GroupError::CoordinatorNotAvailable,
            AppendError::NotLeader | AppendError::Storage => GroupError::NotCoordinator,
            AppendError::TimedOut => GroupError::RebalanceInProgress,
            AppendError::TooLarge
            | AppendError::Refused
            | AppendError::ProducerFenced
            | AppendError::NoTransaction => GroupError::UnknownServerError,
        }
    }

    /// A failed append of what changed in a group of the new protocol, as the member is told: it
    /// tries again, and the records are written again with the next change.
    pub fn from_consumer_append(error: AppendError) -> GroupError {
        match error {
            AppendError::TimedOut => GroupError::CoordinatorNotAvailable,
            other => GroupError::from_group_append(other),
        }
    }

    /// A failed append of offsets, as their committer is told.
    pub fn from_offset_append(error: AppendError) -> GroupError {
        match error {
            AppendError::UnknownPartition
            | AppendError::NotEnoughReplicas
            | AppendError::NotEnoughReplicasAfterAppend => GroupError::CoordinatorNotAvailable,
            AppendError::NotLeader | AppendError::Storage => GroupError::NotCoordinator,
            AppendError::TimedOut => GroupError::RequestTimedOut,
            AppendError::TooLarge => GroupError::InvalidCommitOffsetSize,
            AppendError::ProducerFenced => GroupError::InvalidProducerEpoch,
            AppendError::NoTransaction => GroupError::InvalidTxnState,
            AppendError::Refused => GroupError::UnknownServerError,
        }
    }
}
