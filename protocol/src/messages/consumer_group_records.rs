//! Records of `__consumer_offsets` of groups of the new consumer protocol (KIP-848), as keys and
//! values.
//!
//! A key or value begins with its version as an `i16`. Key 3 is a group's epoch, 4 the topics that
//! it reads, 5 what a member wants, 6 the epoch of the target assignment, 7 a member's target, 8
//! what a member has; every value is of version 0, flexible.

use bytes::Bytes;

use crate::ids::Uuid;
use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(versions = 3)]
pub struct ConsumerGroupMetadataKey {
    /// Key version 3.
    #[wire(versions = 3)]
    pub group_id: String,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(versions = 0, flexible = 0..)]
pub struct ConsumerGroupMetadataValue {
    pub epoch: i32,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(versions = 4)]
pub struct ConsumerGroupPartitionMetadataKey {
    /// Key version 4.
    #[wire(versions = 4)]
    pub group_id: String,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(versions = 0, flexible = 0..)]
pub struct ConsumerGroupPartitionMetadataValue {
    pub topics: Vec<TopicMetadata>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct TopicMetadata {
    pub topic_id: Uuid,
    pub topic_name: String,
    pub num_partitions: i32,
    /// Empty if no rack of any partition is known.
    pub partition_metadata: Vec<PartitionMetadata>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct PartitionMetadata {
    pub partition: i32,
    pub racks: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(versions = 5)]
pub struct ConsumerGroupMemberMetadataKey {
    /// Key version 5.
    #[wire(versions = 5)]
    pub group_id: String,
    #[wire(versions = 5)]
    pub member_id: String,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(versions = 0, flexible = 0..)]
pub struct ConsumerGroupMemberMetadataValue {
    /// `group.instance.id` of a static member; null of a dynamic one.
    #[wire(nullable = 0..)]
    pub instance_id: Option<String>,
    #[wire(nullable = 0..)]
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub subscribed_topic_names: Vec<String>,
    #[wire(nullable = 0..)]
    pub subscribed_topic_regex: Option<String>,
    /// In milliseconds; -1 unknown.
    #[wire(default = -1)]
    pub rebalance_timeout_ms: i32,
    /// Null: the group's choice.
    #[wire(nullable = 0..)]
    pub server_assignor: Option<String>,
    /// Of a member that speaks the classic protocol.
    #[wire(tag = 0, nullable = 0.., default = null)]
    pub classic_member_metadata: Option<ClassicMemberMetadata>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct ClassicMemberMetadata {
    /// In milliseconds.
    pub session_timeout_ms: i32,
    pub supported_protocols: Vec<ClassicProtocol>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct ClassicProtocol {
    pub name: String,
    pub metadata: Bytes,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(versions = 6)]
pub struct ConsumerGroupTargetAssignmentMetadataKey {
    /// Key version 6.
    #[wire(versions = 6)]
    pub group_id: String,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(versions = 0, flexible = 0..)]
pub struct ConsumerGroupTargetAssignmentMetadataValue {
    pub assignment_epoch: i32,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(versions = 7)]
pub struct ConsumerGroupTargetAssignmentMemberKey {
    /// Key version 7.
    #[wire(versions = 7)]
    pub group_id: String,
    #[wire(versions = 7)]
    pub member_id: String,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(versions = 0, flexible = 0..)]
pub struct ConsumerGroupTargetAssignmentMemberValue {
    pub topic_partitions: Vec<TopicPartitions>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct TopicPartitions {
    pub topic_id: Uuid,
    pub partitions: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(versions = 8)]
pub struct ConsumerGroupCurrentMemberAssignmentKey {
    /// Key version 8.
    #[wire(versions = 8)]
    pub group_id: String,
    #[wire(versions = 8)]
    pub member_id: String,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(versions = 0, flexible = 0..)]
pub struct ConsumerGroupCurrentMemberAssignmentValue {
    pub member_epoch: i32,
    /// The epoch before, which the member may still send.
    pub previous_member_epoch: i32,
    /// 0 stable, 1 unrevoked partitions, 2 unreleased partitions.
    pub state: i8,
    pub assigned_partitions: Vec<TopicPartitions>,
    pub partitions_pending_revocation: Vec<TopicPartitions>,
}
