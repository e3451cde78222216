//! The three indexes of a segment. The offset and the time index share their storage: an array of
//! fixed entries, on the heap while the segment grows and on disk once it is sealed.

pub(crate) mod offset;
pub(crate) mod time;
pub(crate) mod transaction;

use std::sync::Arc;

use parking_lot::RwLock;

use crate::error::{At, DiskError};
use crate::partition_dir::LazyFile;

/// Entries that an active index gathers before they are written: half a page of offset entries.
const PENDING_BYTES_MAX: usize = 2048;
/// A lookup reads its last stretch of the file at once.
const BLOCK_BYTES: usize = 4096;

/// Fixed-size entries in ascending order. Readers take a shared lock for a search in memory; the
/// disk is never touched under it.
#[derive(Debug)]
pub(crate) struct Entries {
    pub file: Arc<LazyFile>,
    entry_bytes: usize,
    state: RwLock<State>,
}

#[derive(Debug)]
enum State {
    /// All bytes are in memory; the first `written` of them are in the file too.
    Active { bytes: Vec<u8>, written: usize },
    /// The file alone; `count` entries.
    Sealed { count: usize },
}

impl Entries {
    /// An index that begins empty, without a file yet.
    pub fn empty(file: Arc<LazyFile>, entry_bytes: usize) -> Self {
        Self { file, entry_bytes, state: RwLock::new(State::Active { bytes: vec![], written: 0 }) }
    }

    /// An existing file whose every whole slot is an entry.
    pub fn sealed(file: Arc<LazyFile>, entry_bytes: usize, file_len: u64) -> Self {
        let count = file_len as usize / entry_bytes;
        Self { file, entry_bytes, state: RwLock::new(State::Sealed { count }) }
    }

    pub fn count(&self) -> usize {
        match &*self.state.read() {
            State::Active { bytes, .. } => bytes.len() / self.entry_bytes,
            State::Sealed { count } => *count,
        }
    }

    pub fn is_active(&self) -> bool {
        matches!(&*self.state.read(), State::Active { .. })
    }

    pub fn bytes_len(&self) -> u64 {
        (self.count() * self.entry_bytes) as u64
    }

    /// Takes the entries into memory, to append to them.
    pub fn activate(&self) -> Result<(), DiskError> {
        let count = match &*self.state.read() {
            State::Active { .. } => return Ok(()),
            State::Sealed { count } => *count,
        };
        let mut bytes = vec![0; count * self.entry_bytes];
        if count > 0 {
            let file = self.file.get()?;
            let read = file.read_at(&mut bytes, 0).at("read", &self.file.path())?;
            bytes.truncate(read / self.entry_bytes * self.entry_bytes);
        }
        let written = bytes.len();
        *self.state.write() = State::Active { bytes, written };
        Ok(())
    }

    /// Adds one entry in memory; `write_pending` brings it to the file.
    pub fn push(&self, entry: &[u8]) {
        debug_assert_eq!(entry.len(), self.entry_bytes);
        match &mut *self.state.write() {
            State::Active { bytes, .. } => bytes.extend_from_slice(entry),
            State::Sealed { .. } => unreachable!("only the active segment's index grows"),
        }
    }

    pub fn wants_write(&self) -> bool {
        match &*self.state.read() {
            State::Active { bytes, written } => bytes.len() - written >= PENDING_BYTES_MAX,
            State::Sealed { .. } => false,
        }
    }

    /// Writes what the file does not have yet. One caller at a time: the log's appender.
    pub fn write_pending(&self) -> Result<(), DiskError> {
        let (pending, at) = match &*self.state.read() {
            State::Active { bytes, written } if bytes.len() > *written => {
                (bytes[*written..].to_vec(), *written)
            }
            _ => return Ok(()),
        };
        let file = self.file.get_or_create()?;
        file.write_at(&[&pending], at as u64).at("write", &self.file.path())?;
        if let State::Active { written, .. } = &mut *self.state.write() {
            *written = at + pending.len();
        }
        Ok(())
    }

