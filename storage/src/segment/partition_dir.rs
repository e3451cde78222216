//! A partition's directory and its lazily opened files: an idle partition holds no descriptor.
//! Knows names and descriptors, nothing of what the files hold.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::{Mutex, RwLock};
use protocol::ids::{Offset, TopicPartition};

use crate::disk::{Disk, DiskFile, Durable, OpenHow, ReadMap, remove_if_there, replace_file};
use crate::error::{At, DiskError};
use crate::segment::mapped::{CountedWindow, WINDOWS_MAX};

/// `00000000000000000042.log` and the like.
pub(crate) fn segment_file_name(base_offset: Offset, suffix: &str) -> String {
    format!("{base_offset:020}{suffix}")
}

/// The offset that a file name begins with, and the rest from its first dot.
pub(crate) fn parse_file_name(name: &str) -> Option<(Offset, &str)> {
    let dot = name.find('.')?;
    let digits = &name[..dot];
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((digits.parse().ok()?, &name[dot..]))
}

/// Descriptors that lazily opened files keep; beyond it the least used are closed.
pub const OPEN_FILES_MAX: usize = 4096;

/// Bounds the descriptors of all partitions of a process. Cheap to share, one per process.
#[derive(Debug)]
pub struct FileCache {
    max: usize,
    open: Mutex<Clock>,
    windows: AtomicUsize,
    /// Partitions whose next window is due, each at most once.
    asking: Mutex<VecDeque<TopicPartition>>,
    waker: OnceLock<Waker>,
}

/// Called when a window is asked for.
struct Waker(Box<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for Waker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waker")
    }
}

/// A second-chance ring: `used` is set by readers and cleared by the hand.
#[derive(Debug, Default)]
struct Clock {
    files: Vec<Weak<LazyFile>>,
    hand: usize,
}

impl FileCache {
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max: max.max(1),
            open: Mutex::default(),
            windows: AtomicUsize::new(0),
            asking: Mutex::default(),
            waker: OnceLock::new(),
        })
    }

    /// `wake` is called, from an append, whenever a window is asked for. Only the first counts.
    pub fn set_waker(&self, wake: Box<dyn Fn() + Send + Sync>) {
        let _ = self.waker.set(Waker(wake));
    }

    pub(crate) fn ask(&self, partition: &TopicPartition) {
        self.asking.lock().push_back(partition.clone());
        if let Some(waker) = self.waker.get() {
            (waker.0)();
        }
    }

    /// The next partition that asks for a window.
    pub(crate) fn asked(&self) -> Option<TopicPartition> {
        self.asking.lock().pop_front()
    }

    /// Windows that are mapped.
    pub fn windows(&self) -> usize {
        self.windows.load(Ordering::Relaxed)
    }

    /// Counts a window; `false` if there are too many.
    pub(crate) fn take_window(&self) -> bool {
        let taken = self.windows.fetch_add(1, Ordering::Relaxed) < WINDOWS_MAX;
        if !taken {
            self.window_dropped();
        }
        taken
    }

    pub(crate) fn window_dropped(&self) {
        self.windows.fetch_sub(1, Ordering::Relaxed);
    }

    fn opened(&self, file: &Arc<LazyFile>) {
        let mut clock = self.open.lock();
        if clock.files.len() < self.max {
            clock.files.push(Arc::downgrade(file));
            return;
        }
        // At most two rounds: the first clears every mark.
        for _ in 0..=2 * clock.files.len() {
            let at = clock.hand % clock.files.len();
            clock.hand = at + 1;
            let free = match clock.files[at].upgrade() {
                None => true,
                Some(other) if Arc::ptr_eq(&other, file) => true,
                Some(other) => {
                    !other.used.swap(false, Ordering::Relaxed) && {
                        // Its owner may be opening it right now: then it stays.
                        other.slot.try_lock().map(|mut slot| *slot = Slot::Closed).is_some()
                    }
                }
            };
            if free {
                clock.files[at] = Arc::downgrade(file);
                return;
            }
        }
    }
}

/// Where a partition's files are. The path changes when the directory is renamed.
#[derive(Debug)]
pub struct PartitionDir {
    pub(crate) disk: Arc<dyn Disk>,
    files: Arc<FileCache>,
    path: RwLock<PathBuf>,
}

impl PartitionDir {
    pub fn new(disk: Arc<dyn Disk>, files: Arc<FileCache>, path: PathBuf) -> Arc<Self> {
        Arc::new(Self { disk, files, path: RwLock::new(path) })
    }

    pub fn path(&self) -> PathBuf {
        self.path.read().clone()
    }

    pub(crate) fn files(&self) -> &Arc<FileCache> {
        &self.files
    }

    /// Renames the directory; open descriptors stay valid.
    pub(crate) fn rename(&self, to: PathBuf) -> Result<(), DiskError> {
        let mut path = self.path.write();
        self.disk.rename(&path, &to).at("rename", &path)?;
        *path = to;
        Ok(())
    }

    /// Makes the names of its files durable. The directory keeps its own name meanwhile.
    pub(crate) fn sync(&self) -> Result<(), DiskError> {
        let path = self.path.read();
        self.disk.sync_dir(&path).at("sync", &path)
    }

    /// Opens one of its files for its caller alone, under the name that the directory has then.
    pub(crate) fn open(&self, name: &str, how: OpenHow) -> Result<Arc<dyn DiskFile>, DiskError> {
        let dir = self.path.read();
        let path = dir.join(name);
        self.disk.open(&path, how).at("open", &path)
    }

    pub(crate) fn file_path(&self, name: &str) -> PathBuf {
        self.path.read().join(name)
    }

