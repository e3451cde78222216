//! The seam to the file system: files, directories and mapped windows. Two implementations exist,
//! the operating system's and an in-memory one that fails on demand. Knows nothing of logs.

use std::fmt;
use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol::ids::TimestampMs;

use crate::error::{At, DiskError};

mod memory;
mod os;

pub use memory::{Crash, Fault, MemoryDisk};
pub use os::{OsDisk, OsDiskOptions};

/// How a file is opened. All of them may be read; none of them truncates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenHow {
    /// It must exist and is only read.
    Read,
    /// It must exist.
    Write,
    /// It is made if it does not exist.
    Create,
    /// It must not exist.
    CreateNew,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    pub name: String,
    pub is_dir: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    pub len: u64,
    pub modified_ms: TimestampMs,
    pub is_dir: bool,
}

/// A file system. Calls block; errors are the system's own.
pub trait Disk: Send + Sync + fmt::Debug {
    fn open(&self, path: &Path, how: OpenHow) -> io::Result<Arc<dyn DiskFile>>;
    /// `None` if nothing is there.
    fn stat(&self, path: &Path) -> io::Result<Option<Stat>>;
    /// In no order, without `.` and `..`.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;
    /// Also makes the missing parents; no error if it exists.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// It must be empty.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the exclusive lock that Java's `FileChannel.tryLock` takes (fcntl); `None` if
    /// another process has it. It is held until the value is dropped.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>>;
    /// Whether [`DiskFile::map`] is worth trying.
    fn can_map(&self) -> bool;
    /// A text that changes whenever something that was written to `dir` but never synced may have
    /// gone: the machine booted, or the file system was mounted anew. `None` where nobody knows.
    fn witness(&self, dir: &Path) -> io::Result<Option<String>>;
    /// The one absolute path of something that exists.
    fn canonical(&self, path: &Path) -> io::Result<PathBuf>;
    /// Room on the file system that holds `dir`.
    fn space(&self, dir: &Path) -> io::Result<Space>;
}

/// Room on a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    pub total: u64,
    /// What is free for this process.
    pub usable: u64,
}

/// An open file. Positions and lengths are bytes.
#[expect(clippy::len_without_is_empty, reason = "a file is no collection")]
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Reads until `buf` is full or the file ends; returns how much was read.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;
    /// Writes all parts, one after the other. After an error any prefix may have been written.
    fn write_at(&self, parts: &[&[u8]], at: u64) -> io::Result<()>;
    fn len(&self) -> io::Result<u64>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes data and length durable.
    fn sync(&self) -> io::Result<()>;
    /// Has the system begin to write what is not on disk, so that a later `sync` waits for less.
    fn begin_writing(&self) -> io::Result<()> {
        Ok(())
    }
    /// Reserves blocks for the range and lets the file grow to its end; bytes that were not
    /// there read as zeros. `Unsupported` where the file system cannot promise it.
    fn allocate(&self, range: Range<u64>) -> io::Result<()>;
    /// Maps an allocated range for writing, its pages present. The range begins at a multiple
    /// of [`PAGE_BYTES`].
    fn map(&self, range: Range<u64>) -> io::Result<Box<dyn Window>>;
    /// Maps the first `len` bytes for reading, their pages present. The file must not be cut while
    /// it is mapped. `Unsupported` where maps are not used.
    fn read_map(&self, len: u64) -> io::Result<Box<dyn ReadMap>>;
    /// Sets the time of the last change.
    fn set_modified(&self, modified_ms: TimestampMs) -> io::Result<()>;
    /// For sendfile; `None` where there is no descriptor.
    fn fd(&self) -> Option<BorrowedFd<'_>>;
}

/// Windows and their beginnings are multiples of this.
pub const PAGE_BYTES: u64 = 4096;

/// A mapped, allocated part of a file that bytes are stored into.
pub trait Window: Send + fmt::Debug {
    fn range(&self) -> Range<u64>;
    /// Stores bytes at a position of the file, which must lie inside the range.
    ///
    /// # Panics
    /// If it does not.
    fn store(&mut self, at: u64, bytes: &[u8]);
}

/// The mapped beginning of a file that does not change any more.
pub trait ReadMap: Send + Sync + fmt::Debug {
    /// Copies bytes from a position of the file, all of them inside the map.
    ///
    /// # Panics
    /// If they are not.
    fn load(&self, at: u64, into: &mut [u8]);
}

/// Reads a whole small file; one longer than `bytes_max` is an error, not an allocation.
pub(crate) fn read_small(
    disk: &dyn Disk,
    path: &Path,
    bytes_max: u64,
) -> Result<Option<Vec<u8>>, DiskError> {
    if disk.stat(path).at("stat", path)?.is_none() {
        return Ok(None);
    }
    let file = disk.open(path, OpenHow::Read).at("open", path)?;
    let len = file.len().at("stat", path)?;
    if len > bytes_max {
        let text = format!("{len} bytes, at most {bytes_max} expected");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text)).at("read", path);
    }
    let mut bytes = vec![0; len as usize];
    let read = file.read_at(&mut bytes, 0).at("read", path)?;
    bytes.truncate(read);
    Ok(Some(bytes))
}

/// Whether a replaced small file must survive a power loss before the call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durable {
    Now,
    /// A later sync, or nothing, takes care: losing it is repaired by recovery.
    Later,
}

/// Replaces a file as a whole: `<name>.tmp`, sync, rename, sync of the directory.
pub(crate) fn replace_file(
    disk: &dyn Disk,
    path: &Path,
    bytes: &[u8],
    durable: Durable,
) -> Result<(), DiskError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let temporary = std::path::PathBuf::from(name);
    let file = disk.open(&temporary, OpenHow::Create).at("create", &temporary)?;
    file.set_len(0).at("truncate", &temporary)?;
    file.write_at(&[bytes], 0).at("write", &temporary)?;
    if durable == Durable::Now {
        file.sync().at("sync", &temporary)?;
    }
    disk.rename(&temporary, path).at("rename", path)?;
    if let (Durable::Now, Some(dir)) = (durable, path.parent()) {
        disk.sync_dir(dir).at("sync", dir)?;
    }
    Ok(())
}

/// Removes a file; no error if it is not there.
pub(crate) fn remove_if_there(disk: &dyn Disk, path: &Path) -> Result<(), DiskError> {
    match disk.remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.at("remove", path),
    }
}

/// Bytes that a copy holds at once.
const COPY_BYTES: usize = 1024 * 1024;

/// Copies a range of a file to the beginning of another; both come with their paths.
pub(crate) fn copy_range(
    (source, source_path): (&dyn DiskFile, &Path),
    range: Range<u64>,
    (target, target_path): (&dyn DiskFile, &Path),
) -> Result<(), DiskError> {
    let mut buffer = vec![0; COPY_BYTES.min((range.end - range.start) as usize)];
    let mut at = range.start;
    while at < range.end {
        let want = buffer.len().min((range.end - at) as usize);
        let read = source.read_at(&mut buffer[..want], at).at("read", source_path)?;
        if read < want {
            let short = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(short).at("read", source_path);
        }
        let to = at - range.start;
        target.write_at(&[&buffer[..want]], to).at("write", target_path)?;
        at += want as u64;
    }
    Ok(())
}