    /// Writes everything, cuts the file to its entries and drops the memory.
    pub fn seal(&self) -> Result<(), DiskError> {
        self.write_pending()?;
        let bytes_len = match &*self.state.read() {
            State::Active { bytes, .. } => bytes.len(),
            State::Sealed { .. } => return Ok(()),
        };
        let file = self.file.get_or_create()?;
        file.set_len(bytes_len as u64).at("truncate", &self.file.path())?;
        *self.state.write() = State::Sealed { count: bytes_len / self.entry_bytes };
        Ok(())
    }

    pub fn sync(&self) -> Result<(), DiskError> {
        self.file.get_or_create()?.sync().at("sync", &self.file.path())
    }

    /// Keeps the first `count` entries. The index must be active.
    pub fn truncate(&self, count: usize) -> Result<(), DiskError> {
        let len = count * self.entry_bytes;
        let shrink = match &mut *self.state.write() {
            State::Active { bytes, written } => {
                bytes.truncate(len);
                let shrink = *written > len;
                *written = (*written).min(len);
                shrink
            }
            State::Sealed { .. } => unreachable!("an index is activated before it is cut"),
        };
        if shrink {
            let file = self.file.get_or_create()?;
            file.set_len(len as u64).at("truncate", &self.file.path())?;
        }
        Ok(())
    }

    /// The bytes of entry `at`; `None` behind the last.
    pub fn get(&self, at: usize) -> Result<Option<Vec<u8>>, DiskError> {
        let size = self.entry_bytes;
        match &*self.state.read() {
            State::Active { bytes, .. } => {
                return Ok(bytes.get(at * size..(at + 1) * size).map(<[u8]>::to_vec));
            }
            State::Sealed { count } if at >= *count => return Ok(None),
            State::Sealed { .. } => {}
        }
        let mut entry = vec![0; size];
        self.read_exact(&mut entry, at)?;
        Ok(Some(entry))
    }

    pub fn last(&self) -> Result<Option<Vec<u8>>, DiskError> {
        match self.count() {
            0 => Ok(None),
            n => self.get(n - 1),
        }
    }

    /// The last entry for which `is_at_or_before` holds (it must hold for a prefix), and its index.
    pub fn last_where(
        &self,
        is_at_or_before: impl Fn(&[u8]) -> bool,
    ) -> Result<Option<(usize, Vec<u8>)>, DiskError> {
        let size = self.entry_bytes;
        let count = match &*self.state.read() {
            State::Active { bytes, .. } => {
                let found = partition(bytes, size, &is_at_or_before);
                return Ok(found.map(|i| (i, bytes[i * size..(i + 1) * size].to_vec())));
            }
            State::Sealed { count } => *count,
        };
        // Halve by single entries until one block is left, then read that block.
        let (mut low, mut high) = (0, count);
        let block = BLOCK_BYTES / size;
        let mut entry = vec![0; size];
        while high - low > block {
            let middle = low + (high - low) / 2;
            self.read_exact(&mut entry, middle)?;
            if is_at_or_before(&entry) {
                low = middle;
            } else {
                high = middle;
            }
        }
        let mut bytes = vec![0; (high - low) * size];
        self.read_exact(&mut bytes, low)?;
        let found = partition(&bytes, size, &is_at_or_before);
        Ok(found.map(|i| (low + i, bytes[i * size..(i + 1) * size].to_vec())))
    }

    fn read_exact(&self, into: &mut [u8], entry: usize) -> Result<(), DiskError> {
        if into.is_empty() {
            return Ok(());
        }
        let path = self.file.path();
        let read = self.file.get()?.read_at(into, (entry * self.entry_bytes) as u64);
        if read.at("read", &path)? < into.len() {
            let short = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
            return Err(short).at("read", &path);
        }
        Ok(())
    }
}

fn partition(bytes: &[u8], size: usize, holds: &impl Fn(&[u8]) -> bool) -> Option<usize> {
    let (mut low, mut high) = (0, bytes.len() / size);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(&bytes[middle * size..(middle + 1) * size]) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low.checked_sub(1)
}
