//! The offset index: from an offset to a place in the `.log` file not behind it. Entry: `i32` last
//! offset of a batch − base offset, `i32` position of that batch (Kafka's `OffsetIndex`).

use protocol::ids::Offset;

use super::{Entry, Index};
use crate::error::DiskError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    relative: i32,
    position: u32,
}

impl Entry for OffsetEntry {
    const BYTES: usize = 8;

    fn decode(bytes: &[u8]) -> Self {
        let (relative, position) = bytes.split_at(4);
        Self {
            relative: i32::from_be_bytes(relative.try_into().expect("an entry has 8 bytes")),
            position: u32::from_be_bytes(position.try_into().expect("an entry has 8 bytes")),
        }
    }

    fn encode(&self, bytes: &mut [u8]) {
        bytes[..4].copy_from_slice(&self.relative.to_be_bytes());
        bytes[4..].copy_from_slice(&self.position.to_be_bytes());
    }

    fn relative(&self) -> i32 {
        self.relative
    }
}

pub(crate) type OffsetIndex = Index<OffsetEntry>;

impl OffsetIndex {
    /// Whether no further entry fits into `segment.index.bytes`.
    pub fn is_full(&self, index_bytes_max: usize) -> bool {
        self.count() >= index_bytes_max / OffsetEntry::BYTES
    }

    /// `last_offset` of the batch at `position`. Both rise with every entry.
    pub fn append(&self, last_offset: Offset, position: u64) {
        let relative = (last_offset - self.base_offset) as i32;
        self.push(OffsetEntry { relative, position: position as u32 });
    }

    /// Offset and position of the last entry at or before `offset`; the segment's start if none.
    pub fn lookup(&self, offset: Offset) -> Result<(Offset, u64), DiskError> {
        let relative = offset - self.base_offset;
        let found = self.last_where(|e| i64::from(e.relative) <= relative)?;
        Ok(found.map_or((self.base_offset, 0), |(_, entry)| self.place(&entry)))
    }

    /// Offset of the first entry at or behind a position.
    pub fn first_offset_at(&self, position: u64) -> Result<Option<Offset>, DiskError> {
        let before = self.last_where(|e| u64::from(e.position) < position)?;
        let next = self.get(before.map_or(0, |(i, _)| i + 1))?;
        Ok(next.map(|entry| self.absolute(&entry)))
    }

    pub fn last_place(&self) -> Result<Option<(Offset, u64)>, DiskError> {
        Ok(self.last()?.map(|entry| self.place(&entry)))
    }

    fn place(&self, entry: &OffsetEntry) -> (Offset, u64) {
        (self.absolute(entry), u64::from(entry.position))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::disk::{OsDisk, OsDiskOptions};
    use crate::segment::partition_dir::{FileCache, PartitionDir};

    #[test]
    fn lookups_agree_in_memory_and_on_disk() {
        for map in [true, false] {
            let temp = tempfile::tempdir().unwrap();
            let disk = Arc::new(OsDisk::new(OsDiskOptions { map, ..OsDiskOptions::default() }));
            let cache = FileCache::new(8);
            let dir = PartitionDir::new(disk, cache.clone(), temp.path().to_owned());
            let index = OffsetIndex::new(100, dir.file("a.index".into()), None);
            for i in 1..=3000 {
                index.make_room().unwrap();
                index.append(100 + i * 10, i as u64 * 4096);
            }
            let probe = |index: &OffsetIndex| {
                (0..3100).map(|i| index.lookup(95 + i * 10).unwrap()).collect::<Vec<_>>()
            };
            let active = probe(&index);
            assert_eq!(active[0], (100, 0));
            assert_eq!(active[2], (110, 4096));
            assert_eq!(active[3099], (100 + 30000, 3000 * 4096));
            index.seal().unwrap();
            assert_eq!(cache.windows(), 0);
            assert_eq!(probe(&index), active);
            let again = OffsetIndex::new(100, dir.file("a.index".into()), Some(24000));
            assert_eq!(probe(&again), active);
            assert_eq!(again.replace_file_below(120).unwrap(), 8);
            assert_eq!(probe(&again), active, "who reads the old file goes on with it");
            let cut = OffsetIndex::new(100, dir.file("a.index".into()), Some(8));
            assert_eq!(cut.last_place().unwrap(), Some((110, 4096)));
        }
    }

    #[test]
    fn a_grown_file_holds_the_entries_and_then_zeros_until_it_is_sealed() {
        let temp = tempfile::tempdir().unwrap();
        let disk = Arc::new(OsDisk::default());
        let cache = FileCache::new(8);
        let dir = PartitionDir::new(disk.clone(), cache.clone(), temp.path().to_owned());
        let index = OffsetIndex::new(0, dir.file("a.index".into()), None);
        for i in 1..=600 {
            index.make_room().unwrap();
            index.append(i, i as u64 * 4096);
        }
        let bytes = std::fs::read(temp.path().join("a.index")).unwrap();
        if cache.windows() > 0 {
            assert_eq!(bytes.len() as u64, super::super::WINDOW_BYTES);
            assert_eq!(bytes[599 * 8..600 * 8], [0, 0, 2, 88, 0, 37, 128, 0]);
            assert!(bytes[600 * 8..].iter().all(|b| *b == 0));
        }
        index.seal().unwrap();
        let sealed = std::fs::read(temp.path().join("a.index")).unwrap();
        assert_eq!(sealed.len(), 600 * 8);
        assert_eq!(sealed[..256], bytes[..256]);
    }
}
