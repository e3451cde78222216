//! RenewDelegationToken (key 39): extend the life of a delegation token (KIP-48).
//!
//! v2 flexible.

use bytes::Bytes;

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 39, versions = 0..=2, flexible = 2..)]
pub struct RenewDelegationTokenRequest {
    pub hmac: Bytes,
    /// Milliseconds from now; -1 for the broker's own.
    pub renew_period_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 39, versions = 0..=2, flexible = 2..)]
pub struct RenewDelegationTokenResponse {
    pub error_code: i16,
    /// Milliseconds since the epoch.
    pub expiry_timestamp_ms: i64,
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
}
