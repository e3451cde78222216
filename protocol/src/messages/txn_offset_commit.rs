//! TxnOffsetCommit (key 28): store the offsets of a group as part of a transaction.
//!
//! v2 leader epoch · v3 flexible, group membership (KIP-447) · v4 may answer TRANSACTION_ABORTABLE
//! (KIP-890).

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 28, versions = 0..=4, flexible = 3..)]
pub struct TxnOffsetCommitRequest {
    pub transactional_id: String,
    pub group_id: String,
    pub producer_id: i64,
    pub producer_epoch: i16,
    #[wire(versions = 3.., default = -1)]
    pub generation_id: i32,
    #[wire(versions = 3..)]
    pub member_id: String,
    /// `group.instance.id` of a static member; null of a dynamic one.
    #[wire(versions = 3.., nullable = 3.., default = null)]
    pub group_instance_id: Option<String>,
    pub topics: Vec<TxnOffsetCommitRequestTopic>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct TxnOffsetCommitRequestTopic {
    pub name: String,
    pub partitions: Vec<TxnOffsetCommitRequestPartition>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct TxnOffsetCommitRequestPartition {
    pub partition_index: i32,
    pub committed_offset: i64,
    /// Leader epoch of the last record consumed; -1 unknown.
    #[wire(versions = 2.., default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    /// Kept with the offset, opaque.
    #[wire(nullable = 0..)]
    pub committed_metadata: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 28, versions = 0..=4, flexible = 3..)]
pub struct TxnOffsetCommitResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    pub topics: Vec<TxnOffsetCommitResponseTopic>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct TxnOffsetCommitResponseTopic {
    pub name: String,
    pub partitions: Vec<TxnOffsetCommitResponsePartition>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct TxnOffsetCommitResponsePartition {
    pub partition_index: i32,
    pub error_code: i16,
}
