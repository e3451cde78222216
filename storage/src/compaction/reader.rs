//! Reads a closed segment batch by batch, whole, through one buffer. Knows nothing of what stays.

use crate::disk::DiskFile;
use crate::segment::batch::{LogBatch, PEEK_BYTES, Torn};

/// The buffer grows over its size for a larger batch and shrinks back behind it.
#[derive(Debug)]
pub(super) struct BatchReader {
    buffer: Vec<u8>,
    buffer_at: u64,
    bytes_max: usize,
}

impl BatchReader {
    /// `bytes_max` are read at once.
    pub fn new(bytes_max: usize) -> BatchReader {
        BatchReader { buffer: Vec::new(), buffer_at: 0, bytes_max: bytes_max.max(PEEK_BYTES) }
    }

    /// Another file comes.
    pub fn forget(&mut self) {
        self.buffer = Vec::new();
        self.buffer_at = 0;
    }

    /// The batch that begins at `at`, its CRC checked; `None` at `end`.
    pub fn batch_at(
        &mut self,
        file: &dyn DiskFile,
        at: u64,
        end: u64,
    ) -> std::io::Result<Option<Result<(LogBatch, &[u8]), Torn>>> {
        if at >= end {
            return Ok(None);
        }
        let have = end - at;
        self.fill(file, at, end, PEEK_BYTES.min(have as usize))?;
        let from = (at - self.buffer_at) as usize;
        let batch = match LogBatch::parse(&self.buffer[from..]) {
            Ok(batch) => batch,
            Err(e) => return Ok(Some(Err(Torn::Header(e.to_string())))),
        };
        if batch.size > have {
            return Ok(Some(Err(Torn::Cut { need: batch.size, have })));
        }
        // It lies within the segment: the size is no one's mere claim.
        self.fill(file, at, end, batch.size as usize)?;
        let from = (at - self.buffer_at) as usize;
        let Some(bytes) = self.buffer.get(from..from + batch.size as usize) else {
            return Ok(Some(Err(Torn::Cut { need: batch.size, have })));
        };
        Ok(Some(if batch.crc_holds(bytes) { Ok((batch, bytes)) } else { Err(Torn::Crc) }))
    }

    fn fill(&mut self, file: &dyn DiskFile, at: u64, end: u64, want: usize) -> std::io::Result<()> {
        let buffered = self.buffer_at..self.buffer_at + self.buffer.len() as u64;
        if at >= buffered.start && at + want as u64 <= buffered.end {
            return Ok(());
        }
        let len = self.bytes_max.max(want).min((end - at) as usize);
        if self.buffer.len() > self.bytes_max && len <= self.bytes_max {
            self.buffer = Vec::new();
        }
        self.buffer.resize(len, 0);
        self.buffer_at = at;
        let read = file.read_at(&mut self.buffer, at)?;
        self.buffer.truncate(read);
        Ok(())
    }
}
