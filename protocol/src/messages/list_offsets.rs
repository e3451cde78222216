//! ListOffsets (key 2): find offsets by timestamp, or the ends of a log.
//!
//! v1 one offset with its timestamp · v2 isolation level · v4 leader epochs (KIP-320) · v6
//! flexible · v7 max timestamp (KIP-734) · v8 local log start (KIP-405) · v9 last tiered offset
//! (KIP-1005).

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 2, versions = 0..=9, flexible = 6..)]
pub struct ListOffsetsRequest {
    /// Broker id of a follower; -1 a consumer, -2 a debugging consumer.
    pub replica_id: i32,
    /// 0 read uncommitted, 1 read committed.
    #[wire(versions = 2..)]
    pub isolation_level: i8,
    pub topics: Vec<ListOffsetsTopic>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct ListOffsetsTopic {
    pub name: String,
    pub partitions: Vec<ListOffsetsPartition>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct ListOffsetsPartition {
    pub partition_index: i32,
    /// Leader epoch that the sender knows, for fencing; -1 unknown.
    #[wire(versions = 4.., default = -1, ignorable)]
    pub current_leader_epoch: i32,
    /// In milliseconds, or -1 latest, -2 earliest, -3 max timestamp, -4 earliest local, -5 last
    /// tiered.
    pub timestamp: i64,
    /// How many segment starts to return.
    #[wire(versions = 0, default = 1)]
    pub max_num_offsets: i32,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 2, versions = 0..=9, flexible = 6..)]
pub struct ListOffsetsResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    #[wire(versions = 2.., ignorable)]
    pub throttle_time_ms: i32,
    pub topics: Vec<ListOffsetsTopicResponse>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct ListOffsetsTopicResponse {
    pub name: String,
    pub partitions: Vec<ListOffsetsPartitionResponse>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct ListOffsetsPartitionResponse {
    pub partition_index: i32,
    pub error_code: i16,
    /// Segment starts at or before the timestamp, latest first.
    #[wire(versions = 0)]
    pub old_style_offsets: Vec<i64>,
    /// Of the record found; -1 if none, or if an end was asked for.
    #[wire(versions = 1.., default = -1)]
    pub timestamp: i64,
    /// -1 if none was found.
    #[wire(versions = 1.., default = -1)]
    pub offset: i64,
    #[wire(versions = 4.., default = -1)]
    pub leader_epoch: i32,
}
