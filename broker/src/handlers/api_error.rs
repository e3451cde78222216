//! A code and a text for the `error_message` fields of the admin APIs. Knows no API.

use std::fmt::Display;

use protocol::error_code::ErrorCode;

/// Why one item of a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    pub code: ErrorCode,
    pub message: Option<String>,
}

impl ApiError {
    /// The text is kept to itself if the fault is this broker's own: it is in the log.
    pub fn new(code: ErrorCode, error: &dyn Display) -> ApiError {
        let own = code == ErrorCode::UNKNOWN_SERVER_ERROR;
        if own {
            tracing::error!(%error, "an admin request failed");
        }
        ApiError { code, message: (!own).then(|| error.to_string()) }
    }

    /// Without a text.
    pub fn plain(code: ErrorCode) -> ApiError {
        ApiError { code, message: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_ones_own_is_not_told() {
        let told = ApiError::new(ErrorCode::INVALID_REQUEST, &"why");
        assert_eq!(told.message.as_deref(), Some("why"));
        assert_eq!(ApiError::new(ErrorCode::UNKNOWN_SERVER_ERROR, &"a secret").message, None);
        assert_eq!(ApiError::plain(ErrorCode::NONE).message, None);
    }
}
