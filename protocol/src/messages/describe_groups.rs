//! DescribeGroups (key 15): state and members of groups.
//!
//! v1 throttle time · v3 authorised operations (KIP-430) · v4 static membership (KIP-345) · v5
//! flexible.

use bytes::Bytes;

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 15, versions = 0..=5, flexible = 5..)]
pub struct DescribeGroupsRequest {
    pub groups: Vec<String>,
    /// Whether to tell what the caller may do to each group.
    #[wire(versions = 3..)]
    pub include_authorized_operations: bool,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 15, versions = 0..=5, flexible = 5..)]
pub struct DescribeGroupsResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    #[wire(versions = 1.., ignorable)]
    pub throttle_time_ms: i32,
    pub groups: Vec<DescribedGroup>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct DescribedGroup {
    pub error_code: i16,
    pub group_id: String,
    /// Such as `Stable`, `Empty`, `Dead`.
    pub group_state: String,
    pub protocol_type: String,
    /// The protocol chosen; empty while there is none.
    pub protocol_data: String,
    pub members: Vec<DescribedGroupMember>,
    /// Bits of `AclOperation` codes; `i32::MIN` if not asked for.
    #[wire(versions = 3.., default = -0x8000_0000)]
    pub authorized_operations: i32,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct DescribedGroupMember {
    pub member_id: String,
    /// `group.instance.id` of a static member; null of a dynamic one.
    #[wire(versions = 4.., nullable = 4.., default = null, ignorable)]
    pub group_instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub member_metadata: Bytes,
    pub member_assignment: Bytes,
}