    pub(crate) fn file(self: &Arc<Self>, name: String) -> Arc<LazyFile> {
        Arc::new(LazyFile {
            dir: self.clone(),
            name: RwLock::new(name),
            slot: Mutex::default(),
            used: AtomicBool::new(false),
        })
    }
}

/// A file that is opened when it is first needed and may be closed behind its owner's back.
#[derive(Debug)]
pub(crate) struct LazyFile {
    dir: Arc<PartitionDir>,
    name: RwLock<String>,
    slot: Mutex<Slot>,
    used: AtomicBool,
}

/// What a lazily opened file holds of the system: at most one of the two.
#[derive(Debug, Default)]
enum Slot {
    #[default]
    Closed,
    Open(Arc<dyn DiskFile>),
    /// So many bytes of it.
    Mapped(Arc<dyn ReadMap>, u64),
}

impl LazyFile {
    pub fn path(&self) -> PathBuf {
        self.dir.file_path(&self.name.read())
    }

    /// The open file. Whoever holds the answer keeps the descriptor open.
    pub fn get(self: &Arc<Self>) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.open(OpenHow::Write)
    }

    pub fn create_new(self: &Arc<Self>) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.open(OpenHow::CreateNew)
    }

    pub fn get_or_create(self: &Arc<Self>) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.open(OpenHow::Create)
    }

    fn open(self: &Arc<Self>, how: OpenHow) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.used.store(true, Ordering::Relaxed);
        let file = {
            let mut slot = self.slot.lock();
            if let Slot::Open(file) = &*slot {
                return Ok(file.clone());
            }
            // The directory's path is held while opening, so that a rename cannot pass between.
            let dir = self.dir.path.read();
            let path = dir.join(&*self.name.read());
            let file = self.dir.disk.open(&path, how).at("open", &path)?;
            *slot = Slot::Open(file.clone());
            file
        };
        self.dir.files.opened(self);
        Ok(file)
    }

    /// The first `len` bytes mapped for reading, kept instead of a descriptor; `None` where
    /// nothing can be mapped. Only of a file that does not change any more.
    pub fn read_map(self: &Arc<Self>, len: u64) -> Result<Option<Arc<dyn ReadMap>>, DiskError> {
        if !self.dir.disk.can_map() {
            return Ok(None);
        }
        self.used.store(true, Ordering::Relaxed);
        // A reader that looked before the file grew may have left a shorter one.
        if let Slot::Mapped(map, mapped) = &*self.slot.lock()
            && *mapped >= len
        {
            return Ok(Some(map.clone()));
        }
        let file = self.open(OpenHow::Write)?;
        match file.read_map(len) {
            Ok(map) => {
                let map: Arc<dyn ReadMap> = Arc::from(map);
                *self.slot.lock() = Slot::Mapped(map.clone(), len);
                Ok(Some(map))
            }
            Err(e) if e.kind() == std::io::ErrorKind::Unsupported => Ok(None),
            Err(e) => Err(e).at("map", &self.path()),
        }
    }

    /// Allocates and maps a range for writing; `None` if there are too many windows.
    pub fn window(
        &self,
        file: &Arc<dyn DiskFile>,
        range: Range<u64>,
    ) -> Result<Option<CountedWindow>, DiskError> {
        CountedWindow::make(&self.dir.files, &**file, &self.path(), range)
    }

    /// Puts another file in this one's place; descriptor and map stay with the old one.
    pub fn replace(&self, bytes: &[u8]) -> Result<(), DiskError> {
        let dir = self.dir.path.read();
        replace_file(&*self.dir.disk, &dir.join(&*self.name.read()), bytes, Durable::Later)
    }

    /// Drops descriptor and map; the next use opens the file anew.
    pub fn close(&self) {
        *self.slot.lock() = Slot::Closed;
    }

    /// The same if nobody used the file since the last call; `true` if there was something.
    pub fn close_if_unused(&self) -> bool {
        !self.used.swap(false, Ordering::Relaxed)
            && !matches!(std::mem::take(&mut *self.slot.lock()), Slot::Closed)
    }

    /// Removes the file, if it is there.
    pub fn remove(&self) -> Result<(), DiskError> {
        self.close();
        let dir = self.dir.path.read();
        remove_if_there(&*self.dir.disk, &dir.join(&*self.name.read()))
    }

    /// Renames the file inside its directory. The descriptor, if open, stays.
    pub fn rename(&self, to: String) -> Result<(), DiskError> {
        let dir = self.dir.path.read();
        let mut name = self.name.write();
        let from = dir.join(&*name);
        self.dir.disk.rename(&from, &dir.join(&to)).at("rename", &from)?;
        *name = to;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::OsDisk;

    #[test]
    fn names_parse() {
        assert_eq!(segment_file_name(42, ".log"), "00000000000000000042.log");
        assert_eq!(parse_file_name("00000000000000000042.log"), Some((42, ".log")));
        assert_eq!(
            parse_file_name("00000000000000000042.timeindex.deleted"),
            Some((42, ".timeindex.deleted"))
        );
        assert_eq!(parse_file_name("leader-epoch-checkpoint"), None);
        assert_eq!(parse_file_name("x1.log"), None);
        assert_eq!(parse_file_name("99999999999999999999.log"), None);
    }

    #[test]
    fn descriptors_stay_within_their_bound() {
        let temp = tempfile::tempdir().unwrap();
        let cache = FileCache::new(3);
        let dir =
            PartitionDir::new(Arc::new(OsDisk::default()), cache.clone(), temp.path().to_owned());
        let files: Vec<_> = (0..10).map(|i| dir.file(format!("f{i}"))).collect();
        for _ in 0..3 {
            for file in &files {
                file.get_or_create().unwrap();
                let open = files.iter().filter(|f| !matches!(*f.slot.lock(), Slot::Closed)).count();
                assert!(open <= 3, "{open} files are open");
            }
        }
    }
}
