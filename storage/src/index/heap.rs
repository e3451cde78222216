//! An array that one thread appends to while others read it without a lock: what is below the
//! published length does not move and does not change. Knows words, nothing of indexes.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Places in the first chunk; every further chunk has twice as many as the one before.
const FIRST_CHUNK: usize = 32;
/// Enough for the largest index of 2 GiB.
const CHUNKS: usize = 24;

/// One or two words a place.
#[derive(Debug)]
pub(super) struct Heap {
    /// Words of a place.
    width: usize,
    len: AtomicUsize,
    chunks: [OnceLock<Box<[AtomicU64]>>; CHUNKS],
}

/// Chunk and place in it.
fn place(at: usize) -> (usize, usize) {
    let chunk = (at / FIRST_CHUNK + 1).ilog2() as usize;
    (chunk, at - FIRST_CHUNK * ((1 << chunk) - 1))
}

impl Heap {
    pub fn new(width: usize) -> Heap {
        assert!((1..=2).contains(&width), "one or two words");
        Heap { width, len: AtomicUsize::new(0), chunks: Default::default() }
    }

    pub fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// Only one thread at a time may append.
    pub fn push(&self, words: &[u64; 2]) {
        let at = self.len.load(Ordering::Relaxed);
        let (chunk, slot) = place(at);
        let slots = self.chunks[chunk].get_or_init(|| {
            let count = (FIRST_CHUNK << chunk) * self.width;
            std::iter::repeat_with(AtomicU64::default).take(count).collect()
        });
        for (i, word) in words[..self.width].iter().enumerate() {
            slots[slot * self.width + i].store(*word, Ordering::Relaxed);
        }
        self.len.store(at + 1, Ordering::Release);
    }

    /// The second word of a place of one is 0.
    ///
    /// # Panics
    /// Behind the length.
    pub fn get(&self, at: usize) -> [u64; 2] {
        let (chunk, slot) = place(at);
        let slots = self.chunks[chunk].get().expect("a place below the length");
        let mut words = [0; 2];
        for (i, word) in words[..self.width].iter_mut().enumerate() {
            *word = slots[slot * self.width + i].load(Ordering::Relaxed);
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_its_own() {
        let heap = Heap::new(2);
        for i in 0..1000 {
            heap.push(&[i, i * 2]);
        }
        assert_eq!(heap.len(), 1000);
        assert!((0..1000).all(|i| heap.get(i as usize) == [i, i * 2]));
        assert_eq!(place(FIRST_CHUNK - 1), (0, FIRST_CHUNK - 1));
        assert_eq!(place(FIRST_CHUNK), (1, 0));
        assert!(place(i32::MAX as usize / 8).0 < CHUNKS);
    }

    #[test]
    fn a_reader_sees_whole_entries_while_another_thread_appends() {
        let heap = Heap::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| (0..50_000).for_each(|i| heap.push(&[i, !i])));
            let mut seen = 0;
            while seen < 50_000 {
                seen = heap.len();
                if seen > 0 {
                    let [a, b] = heap.get(seen - 1);
                    assert_eq!((a, b), (seen as u64 - 1, !(seen as u64 - 1)));
                }
            }
        });
    }
}
