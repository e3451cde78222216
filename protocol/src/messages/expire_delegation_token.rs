//! ExpireDelegationToken (key 40): shorten or end the life of a delegation token (KIP-48).
//!
//! v2 flexible.

use bytes::Bytes;

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 40, versions = 0..=2, flexible = 2..)]
pub struct ExpireDelegationTokenRequest {
    pub hmac: Bytes,
    /// Milliseconds from now; negative deletes the token.
    pub expiry_time_period_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 40, versions = 0..=2, flexible = 2..)]
pub struct ExpireDelegationTokenResponse {
    pub error_code: i16,
    /// Milliseconds since the epoch.
    pub expiry_timestamp_ms: i64,
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
}
