//! DescribeDelegationToken (key 41): the delegation tokens of owners (KIP-48).
//!
//! v2 flexible · v3 who asked for the token (KIP-373).

use bytes::Bytes;

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 41, versions = 0..=3, flexible = 2..)]
pub struct DescribeDelegationTokenRequest {
    /// Null or empty for all.
    #[wire(nullable = 0..)]
    pub owners: Option<Vec<DescribeDelegationTokenOwner>>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct DescribeDelegationTokenOwner {
    pub principal_type: String,
    pub principal_name: String,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 41, versions = 0..=3, flexible = 2..)]
pub struct DescribeDelegationTokenResponse {
    pub error_code: i16,
    pub tokens: Vec<DescribedDelegationToken>,
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct DescribedDelegationToken {
    pub principal_type: String,
    pub principal_name: String,
    #[wire(versions = 3..)]
    pub token_requester_principal_type: String,
    #[wire(versions = 3..)]
    pub token_requester_principal_name: String,
    /// Milliseconds since the epoch.
    pub issue_timestamp: i64,
    /// Milliseconds since the epoch.
    pub expiry_timestamp: i64,
    /// Milliseconds since the epoch; no renewal goes beyond.
    pub max_timestamp: i64,
    pub token_id: String,
    pub hmac: Bytes,
    pub renewers: Vec<DescribedDelegationTokenRenewer>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct DescribedDelegationTokenRenewer {
    pub principal_type: String,
    pub principal_name: String,
}
