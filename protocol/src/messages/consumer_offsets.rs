//! Records of `__consumer_offsets`: committed offsets and classic groups, as keys and values. Those
//! of the newer groups are in `consumer_group_records`.
//!
//! A key or value begins with its version as an `i16`. Keys 0 and 1 are offsets, 2 is a group;
//! values: offsets v1 expiry, v2 without, v3 leader epoch, v4 flexible; groups v1 rebalance
//! timeout, v2 time of the last change, v3 static membership, v4 flexible (KIP-915).

use bytes::Bytes;

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(versions = 0..=1)]
pub struct OffsetCommitKey {
    /// Key version 0 or 1: both are the same.
    #[wire(versions = 0..=1)]
    pub group: String,
    #[wire(versions = 0..=1)]
    pub topic: String,
    #[wire(versions = 0..=1)]
    pub partition: i32,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(versions = 0..=4, flexible = 4..)]
pub struct OffsetCommitValue {
    pub offset: i64,
    /// -1 unknown.
    #[wire(versions = 3.., default = -1, ignorable)]
    pub leader_epoch: i32,
    pub metadata: String,
    /// Milliseconds since the epoch.
    pub commit_timestamp: i64,
    /// Milliseconds since the epoch; -1 for the broker's retention.
    #[wire(versions = 1, default = -1, ignorable)]
    pub expire_timestamp: i64,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(versions = 2)]
pub struct GroupMetadataKey {
    /// Key version 2.
    #[wire(versions = 2)]
    pub group: String,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(versions = 0..=4, flexible = 4..)]
pub struct GroupMetadataValue {
    pub protocol_type: String,
    pub generation: i32,
    /// Null while there is none.
    #[wire(nullable = 0..)]
    pub protocol: Option<String>,
    /// Member id of the leader; null while there is none.
    #[wire(nullable = 0..)]
    pub leader: Option<String>,
    /// When the group last changed, in milliseconds; -1 unknown.
    #[wire(versions = 2.., default = -1, ignorable)]
    pub current_state_timestamp: i64,
    pub members: Vec<MemberMetadata>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct MemberMetadata {
    pub member_id: String,
    #[wire(versions = 3.., nullable = 3.., default = null, ignorable)]
    pub group_instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    /// In milliseconds; -1 for the session timeout.
    #[wire(versions = 1.., default = -1, ignorable)]
    pub rebalance_timeout: i32,
    /// In milliseconds.
    pub session_timeout: i32,
    pub subscription: Bytes,
    pub assignment: Bytes,
}
