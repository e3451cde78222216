//! From the hash of a key to the last offset that has it, in bounded memory (Kafka's
//! `SkimpyOffsetMap`). Two keys with the same 128 bits count as one. Knows nothing of records.

use std::hash::{BuildHasher, RandomState};

use protocol::ids::Offset;

/// What Kafka's map spends on a key, and so does this one.
const SLOT_BYTES: usize = 24;
const EMPTY: Offset = -1;

#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: [u64; 2],
    offset: Offset,
}

#[derive(Debug)]
pub(super) struct OffsetMap {
    /// Keyed by chance: nobody can choose keys that collide.
    hashers: [RandomState; 2],
    slots: Vec<Slot>,
    entries: usize,
    entries_max: usize,
    latest_offset: Offset,
}

impl OffsetMap {
    /// A map that may take `memory_bytes`, filled to `load_factor`, for keys of at most `offsets`
    /// records: no more memory than these need is taken.
    pub fn new(memory_bytes: u64, load_factor: f64, offsets: u64) -> OffsetMap {
        let slots_max = usize::try_from(memory_bytes).unwrap_or(usize::MAX) / SLOT_BYTES;
        let load_factor = load_factor.clamp(0.01, 0.99);
        let entries_max = ((slots_max as f64 * load_factor) as usize).max(1);
        let wanted = entries_max.min(usize::try_from(offsets).unwrap_or(usize::MAX));
        let slots = (wanted as f64 / load_factor) as usize + 2;
        OffsetMap {
            hashers: [RandomState::new(), RandomState::new()],
            slots: vec![Slot { hash: [0; 2], offset: EMPTY }; slots],
            entries: 0,
            entries_max,
            latest_offset: -1,
        }
    }

    /// `false` if there is no room for another key; nothing has changed then.
    pub fn insert(&mut self, key: &[u8], offset: Offset) -> bool {
        if self.entries >= self.entries_max {
            return false;
        }
        let hash = self.hash(key);
        let at = self.place(hash);
        self.entries += usize::from(self.slots[at].offset == EMPTY);
        self.slots[at] = Slot { hash, offset };
        self.latest_offset = offset;
        true
    }

    /// The last offset of the key, if it is in the map.
    pub fn get(&self, key: &[u8]) -> Option<Offset> {
        let offset = self.slots[self.place(self.hash(key))].offset;
        (offset != EMPTY).then_some(offset)
    }

    /// The last offset that was looked at; −1 before the first.
    pub fn latest_offset(&self) -> Offset {
        self.latest_offset
    }

    pub fn pass_to(&mut self, offset: Offset) {
        self.latest_offset = offset;
    }

    /// Used part of what may be used, 0 to 1.
    pub fn utilization(&self) -> f64 {
        self.entries as f64 / self.entries_max as f64
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        self.hashers.each_ref().map(|hasher| hasher.hash_one(key))
    }

    /// Of the key or of the empty slot that it would get. There always is an empty one.
    fn place(&self, hash: [u64; 2]) -> usize {
        let mut at = (hash[0] % self.slots.len() as u64) as usize;
        while self.slots[at].offset != EMPTY && self.slots[at].hash != hash {
            at = (at + 1) % self.slots.len();
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_offset_of_each_key_is_known_until_the_map_is_full() {
        let mut map = OffsetMap::new(24 * 100, 0.9, 1_000_000);
        for i in 0..90 {
            assert!(map.insert(format!("k{}", i % 80).as_bytes(), i));
        }
        assert_eq!(map.get(b"k5"), Some(85));
        assert_eq!(map.get(b"k79"), Some(79));
        assert_eq!(map.get(b"other"), None);
        let mut next = 90;
        while map.insert(format!("n{next}").as_bytes(), next) {
            next += 1;
        }
        assert_eq!((next, map.latest_offset()), (100, 99));
        assert_eq!(map.utilization(), 1.0);
        assert!(!map.insert(b"k5", 100), "not even a known key, as Kafka's");
        assert_eq!(map.get(b"k5"), Some(85));
    }

    #[test]
    fn few_records_take_little_memory_and_still_fit() {
        let mut map = OffsetMap::new(128 << 20, 0.9, 10);
        assert!(map.slots.len() < 20);
        assert!((0..10).all(|i| map.insert(&[i], i.into())));
        assert!((0..10).all(|i| map.get(&[i]) == Some(i.into())));
        let mut tiny = OffsetMap::new(1, 0.9, 10);
        assert!(tiny.insert(b"a", 1) && !tiny.insert(b"b", 2));
    }
}
