//! DescribeProducers (key 61): the producers that a partition's leader remembers (KIP-664).
//!
//! v0 flexible.

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 61, versions = 0, flexible = 0..)]
pub struct DescribeProducersRequest {
    pub topics: Vec<TopicRequest>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct TopicRequest {
    pub name: String,
    pub partition_indexes: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 61, versions = 0, flexible = 0..)]
pub struct DescribeProducersResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    pub topics: Vec<TopicResponse>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct TopicResponse {
    pub name: String,
    pub partitions: Vec<PartitionResponse>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct PartitionResponse {
    pub partition_index: i32,
    pub error_code: i16,
    #[wire(nullable = 0.., default = null)]
    pub error_message: Option<String>,
    pub active_producers: Vec<ProducerState>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct ProducerState {
    pub producer_id: i64,
    pub producer_epoch: i32,
    #[wire(default = -1)]
    pub last_sequence: i32,
    /// Of its last batch, in milliseconds; -1 none.
    #[wire(default = -1)]
    pub last_timestamp: i64,
    pub coordinator_epoch: i32,
    /// -1 without an open transaction.
    #[wire(default = -1)]
    pub current_txn_start_offset: i64,
}
