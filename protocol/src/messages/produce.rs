//! Produce (key 0): append record batches to partition leaders.
//!
//! v1 throttle time · v2 log append time · v3 record format 2, transactional id · v5 log start
//! offset · v7 zstd (KIP-110) · v8 errors of single records (KIP-467) · v9 flexible · v10 leader
//! hint (KIP-951) · v11 may answer TRANSACTION_ABORTABLE (KIP-890).

use crate::wire::{Records, Wire};

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 0, versions = 0..=11, flexible = 9..)]
pub struct ProduceRequest {
    /// Null from a producer without transactions.
    #[wire(versions = 3.., nullable = 3.., default = null)]
    pub transactional_id: Option<String>,
    /// Replicas that must have the batch: 0 none, 1 the leader, -1 the whole ISR.
    pub acks: i16,
    /// Longest wait for those replicas, in milliseconds.
    pub timeout_ms: i32,
    pub topic_data: Vec<TopicProduceData>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct TopicProduceData {
    pub name: String,
    pub partition_data: Vec<PartitionProduceData>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct PartitionProduceData {
    pub index: i32,
    /// Exactly one batch from v3 on; a message set before.
    #[wire(nullable = 0..)]
    pub records: Option<Records>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 0, versions = 0..=11, flexible = 9..)]
pub struct ProduceResponse {
    pub responses: Vec<TopicProduceResponse>,
    /// Milliseconds to wait before the next request; 0 within the quotas.
    #[wire(versions = 1.., ignorable)]
    pub throttle_time_ms: i32,
    /// Where the leaders named in `current_leader` listen.
    #[wire(versions = 10.., tag = 0)]
    pub node_endpoints: Vec<NodeEndpoint>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct TopicProduceResponse {
    pub name: String,
    pub partition_responses: Vec<PartitionProduceResponse>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct PartitionProduceResponse {
    pub index: i32,
    pub error_code: i16,
    /// Offset of the first record; -1 on error.
    pub base_offset: i64,
    /// The broker's timestamp, or -1 if the records keep their own.
    #[wire(versions = 2.., default = -1, ignorable)]
    pub log_append_time_ms: i64,
    /// First offset of the log; -1 unknown.
    #[wire(versions = 5.., default = -1, ignorable)]
    pub log_start_offset: i64,
    /// The records that made the whole batch fail.
    #[wire(versions = 8.., ignorable)]
    pub record_errors: Vec<BatchIndexAndErrorMessage>,
    #[wire(versions = 8.., nullable = 8.., default = null, ignorable)]
    pub error_message: Option<String>,
    /// Set on NOT_LEADER_OR_FOLLOWER.
    #[wire(versions = 10.., tag = 0)]
    pub current_leader: LeaderIdAndEpoch,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct BatchIndexAndErrorMessage {
    /// Position of the record in its batch.
    pub batch_index: i32,
    #[wire(nullable = 0.., default = null)]
    pub batch_index_error_message: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct LeaderIdAndEpoch {
    #[wire(default = -1)]
    pub leader_id: i32,
    #[wire(default = -1)]
    pub leader_epoch: i32,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct NodeEndpoint {
    pub node_id: i32,
    pub host: String,
    pub port: i32,
    #[wire(nullable = 0.., default = null)]
    pub rack: Option<String>,
}
