//! What can go wrong with a connection and with one call on it. Knows nothing of error codes inside
//! responses: those are the caller's.

use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

use protocol::api::ApiKey;
use protocol::error_code::ErrorCode;
use protocol::wire::WireError;

use crate::transport::Endpoint;

/// Why a connection could not be opened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpenError {
    #[error("connection to {to} could not be established: {error}")]
    Connect { to: Endpoint, error: Arc<io::Error> },
    #[error("connection to {to} could not be established within {after_ms} ms")]
    Timeout { to: Endpoint, after_ms: u128 },
    #[error("{to} refused to tell its API versions: {code}")]
    Refused { to: Endpoint, code: ErrorCode },
    #[error("asking {to} for its API versions: {error}")]
    Handshake { to: Endpoint, error: CallError },
}

/// Why a request got no response.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// Closed by either side, or never answered; whether the request was carried out is unknown.
    #[error("connection closed: {0}")]
    Closed(Arc<str>),
    #[error("no response to {api} within {after_ms} ms")]
    Timeout { api: ApiKey, after_ms: u128 },
    #[error("{api}: we speak versions {ours:?}, the broker {theirs:?}")]
    Version { api: ApiKey, ours: RangeInclusive<i16>, theirs: Option<RangeInclusive<i16>> },
    #[error("request cannot be written: {0}")]
    Encode(WireError),
    #[error("response cannot be read: {0}")]
    Decode(WireError),
}

impl CallError {
    /// Whether the same request may succeed on another connection.
    pub fn retriable(&self) -> bool {
        matches!(self, CallError::Closed(_) | CallError::Timeout { .. })
    }
}
