//! CreateDelegationToken (key 38): issue a delegation token (KIP-48).
//!
//! v2 flexible · v3 a token for another owner (KIP-373).

use bytes::Bytes;

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 38, versions = 0..=3, flexible = 2..)]
pub struct CreateDelegationTokenRequest {
    /// Null for the caller.
    #[wire(versions = 3.., nullable = 3..)]
    pub owner_principal_type: Option<String>,
    #[wire(versions = 3.., nullable = 3..)]
    pub owner_principal_name: Option<String>,
    pub renewers: Vec<CreatableRenewers>,
    /// Milliseconds from now; negative for the broker's longest.
    pub max_lifetime_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct CreatableRenewers {
    pub principal_type: String,
    pub principal_name: String,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 38, versions = 0..=3, flexible = 2..)]
pub struct CreateDelegationTokenResponse {
    pub error_code: i16,
    pub principal_type: String,
    pub principal_name: String,
    #[wire(versions = 3..)]
    pub token_requester_principal_type: String,
    #[wire(versions = 3..)]
    pub token_requester_principal_name: String,
    /// Milliseconds since the epoch.
    pub issue_timestamp_ms: i64,
    /// Milliseconds since the epoch.
    pub expiry_timestamp_ms: i64,
    /// Milliseconds since the epoch; no renewal goes beyond.
    pub max_timestamp_ms: i64,
    pub token_id: String,
    pub hmac: Bytes,
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
}
