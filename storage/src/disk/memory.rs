//! A file system in memory that counts every change, fails on demand and can be cut off in the
//! middle: as by a kill, after which the page cache is whole, or as by a power loss, after which
//! only what was synced is certain. For tests and simulations. Knows nothing of logs.

use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use protocol::ids::TimestampMs;

use super::{DirEntry, Disk, DiskFile, OpenHow, ReadMap, Space, Stat, Window};

mod state;

use state::{DataChange, Inode, InodeId, NameChange, Node, Permit, State, dead, not_found};

/// What goes wrong. Changes are counted from 1: writes, stores into windows, lengths, allocations,
/// syncs, creations, renames, removals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The change of that number happens in part, then nothing is answered any more.
    CrashAt(u64),
    /// The change of that number fails with this `errno` and does nothing.
    ErrorAt { change: u64, errno: i32 },
    /// All files together hold at most this many bytes.
    Full { bytes: u64 },
    /// Syncs report success and do nothing.
    LostSyncs,
}

/// How the process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// What was written stays.
    Kill,
    /// Unsynced writes stay, go or tear, each for itself, as the seed says; of unsynced names a
    /// prefix stays.
    PowerLoss { seed: u64 },
}

/// The disk; clones share it.
#[derive(Debug, Clone)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
    map: bool,
}

impl Default for MemoryDisk {
    fn default() -> Self {
        MemoryDisk::new(true)
    }
}

impl MemoryDisk {
    /// An empty disk; `map` says whether windows can be had.
    pub fn new(map: bool) -> MemoryDisk {
        let mut state = State::default();
        state.names.insert(PathBuf::from("/"), Node::Dir);
        state.durable_names = state.names.clone();
        MemoryDisk { state: Arc::new(Mutex::new(state)), map }
    }

    pub fn set_fault(&self, fault: Option<Fault>) {
        self.state.lock().fault = fault;
    }

    /// What files written from now on give as their time.
    pub fn set_time(&self, now_ms: TimestampMs) {
        self.state.lock().now_ms = now_ms;
    }

    /// Whether the crash has happened.
    pub fn is_cut_off(&self) -> bool {
        self.state.lock().dead
    }

    /// Changes so far; the count that [`Fault::CrashAt`] means.
    pub fn changes(&self) -> u64 {
        self.state.lock().changes
    }

    /// Bytes that all files together hold.
    pub fn bytes(&self) -> u64 {
        self.state.lock().used()
    }

    /// A copy of everything as a reader sees it now; this disk goes on.
    pub fn snapshot(&self) -> MemoryDisk {
        let copy = self.state.lock().copy();
        MemoryDisk { state: Arc::new(Mutex::new(copy)), map: self.map }
    }

    /// A disk as the next process finds it. This one answers nothing any more.
    pub fn after(&self, crash: Crash) -> MemoryDisk {
        let mut old = self.state.lock();
        old.dead = true;
        MemoryDisk { state: Arc::new(Mutex::new(old.after(crash))), map: self.map }
    }
}

