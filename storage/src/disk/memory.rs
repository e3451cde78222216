//! A file system in memory that counts every change, fails on demand and can be cut off in the
//! middle: as by a kill, after which the page cache is whole, or as by a power loss, after which
//! only what was synced is certain. For tests and simulations. Knows nothing of logs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use protocol::ids::TimestampMs;

use super::{DirEntry, Disk, DiskFile, OpenHow, Stat, Window};

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

/// Sectors are written whole or not at all.
const SECTOR_BYTES: usize = 512;

type InodeId = u64;

#[derive(Debug, Clone)]
enum DataChange {
    Write { at: usize, bytes: Vec<u8> },
    Len(usize),
}

#[derive(Debug, Clone, Default)]
struct Inode {
    data: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<DataChange>,
}

#[derive(Debug, Clone)]
enum NameChange {
    File(PathBuf, InodeId),
    Dir(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Dir,
    File(InodeId),
}

type Names = BTreeMap<PathBuf, Node>;

#[derive(Debug, Default)]
struct State {
    names: Names,
    durable_names: Names,
    unsynced_names: Vec<NameChange>,
    inodes: HashMap<InodeId, Inode>,
    next_inode: InodeId,
    locked: HashSet<PathBuf>,
    changes: u64,
    fault: Option<Fault>,
    dead: bool,
    now_ms: TimestampMs,
}

/// The disk; clones share it.
#[derive(Debug, Clone)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
    map: bool,
}

/// What a change may do.
enum Permit {
    Whole,
    /// The crash: do a part of it and report failure.
    Torn,
}

fn dead() -> io::Error {
    io::Error::other("the disk was cut off")
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

/// A small generator of its own: simulations must replay.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

impl DataChange {
    fn apply(&self, data: &mut Vec<u8>) {
        match self {
            DataChange::Len(len) => data.resize(*len, 0),
            DataChange::Write { at, bytes } => {
                let end = at + bytes.len();
                if data.len() < end {
                    data.resize(end, 0);
                }
                data[*at..end].copy_from_slice(bytes);
            }
        }
    }

    /// What a power loss leaves of it.
    fn after_power_loss(&self, dice: &mut Dice) -> Option<DataChange> {
        match (dice.below(3), self) {
            (0, _) => None,
            (1, DataChange::Write { at, bytes }) => {
                let first_sector = SECTOR_BYTES - at % SECTOR_BYTES;
                let sectors = dice.below(bytes.len() / SECTOR_BYTES + 1);
                let kept = (first_sector + sectors * SECTOR_BYTES).min(bytes.len());
                Some(DataChange::Write { at: *at, bytes: bytes[..kept].to_vec() })
            }
            _ => Some(self.clone()),
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut Names) {
        match self {
            NameChange::File(path, id) => {
                names.insert(path.clone(), Node::File(*id));
            }
            NameChange::Dir(path) => {
                names.insert(path.clone(), Node::Dir);
            }
            NameChange::Remove(path) => {
                names.remove(path);
            }
            NameChange::Rename(from, to) => {
                let inside: Vec<PathBuf> =
                    names.keys().filter(|p| p.starts_with(from)).cloned().collect();
                for path in inside {
                    let node = names.remove(&path).expect("it was just listed");
                    let rest = path.strip_prefix(from).expect("it starts so");
                    let target =
                        if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) };
                    names.insert(target, node);
                }
            }
        }
    }
}

impl State {
    /// Counts a change and says whether it may happen.
    fn change(&mut self) -> io::Result<Permit> {
        if self.dead {
            return Err(dead());
        }
        self.changes += 1;
        match self.fault {
            Some(Fault::CrashAt(n)) if n == self.changes => {
                self.dead = true;
                Ok(Permit::Torn)
            }
            Some(Fault::ErrorAt { change, errno }) if change == self.changes => {
                Err(io::Error::from_raw_os_error(errno))
            }
            _ => Ok(Permit::Whole),
        }
    }

    fn alive(&self) -> io::Result<()> {
        if self.dead { Err(dead()) } else { Ok(()) }
    }

    fn name(&mut self, change: NameChange) -> io::Result<()> {
        match self.change()? {
            Permit::Whole => {
                change.apply(&mut self.names);
                self.unsynced_names.push(change);
                Ok(())
            }
            // Names change whole or not at all; the last one before a crash did not.
            Permit::Torn => Err(dead()),
        }
    }

    fn used(&self) -> u64 {
        self.inodes.values().map(|i| i.data.len() as u64).sum()
    }

