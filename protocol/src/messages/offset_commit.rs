//! OffsetCommit (key 8): store the offsets of a group.
//!
//! v0 goes to the metadata store · v1 group membership, timestamp per partition · v2 retention
//! time for all instead · v3 throttle time · v5 no retention time (KIP-211) · v6 leader epoch
//! (KIP-320) · v7 static membership (KIP-345) · v8 flexible · v9 member epoch, GROUP_ID_NOT_FOUND
//! (KIP-848).

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 8, versions = 0..=9, flexible = 8..)]
pub struct OffsetCommitRequest {
    pub group_id: String,
    /// -1 from a consumer outside of group management.
    #[wire(versions = 1.., default = -1, ignorable)]
    pub generation_id_or_member_epoch: i32,
    #[wire(versions = 1.., ignorable)]
    pub member_id: String,
    /// `group.instance.id` of a static member; null of a dynamic one.
    #[wire(versions = 7.., nullable = 7.., default = null)]
    pub group_instance_id: Option<String>,
    /// -1 for the broker's own setting.
    #[wire(versions = 2..=4, default = -1, ignorable)]
    pub retention_time_ms: i64,
    pub topics: Vec<OffsetCommitRequestTopic>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct OffsetCommitRequestTopic {
    pub name: String,
    pub partitions: Vec<OffsetCommitRequestPartition>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct OffsetCommitRequestPartition {
    pub partition_index: i32,
    pub committed_offset: i64,
    /// Leader epoch of the last record consumed; -1 unknown.
    #[wire(versions = 6.., default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    /// -1 for the time of arrival.
    #[wire(versions = 1, default = -1)]
    pub commit_timestamp: i64,
    /// Kept with the offset, opaque.
    #[wire(nullable = 0..)]
    pub committed_metadata: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 8, versions = 0..=9, flexible = 8..)]
pub struct OffsetCommitResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    #[wire(versions = 3.., ignorable)]
    pub throttle_time_ms: i32,
    pub topics: Vec<OffsetCommitResponseTopic>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct OffsetCommitResponseTopic {
    pub name: String,
    pub partitions: Vec<OffsetCommitResponsePartition>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct OffsetCommitResponsePartition {
    pub partition_index: i32,
    pub error_code: i16,
}
