//! DescribeAcls (key 29): ACLs that match a filter.
//!
//! v1 pattern types (KIP-290) · v2 flexible · v3 user resources (KIP-373).

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 29, versions = 0..=3, flexible = 2..)]
pub struct DescribeAclsRequest {
    /// Code of `ResourceType`; 1 any.
    pub resource_type_filter: i8,
    /// Null for any.
    #[wire(nullable = 0..)]
    pub resource_name_filter: Option<String>,
    /// 1 any, 2 whatever applies to the name, 3 literal, 4 prefixed.
    #[wire(versions = 1.., default = 3)]
    pub pattern_type_filter: i8,
    /// Null for any.
    #[wire(nullable = 0..)]
    pub principal_filter: Option<String>,
    /// Null for any.
    #[wire(nullable = 0..)]
    pub host_filter: Option<String>,
    /// Code of `AclOperation`, such as 3 read, 4 write; 1 any in a filter.
    pub operation: i8,
    /// 2 deny, 3 allow; 1 any in a filter.
    pub permission_type: i8,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 29, versions = 0..=3, flexible = 2..)]
pub struct DescribeAclsResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[wire(nullable = 0..)]
    pub error_message: Option<String>,
    pub resources: Vec<DescribeAclsResource>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct DescribeAclsResource {
    /// 2 topic, 3 group, 4 cluster, 5 transactional id, 6 delegation token, 7 user.
    pub resource_type: i8,
    pub resource_name: String,
    /// 3 literal, 4 prefixed.
    #[wire(versions = 1.., default = 3)]
    pub pattern_type: i8,
    pub acls: Vec<AclDescription>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct AclDescription {
    pub principal: String,
    pub host: String,
    /// Code of `AclOperation`, such as 3 read, 4 write; 1 any in a filter.
    pub operation: i8,
    /// 2 deny, 3 allow; 1 any in a filter.
    pub permission_type: i8,
}