impl Disk for MemoryDisk {
    fn open(&self, path: &Path, how: OpenHow) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state.lock();
        state.alive()?;
        let id = match state.names.get(path) {
            Some(Node::Dir) => return Err(io::ErrorKind::IsADirectory.into()),
            Some(Node::File(_)) if how == OpenHow::CreateNew => {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            Some(Node::File(id)) => *id,
            None if matches!(how, OpenHow::Read | OpenHow::Write) => return Err(not_found()),
            None => {
                let parent = path.parent().ok_or_else(not_found)?;
                if state.names.get(parent) != Some(&Node::Dir) {
                    return Err(not_found());
                }
                let id = state.next_inode;
                state.name(NameChange::File(path.to_owned(), id))?;
                state.next_inode += 1;
                state.inodes.insert(id, Inode::default());
                id
            }
        };
        Ok(Arc::new(MemoryFile { disk: self.clone(), id }))
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        let state = self.state.lock();
        state.alive()?;
        Ok(state.names.get(path).map(|node| match node {
            Node::File(id) => {
                let inode = &state.inodes[id];
                Stat { len: inode.data.len() as u64, modified_ms: inode.modified_ms, is_dir: false }
            }
            Node::Dir => Stat { len: 0, modified_ms: state.now_ms, is_dir: true },
        }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let state = self.state.lock();
        state.alive()?;
        if state.names.get(dir) != Some(&Node::Dir) {
            return Err(not_found());
        }
        let here = state.names.iter().filter(|(path, _)| path.parent() == Some(dir));
        Ok(here
            .map(|(path, node)| DirEntry {
                name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                is_dir: *node == Node::Dir,
            })
            .collect())
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.alive()?;
        let mut missing: Vec<PathBuf> = path
            .ancestors()
            .take_while(|p| !state.names.contains_key(*p))
            .map(Path::to_owned)
            .collect();
        while let Some(dir) = missing.pop() {
            state.name(NameChange::Dir(dir))?;
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.alive()?;
        if !state.names.contains_key(from) {
            return Err(not_found());
        }
        state.name(NameChange::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.alive()?;
        match state.names.get(path) {
            Some(Node::File(_)) => state.name(NameChange::Remove(path.to_owned())),
            _ => Err(not_found()),
        }
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.alive()?;
        if state.names.keys().any(|p| p.parent() == Some(path)) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        state.name(NameChange::Remove(path.to_owned()))
    }

    /// As a journalling file system does: all names changed so far become durable, in order.
    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        match state.change()? {
            Permit::Torn => return Err(dead()),
            Permit::Whole if state.fault == Some(Fault::LostSyncs) => return Ok(()),
            Permit::Whole => {}
        }
        state.sync_names();
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        let mut state = self.state.lock();
        state.alive()?;
        if !state.locked.insert(path.to_owned()) {
            return Ok(None);
        }
        Ok(Some(Box::new(MemoryLock { disk: self.clone(), path: path.to_owned() })))
    }

    fn can_map(&self) -> bool {
        self.map
    }

    fn witness(&self, _dir: &Path) -> io::Result<Option<String>> {
        let state = self.state.lock();
        state.alive()?;
        Ok(Some(format!("boot {}", state.boots)))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.state.lock().alive()?;
        Ok(path.to_owned())
    }

    fn space(&self, _dir: &Path) -> io::Result<Space> {
        self.state.lock().alive()?;
        const GIB: u64 = 1 << 30;
        Ok(Space { total: GIB, usable: GIB })
    }
}

struct MemoryLock {
    disk: MemoryDisk,
    path: PathBuf,
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.disk.state.lock().locked.remove(&self.path);
    }
}

#[derive(Debug)]
struct MemoryFile {
    disk: MemoryDisk,
    id: InodeId,
}

impl DiskFile for MemoryFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let state = self.disk.state.lock();
        state.alive()?;
        let data = &state.inodes[&self.id].data;
        let from = (at as usize).min(data.len());
        let count = buf.len().min(data.len() - from);
        buf[..count].copy_from_slice(&data[from..from + count]);
        Ok(count)
    }

    fn write_at(&self, parts: &[&[u8]], at: u64) -> io::Result<()> {
        let write = DataChange::Write { at: at as usize, bytes: parts.concat() };
        self.disk.state.lock().data(self.id, write)
    }

    fn len(&self) -> io::Result<u64> {
        let state = self.disk.state.lock();
        state.alive()?;
        Ok(state.inodes[&self.id].data.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.state.lock().data(self.id, DataChange::Len(len as usize))
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.state.lock().sync_inode(self.id)
    }

    fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        let len = state.inodes[&self.id].data.len();
        state.data(self.id, DataChange::Len(len.max(range.end as usize)))
    }

    fn map(&self, range: Range<u64>) -> io::Result<Box<dyn Window>> {
        if !self.disk.map {
            return Err(io::ErrorKind::Unsupported.into());
        }
        if range.end > self.len()? {
            return Err(io::Error::from_raw_os_error(libc::EFAULT));
        }
        Ok(Box::new(MemoryWindow { disk: self.disk.clone(), id: self.id, range }))
    }

    fn read_map(&self, len: u64) -> io::Result<Box<dyn ReadMap>> {
        if !self.disk.map {
            return Err(io::ErrorKind::Unsupported.into());
        }
        if len > self.len()? {
            return Err(io::Error::from_raw_os_error(libc::EFAULT));
        }
        Ok(Box::new(MemoryReadMap { disk: self.disk.clone(), id: self.id, len }))
    }

