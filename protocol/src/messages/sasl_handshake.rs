//! SaslHandshake (key 17): choose a SASL mechanism.
//!
//! v0 is followed by bare tokens, v1 by SaslAuthenticate (KIP-152).

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 17, versions = 0..=1)]
pub struct SaslHandshakeRequest {
    /// 1 SCRAM-SHA-256, 2 SCRAM-SHA-512.
    pub mechanism: String,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 17, versions = 0..=1)]
pub struct SaslHandshakeResponse {
    pub error_code: i16,
    /// What the broker has enabled.
    pub mechanisms: Vec<String>,
}
