//! The offset index: from an offset to a place in the `.log` file not behind it. Entry: `i32` last
//! offset of a batch − base offset, `i32` position of that batch (Kafka's `OffsetIndex`).

use std::sync::Arc;

use protocol::ids::Offset;

use super::Entries;
use crate::error::DiskError;
use crate::partition_dir::LazyFile;

pub(crate) const ENTRY_BYTES: usize = 8;

#[derive(Debug)]
pub(crate) struct OffsetIndex {
    base_offset: Offset,
    pub entries: Entries,
}

fn decode(entry: &[u8]) -> (i32, u32) {
    let relative = i32::from_be_bytes(entry[..4].try_into().expect("an entry has 8 bytes"));
    (relative, u32::from_be_bytes(entry[4..8].try_into().expect("an entry has 8 bytes")))
}

impl OffsetIndex {
    pub fn new(base_offset: Offset, file: Arc<LazyFile>, file_len: Option<u64>) -> Self {
        let entries = match file_len {
            Some(len) => Entries::sealed(file, ENTRY_BYTES, len),
            None => Entries::empty(file, ENTRY_BYTES),
        };
        Self { base_offset, entries }
    }

    /// Whether no further entry fits into `segment.index.bytes`.
    pub fn is_full(&self, index_bytes_max: usize) -> bool {
        self.entries.count() >= index_bytes_max / ENTRY_BYTES
    }

    /// `last_offset` of the batch at `position`. Both rise with every entry.
    pub fn append(&self, last_offset: Offset, position: u64) {
        let mut entry = [0; ENTRY_BYTES];
        entry[..4].copy_from_slice(&((last_offset - self.base_offset) as i32).to_be_bytes());
        entry[4..].copy_from_slice(&(position as u32).to_be_bytes());
        self.entries.push(&entry);
    }

    /// Offset and position of the last entry at or before `offset`; the segment's start if none.
    pub fn lookup(&self, offset: Offset) -> Result<(Offset, u64), DiskError> {
        let relative = offset - self.base_offset;
        let found = self.entries.last_where(|e| i64::from(decode(e).0) <= relative)?;
        Ok(match found {
            Some((_, entry)) => self.absolute(&entry),
            None => (self.base_offset, 0),
        })
    }

    /// Offset of the first entry at or behind a position.
    pub fn first_offset_at(&self, position: u64) -> Result<Option<Offset>, DiskError> {
        let before = self.entries.last_where(|e| u64::from(decode(e).1) < position)?;
        let next = self.entries.get(before.map_or(0, |(i, _)| i + 1))?;
        Ok(next.map(|entry| self.absolute(&entry).0))
    }

    pub fn last(&self) -> Result<Option<(Offset, u64)>, DiskError> {
        Ok(self.entries.last()?.map(|entry| self.absolute(&entry)))
    }

    /// Drops the entries at and behind `offset`.
    pub fn truncate_to(&self, offset: Offset) -> Result<(), DiskError> {
        self.entries.activate()?;
        let relative = offset - self.base_offset;
        let kept = self.entries.last_where(|e| i64::from(decode(e).0) < relative)?;
        self.entries.truncate(kept.map_or(0, |(i, _)| i + 1))
    }

    fn absolute(&self, entry: &[u8]) -> (Offset, u64) {
        let (relative, position) = decode(entry);
        (self.base_offset + i64::from(relative), u64::from(position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::OsDisk;
    use crate::partition_dir::{FileCache, PartitionDir};

    #[test]
    fn lookups_agree_in_memory_and_on_disk() {
        let temp = tempfile::tempdir().unwrap();
        let disk = Arc::new(OsDisk::default());
        let dir = PartitionDir::new(disk, FileCache::new(8), temp.path().to_owned());
        let index = OffsetIndex::new(100, dir.file("a.index".into()), None);
        for i in 1..=3000 {
            index.append(100 + i * 10, i as u64 * 4096);
        }
        let probe = |index: &OffsetIndex| {
            (0..3100).map(|i| index.lookup(95 + i * 10).unwrap()).collect::<Vec<_>>()
        };
        let active = probe(&index);
        assert_eq!(active[0], (100, 0));
        assert_eq!(active[2], (110, 4096));
        assert_eq!(active[3099], (100 + 30000, 3000 * 4096));
        index.entries.seal().unwrap();
        assert_eq!(probe(&index), active);
        let again = OffsetIndex::new(100, dir.file("a.index".into()), Some(24000));
        assert_eq!(probe(&again), active);
        again.truncate_to(120).unwrap();
        assert_eq!(again.last().unwrap(), Some((110, 4096)));
        assert_eq!(again.entries.file.get().unwrap().len().unwrap(), 8);
    }
}