    fn set_modified(&self, modified_ms: TimestampMs) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        state.alive()?;
        state.inode(self.id).modified_ms = modified_ms;
        Ok(())
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

#[derive(Debug)]
struct MemoryReadMap {
    disk: MemoryDisk,
    id: InodeId,
    len: u64,
}

impl ReadMap for MemoryReadMap {
    fn load(&self, at: u64, into: &mut [u8]) {
        let state = self.disk.state.lock();
        let data = &state.inodes[&self.id].data;
        assert!(at + into.len() as u64 <= self.len, "a load inside the map");
        assert!(self.len <= data.len() as u64, "a load behind the end of the file is a SIGBUS");
        into.copy_from_slice(&data[at as usize..at as usize + into.len()]);
    }
}

#[derive(Debug)]
struct MemoryWindow {
    disk: MemoryDisk,
    id: InodeId,
    range: Range<u64>,
}

impl Window for MemoryWindow {
    fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    fn store(&mut self, at: u64, bytes: &[u8]) {
        let end = at + bytes.len() as u64;
        assert!(at >= self.range.start && end <= self.range.end, "a store inside the window");
        let mut state = self.disk.state.lock();
        let len = state.inodes[&self.id].data.len() as u64;
        assert!(state.dead || end <= len, "a store behind the end of the file is a SIGBUS");
        state.store(self.id, at as usize, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(disk: &MemoryDisk, name: &str) -> Arc<dyn DiskFile> {
        disk.open(Path::new(name), OpenHow::Create).unwrap()
    }

    fn content(disk: &MemoryDisk, name: &str) -> Option<Vec<u8>> {
        let file = disk.open(Path::new(name), OpenHow::Read).ok()?;
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(&mut bytes, 0).unwrap();
        Some(bytes)
    }

    #[test]
    fn a_kill_keeps_everything_a_power_loss_what_was_synced() {
        let disk = MemoryDisk::default();
        let a = file(&disk, "/a");
        a.write_at(&[b"synced"], 0).unwrap();
        a.sync().unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        a.write_at(&[b"not"], 6).unwrap();
        file(&disk, "/b").write_at(&[b"x"], 0).unwrap();
        let mut lost_b = 0;
        for seed in 0..50 {
            let after = disk.after(Crash::PowerLoss { seed });
            assert!(content(&after, "/a").unwrap().starts_with(b"synced"));
            lost_b += usize::from(content(&after, "/b").is_none());
        }
        assert!((5..45).contains(&lost_b));
        let after = disk.after(Crash::Kill);
        assert_eq!(content(&after, "/a").unwrap(), b"syncednot");
        assert!(a.write_at(&[b"x"], 0).is_err(), "the old disk is cut off");
    }

    #[test]
    fn faults_hit_the_change_they_name() {
        let disk = MemoryDisk::default();
        disk.set_fault(Some(Fault::ErrorAt { change: 2, errno: libc::EIO }));
        let a = file(&disk, "/a");
        assert_eq!(a.write_at(&[b"x"], 0).unwrap_err().raw_os_error(), Some(libc::EIO));
        a.write_at(&[b"x"], 0).unwrap();
        disk.set_fault(Some(Fault::Full { bytes: 3 }));
        assert!(a.write_at(&[b"xyz"], 1).unwrap_err().raw_os_error() == Some(libc::ENOSPC));
        a.write_at(&[b"yz"], 1).unwrap();
        disk.set_fault(Some(Fault::LostSyncs));
        a.sync().unwrap();
        let mut lost = 0;
        for seed in 0..20 {
            lost += usize::from(content(&disk.after(Crash::PowerLoss { seed }), "/a").is_none());
        }
        assert!(lost > 0);
    }

    #[test]
    fn windows_store_into_their_file() {
        let disk = MemoryDisk::default();
        let a = file(&disk, "/a");
        assert!(a.map(0..4096).is_err(), "not allocated yet");
        a.allocate(0..4096).unwrap();
        let mut window = a.map(0..4096).unwrap();
        window.store(10, b"abc");
        assert_eq!(&content(&disk, "/a").unwrap()[9..14], b"\0abc\0");
        disk.set_fault(Some(Fault::CrashAt(disk.changes() + 1)));
        window.store(10, b"defghijk");
        window.store(0, b"never");
        let after = content(&disk.after(Crash::Kill), "/a").unwrap();
        assert_eq!(&after[..5], &[0; 5]);
    }
}
