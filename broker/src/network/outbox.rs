//! Answers on their way out: what is in memory by `sendmsg`, slices of files by `sendfile`, without
//! a copy; small slices that are in the page cache go along with what is in memory. Knows nothing
//! of requests.

use std::any::Any;
use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};
use protocol::wire::{Chunk, Rope};
use storage::LogSlice;

use super::payload::FilePayload;
use super::residency::{Residency, read_past_the_cache};
use super::socket::Socket;

/// One `sendfile` sends at most this, so that a worker is never long in the kernel.
pub const SLICE_BYTES_MAX: u64 = 1 << 20;
/// Pieces that one `sendmsg` takes.
const PIECES_MAX: usize = 64;
/// A slice up to this is copied: that costs less than two more system calls.
const SMALL_BYTES_MAX: u64 = 8 << 10;
/// No slice is copied while more than this is in memory and not sent.
const COPIED_BYTES_MAX: u64 = 64 << 10;
/// Slices sent before other connections get their turn.
const TURN_SLICES: usize = 8;

/// What has not been sent yet, in order.
#[derive(Debug, Default)]
pub struct Outbox {
    pieces: VecDeque<Piece>,
    bytes: u64,
    /// Those of them that are in memory.
    memory: u64,
    /// Bytes at the front's position that were found resident or read in.
    warm: u64,
}

#[derive(Debug)]
enum Piece {
    Bytes(Bytes),
    File(LogSlice),
}

/// Where a flush ended.
#[derive(Debug)]
pub enum Flush {
    /// Everything was given to the kernel.
    Empty,
    /// The peer must read before more can be sent.
    Blocked,
    /// The next bytes are on disk: read this off the worker, then say `warmed`.
    Cold(LogSlice),
    /// There is more to send, but others wait for this worker.
    Yield,
}

/// The answer holds records of a kind that cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error("a payload of an unknown kind")]
pub struct UnknownPayload;

impl Outbox {
    /// Bytes not sent yet.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes in memory that are not sent yet.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Part of a file that is to be sent next.
    pub fn front_slice(&self) -> Option<&LogSlice> {
        match self.pieces.front() {
            Some(Piece::File(slice)) => Some(slice),
            _ => None,
        }
    }

    pub fn push(&mut self, rope: Rope) -> Result<(), UnknownPayload> {
        self.bytes += rope.len() as u64;
        for chunk in rope.chunks {
            match chunk {
                Chunk::Bytes(bytes) if bytes.is_empty() => {}
                Chunk::Bytes(bytes) => {
                    self.memory += bytes.len() as u64;
                    self.pieces.push_back(Piece::Bytes(bytes));
                }
                Chunk::Payload(payload) => {
                    let any: &dyn Any = &*payload;
                    let Some(files) = any.downcast_ref::<FilePayload>() else {
                        return Err(UnknownPayload);
                    };
                    let slices = files.slices().iter().filter(|slice| slice.len > 0);
                    self.pieces.extend(slices.cloned().map(Piece::File));
                }
            }
        }
        Ok(())
    }

