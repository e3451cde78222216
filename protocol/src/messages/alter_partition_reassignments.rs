//! AlterPartitionReassignments (key 45): begin, change or cancel reassignments (KIP-455).
//!
//! v0 flexible.

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 45, versions = 0, flexible = 0..)]
pub struct AlterPartitionReassignmentsRequest {
    #[wire(default = 60000)]
    pub timeout_ms: i32,
    pub topics: Vec<ReassignableTopic>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct ReassignableTopic {
    pub name: String,
    pub partitions: Vec<ReassignablePartition>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct ReassignablePartition {
    pub partition_index: i32,
    /// Null cancels the reassignment.
    #[wire(nullable = 0.., default = null)]
    pub replicas: Option<Vec<i32>>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 45, versions = 0, flexible = 0..)]
pub struct AlterPartitionReassignmentsResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[wire(nullable = 0..)]
    pub error_message: Option<String>,
    pub responses: Vec<ReassignableTopicResponse>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct ReassignableTopicResponse {
    pub name: String,
    pub partitions: Vec<ReassignablePartitionResponse>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct ReassignablePartitionResponse {
    pub partition_index: i32,
    pub error_code: i16,
    #[wire(nullable = 0..)]
    pub error_message: Option<String>,
}
