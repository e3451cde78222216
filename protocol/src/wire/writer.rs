//! Writes primitives into a rope: one buffer for what is small, pieces of other memory (or files)
//! for what is large, so that records are never copied. Knows nothing of messages.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::{Payload, Records, STRING_BYTES_MAX, Version, WireError};

/// Shared bytes shorter than this are copied into the buffer: a piece of its own costs more.
const COPY_BELOW_BYTES: usize = 512;
/// What a writer starts with.
const INITIAL_BYTES: usize = 256;
/// The length prefix of a frame.
const PREFIX_BYTES: usize = 4;

/// A piece of an encoded message.
#[derive(Debug, Clone)]
pub enum Chunk {
    Bytes(Bytes),
    Payload(Arc<dyn Payload>),
}

impl Chunk {
    pub fn len(&self) -> usize {
        match self {
            Chunk::Bytes(bytes) => bytes.len(),
            Chunk::Payload(payload) => payload.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An encoded message or frame: chunks in order, none of them empty.
#[derive(Debug, Clone, Default)]
pub struct Rope {
    pub chunks: Vec<Chunk>,
    len: usize,
}

impl Rope {
    /// Bytes of all chunks together.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// One piece of memory, copied only if there are several; `None` if a payload is among them.
    pub fn into_bytes(mut self) -> Option<Bytes> {
        if self.chunks.len() <= 1 {
            return match self.chunks.pop() {
                None => Some(Bytes::new()),
                Some(Chunk::Bytes(bytes)) => Some(bytes),
                Some(Chunk::Payload(_)) => None,
            };
        }
        let mut whole = BytesMut::with_capacity(self.len);
        for chunk in &self.chunks {
            match chunk {
                Chunk::Bytes(bytes) => whole.extend_from_slice(bytes),
                Chunk::Payload(_) => return None,
            }
        }
        Some(whole.freeze())
    }
}

/// Builds a [`Rope`].
#[derive(Debug)]
pub struct Writer {
    /// A vector, whose small appends are a few instructions each; `BytesMut` has a call for each.
    buffer: Vec<u8>,
    /// Pieces, each with the position in `buffer` before which it stands.
    pieces: Vec<(usize, Chunk)>,
    pieces_bytes: usize,
    framed: bool,
}

/// Where a tagged field began: see [`Writer::begin_tag`].
#[derive(Debug)]
pub struct TagStart {
    buffer_at: usize,
    pieces_at: usize,
    pieces_bytes: usize,
}

impl Default for Writer {
    fn default() -> Self {
        Writer::new()
    }
}

impl Writer {
    /// For a message without a frame around it.
    pub fn new() -> Writer {
        Writer {
            buffer: Vec::with_capacity(INITIAL_BYTES),
            pieces: Vec::new(),
            pieces_bytes: 0,
            framed: false,
        }
    }

    /// For a frame: its length stands first and is filled in by [`Writer::finish`].
    pub fn frame() -> Writer {
        let mut writer = Writer::new();
        writer.framed = true;
        writer.i32(0);
        writer
    }

    /// Bytes written so far, a frame's length prefix included.
    pub fn len(&self) -> usize {
        self.buffer.len() + self.pieces_bytes
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn i8(&mut self, value: i8) {
        self.buffer.push(value as u8);
    }

    pub fn i16(&mut self, value: i16) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    pub fn u16(&mut self, value: u16) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    pub fn i32(&mut self, value: i32) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    pub fn i64(&mut self, value: i64) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    pub fn f64(&mut self, value: f64) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    pub fn uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buffer.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.buffer.push(value as u8);
    }

    /// Copies `bytes`.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Appends `bytes`, by reference if they are many.
    pub fn shared(&mut self, bytes: &Bytes) {
        if bytes.len() < COPY_BELOW_BYTES {
            self.buffer.extend_from_slice(bytes);
        } else {
            self.piece(Chunk::Bytes(bytes.clone()));
        }
    }

    /// Appends records, without their length.
    pub fn records(&mut self, records: &Records) {
        match records {
            Records::Bytes(bytes) => self.shared(bytes),
            Records::Payload(payload) if payload.is_empty() => {}
            Records::Payload(payload) => self.piece(Chunk::Payload(payload.clone())),
        }
    }

    fn piece(&mut self, chunk: Chunk) {
        self.pieces_bytes += chunk.len();
        self.pieces.push((self.buffer.len(), chunk));
    }

    /// The length of a string, `i16` or compact; `None` is null.
    pub fn string_len(&mut self, len: Option<usize>, v: Version) -> Result<(), WireError> {
        if let Some(len) = len
            && len > STRING_BYTES_MAX
        {
            return Err(WireError::TooLong(len));
        }
        match len {
            _ if v.flexible => self.uvarint(len.map_or(0, |len| len as u32 + 1)),
            Some(len) => self.i16(len as i16),
            None => self.i16(-1),
        }
        Ok(())
    }

    /// The length of bytes, records or an array, `i32` or compact; `None` is null.
    pub fn length(&mut self, len: Option<usize>, v: Version) -> Result<(), WireError> {
        if let Some(len) = len
            && len >= i32::MAX as usize
        {
            return Err(WireError::TooLong(len));
        }
        match len {
            _ if v.flexible => self.uvarint(len.map_or(0, |len| len as u32 + 1)),
            Some(len) => self.i32(len as i32),
            None => self.i32(-1),
        }
        Ok(())
    }

    /// Begins a tagged field, whose length becomes known only at its end.
    pub fn begin_tag(&mut self, tag: u32) -> TagStart {
        self.uvarint(tag);
        TagStart {
            buffer_at: self.buffer.len(),
            pieces_at: self.pieces.len(),
            pieces_bytes: self.pieces_bytes,
        }
    }

    /// Ends a tagged field: puts its length before it, moving its few bytes.
    pub fn end_tag(&mut self, start: TagStart) -> Result<(), WireError> {
        let len = self.len() - start.buffer_at - start.pieces_bytes;
        let len = u32::try_from(len).map_err(|_| WireError::TooLong(len))?;
        let before = self.buffer.len();
        self.uvarint(len);
        let prefix = self.buffer.len() - before;
        self.buffer[start.buffer_at..].rotate_right(prefix);
        for (at, _) in &mut self.pieces[start.pieces_at..] {
            *at += prefix;
        }
        Ok(())
    }

    /// The whole, with the frame's length filled in if it is one.
    pub fn finish(mut self) -> Result<Rope, WireError> {
        let len = self.len();
        if self.framed {
            let body = len - PREFIX_BYTES;
            let prefix = i32::try_from(body).map_err(|_| WireError::TooLong(body))?;
            self.buffer[..PREFIX_BYTES].copy_from_slice(&prefix.to_be_bytes());
        }
        let mut rest = Bytes::from(self.buffer);
        let mut chunks = Vec::with_capacity(2 * self.pieces.len() + 1);
        let mut done = 0;
        for (at, piece) in self.pieces {
            if at > done {
                chunks.push(Chunk::Bytes(rest.split_to(at - done)));
                done = at;
            }
            chunks.push(piece);
        }
        if !rest.is_empty() {
            chunks.push(Chunk::Bytes(rest));
        }
        Ok(Rope { chunks, len })
    }
}
