//! AlterPartition (key 56): a leader asks the controller to change the ISR of partitions
//! (KIP-497).
//!
//! v0 flexible · v1 recovery state (KIP-704) · v2 topic ids, INELIGIBLE_REPLICA,
//! NEW_LEADER_ELECTED, UNKNOWN_TOPIC_ID (KIP-841) · v3 broker epochs of the ISR (KIP-903).

use crate::ids::Uuid;
use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 56, versions = 0..=3, flexible = 0..)]
pub struct AlterPartitionRequest {
    pub broker_id: i32,
    /// `czxid` of the broker's registration, for fencing; -1 unknown.
    #[wire(default = -1)]
    pub broker_epoch: i64,
    pub topics: Vec<TopicRequest>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct TopicRequest {
    #[wire(versions = 0..=1, ignorable)]
    pub topic_name: String,
    #[wire(versions = 2.., ignorable)]
    pub topic_id: Uuid,
    pub partitions: Vec<PartitionRequest>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct PartitionRequest {
    pub partition_index: i32,
    pub leader_epoch: i32,
    /// Until v2.
    #[wire(versions = 0..=2)]
    pub new_isr: Vec<i32>,
    /// From v3.
    #[wire(versions = 3..)]
    pub new_isr_with_epochs: Vec<BrokerState>,
    /// 0 recovered, 1 recovering after an unclean election.
    #[wire(versions = 1..)]
    pub leader_recovery_state: i8,
    /// Version of the partition's `state` znode.
    pub partition_epoch: i32,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct BrokerState {
    pub broker_id: i32,
    /// `czxid` of the broker's registration, for fencing; -1 unknown.
    #[wire(default = -1)]
    pub broker_epoch: i64,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 56, versions = 0..=3, flexible = 0..)]
pub struct AlterPartitionResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    pub error_code: i16,
    pub topics: Vec<TopicResponse>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct TopicResponse {
    #[wire(versions = 0..=1, ignorable)]
    pub topic_name: String,
    #[wire(versions = 2.., ignorable)]
    pub topic_id: Uuid,
    pub partitions: Vec<PartitionResponse>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct PartitionResponse {
    pub partition_index: i32,
    pub error_code: i16,
    pub leader_id: i32,
    pub leader_epoch: i32,
    pub isr: Vec<i32>,
    /// 0 recovered, 1 recovering after an unclean election.
    #[wire(versions = 1.., ignorable)]
    pub leader_recovery_state: i8,
    /// Version of the partition's `state` znode.
    pub partition_epoch: i32,
}
