//! Reads primitives off one frame, within an allowance of memory. Knows nothing of messages.

use bytes::Bytes;

use super::{STRING_BYTES_MAX, Version, WireError};
use crate::varint::{self, VarintError};

/// How much memory the decoded form of a frame may take, counting every array element and every
/// string with its in-memory size. Slices of the frame (`bytes`, `records`) cost nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget(usize);

impl Budget {
    /// What any frame may take before its size is looked at.
    pub const BASE_BYTES: usize = 1 << 20;
    /// What each byte of the frame adds.
    pub const PER_FRAME_BYTE: usize = 4;
    /// What a frame may take in all while its sender is not authenticated.
    pub const UNAUTHENTICATED_BYTES: usize = 64 << 10;

    /// For a frame of `frame_bytes` from a peer that may speak.
    pub fn for_frame(frame_bytes: usize) -> Budget {
        Budget(Self::BASE_BYTES.saturating_add(frame_bytes.saturating_mul(Self::PER_FRAME_BYTE)))
    }

    /// For a frame of a peer that has not authenticated yet.
    pub fn unauthenticated() -> Budget {
        Budget(Self::UNAUTHENTICATED_BYTES)
    }

    /// For bytes that this process or its disk vouches for in another way.
    pub fn bytes(bytes: usize) -> Budget {
        Budget(bytes)
    }
}

/// What a malformed byte of a string may become: U+FFFD in UTF-8.
const REPLACEMENT_BYTES: usize = 3;

/// A position in a frame.
#[derive(Debug)]
pub struct Reader {
    frame: Bytes,
    at: usize,
    end: usize,
    budget: usize,
}

macro_rules! fixed {
    ($($name:ident $ty:ty),*) => {$(
        #[inline]
        pub fn $name(&mut self) -> Result<$ty, WireError> {
            Ok(<$ty>::from_be_bytes(self.array()?))
        }
    )*};
}

impl Reader {
    pub fn new(frame: Bytes, budget: Budget) -> Reader {
        Reader { at: 0, end: frame.len(), frame, budget: budget.0 }
    }

    /// A reader of `frame` with the allowance of an authenticated peer's frame.
    pub fn for_frame(frame: Bytes) -> Reader {
        let budget = Budget::for_frame(frame.len());
        Reader::new(frame, budget)
    }

