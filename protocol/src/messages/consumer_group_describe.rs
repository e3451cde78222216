//! ConsumerGroupDescribe (key 69): groups of the new consumer protocol (KIP-848).
//!
//! v0 flexible · v1 which protocol a member speaks (KIP-1099; newer than Kafka 3.9).

use crate::ids::Uuid;
use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 69, versions = 0..=1, flexible = 0..)]
pub struct ConsumerGroupDescribeRequest {
    pub group_ids: Vec<String>,
    /// Whether to tell what the caller may do to each group.
    pub include_authorized_operations: bool,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 69, versions = 0..=1, flexible = 0..)]
pub struct ConsumerGroupDescribeResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    pub groups: Vec<DescribedGroup>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct DescribedGroup {
    pub error_code: i16,
    #[wire(nullable = 0.., default = null)]
    pub error_message: Option<String>,
    pub group_id: String,
    pub group_state: String,
    pub group_epoch: i32,
    pub assignment_epoch: i32,
    pub assignor_name: String,
    pub members: Vec<Member>,
    /// Bits of `AclOperation` codes; `i32::MIN` if not asked for.
    #[wire(default = -0x8000_0000)]
    pub authorized_operations: i32,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct Member {
    pub member_id: String,
    /// `group.instance.id` of a static member; null of a dynamic one.
    #[wire(nullable = 0.., default = null)]
    pub instance_id: Option<String>,
    #[wire(nullable = 0.., default = null)]
    pub rack_id: Option<String>,
    pub member_epoch: i32,
    pub client_id: String,
    pub client_host: String,
    pub subscribed_topic_names: Vec<String>,
    #[wire(nullable = 0.., default = null)]
    pub subscribed_topic_regex: Option<String>,
    pub assignment: Assignment,
    pub target_assignment: Assignment,
    /// -1 unknown, 0 classic, 1 consumer.
    #[wire(versions = 1.., default = -1, ignorable)]
    pub member_type: i8,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct Assignment {
    pub topic_partitions: Vec<TopicPartitions>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct TopicPartitions {
    pub topic_id: Uuid,
    pub topic_name: String,
    pub partitions: Vec<i32>,
}
