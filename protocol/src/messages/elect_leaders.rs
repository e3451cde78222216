//! ElectLeaders (key 43): elect preferred or unclean leaders (KIP-183, KIP-460).
//!
//! v1 election type, error of the whole · v2 flexible.

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 43, versions = 0..=2, flexible = 2..)]
pub struct ElectLeadersRequest {
    /// 0 preferred, 1 unclean.
    #[wire(versions = 1..)]
    pub election_type: i8,
    /// Null for all partitions.
    #[wire(nullable = 0..)]
    pub topic_partitions: Option<Vec<TopicPartitions>>,
    #[wire(default = 60000)]
    pub timeout_ms: i32,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct TopicPartitions {
    pub topic: String,
    pub partitions: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 43, versions = 0..=2, flexible = 2..)]
pub struct ElectLeadersResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    #[wire(versions = 1..)]
    pub error_code: i16,
    pub replica_election_results: Vec<ReplicaElectionResult>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct ReplicaElectionResult {
    pub topic: String,
    pub partition_result: Vec<PartitionResult>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct PartitionResult {
    pub partition_id: i32,
    pub error_code: i16,
    #[wire(nullable = 0..)]
    pub error_message: Option<String>,
}
