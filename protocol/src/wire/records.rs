//! The records of a produce or fetch message: opaque bytes that are never copied. Knows nothing of
//! batches; see `crate::records`.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;

/// Bytes that are somewhere else, such as a slice of a segment file; whoever sends the frame turns
/// them into bytes, or sends them without doing so.
pub trait Payload: Any + Send + Sync + Debug {
    /// How many bytes will be sent, exactly.
    fn len(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A field of type `records`: a slice of the frame on the way in, bytes or a payload on the way
/// out.
#[derive(Debug, Clone)]
pub enum Records {
    Bytes(Bytes),
    Payload(Arc<dyn Payload>),
}

impl Records {
    pub fn len(&self) -> usize {
        match self {
            Records::Bytes(bytes) => bytes.len(),
            Records::Payload(payload) => payload.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, if they are here; always so in a message that was decoded.
    pub fn bytes(&self) -> Option<&Bytes> {
        match self {
            Records::Bytes(bytes) => Some(bytes),
            Records::Payload(_) => None,
        }
    }
}

impl Default for Records {
    fn default() -> Self {
        Records::Bytes(Bytes::new())
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Self {
        Records::Bytes(bytes)
    }
}

/// Payloads are equal only to themselves: their bytes are not here to compare.
impl PartialEq for Records {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Records::Bytes(a), Records::Bytes(b)) => a == b,
            (Records::Payload(a), Records::Payload(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}
