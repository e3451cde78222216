//! OffsetForLeaderEpoch (key 23): where a leader epoch ends in the leader's log (KIP-101).
//!
//! v1 epoch found · v2 leader epoch fencing (KIP-320), throttle time · v3 replica id · v4
//! flexible.

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 23, versions = 0..=4, flexible = 4..)]
pub struct OffsetForLeaderEpochRequest {
    /// Broker id of a follower; -1 a consumer, -2 a debugging consumer.
    #[wire(versions = 3.., default = -2, ignorable)]
    pub replica_id: i32,
    pub topics: Vec<OffsetForLeaderTopic>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct OffsetForLeaderTopic {
    pub topic: String,
    pub partitions: Vec<OffsetForLeaderPartition>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct OffsetForLeaderPartition {
    pub partition: i32,
    /// Leader epoch that the sender knows, for fencing; -1 unknown.
    #[wire(versions = 2.., default = -1, ignorable)]
    pub current_leader_epoch: i32,
    /// The epoch whose end is asked for.
    pub leader_epoch: i32,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 23, versions = 0..=4, flexible = 4..)]
pub struct OffsetForLeaderEpochResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    #[wire(versions = 2.., ignorable)]
    pub throttle_time_ms: i32,
    pub topics: Vec<OffsetForLeaderTopicResult>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct OffsetForLeaderTopicResult {
    pub topic: String,
    pub partitions: Vec<EpochEndOffset>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct EpochEndOffset {
    pub error_code: i16,
    pub partition: i32,
    /// Largest epoch in the log up to the one asked for; -1 none.
    #[wire(versions = 1.., default = -1, ignorable)]
    pub leader_epoch: i32,
    /// First offset after that epoch; -1 none.
    #[wire(default = -1)]
    pub end_offset: i64,
}