    fn data(&mut self, id: InodeId, change: DataChange) -> io::Result<()> {
        let permit = self.change()?;
        if let Some(Fault::Full { bytes: limit }) = self.fault {
            let len = self.inodes[&id].data.len();
            let end = match &change {
                DataChange::Write { at, bytes } => at + bytes.len(),
                DataChange::Len(len) => *len,
            };
            if end > len && self.used() + (end - len) as u64 > limit {
                return Err(io::Error::from_raw_os_error(libc::ENOSPC));
            }
        }
        let change = match (&permit, change) {
            (Permit::Torn, DataChange::Write { at, bytes }) => {
                let kept = Dice::new(self.changes).below(bytes.len() + 1);
                DataChange::Write { at, bytes: bytes[..kept].to_vec() }
            }
            (_, change) => change,
        };
        let inode = self.inodes.get_mut(&id).expect("an open file has an inode");
        change.apply(&mut inode.data);
        inode.unsynced.push(change);
        match permit {
            Permit::Whole => Ok(()),
            Permit::Torn => Err(dead()),
        }
    }

    /// A store cannot fail; after a crash nobody is there to make one.
    fn store(&mut self, id: InodeId, at: usize, bytes: &[u8]) {
        if self.dead {
            return;
        }
        self.changes += 1;
        let mut kept = bytes.len();
        if self.fault == Some(Fault::CrashAt(self.changes)) {
            self.dead = true;
            kept = Dice::new(self.changes).below(kept + 1);
        }
        let change = DataChange::Write { at, bytes: bytes[..kept].to_vec() };
        let inode = self.inodes.get_mut(&id).expect("a mapped file has an inode");
        change.apply(&mut inode.data);
        inode.unsynced.push(change);
    }

    fn sync_inode(&mut self, id: InodeId) -> io::Result<()> {
        match self.change()? {
            Permit::Torn => return Err(dead()),
            Permit::Whole if self.fault == Some(Fault::LostSyncs) => return Ok(()),
            Permit::Whole => {}
        }
        let inode = self.inodes.get_mut(&id).expect("an open file has an inode");
        for change in std::mem::take(&mut inode.unsynced) {
            change.apply(&mut inode.durable);
        }
        Ok(())
    }
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

    /// A copy of everything as a reader sees it now; this disk goes on.
    pub fn snapshot(&self) -> MemoryDisk {
        let state = self.state.lock();
        let copy = State {
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            unsynced_names: state.unsynced_names.clone(),
            inodes: state.inodes.clone(),
            next_inode: state.next_inode,
            now_ms: state.now_ms,
            ..State::default()
        };
        MemoryDisk { state: Arc::new(Mutex::new(copy)), map: self.map }
    }

    /// A disk as the next process finds it. This one answers nothing any more.
    pub fn after(&self, crash: Crash) -> MemoryDisk {
        let mut old = self.state.lock();
        old.dead = true;
        let mut new = State { next_inode: old.next_inode, now_ms: old.now_ms, ..State::default() };
        match crash {
            Crash::Kill => {
                new.names = old.names.clone();
                new.durable_names = old.durable_names.clone();
                new.unsynced_names = old.unsynced_names.clone();
                new.inodes = old.inodes.clone();
            }
            Crash::PowerLoss { seed } => {
                let mut dice = Dice::new(seed);
                new.names = old.durable_names.clone();
                let kept = dice.below(old.unsynced_names.len() + 1);
                for change in &old.unsynced_names[..kept] {
                    change.apply(&mut new.names);
                }
                new.durable_names = new.names.clone();
                let mut ids: Vec<_> = old.inodes.keys().copied().collect();
                ids.sort_unstable();
                for id in ids {
                    let inode = &old.inodes[&id];
                    let mut data = inode.durable.clone();
                    for change in &inode.unsynced {
                        if let Some(change) = change.after_power_loss(&mut dice) {
                            change.apply(&mut data);
                        }
                    }
                    let inode = Inode { durable: data.clone(), data, unsynced: Vec::new() };
                    new.inodes.insert(id, inode);
                }
            }
        }
        MemoryDisk { state: Arc::new(Mutex::new(new)), map: self.map }
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
        Ok(state.names.get(path).map(|node| Stat {
            len: match node {
                Node::File(id) => state.inodes[id].data.len() as u64,
                Node::Dir => 0,
            },
            modified_ms: state.now_ms,
            is_dir: *node == Node::Dir,
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
        state.durable_names = state.names.clone();
        state.unsynced_names.clear();
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

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
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