    /// Sends as much as the socket takes. An error ends the connection; so does a file that turns
    /// out shorter than the length already sent (`UnexpectedEof`).
    pub fn flush(&mut self, socket: &Socket, residency: &Residency) -> io::Result<Flush> {
        for _ in 0..TURN_SLICES {
            self.copy_small(residency);
            let sent = match self.pieces.front() {
                None => return Ok(Flush::Empty),
                Some(Piece::Bytes(_)) => self.send_memory(socket),
                Some(Piece::File(range)) => {
                    let mut slice = range.clone();
                    slice.len = slice.len.min(SLICE_BYTES_MAX);
                    if self.warm == 0 {
                        match slice.file.fd() {
                            Some(fd) if residency.is_resident(fd, slice.position, slice.len) => {
                                self.warm = slice.len;
                            }
                            _ => return Ok(Flush::Cold(slice)),
                        }
                    }
                    self.send_file(socket, &slice)
                }
            };
            match sent {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Flush::Blocked);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(if self.pieces.is_empty() { Flush::Empty } else { Flush::Yield })
    }

    /// The slice that `flush` called cold is in the page cache now.
    pub fn warmed(&mut self, slice: &LogSlice) {
        self.warm = slice.len;
    }

    /// The slice that `flush` called cold, read into memory.
    pub fn replace_cold(&mut self, bytes: Bytes) {
        self.memory += bytes.len() as u64;
        if let Some(Piece::File(range)) = self.pieces.front_mut() {
            range.position += bytes.len() as u64;
            range.len -= bytes.len() as u64;
            if range.len == 0 {
                self.pieces.pop_front();
            }
            self.pieces.push_front(Piece::Bytes(bytes));
        }
    }

    /// Reads small slices that the next `sendmsg` could reach, until one would have to wait for the
    /// disk.
    fn copy_small(&mut self, residency: &Residency) {
        for (index, piece) in self.pieces.iter_mut().take(PIECES_MAX).enumerate() {
            let Piece::File(slice) = piece else { continue };
            if slice.len > SMALL_BYTES_MAX || self.memory + slice.len > COPIED_BYTES_MAX {
                return;
            }
            let Some(fd) = slice.file.fd() else { return };
            let Some(bytes) = residency.read(fd, slice.position, slice.len as usize) else {
                return;
            };
            self.memory += slice.len;
            *piece = Piece::Bytes(bytes.into());
            if index == 0 {
                self.warm = 0;
            }
        }
    }

    fn send_memory(&mut self, socket: &Socket) -> io::Result<()> {
        let mut slices = [IoSlice::new(&[]); PIECES_MAX];
        let mut count = 0;
        for piece in self.pieces.iter().take(PIECES_MAX) {
            let Piece::Bytes(bytes) = piece else { break };
            slices[count] = IoSlice::new(bytes);
            count += 1;
        }
        let more = self.pieces.len() > count;
        let sent = socket.try_send(&slices[..count], more)?;
        self.advance_memory(sent);
        Ok(())
    }

    fn advance_memory(&mut self, mut sent: usize) {
        self.bytes -= sent as u64;
        self.memory -= sent as u64;
        while let Some(Piece::Bytes(bytes)) = self.pieces.front_mut() {
            if bytes.len() > sent {
                bytes.advance(sent);
                return;
            }
            sent -= bytes.len();
            self.pieces.pop_front();
        }
    }

    fn send_file(&mut self, socket: &Socket, slice: &LogSlice) -> io::Result<()> {
        let fd = slice.file.fd().ok_or(io::ErrorKind::Unsupported)?;
        let wanted = slice.len.min(self.warm);
        let count = usize::try_from(wanted).unwrap_or(usize::MAX);
        let sent = socket.try_send_file(fd, slice.position, count)? as u64;
        if sent == 0 {
            let text = "the file is shorter than the length that was sent";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        self.bytes -= sent;
        self.warm -= sent.min(self.warm);
        if let Some(Piece::File(range)) = self.pieces.front_mut() {
            range.position += sent;
            range.len -= sent;
            if range.len == 0 {
                self.warm = 0;
                self.pieces.pop_front();
            }
        }
        Ok(())
    }
}

/// Reads a cold slice; blocks. With `past_the_cache`, or from a file without a descriptor, its
/// bytes are handed back. Otherwise, or where the file system knows no such read, they are in the
/// page cache afterwards and nowhere else.
pub fn warm(slice: &LogSlice, past_the_cache: bool) -> io::Result<Option<Bytes>> {
    const STEP_BYTES: usize = 128 << 10;
    let total = usize::try_from(slice.len).map_err(|_| io::ErrorKind::InvalidInput)?;
    let short = || {
        let text = "the file is shorter than the length that was sent";
        io::Error::new(io::ErrorKind::UnexpectedEof, text)
    };
    if let (true, Some(fd)) = (past_the_cache, slice.file.fd()) {
        let mut bytes = vec![0; total];
        match read_past_the_cache(fd, &mut bytes, slice.position) {
            Ok(read) if read < total => return Err(short()),
            Ok(_) => return Ok(Some(bytes.into())),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(error) => return Err(error),
        }
    }
    if slice.file.fd().is_none() {
        let mut bytes = vec![0; total];
        if slice.file.read_at(&mut bytes, slice.position)? < total {
            return Err(short());
        }
        return Ok(Some(bytes.into()));
    }
    let mut scratch = vec![0; STEP_BYTES.min(total)];
    let mut done = 0;
    while done < total {
        let step = scratch.len().min(total - done);
        let read = slice.file.read_at(&mut scratch[..step], slice.position + done as u64)?;
        if read == 0 {
            return Err(short());
        }
        done += read;
    }
    Ok(None)
}
