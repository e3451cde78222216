//! DescribeUserScramCredentials (key 50): which SCRAM credentials users have (KIP-554).
//!
//! v0 flexible.

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 50, versions = 0, flexible = 0..)]
pub struct DescribeUserScramCredentialsRequest {
    /// Null or empty for all.
    #[wire(nullable = 0..)]
    pub users: Option<Vec<UserName>>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct UserName {
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 50, versions = 0, flexible = 0..)]
pub struct DescribeUserScramCredentialsResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[wire(nullable = 0..)]
    pub error_message: Option<String>,
    pub results: Vec<DescribeUserScramCredentialsResult>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct DescribeUserScramCredentialsResult {
    pub user: String,
    pub error_code: i16,
    #[wire(nullable = 0..)]
    pub error_message: Option<String>,
    pub credential_infos: Vec<CredentialInfo>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct CredentialInfo {
    /// 1 SCRAM-SHA-256, 2 SCRAM-SHA-512.
    pub mechanism: i8,
    pub iterations: i32,
}
