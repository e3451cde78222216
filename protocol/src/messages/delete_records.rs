//! DeleteRecords (key 21): move the log start offset of partitions (KIP-107).
//!
//! v2 flexible.

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 21, versions = 0..=2, flexible = 2..)]
pub struct DeleteRecordsRequest {
    pub topics: Vec<DeleteRecordsTopic>,
    /// Longest wait for the followers, in milliseconds.
    pub timeout_ms: i32,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct DeleteRecordsTopic {
    pub name: String,
    pub partitions: Vec<DeleteRecordsPartition>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct DeleteRecordsPartition {
    pub partition_index: i32,
    /// The new log start offset; -1 for the high watermark.
    pub offset: i64,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 21, versions = 0..=2, flexible = 2..)]
pub struct DeleteRecordsResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    pub topics: Vec<DeleteRecordsTopicResult>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct DeleteRecordsTopicResult {
    pub name: String,
    pub partitions: Vec<DeleteRecordsPartitionResult>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct DeleteRecordsPartitionResult {
    pub partition_index: i32,
    /// Smallest log start offset of all live replicas; -1 on error.
    pub low_watermark: i64,
    pub error_code: i16,
}
