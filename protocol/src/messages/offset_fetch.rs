//! OffsetFetch (key 9): read the committed offsets of groups.
//!
//! v0 reads the metadata store · v2 null for all topics, error of the whole · v3 throttle time ·
//! v5 leader epoch (KIP-320) · v6 flexible · v7 stable offsets only (KIP-447) · v8 several groups
//! (KIP-709) · v9 member epoch (KIP-848).

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 9, versions = 0..=9, flexible = 6..)]
pub struct OffsetFetchRequest {
    /// The group, until v7.
    #[wire(versions = 0..=7)]
    pub group_id: String,
    /// Until v7; null for all topics.
    #[wire(versions = 0..=7, nullable = 2..=7)]
    pub topics: Option<Vec<OffsetFetchRequestTopic>>,
    /// The groups, from v8.
    #[wire(versions = 8..)]
    pub groups: Vec<OffsetFetchRequestGroup>,
    /// Answer UNSTABLE_OFFSET_COMMIT rather than what a transaction may change.
    #[wire(versions = 7..)]
    pub require_stable: bool,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct OffsetFetchRequestTopic {
    pub name: String,
    pub partition_indexes: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct OffsetFetchRequestGroup {
    pub group_id: String,
    #[wire(versions = 9.., nullable = 9.., default = null, ignorable)]
    pub member_id: Option<String>,
    /// -1 under the classic protocol.
    #[wire(versions = 9.., default = -1, ignorable)]
    pub member_epoch: i32,
    /// Null for all topics.
    #[wire(nullable = 0..)]
    pub topics: Option<Vec<OffsetFetchRequestTopics>>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct OffsetFetchRequestTopics {
    pub name: String,
    pub partition_indexes: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 9, versions = 0..=9, flexible = 6..)]
pub struct OffsetFetchResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    #[wire(versions = 3.., ignorable)]
    pub throttle_time_ms: i32,
    /// Until v7.
    #[wire(versions = 0..=7)]
    pub topics: Vec<OffsetFetchResponseTopic>,
    #[wire(versions = 2..=7, ignorable)]
    pub error_code: i16,
    /// From v8.
    #[wire(versions = 8..)]
    pub groups: Vec<OffsetFetchResponseGroup>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct OffsetFetchResponseTopic {
    pub name: String,
    pub partitions: Vec<OffsetFetchResponsePartition>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct OffsetFetchResponsePartition {
    pub partition_index: i32,
    /// -1 if there is none.
    pub committed_offset: i64,
    /// Leader epoch of the last record consumed; -1 unknown.
    #[wire(versions = 5..=7, default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    #[wire(nullable = 0..)]
    pub metadata: Option<String>,
    pub error_code: i16,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct OffsetFetchResponseGroup {
    pub group_id: String,
    pub topics: Vec<OffsetFetchResponseTopics>,
    pub error_code: i16,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct OffsetFetchResponseTopics {
    pub name: String,
    pub partitions: Vec<OffsetFetchResponsePartitions>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct OffsetFetchResponsePartitions {
    pub partition_index: i32,
    /// -1 if there is none.
    pub committed_offset: i64,
    /// Leader epoch of the last record consumed; -1 unknown.
    #[wire(default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    #[wire(nullable = 0..)]
    pub metadata: Option<String>,
    pub error_code: i16,
}
