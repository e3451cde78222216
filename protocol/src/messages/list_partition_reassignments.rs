//! ListPartitionReassignments (key 46): the reassignments under way (KIP-455).
//!
//! v0 flexible.

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 46, versions = 0, flexible = 0..)]
pub struct ListPartitionReassignmentsRequest {
    #[wire(default = 60000)]
    pub timeout_ms: i32,
    /// Null for all.
    #[wire(nullable = 0.., default = null)]
    pub topics: Option<Vec<ListPartitionReassignmentsTopics>>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct ListPartitionReassignmentsTopics {
    pub name: String,
    pub partition_indexes: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 46, versions = 0, flexible = 0..)]
pub struct ListPartitionReassignmentsResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[wire(nullable = 0..)]
    pub error_message: Option<String>,
    pub topics: Vec<OngoingTopicReassignment>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct OngoingTopicReassignment {
    pub name: String,
    pub partitions: Vec<OngoingPartitionReassignment>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct OngoingPartitionReassignment {
    pub partition_index: i32,
    pub replicas: Vec<i32>,
    pub adding_replicas: Vec<i32>,
    pub removing_replicas: Vec<i32>,
}
