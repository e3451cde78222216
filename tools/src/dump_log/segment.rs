//! Reads a segment file batch by batch, never more than one in memory. Knows nothing of printing.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use protocol::records::batch::{BatchHeader, LOG_OVERHEAD};
use protocol::records::legacy::{Message, SIZE_MIN};
use protocol::records::view::RawBatch;

use super::invalid;

/// Bytes up to the magic byte, which tell size and format.
const HEAD_BYTES: usize = 17;

pub struct Segment {
    file: File,
    /// Where reading ends: the file's size, or less if so asked.
    end: u64,
}

/// A batch in its bytes, at its place.
pub struct StoredBatch {
    pub position: u64,
    pub magic: i8,
    pub bytes: Vec<u8>,
}

impl StoredBatch {
    pub fn raw(&self) -> RawBatch<'_> {
        RawBatch { magic: self.magic, bytes: &self.bytes }
    }

    pub fn last_offset(&self) -> io::Result<i64> {
        match self.magic {
            2 => BatchHeader::parse(&self.bytes).map(|h| h.last_offset()).map_err(unreadable),
            _ => Message::parse(&self.bytes).map(|m| m.offset).map_err(unreadable),
        }
    }
}

pub fn unreadable(error: impl std::fmt::Display) -> io::Error {
    invalid(error.to_string())
}

impl Segment {
    pub fn open(path: &Path, bytes_max: Option<u64>) -> io::Result<Segment> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        Ok(Segment { end: bytes_max.map_or(size, |max| max.min(size)), file })
    }

    pub fn end(&self) -> u64 {
        self.end
    }

    /// The batch at `position`; `None` at the end, at a batch that is cut off and at what cannot be
    /// one (a segment in use ends in zeros).
    pub fn batch(&mut self, position: u64) -> io::Result<Option<StoredBatch>> {
        if position + HEAD_BYTES as u64 > self.end {
            return Ok(None);
        }
        self.file.seek(SeekFrom::Start(position))?;
        let mut head = [0; HEAD_BYTES];
        self.file.read_exact(&mut head)?;
        let length = i32::from_be_bytes([head[8], head[9], head[10], head[11]]);
        let magic = head[HEAD_BYTES - 1] as i8;
        if length < SIZE_MIN || !(0..=2).contains(&magic) {
            return Ok(None);
        }
        let size = LOG_OVERHEAD as u64 + length as u64;
        if position + size > self.end {
            return Ok(None);
        }
        // The file really has these bytes, so that they may be reserved.
        let mut bytes = vec![0; size as usize];
        bytes[..HEAD_BYTES].copy_from_slice(&head);
        self.file.read_exact(&mut bytes[HEAD_BYTES..])?;
        Ok(Some(StoredBatch { position, magic, bytes }))
    }
}
