//! What can go wrong between a tool and a cluster. Knows nothing of output.

use client::{CallError, OpenError};
use protocol::error_code::ErrorCode;

/// Why the cluster did not do what it was asked for.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClusterError {
    #[error("Invalid url in bootstrap.servers: {0}")]
    Bootstrap(String),
    #[error("security.protocol {0} is not supported yet")]
    SecurityProtocol(String),
    #[error("Timed out waiting for a node assignment. Call: {call}")]
    NoNode { call: &'static str },
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Call(#[from] CallError),
    /// The broker's own message where it sent one.
    #[error("{}", .message.as_deref().unwrap_or(.code.message()))]
    Code { code: ErrorCode, message: Option<String> },
    #[error("{0}")]
    Unreadable(String),
}

impl ClusterError {
    /// An error for any code but 0.
    pub fn check(code: i16, message: Option<&String>) -> Result<(), ClusterError> {
        match ErrorCode(code) {
            ErrorCode::NONE => Ok(()),
            code => Err(ClusterError::Code { code, message: message.cloned() }),
        }
    }

    /// The error code, if the broker gave one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            ClusterError::Code { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the broker does not have this API, or not in a version we speak.
    pub fn is_unsupported(&self) -> bool {
        matches!(self, ClusterError::Call(CallError::Version { .. }))
            || self.code() == Some(ErrorCode::UNSUPPORTED_VERSION)
    }
}
