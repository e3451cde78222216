//! The primitive encodings of Kafka's protocol and the trait that every wire type implements.
//! Knows nothing of particular messages; see `Wire` in `protocol-derive` for how structs get here.
//!
//! Two families of lengths exist: classic (`i16`/`i32`, −1 for null) and compact (an unsigned
//! varint of length + 1, 0 for null). One [`Version`], made by the message, chooses between them
//! all the way down, and says which fields exist.

mod error;
mod reader;
mod records;
pub mod schema;
mod types;
mod writer;

#[cfg(test)]
mod tests;

pub use error::WireError;
pub use protocol_derive::Wire;
pub use reader::{Budget, Reader};
pub use records::{Payload, Records};
pub use types::{read_nullable_if, write_nullable_if};
pub use writer::{Chunk, Rope, Writer};

use bytes::Bytes;

use schema::Type;

/// The longest string in UTF-8: Kafka keeps to 16 bits in compact strings as well.
pub const STRING_BYTES_MAX: usize = i16::MAX as usize;

/// What a type must know to encode itself: the message's version number and whether that version is
/// flexible (compact lengths, tagged fields).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    pub number: i16,
    pub flexible: bool,
}

impl Version {
    /// Whether a field that exists in `min..=max` is there.
    #[inline]
    pub fn within(self, min: i16, max: i16) -> bool {
        min <= self.number && self.number <= max
    }
}

/// A type with a place in a Kafka message. Structs derive it.
pub trait Wire: Sized {
    /// What the schema calls this type.
    const TYPE: Type;

    /// The fewest bytes that a value takes in any version and family, at least 1; bounds how many
    /// elements an array of a given number of bytes can hold.
    const MIN_BYTES: usize;

    fn read(r: &mut Reader, v: Version) -> Result<Self, WireError>;

    fn write(&self, w: &mut Writer, v: Version) -> Result<(), WireError>;

    /// A nullable struct is preceded by a byte, negative for null; types with a length have their
    /// own null.
    fn read_nullable(r: &mut Reader, v: Version) -> Result<Option<Self>, WireError> {
        if r.i8()? < 0 { Ok(None) } else { Self::read(r, v).map(Some) }
    }

    fn write_nullable(value: Option<&Self>, w: &mut Writer, v: Version) -> Result<(), WireError> {
        match value {
            None => w.i8(-1),
            Some(value) => {
                w.i8(1);
                return value.write(w, v);
            }
        }
        Ok(())
    }
}

/// A request, a response or a stored record: a struct that has versions of its own.
pub trait Message: Wire + Default {
    /// The schema's name, such as `ProduceRequest`.
    const NAME: &'static str;
    const MIN_VERSION: i16;
    const MAX_VERSION: i16;
    /// The first flexible version; `i16::MAX` if there is none.
    const FLEXIBLE_FROM: i16;

    /// The version for `number`, or an error if the message has no such version.
    fn version(number: i16) -> Result<Version, WireError> {
        if number < Self::MIN_VERSION || number > Self::MAX_VERSION {
            return Err(WireError::UnknownVersion { message: Self::NAME, version: number });
        }
        Ok(Version { number, flexible: number >= Self::FLEXIBLE_FROM })
    }

    /// Reads one message; bytes after it are left in the reader, as Kafka leaves them.
    fn decode(r: &mut Reader, version: i16) -> Result<Self, WireError> {
        Self::read(r, Self::version(version)?)
    }

    /// Writes one message, or fails if a field that `version` lacks has a value that matters.
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), WireError> {
        self.write(w, Self::version(version)?)
    }

    /// The form of stored records and of the consumer protocol: the version as an `i16`, then the
    /// message.
    fn encode_versioned(&self, version: i16) -> Result<Bytes, WireError> {
        let mut w = Writer::new();
        w.i16(version);
        self.encode(&mut w, version)?;
        Ok(w.finish()?.into_bytes().expect("stored messages hold no payload"))
    }

    /// The reverse of [`Message::encode_versioned`]; the version comes with the message.
    fn decode_versioned(bytes: Bytes) -> Result<(i16, Self), WireError> {
        let mut r = Reader::for_frame(bytes);
        let version = r.i16()?;
        Ok((version, Self::decode(&mut r, version)?))
    }
}

/// A request, tied to its key and its response.
pub trait Request: Message {
    type Response: Message;
    const KEY: crate::api::ApiKey;
}
