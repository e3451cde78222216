//! LeaveGroup (key 13): end the membership of one or several members.
//!
//! v1 throttle time · v3 several members (KIP-345) · v4 flexible · v5 reason (KIP-800).

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 13, versions = 0..=5, flexible = 4..)]
pub struct LeaveGroupRequest {
    pub group_id: String,
    /// The one member that leaves, until v2.
    #[wire(versions = 0..=2)]
    pub member_id: String,
    /// The members that leave, from v3.
    #[wire(versions = 3..)]
    pub members: Vec<MemberIdentity>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct MemberIdentity {
    pub member_id: String,
    /// `group.instance.id` of a static member; null of a dynamic one.
    #[wire(nullable = 0.., default = null)]
    pub group_instance_id: Option<String>,
    /// Why the member leaves, for the log.
    #[wire(versions = 5.., nullable = 5.., default = null, ignorable)]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 13, versions = 0..=5, flexible = 4..)]
pub struct LeaveGroupResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    #[wire(versions = 1.., ignorable)]
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[wire(versions = 3..)]
    pub members: Vec<MemberResponse>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct MemberResponse {
    pub member_id: String,
    /// `group.instance.id` of a static member; null of a dynamic one.
    #[wire(nullable = 0..)]
    pub group_instance_id: Option<String>,
    pub error_code: i16,
}
