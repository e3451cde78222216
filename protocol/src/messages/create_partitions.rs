//! CreatePartitions (key 37): add partitions to topics (KIP-195).
//!
//! v2 flexible · v3 may answer THROTTLING_QUOTA_EXCEEDED (KIP-599).

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 37, versions = 0..=3, flexible = 2..)]
pub struct CreatePartitionsRequest {
    pub topics: Vec<CreatePartitionsTopic>,
    pub timeout_ms: i32,
    /// Check everything, change nothing.
    pub validate_only: bool,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct CreatePartitionsTopic {
    pub name: String,
    /// How many there are to be in all.
    pub count: i32,
    /// Replicas of each new partition; null to let the broker choose.
    #[wire(nullable = 0..)]
    pub assignments: Option<Vec<CreatePartitionsAssignment>>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct CreatePartitionsAssignment {
    pub broker_ids: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 37, versions = 0..=3, flexible = 2..)]
pub struct CreatePartitionsResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    pub results: Vec<CreatePartitionsTopicResult>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct CreatePartitionsTopicResult {
    pub name: String,
    pub error_code: i16,
    #[wire(nullable = 0.., default = null)]
    pub error_message: Option<String>,
}
