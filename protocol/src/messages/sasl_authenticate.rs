//! SaslAuthenticate (key 36): one step of a SASL exchange (KIP-152).
//!
//! v1 session lifetime (KIP-368) · v2 flexible.

use bytes::Bytes;

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 36, versions = 0..=2, flexible = 2..)]
pub struct SaslAuthenticateRequest {
    pub auth_bytes: Bytes,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 36, versions = 0..=2, flexible = 2..)]
pub struct SaslAuthenticateResponse {
    pub error_code: i16,
    #[wire(nullable = 0..)]
    pub error_message: Option<String>,
    pub auth_bytes: Bytes,
    /// Authenticate again within so long; 0 never.
    #[wire(versions = 1.., ignorable)]
    pub session_lifetime_ms: i64,
}
