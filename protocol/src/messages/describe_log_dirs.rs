//! DescribeLogDirs (key 35): log directories of a broker and what lies in them (KIP-113).
//!
//! v2 flexible · v3 error of the whole · v4 size of the volume (KIP-827).

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 35, versions = 0..=4, flexible = 2..)]
pub struct DescribeLogDirsRequest {
    /// Null for all.
    #[wire(nullable = 0..)]
    pub topics: Option<Vec<DescribableLogDirTopic>>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct DescribableLogDirTopic {
    pub topic: String,
    pub partitions: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 35, versions = 0..=4, flexible = 2..)]
pub struct DescribeLogDirsResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    #[wire(versions = 3.., ignorable)]
    pub error_code: i16,
    pub results: Vec<DescribeLogDirsResult>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct DescribeLogDirsResult {
    pub error_code: i16,
    pub log_dir: String,
    pub topics: Vec<DescribeLogDirsTopic>,
    /// Of the volume; -1 unknown.
    #[wire(versions = 4.., default = -1, ignorable)]
    pub total_bytes: i64,
    /// Of the volume; -1 unknown.
    #[wire(versions = 4.., default = -1, ignorable)]
    pub usable_bytes: i64,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct DescribeLogDirsTopic {
    pub name: String,
    pub partitions: Vec<DescribeLogDirsPartition>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct DescribeLogDirsPartition {
    pub partition_index: i32,
    /// Bytes of all segments.
    pub partition_size: i64,
    /// How far behind the high watermark, or behind the current log if a future one.
    pub offset_lag: i64,
    /// Whether this copy is to replace the current one.
    pub is_future_key: bool,
}
