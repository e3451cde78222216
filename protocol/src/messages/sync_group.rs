//! SyncGroup (key 14): hand over (the leader) and receive (everyone) the assignment of a
//! generation.
//!
//! v1 throttle time · v3 static membership (KIP-345) · v4 flexible · v5 protocol type and name are
//! checked (KIP-559).

use bytes::Bytes;

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 14, versions = 0..=5, flexible = 4..)]
pub struct SyncGroupRequest {
    pub group_id: String,
    pub generation_id: i32,
    pub member_id: String,
    /// `group.instance.id` of a static member; null of a dynamic one.
    #[wire(versions = 3.., nullable = 3.., default = null)]
    pub group_instance_id: Option<String>,
    #[wire(versions = 5.., nullable = 5.., default = null, ignorable)]
    pub protocol_type: Option<String>,
    #[wire(versions = 5.., nullable = 5.., default = null, ignorable)]
    pub protocol_name: Option<String>,
    /// From the leader only.
    pub assignments: Vec<SyncGroupRequestAssignment>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct SyncGroupRequestAssignment {
    pub member_id: String,
    /// A `ConsumerProtocolAssignment` if the type is `consumer`.
    pub assignment: Bytes,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 14, versions = 0..=5, flexible = 4..)]
pub struct SyncGroupResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    #[wire(versions = 1.., ignorable)]
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[wire(versions = 5.., nullable = 5.., default = null, ignorable)]
    pub protocol_type: Option<String>,
    #[wire(versions = 5.., nullable = 5.., default = null, ignorable)]
    pub protocol_name: Option<String>,
    /// A `ConsumerProtocolAssignment` if the type is `consumer`.
    pub assignment: Bytes,
}
