//! ListGroups (key 16): the groups that this broker coordinates.
//!
//! v1 throttle time · v3 flexible · v4 states (KIP-518) · v5 types (KIP-848).

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 16, versions = 0..=5, flexible = 3..)]
pub struct ListGroupsRequest {
    /// Empty for all.
    #[wire(versions = 4..)]
    pub states_filter: Vec<String>,
    /// Empty for all.
    #[wire(versions = 5..)]
    pub types_filter: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 16, versions = 0..=5, flexible = 3..)]
pub struct ListGroupsResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    #[wire(versions = 1.., ignorable)]
    pub throttle_time_ms: i32,
    pub error_code: i16,
    pub groups: Vec<ListedGroup>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct ListedGroup {
    pub group_id: String,
    pub protocol_type: String,
    #[wire(versions = 4.., ignorable)]
    pub group_state: String,
    #[wire(versions = 5.., ignorable)]
    pub group_type: String,
}
