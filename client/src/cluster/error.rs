//! What can go wrong between a tool and a cluster. Knows nothing of output.

use crate::{CallError, OpenError};
use protocol::error_code::ErrorCode;

/// Whether a topic's error in metadata will not go away by waiting. Kafka's clients wait out all
/// others: a broker that is still alone in its view of the cluster cannot create a topic yet.
pub fn is_final_for_topic(code: ErrorCode) -> bool {
    [ErrorCode::INVALID_TOPIC_EXCEPTION, ErrorCode::TOPIC_AUTHORIZATION_FAILED].contains(&code)
}

/// The class of Kafka's exceptions that stands for a code, as its tools print it.
pub fn exception_class(code: ErrorCode) -> String {
    let class = match code {
        ErrorCode::NON_EMPTY_GROUP => "GroupNotEmptyException".to_owned(),
        ErrorCode::INVALID_TOPIC_EXCEPTION => "InvalidTopicException".to_owned(),
        ErrorCode::TOPIC_ALREADY_EXISTS => "TopicExistsException".to_owned(),
        ErrorCode::INVALID_CONFIG => "InvalidConfigurationException".to_owned(),
        ErrorCode::MESSAGE_TOO_LARGE => "RecordTooLargeException".to_owned(),
        ErrorCode::REQUEST_TIMED_OUT => "TimeoutException".to_owned(),
        code => {
            let mut name = String::new();
            for word in
                code.name().unwrap_or("UNKNOWN_SERVER").trim_end_matches("_ERROR").split('_')
            {
                let (first, rest) = word.split_at(1);
                name += first;
                name += &rest.to_ascii_lowercase();
            }
            name + "Exception"
        }
    };
    format!("org.apache.kafka.common.errors.{class}")
}

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

    /// The error that a code stands for.
    pub fn from_code(code: ErrorCode) -> ClusterError {
        ClusterError::Code { code, message: None }
    }

    /// The error code, if the broker gave one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            ClusterError::Code { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether it may go away: a broker that died still leads for a while in what the others say.
    pub fn may_pass(&self) -> bool {
        match self {
            ClusterError::Open(_) => true,
            ClusterError::Call(error) => error.retriable(),
            ClusterError::Code { code, .. } => {
                code.retriable() || *code == ErrorCode::BROKER_NOT_AVAILABLE
            }
            _ => false,
        }
    }

    /// As Java prints the exception of a failed future's cause.
    pub fn exception(&self) -> String {
        match self.code() {
            Some(code) => format!("{}: {self}", exception_class(code)),
            None => self.to_string(),
        }
    }

    /// Whether the broker does not have this API, or not in a version we speak.
    pub fn is_unsupported(&self) -> bool {
        matches!(self, ClusterError::Call(CallError::Version { .. }))
            || self.code() == Some(ErrorCode::UNSUPPORTED_VERSION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_kafkas() {
        for (code, class) in [
            (ErrorCode::OFFSET_OUT_OF_RANGE, "OffsetOutOfRangeException"),
            (ErrorCode::KAFKA_STORAGE_ERROR, "KafkaStorageException"),
            (ErrorCode::GROUP_ID_NOT_FOUND, "GroupIdNotFoundException"),
            (ErrorCode::NON_EMPTY_GROUP, "GroupNotEmptyException"),
            (ErrorCode::INVALID_CONFIG, "InvalidConfigurationException"),
            (ErrorCode(999), "UnknownServerException"),
        ] {
            assert_eq!(exception_class(code), format!("org.apache.kafka.common.errors.{class}"));
        }
    }
}
