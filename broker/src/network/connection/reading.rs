//! What a connection receives: room for it, paid for first, and reads that end where a long frame
//! does. Knows nothing of what a frame says.

use bytes::BufMut;
use protocol::frame::{self, FrameError};

use super::{Closed, Connection, Lease, Partial};

/// Room in front of every read.
const READ_BYTES: usize = 64 << 10;

impl Connection {
    /// After the last whole frame was taken: what is left is part of one, or nothing.
    pub(super) fn note_partial(&mut self) {
        if self.buffer.is_empty() {
            self.partial = None;
            if self.allocated > 0 {
                let buffer = std::mem::take(&mut self.buffer);
                // All of it again: a frame that ran into its end would have to be moved.
                self.shared.memory.put_spare(buffer, self.allocated);
                self.allocated = 0;
            }
            self.lease.settle(0);
        } else if self.partial.is_none() {
            let since_ms = self.serving.clock.monotonic_ms();
            self.partial = Some(Partial { since_ms, received: 0 });
        }
    }

    /// One read into the buffer, with memory paid for first. If there is none, the connection waits
    /// for it among everything else: what it holds itself may have to be answered first.
    pub(super) fn fill(&mut self) -> Result<(), Closed> {
        if !self.has_room()? {
            return Ok(());
        }
        let most = read_most(&self.buffer, self.shared.settings.frame_bytes_max)?;
        let mut into = (&mut self.buffer).limit(most);
        match self.socket.try_read(&mut into) {
            // Readiness was a false alarm.
            None => {}
            Some(Ok(0)) => self.ended = true,
            Some(Ok(read)) => {
                if let Some(partial) = &mut self.partial {
                    partial.received += read;
                }
            }
            Some(Err(error)) => return Err(error.into()),
        }
        Ok(())
    }

    fn has_room(&mut self) -> Result<bool, Closed> {
        if self.buffer.capacity() == 0
            && let Some((buffer, lease)) = self.shared.memory.take_spare()
        {
            self.buffer = buffer;
            self.lease.merge(lease);
            self.allocated = self.buffer.capacity();
        }
        let want = self.wanted()?;
        if self.buffer.capacity() - self.buffer.len() >= want {
            return Ok(true);
        }
        if self.buffer.try_reclaim(want) {
            self.lease.settle(self.buffer.capacity());
            return Ok(true);
        }
        if let Some(lease) = self.shared.memory.try_lease(want) {
            self.grow(lease)?;
            return Ok(true);
        }
        if self.lease.extend_overdraft(want) {
            self.grow(self.shared.memory.empty_lease())?;
            return Ok(true);
        }
        let (pool, must_finish) = (self.shared.memory.clone(), self.partial.is_some());
        self.memory = Some(Box::pin(async move { pool.lease(want, must_finish).await }));
        Ok(false)
    }

    pub(super) fn grow(&mut self, lease: Lease) -> Result<(), Closed> {
        let want = self.wanted()?;
        self.lease.merge(lease);
        self.buffer.reserve(want);
        self.lease.settle(self.buffer.capacity());
        self.allocated = self.allocated.max(self.buffer.capacity());
        Ok(())
    }

    /// How much room the next read needs: what is missing of the frame, but no more than what the
    /// sender has proved to be serious about.
    fn wanted(&self) -> Result<usize, Closed> {
        let Some(prefix) = self.buffer.first_chunk::<{ frame::LENGTH_BYTES }>() else {
            return Ok(READ_BYTES);
        };
        let length = frame::frame_len(*prefix, self.shared.settings.frame_bytes_max)?;
        let missing = (length + frame::LENGTH_BYTES).saturating_sub(self.buffer.len());
        Ok(missing.clamp(READ_BYTES / 4, READ_BYTES.max(self.buffer.len())))
    }
}

/// What one read may take. A frame that needs several is read to its end and no further: the
/// beginning of the next one would have to be moved before the rest of it has room.
fn read_most(received: &[u8], frame_bytes_max: usize) -> Result<usize, FrameError> {
    let Some(prefix) = received.first_chunk::<{ frame::LENGTH_BYTES }>() else {
        return Ok(READ_BYTES);
    };
    let whole = frame::frame_len(*prefix, frame_bytes_max)? + frame::LENGTH_BYTES;
    match whole.saturating_sub(received.len()) {
        missing if whole > READ_BYTES && missing > 0 => Ok(missing),
        _ => Ok(READ_BYTES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_frame_is_read_to_its_end_and_no_further() {
        let received = |length: u32, bytes: usize| {
            let mut received = length.to_be_bytes().to_vec();
            received.resize(bytes, 7);
            received
        };
        let max = 1 << 20;
        assert_eq!(read_most(&[], max), Ok(READ_BYTES));
        assert_eq!(read_most(&[0, 1], max), Ok(READ_BYTES));
        assert_eq!(read_most(&received(100, 50), max), Ok(READ_BYTES), "with what follows it");
        assert_eq!(read_most(&received(500_000, 65_536), max), Ok(500_004 - 65_536));
        assert_eq!(read_most(&received(500_000, 500_003), max), Ok(1));
        assert_eq!(read_most(&received(500_000, 500_004), max), Ok(READ_BYTES), "it is whole");
        assert!(read_most(&received(2_000_000, 10), max).is_err());
    }
}
