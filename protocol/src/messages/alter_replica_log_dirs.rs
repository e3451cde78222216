//! AlterReplicaLogDirs (key 34): move replicas between the log directories of a broker (KIP-113).
//!
//! v2 flexible.

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 34, versions = 0..=2, flexible = 2..)]
pub struct AlterReplicaLogDirsRequest {
    pub dirs: Vec<AlterReplicaLogDir>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct AlterReplicaLogDir {
    /// Absolute, one of `log.dirs`.
    pub path: String,
    pub topics: Vec<AlterReplicaLogDirTopic>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct AlterReplicaLogDirTopic {
    pub name: String,
    pub partitions: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 34, versions = 0..=2, flexible = 2..)]
pub struct AlterReplicaLogDirsResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    pub results: Vec<AlterReplicaLogDirTopicResult>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct AlterReplicaLogDirTopicResult {
    pub topic_name: String,
    pub partitions: Vec<AlterReplicaLogDirPartitionResult>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct AlterReplicaLogDirPartitionResult {
    pub partition_index: i32,
    pub error_code: i16,
}
