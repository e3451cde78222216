//! Why bytes are not a message, or a message cannot be written. Knows nothing of what is done
//! about it.

/// What is wrong with the bytes, or with the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("{need} more bytes needed, {have} left")]
    Short { need: usize, have: usize },
    #[error("a varint is too long")]
    Varint,
    #[error("null where a value must be")]
    Null,
    #[error("{need} bytes of memory needed, {left} left of this frame's allowance")]
    OverBudget { need: usize, left: usize },
    #[error("tagged field {tag} does not fill its {bytes} bytes")]
    Tag { tag: u32, bytes: u32 },
    #[error("{message} has no version {version}")]
    UnknownVersion { message: &'static str, version: i16 },
    #[error("{field} is set but does not exist in version {version}")]
    NotInVersion { field: &'static str, version: i16 },
    #[error("{0} bytes or elements are more than the encoding can count")]
    TooLong(usize),
}
