//! CreateAcls (key 30): add ACLs.
//!
//! v1 pattern types (KIP-290) · v2 flexible · v3 user resources (KIP-373).

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 30, versions = 0..=3, flexible = 2..)]
pub struct CreateAclsRequest {
    pub creations: Vec<AclCreation>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct AclCreation {
    /// 2 topic, 3 group, 4 cluster, 5 transactional id, 6 delegation token, 7 user.
    pub resource_type: i8,
    pub resource_name: String,
    /// 3 literal, 4 prefixed.
    #[wire(versions = 1.., default = 3)]
    pub resource_pattern_type: i8,
    /// Such as `User:alice`.
    pub principal: String,
    /// An address, or `*`.
    pub host: String,
    /// Code of `AclOperation`, such as 3 read, 4 write; 1 any in a filter.
    pub operation: i8,
    /// 2 deny, 3 allow; 1 any in a filter.
    pub permission_type: i8,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 30, versions = 0..=3, flexible = 2..)]
pub struct CreateAclsResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    pub results: Vec<AclCreationResult>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct AclCreationResult {
    pub error_code: i16,
    #[wire(nullable = 0..)]
    pub error_message: Option<String>,
}
