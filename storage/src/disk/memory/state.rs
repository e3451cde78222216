//! What a disk in memory holds: files with what of them is durable, names likewise, and the count
//! of changes that faults refer to. Knows nothing of logs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::PathBuf;

use protocol::ids::TimestampMs;

use super::{Crash, Fault};

/// Sectors are written whole or not at all.
const SECTOR_BYTES: usize = 512;

pub(super) type InodeId = u64;

#[derive(Debug, Clone)]
pub(super) enum DataChange {
    Write { at: usize, bytes: Vec<u8> },
    Len(usize),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    pub data: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<DataChange>,
    pub modified_ms: TimestampMs,
}

#[derive(Debug, Clone)]
pub(super) enum NameChange {
    File(PathBuf, InodeId),
    Dir(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Dir,
    File(InodeId),
}

type Names = BTreeMap<PathBuf, Node>;

#[derive(Debug, Default)]
pub(super) struct State {
    pub names: Names,
    pub durable_names: Names,
    unsynced_names: Vec<NameChange>,
    pub inodes: HashMap<InodeId, Inode>,
    pub next_inode: InodeId,
    pub locked: HashSet<PathBuf>,
    pub changes: u64,
    pub fault: Option<Fault>,
    pub dead: bool,
    pub now_ms: TimestampMs,
    /// Power losses so far: what the page cache held before one is gone.
    pub boots: u64,
}

/// What a change may do.
pub(super) enum Permit {
    Whole,
    /// The crash: do a part of it and report failure.
    Torn,
}

pub(super) fn dead() -> io::Error {
    io::Error::other("the disk was cut off")
}

pub(super) fn not_found() -> io::Error {
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
    pub fn change(&mut self) -> io::Result<Permit> {
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

    pub fn alive(&self) -> io::Result<()> {
        if self.dead { Err(dead()) } else { Ok(()) }
    }

    pub fn name(&mut self, change: NameChange) -> io::Result<()> {
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

    pub fn used(&self) -> u64 {
        self.inodes.values().map(|i| i.data.len() as u64).sum()
    }

    pub fn data(&mut self, id: InodeId, change: DataChange) -> io::Result<()> {
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
        inode.modified_ms = self.now_ms;
        change.apply(&mut inode.data);
        inode.unsynced.push(change);
        match permit {
            Permit::Whole => Ok(()),
            Permit::Torn => Err(dead()),
        }
    }

    /// A store cannot fail; after a crash nobody is there to make one.
    pub fn store(&mut self, id: InodeId, at: usize, bytes: &[u8]) {
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
        inode.modified_ms = self.now_ms;
        change.apply(&mut inode.data);
        inode.unsynced.push(change);
    }

    pub fn sync_inode(&mut self, id: InodeId) -> io::Result<()> {
        match self.change()? {
            Permit::Torn => return Err(dead()),
            Permit::Whole if self.fault == Some(Fault::LostSyncs) => return Ok(()),
            Permit::Whole => {}
        }
        let inode = self.inode(id);
        for change in std::mem::take(&mut inode.unsynced) {
            change.apply(&mut inode.durable);
        }
        Ok(())
    }

    /// A copy of everything as a reader sees it now, without locks and faults.
    pub fn copy(&self) -> State {
        State {
            names: self.names.clone(),
            durable_names: self.durable_names.clone(),
            unsynced_names: self.unsynced_names.clone(),
            inodes: self.inodes.clone(),
            next_inode: self.next_inode,
            now_ms: self.now_ms,
            boots: self.boots,
            ..State::default()
        }
    }

    /// What the next process finds.
    pub fn after(&self, crash: Crash) -> State {
        let mut new = self.copy();
        let Crash::PowerLoss { seed } = crash else { return new };
        new.boots += 1;
        let mut dice = Dice::new(seed);
        new.names = self.durable_names.clone();
        let kept = dice.below(self.unsynced_names.len() + 1);
        for change in &self.unsynced_names[..kept] {
            change.apply(&mut new.names);
        }
        new.durable_names = new.names.clone();
        new.unsynced_names.clear();
        let mut ids: Vec<_> = self.inodes.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            let inode = &self.inodes[&id];
            let mut data = inode.durable.clone();
            for change in &inode.unsynced {
                if let Some(change) = change.after_power_loss(&mut dice) {
                    change.apply(&mut data);
                }
            }
            let durable = data.clone();
            let inode = Inode { durable, data, unsynced: vec![], ..*inode };
            new.inodes.insert(id, inode);
        }
        new
    }

    pub fn inode(&mut self, id: InodeId) -> &mut Inode {
        self.inodes.get_mut(&id).expect("an open file has an inode")
    }

    /// As a journalling file system does: all names changed so far become durable, in order.
    pub fn sync_names(&mut self) {
        self.durable_names = self.names.clone();
        self.unsynced_names.clear();
    }
}
