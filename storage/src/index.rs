//! The three indexes of a segment. The offset and the time index are the same array of fixed
//! entries: on the heap while the segment grows, its file filled through a map; a file mapped for
//! reading once it is sealed. Knows entries, not what they say of a log.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use protocol::ids::Offset;

use crate::disk::{DiskFile, PAGE_BYTES, ReadMap};
use crate::error::{At, DiskError};
use crate::segment::mapped::CountedWindow;
use crate::segment::partition_dir::LazyFile;

mod heap;
pub(crate) mod offset;
pub(crate) mod time;
pub(crate) mod transaction;

use heap::Heap;

/// Entries that an active index gathers before its file gets them: a quiet one has no window.
const PENDING_BYTES_MAX: usize = 2048;
/// What is allocated and mapped at a time: the entries of some 8 MiB of log.
const WINDOW_BYTES: u64 = 16 * 1024;

/// One entry as the file has it; at most 16 bytes.
pub(crate) trait Entry: Copy + fmt::Debug + Send + Sync + 'static {
    const BYTES: usize;
    /// `bytes` has [`Entry::BYTES`].
    fn decode(bytes: &[u8]) -> Self;
    fn encode(&self, bytes: &mut [u8]);
    /// The entry's offset − the segment's base offset.
    fn relative(&self) -> i32;
}

/// Entries in ascending order of their offsets, of the segment at `base_offset`.
#[derive(Debug)]
pub(crate) struct Index<E> {
    base_offset: Offset,
    pub file: Arc<LazyFile>,
    state: RwLock<State>,
    /// Touched by the one who changes the log alone.
    tail: Mutex<Tail>,
    entry: PhantomData<E>,
}

#[derive(Debug, Clone)]
enum State {
    Active(Arc<Heap>),
    /// The file alone; `count` entries.
    Sealed {
        count: usize,
    },
}

/// How far an active index's file has got.
#[derive(Debug, Default)]
struct Tail {
    window: Option<CountedWindow>,
    /// Entries that the file has.
    written: usize,
}

/// One look at the entries; it stays as it is.
enum Look {
    Heap(Arc<Heap>, usize),
    Map(Arc<dyn ReadMap>, usize),
    /// Where nothing can be mapped.
    File(Arc<dyn DiskFile>, usize),
}

impl<E: Entry> Index<E> {
    /// Without a length an index that begins empty, without a file yet; else an existing file
    /// whose every whole slot is an entry.
    pub fn new(base_offset: Offset, file: Arc<LazyFile>, file_len: Option<u64>) -> Self {
        let state = match file_len {
            Some(len) => State::Sealed { count: len as usize / E::BYTES },
            None => State::Active(heap_of::<E>()),
        };
        Self {
            base_offset,
            file,
            state: RwLock::new(state),
            tail: Mutex::default(),
            entry: PhantomData,
        }
    }

    pub fn count(&self) -> usize {
        match &*self.state.read() {
            State::Active(heap) => heap.len(),
            State::Sealed { count } => *count,
        }
    }

    /// What the entries take.
    pub fn bytes_len(&self) -> u64 {
        (self.count() * E::BYTES) as u64
    }

    pub fn is_active(&self) -> bool {
        matches!(&*self.state.read(), State::Active(_))
    }

    /// Takes the entries into memory, to append to them.
    pub fn activate(&self) -> Result<(), DiskError> {
        let count = match &*self.state.read() {
            State::Active(_) => return Ok(()),
            State::Sealed { count } => *count,
        };
        let heap = heap_of::<E>();
        let look = self.look()?;
        for at in 0..count {
            heap.push(&words(&self.entry_at(&look, at)?));
        }
        *self.tail.lock() = Tail { written: count, window: None };
        *self.state.write() = State::Active(heap);
        Ok(())
    }

    /// Adds one entry: in memory, and in the file where its window reaches so far.
    pub fn push(&self, entry: E) {
        let State::Active(heap) = self.state.read().clone() else {
            unreachable!("only the active segment's index grows");
        };
        let at = heap.len();
        heap.push(&words(&entry));
        let mut tail = self.tail.lock();
        if tail.written == at {
            tail.store(&[entry]);
        }
    }

    /// Brings what has gathered into the file, through a new window if one can be had. Called
    /// before an append changes anything, so that a full disk is that append's error.
    pub fn make_room(&self) -> Result<(), DiskError> {
        let mut tail = self.tail.lock();
        let pending = match &*self.state.read() {
            State::Active(heap) => heap.len() - tail.written,
            State::Sealed { .. } => 0,
        };
        if pending * E::BYTES < PENDING_BYTES_MAX {
            return Ok(());
        }
        let start = (tail.written * E::BYTES) as u64 / PAGE_BYTES * PAGE_BYTES;
        tail.window = None;
        let file = self.file.get_or_create()?;
        match self.file.window(&file, start..start + WINDOW_BYTES) {
            Ok(window) => tail.window = window,
            Err(e) if e.source.kind() == std::io::ErrorKind::Unsupported => {}
            Err(e) => return Err(e),
        }
        self.write_pending(&mut tail)
    }

    /// Writes what the file does not have yet.
    fn write_pending(&self, tail: &mut Tail) -> Result<(), DiskError> {
        let State::Active(heap) = self.state.read().clone() else { return Ok(()) };
        let pending: Vec<E> = (tail.written..heap.len()).map(|at| entry(&heap, at)).collect();
        let stored = tail.store(&pending);
        let rest = &pending[stored..];
        if rest.is_empty() {
            return Ok(());
        }
        let mut bytes = vec![0; rest.len() * E::BYTES];
        for (entry, into) in rest.iter().zip(bytes.chunks_exact_mut(E::BYTES)) {
            entry.encode(into);
        }
        let at = (tail.written * E::BYTES) as u64;
        let file = self.file.get_or_create()?;
        file.write_at(&[&bytes], at).at_path("write", || self.file.path())?;
        tail.written = heap.len();
        Ok(())
    }

