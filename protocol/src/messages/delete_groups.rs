//! DeleteGroups (key 42): delete empty groups with their offsets (KIP-229).
//!
//! v2 flexible.

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 42, versions = 0..=2, flexible = 2..)]
pub struct DeleteGroupsRequest {
    pub groups_names: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 42, versions = 0..=2, flexible = 2..)]
pub struct DeleteGroupsResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    pub results: Vec<DeletableGroupResult>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct DeletableGroupResult {
    pub group_id: String,
    pub error_code: i16,
}
