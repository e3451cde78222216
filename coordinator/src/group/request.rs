//! What a group shard is asked and what it answers, free of wire versions. Bytes in requests are
//! kept for as long as the group lives: they must not be slices of a larger frame.

use bytes::Bytes;
use protocol::ids::{LeaderEpoch, Offset, TimestampMs, TopicPartition, Uuid, VerificationGuard};

use std::sync::Arc;

use super::consumer::Partitions;
use super::consumer::assignor::Assignor;
use super::consumer::group::ConsumerGroupState;
use super::consumer::member::Subscription;
use super::consumer::topics::Topics;
use super::metadata::State;
use super::{GroupError, Name};
use crate::shard::{Marker, Producer};

/// One way of dividing work that a member can take part in, with what it says about itself there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocol {
    pub name: String,
    pub metadata: Bytes,
}

/// Who sends a member's request, and which generation it believes in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Caller {
    /// Empty: unknown or none.
    pub member_id: String,
    pub instance_id: Option<String>,
    /// Negative: none.
    pub generation: i32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRequest {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    /// As Kafka shows it: "/ip".
    pub client_host: String,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    pub protocol_type: String,
    /// In order of preference.
    pub protocols: Vec<Protocol>,
    /// A new dynamic member must come back with the id it is given (v4+).
    pub needs_known_member_id: bool,
    /// The caller understands `skip_assignment` (v9+).
    pub can_skip_assignment: bool,
    /// Randomness for a new member id.
    pub random: u128,
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    pub member_id: Name,
    pub instance_id: Option<String>,
    pub metadata: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinAnswer {
    pub error: Option<GroupError>,
    /// -1 with most errors.
    pub generation: i32,
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    /// Empty if there is none to tell.
    pub leader: Name,
    pub member_id: Name,
    pub skip_assignment: bool,
    /// Everyone, for the leader; empty for the others.
    pub members: Vec<JoinedMember>,
}

impl JoinAnswer {
    pub fn refused(member_id: &str, error: GroupError) -> JoinAnswer {
        JoinAnswer {
            error: Some(error),
            generation: -1,
            protocol_type: None,
            protocol: None,
            leader: "".into(),
            member_id: member_id.into(),
            skip_assignment: false,
            members: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncRequest {
    pub caller: Caller,
    /// `None` before v5.
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    /// Member id and assignment; only the leader's are looked at.
    pub assignments: Vec<(String, Bytes)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncAnswer {
    pub error: Option<GroupError>,
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub assignment: Bytes,
}

impl SyncAnswer {
    pub fn refused(error: GroupError) -> SyncAnswer {
        SyncAnswer {
            error: Some(error),
            protocol_type: None,
            protocol: None,
            assignment: Bytes::new(),
        }
    }
}

/// One who leaves; an empty member id with an instance id is an administrator's removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeavingMember {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaveAnswer {
    pub error: Option<GroupError>,
    /// One per leaving member, in order; empty with an error.
    pub members: Vec<Option<GroupError>>,
}

/// A committed offset, as `OffsetCommitValue` holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetCommit {
    pub offset: Offset,
    /// -1: unknown.
    pub leader_epoch: LeaderEpoch,
    pub metadata: String,
    pub commit_ms: TimestampMs,
    /// An explicit end of retention (OffsetCommit v2 to v4).
    pub expire_ms: Option<TimestampMs>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitRequest {
    pub caller: Caller,
    /// The transaction the commit belongs to.
    pub producer: Option<Producer>,
    /// What lets the commit begin the transaction in the group's partition; `None`: anything does.
    pub guard: Option<VerificationGuard>,
    /// The request can tell a member epoch from a generation (v9+).
    pub knows_epochs: bool,
    pub offsets: Vec<(TopicPartition, OffsetCommit)>,
}

/// One result per committed partition, in the request's order.
pub type CommitAnswer = Vec<(TopicPartition, Option<GroupError>)>;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FetchRequest {
    /// `None` asks for all.
    pub partitions: Option<Vec<TopicPartition>>,
    pub require_stable: bool,
    /// The member of a group of the new protocol that asks, and its epoch (v9+).
    pub member: Option<(String, i32)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedOffset {
    pub partition: TopicPartition,
    /// `Ok(None)`: nothing is committed.
    pub commit: Result<Option<OffsetCommit>, GroupError>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberDescription {
    pub member_id: Name,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    /// Empty unless the group is stable.
    pub metadata: Bytes,
    pub assignment: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    /// `Dead` if there is no such group.
    pub state: State,
    pub protocol_type: String,
    /// Empty unless the group is stable.
    pub protocol: String,
    pub members: Vec<MemberDescription>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupListing {
    pub group_id: Name,
    pub protocol_type: String,
    /// As ListGroups shows it.
    pub state: &'static str,
    pub kind: GroupKind,
    /// Partitions that it has committed an offset of.
    pub offsets: usize,
}

/// Which protocol a group's members speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupKind {
    Classic,
    Consumer,
}

impl GroupKind {
    /// As ListGroups shows it.
    pub fn name(self) -> &'static str {
        match self {
            GroupKind::Classic => "classic",
            GroupKind::Consumer => "consumer",
        }
    }
}

/// A heartbeat of the new protocol; what is `None` has not changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConsumerHeartbeat {
    /// Empty: the coordinator chooses one (v0).
    pub member_id: String,
    /// 0 joins, -1 leaves, -2 leaves for a while.
    pub epoch: i32,
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub client_id: String,
    /// As Kafka shows it: "/ip".
    pub client_host: String,
    pub rebalance_timeout_ms: Option<i32>,
    pub topics: Option<Vec<String>>,
    /// Empty: none any more.
    pub regex: Option<String>,
    pub assignor: Option<String>,
    /// What the member has.
    pub owned: Option<Partitions>,
    /// Randomness for a new member id.
    pub random: u128,
}

/// What a member of a group of the new protocol is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerAnswer {
    pub member_id: Name,
    pub epoch: i32,
    pub heartbeat_interval_ms: i32,
    /// `None`: as before.
    pub assignment: Option<Partitions>,
}

/// An error, and what a human should know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub error: GroupError,
    pub message: Option<String>,
}

impl From<GroupError> for Refusal {
    fn from(error: GroupError) -> Refusal {
        Refusal { error, message: None }
    }
}

/// Partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPartitions {
    pub topic_id: Uuid,
    pub topic: Arc<str>,
    pub partitions: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerMemberDescription {
    pub member_id: Name,
    pub epoch: i32,
    pub is_classic: bool,
    pub subscription: Subscription,
    pub assigned: Vec<NamedPartitions>,
    pub target: Vec<NamedPartitions>,
}

/// A group of the new protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerDescription {
    pub state: ConsumerGroupState,
    pub epoch: i32,
    pub target_epoch: i32,
    pub assignor: Assignor,
    pub members: Vec<ConsumerMemberDescription>,
}

/// Everything one group shard can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    Join {
        group: String,
        join: JoinRequest,
        topics: Topics,
    },
    Sync {
        group: String,
        sync: SyncRequest,
    },
    Heartbeat {
        group: String,
        caller: Caller,
    },
    Leave {
        group: String,
        members: Vec<LeavingMember>,
    },
    Commit {
        group: String,
        commit: CommitRequest,
    },
    ConsumerHeartbeat {
        group: String,
        heartbeat: ConsumerHeartbeat,
        topics: Topics,
    },
    Fetch {
        group: String,
        fetch: FetchRequest,
    },
    DescribeConsumer {
        group: String,
        topics: Topics,
    },
    Describe {
        group: String,
    },
    /// All groups of the shard.
    List,
    Delete {
        group: String,
    },
    DeleteOffsets {
        group: String,
        partitions: Vec<TopicPartition>,
    },
    /// These partitions are gone from the cluster, and so are their offsets in every group.
    PartitionsDeleted {
        partitions: Vec<TopicPartition>,
    },
    /// A transaction marker was written into this shard's partition.
    TransactionEnded {
        producer_id: i64,
        marker: Marker,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Join(JoinAnswer),
    Sync(SyncAnswer),
    Heartbeat(Result<(), GroupError>),
    Leave(LeaveAnswer),
    Commit(CommitAnswer),
    Fetch(Result<Vec<FetchedOffset>, GroupError>),
    ConsumerHeartbeat(Result<ConsumerAnswer, Refusal>),
    DescribeConsumer(Option<ConsumerDescription>),
    Describe(GroupDescription),
    List(Vec<GroupListing>),
    Delete(Result<(), GroupError>),
    DeleteOffsets(Result<CommitAnswer, GroupError>),
    Done,
}

impl Answer {
    /// The same, if what it says is not in the log.
    pub(super) fn refused(self, error: GroupError) -> Answer {
        match self {
            Answer::Join(join) => Answer::Join(JoinAnswer::refused(&join.member_id, error)),
            Answer::Leave(_) => {
                Answer::Leave(LeaveAnswer { error: Some(error), members: Vec::new() })
            }
            Answer::ConsumerHeartbeat(_) => Answer::ConsumerHeartbeat(Err(error.into())),
            other => unreachable!("{other:?} does not wait for a group's changes"),
        }
    }
}
