//! ConsumerGroupHeartbeat (key 68): membership in groups of the new consumer protocol (KIP-848).
//!
//! v0 flexible · v1 a regular expression instead of topics, and members name themselves (KIP-1082;
//! newer than Kafka 3.9).

use crate::ids::Uuid;
use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 68, versions = 0..=1, flexible = 0..)]
pub struct ConsumerGroupHeartbeatRequest {
    pub group_id: String,
    pub member_id: String,
    /// 0 joins, -1 leaves, -2 leaves for a while (static).
    pub member_epoch: i32,
    /// `group.instance.id` of a static member; null of a dynamic one.
    #[wire(nullable = 0.., default = null)]
    pub instance_id: Option<String>,
    #[wire(nullable = 0.., default = null)]
    pub rack_id: Option<String>,
    /// -1 if unchanged.
    #[wire(default = -1)]
    pub rebalance_timeout_ms: i32,
    /// Null if unchanged.
    #[wire(nullable = 0.., default = null)]
    pub subscribed_topic_names: Option<Vec<String>>,
    /// Null if unchanged.
    #[wire(versions = 1.., nullable = 1.., default = null)]
    pub subscribed_topic_regex: Option<String>,
    /// Null if unchanged, or for the broker's choice.
    #[wire(nullable = 0.., default = null)]
    pub server_assignor: Option<String>,
    /// What the member owns; null if unchanged.
    #[wire(nullable = 0.., default = null)]
    pub topic_partitions: Option<Vec<TopicPartitions>>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct TopicPartitions {
    pub topic_id: Uuid,
    pub partitions: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 68, versions = 0..=1, flexible = 0..)]
pub struct ConsumerGroupHeartbeatResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[wire(nullable = 0.., default = null)]
    pub error_message: Option<String>,
    #[wire(nullable = 0.., default = null)]
    pub member_id: Option<String>,
    pub member_epoch: i32,
    pub heartbeat_interval_ms: i32,
    /// Null if unchanged.
    #[wire(nullable = 0.., default = null)]
    pub assignment: Option<Assignment>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct Assignment {
    pub topic_partitions: Vec<TopicPartitions>,
}
