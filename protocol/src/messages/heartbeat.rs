//! Heartbeat (key 12): stay a member of a group.
//!
//! v1 throttle time · v3 static membership (KIP-345) · v4 flexible.

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 12, versions = 0..=4, flexible = 4..)]
pub struct HeartbeatRequest {
    pub group_id: String,
    pub generation_id: i32,
    pub member_id: String,
    /// `group.instance.id` of a static member; null of a dynamic one.
    #[wire(versions = 3.., nullable = 3.., default = null)]
    pub group_instance_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 12, versions = 0..=4, flexible = 4..)]
pub struct HeartbeatResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    #[wire(versions = 1.., ignorable)]
    pub throttle_time_ms: i32,
    pub error_code: i16,
}