    /// Writes everything, cuts the file to its entries and lets go of the memory.
    pub fn seal(&self) -> Result<(), DiskError> {
        if !self.is_active() {
            return Ok(());
        }
        let mut tail = self.tail.lock();
        self.write_pending(&mut tail)?;
        tail.window = None;
        let file = self.file.get_or_create()?;
        let count = self.count();
        file.set_len((count * E::BYTES) as u64).at("truncate", &self.file.path())?;
        *self.state.write() = State::Sealed { count };
        Ok(())
    }

    pub fn sync(&self) -> Result<(), DiskError> {
        self.file.get_or_create()?.sync().at("sync", &self.file.path())
    }

    /// Replaces the file by one that has the entries below `offset` alone; returns its length.
    /// This index and whoever reads it keep the old file.
    pub fn replace_file_below(&self, offset: Offset) -> Result<u64, DiskError> {
        let relative = offset - self.base_offset;
        let kept = self.last_where(|e| i64::from(e.relative()) < relative)?;
        let look = self.look()?;
        let mut bytes = vec![0; kept.map_or(0, |(at, _)| at + 1) * E::BYTES];
        for (at, into) in bytes.chunks_exact_mut(E::BYTES).enumerate() {
            self.entry_at(&look, at)?.encode(into);
        }
        self.file.replace(&bytes)?;
        Ok(bytes.len() as u64)
    }

    pub fn last(&self) -> Result<Option<E>, DiskError> {
        match self.look()? {
            look if look.count() == 0 => Ok(None),
            look => Ok(Some(self.entry_at(&look, look.count() - 1)?)),
        }
    }

    /// The last entry for which `is_at_or_before` holds (it must hold for a prefix), and its place.
    pub fn last_where(
        &self,
        is_at_or_before: impl Fn(&E) -> bool,
    ) -> Result<Option<(usize, E)>, DiskError> {
        let look = self.look()?;
        let (mut low, mut high) = (0, look.count());
        let mut found = None;
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.entry_at(&look, middle)?;
            if is_at_or_before(&entry) {
                found = Some((middle, entry));
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(found)
    }

    /// Entry `at`; `None` behind the last.
    pub fn get(&self, at: usize) -> Result<Option<E>, DiskError> {
        let look = self.look()?;
        if at >= look.count() {
            return Ok(None);
        }
        self.entry_at(&look, at).map(Some)
    }

    fn absolute(&self, entry: &E) -> Offset {
        self.base_offset + i64::from(entry.relative())
    }

    fn look(&self) -> Result<Look, DiskError> {
        let count = match &*self.state.read() {
            State::Active(heap) => return Ok(Look::Heap(heap.clone(), heap.len())),
            State::Sealed { count } => *count,
        };
        if count == 0 {
            return Ok(Look::Heap(heap_of::<E>(), 0));
        }
        match self.file.read_map((count * E::BYTES) as u64)? {
            Some(map) => Ok(Look::Map(map, count)),
            None => Ok(Look::File(self.file.get()?, count)),
        }
    }

    fn entry_at(&self, look: &Look, at: usize) -> Result<E, DiskError> {
        let mut bytes = [0; 16];
        let bytes = &mut bytes[..E::BYTES];
        let from = (at * E::BYTES) as u64;
        match look {
            Look::Heap(heap, _) => return Ok(entry(heap, at)),
            Look::Map(map, _) => map.load(from, bytes),
            Look::File(file, _) => {
                let path = self.file.path();
                if file.read_at(bytes, from).at("read", &path)? < E::BYTES {
                    let short = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
                    return Err(short).at("read", &path);
                }
            }
        }
        Ok(E::decode(bytes))
    }
}

impl Tail {
    /// Stores as many of the next entries as the window has room for; returns how many.
    fn store<E: Entry>(&mut self, entries: &[E]) -> usize {
        let Some(window) = &mut self.window else { return 0 };
        let mut bytes = [0; 16];
        for (i, entry) in entries.iter().enumerate() {
            let at = (self.written * E::BYTES) as u64;
            let range = window.range();
            if at < range.start || at + E::BYTES as u64 > range.end {
                return i;
            }
            entry.encode(&mut bytes[..E::BYTES]);
            window.store(at, &bytes[..E::BYTES]);
            self.written += 1;
        }
        entries.len()
    }
}

impl Look {
    fn count(&self) -> usize {
        match self {
            Look::Heap(_, count) | Look::Map(_, count) | Look::File(_, count) => *count,
        }
    }
}

fn heap_of<E: Entry>() -> Arc<Heap> {
    Arc::new(Heap::new(E::BYTES.div_ceil(8)))
}

/// As the heap keeps them: 16 bytes, the entry's first.
fn words<E: Entry>(entry: &E) -> [u64; 2] {
    let mut bytes = [0; 16];
    entry.encode(&mut bytes[..E::BYTES]);
    let (first, second) = bytes.split_at(8);
    let word = |half: &[u8]| u64::from_be_bytes(half.try_into().expect("half of 16 bytes"));
    [word(first), word(second)]
}

fn entry<E: Entry>(heap: &Heap, at: usize) -> E {
    let [first, second] = heap.get(at);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&first.to_be_bytes());
    bytes[8..].copy_from_slice(&second.to_be_bytes());
    E::decode(&bytes[..E::BYTES])
}
