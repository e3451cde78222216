//! Envelope (key 58): a request forwarded for a client (KIP-590); a ZooKeeper-mode broker has no
//! use for it.
//!
//! v0 flexible.

use bytes::Bytes;

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 58, versions = 0, flexible = 0..)]
pub struct EnvelopeRequest {
    /// Header and body of the request, without length.
    pub request_data: Bytes,
    /// Null if the forwarder could not encode it.
    #[wire(nullable = 0..)]
    pub request_principal: Option<Bytes>,
    /// 4 or 16 bytes.
    pub client_host_address: Bytes,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 58, versions = 0, flexible = 0..)]
pub struct EnvelopeResponse {
    #[wire(nullable = 0.., default = null)]
    pub response_data: Option<Bytes>,
    pub error_code: i16,
}