    /// Bytes not read yet.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.end - self.at
    }

    /// What is left of the allowance, in bytes.
    pub fn budget_left(&self) -> usize {
        self.budget
    }

    /// The bytes not read yet, as a slice of the frame; nothing remains after.
    pub fn rest(&mut self) -> Bytes {
        let rest = self.frame.slice(self.at..self.end);
        self.at = self.end;
        rest
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        match self.frame[self.at..self.end].first_chunk::<N>() {
            Some(bytes) => {
                self.at += N;
                Ok(*bytes)
            }
            None => Err(WireError::Short { need: N, have: self.remaining() }),
        }
    }

    fixed!(i8 i8, u8 u8, i16 i16, u16 u16, i32 i32, u32 u32, i64 i64, f64 f64);

    #[inline]
    pub fn bytes16(&mut self) -> Result<[u8; 16], WireError> {
        self.array()
    }

    /// An unsigned varint of at most 32 bits.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u32, WireError> {
        let unread = &self.frame[self.at..self.end];
        match varint::read_u32(unread) {
            Ok((value, len)) => {
                self.at += len;
                Ok(value)
            }
            Err(VarintError::Short) => {
                Err(WireError::Short { need: unread.len() + 1, have: unread.len() })
            }
            Err(VarintError::Long) => Err(WireError::Varint),
        }
    }

    fn require(&self, need: usize) -> Result<(), WireError> {
        let have = self.remaining();
        if need > have { Err(WireError::Short { need, have }) } else { Ok(()) }
    }

    /// The next `len` bytes as a slice of the frame, which stays in memory as long as the slice:
    /// what is to be kept for long is better copied.
    pub fn slice(&mut self, len: usize) -> Result<Bytes, WireError> {
        self.require(len)?;
        let slice = self.frame.slice(self.at..self.at + len);
        self.at += len;
        Ok(slice)
    }

    /// Takes `need` bytes from the allowance; called before memory is reserved.
    pub fn charge(&mut self, need: usize) -> Result<(), WireError> {
        charge(&mut self.budget, need)
    }

    /// The next `len` bytes as text. Kafka reads malformed UTF-8 as replacement characters, and so
    /// does this.
    pub fn string(&mut self, len: usize) -> Result<String, WireError> {
        self.require(len)?;
        let raw = &self.frame[self.at..self.at + len];
        self.at += len;
        match std::str::from_utf8(raw) {
            Ok(text) => {
                charge(&mut self.budget, len)?;
                Ok(text.to_owned())
            }
            Err(_) => {
                let most = len * REPLACEMENT_BYTES;
                charge(&mut self.budget, most)?;
                let mut text = String::with_capacity(most);
                for chunk in raw.utf8_chunks() {
                    text.push_str(chunk.valid());
                    if !chunk.invalid().is_empty() {
                        text.push(char::REPLACEMENT_CHARACTER);
                    }
                }
                Ok(text)
            }
        }
    }

    /// The length of a string: `i16` or compact; `None` is null.
    #[inline]
    pub fn string_len(&mut self, v: Version) -> Result<Option<usize>, WireError> {
        if !v.flexible {
            // Kafka takes any negative number for null.
            return Ok(usize::try_from(self.i16()?).ok());
        }
        match self.compact_len()? {
            Some(len) if len > STRING_BYTES_MAX => Err(WireError::TooLong(len)),
            len => Ok(len),
        }
    }

    /// The length of bytes, records or an array: `i32` or compact; `None` is null.
    #[inline]
    pub fn len(&mut self, v: Version) -> Result<Option<usize>, WireError> {
        if v.flexible {
            return self.compact_len();
        }
        Ok(usize::try_from(self.i32()?).ok())
    }

    #[inline]
    fn compact_len(&mut self) -> Result<Option<usize>, WireError> {
        Ok(self.uvarint()?.checked_sub(1).map(|len| len as usize))
    }

    /// Makes room for `count` elements: nothing is reserved that the remaining bytes, at
    /// `min_bytes` an element, or the allowance cannot hold.
    pub fn reserve<T>(&mut self, count: usize, min_bytes: usize) -> Result<Vec<T>, WireError> {
        self.require(count.saturating_mul(min_bytes))?;
        self.charge(count.saturating_mul(size_of::<T>()))?;
        Ok(Vec::with_capacity(count))
    }

    /// Passes every tagged field of a flexible version by.
    pub fn skip_tags(&mut self, v: Version) -> Result<(), WireError> {
        self.tags(v, &mut |_, _| Ok(false))
    }

    /// Offers each tagged field to `read`, which returns whether it knew the tag and then has read
    /// the whole of it; the others are passed by.
    pub fn tags(
        &mut self,
        v: Version,
        read: &mut dyn FnMut(&mut Reader, u32) -> Result<bool, WireError>,
    ) -> Result<(), WireError> {
        if !v.flexible {
            return Ok(());
        }
        for _ in 0..self.uvarint()? {
            let tag = self.uvarint()?;
            let bytes = self.uvarint()?;
            self.require(bytes as usize)?;
            let outer_end = self.end;
            self.end = self.at + bytes as usize;
            if !read(self, tag)? {
                self.at = self.end;
            }
            if self.at != self.end {
                return Err(WireError::Tag { tag, bytes });
            }
            self.end = outer_end;
        }
        Ok(())
    }
}

fn charge(budget: &mut usize, need: usize) -> Result<(), WireError> {
    match budget.checked_sub(need) {
        Some(left) => {
            *budget = left;
            Ok(())
        }
        None => Err(WireError::OverBudget { need, left: *budget }),
    }
}
