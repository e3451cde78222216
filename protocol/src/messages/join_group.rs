//! JoinGroup (key 11): become or stay a member of a group, and learn its generation.
//!
//! v1 rebalance timeout · v2 throttle time · v4 first answer only gives a member id (KIP-394) · v5
//! static membership (KIP-345) · v6 flexible · v7 protocol type in the answer (KIP-559) · v8
//! reason (KIP-800) · v9 skip_assignment.

use bytes::Bytes;

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 11, versions = 0..=9, flexible = 6..)]
pub struct JoinGroupRequest {
    pub group_id: String,
    /// Without a heartbeat for so long the member is out.
    pub session_timeout_ms: i32,
    /// How long a rebalance waits for the member; -1: the session timeout.
    #[wire(versions = 1.., default = -1, ignorable)]
    pub rebalance_timeout_ms: i32,
    /// Empty at first.
    pub member_id: String,
    /// `group.instance.id` of a static member; null of a dynamic one.
    #[wire(versions = 5.., nullable = 5.., default = null)]
    pub group_instance_id: Option<String>,
    pub protocol_type: String,
    /// What the member can do, best first.
    pub protocols: Vec<JoinGroupRequestProtocol>,
    /// Why the member joins again, for the log.
    #[wire(versions = 8.., nullable = 8.., default = null, ignorable)]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct JoinGroupRequestProtocol {
    pub name: String,
    /// A `ConsumerProtocolSubscription` if the type is `consumer`.
    pub metadata: Bytes,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 11, versions = 0..=9, flexible = 6..)]
pub struct JoinGroupResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    #[wire(versions = 2.., ignorable)]
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[wire(default = -1)]
    pub generation_id: i32,
    #[wire(versions = 7.., nullable = 7.., default = null, ignorable)]
    pub protocol_type: Option<String>,
    /// The protocol chosen.
    #[wire(nullable = 7..)]
    pub protocol_name: Option<String>,
    /// Member id of the leader.
    pub leader: String,
    /// Whether the leader must not compute an assignment (KIP-814).
    #[wire(versions = 9..)]
    pub skip_assignment: bool,
    pub member_id: String,
    /// All members with their metadata, to the leader only.
    pub members: Vec<JoinGroupResponseMember>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct JoinGroupResponseMember {
    pub member_id: String,
    /// `group.instance.id` of a static member; null of a dynamic one.
    #[wire(versions = 5.., nullable = 5.., default = null, ignorable)]
    pub group_instance_id: Option<String>,
    pub metadata: Bytes,
}
