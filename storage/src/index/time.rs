//! The time index: from a timestamp to an offset before which no record is as young. Entry: `i64`
//! largest timestamp so far, `i32` last offset of its batch − base offset (Kafka's `TimeIndex`).

use std::sync::Arc;

use protocol::ids::{Offset, TimestampMs};

use super::Entries;
use crate::error::DiskError;
use crate::partition_dir::LazyFile;

pub(crate) const ENTRY_BYTES: usize = 12;

#[derive(Debug)]
pub(crate) struct TimeIndex {
    base_offset: Offset,
    pub entries: Entries,
}

fn decode(entry: &[u8]) -> (TimestampMs, i32) {
    let timestamp = i64::from_be_bytes(entry[..8].try_into().expect("an entry has 12 bytes"));
    (timestamp, i32::from_be_bytes(entry[8..12].try_into().expect("an entry has 12 bytes")))
}

impl TimeIndex {
    pub fn new(base_offset: Offset, file: Arc<LazyFile>, file_len: Option<u64>) -> Self {
        let entries = match file_len {
            Some(len) => Entries::sealed(file, ENTRY_BYTES, len),
            None => Entries::empty(file, ENTRY_BYTES),
        };
        Self { base_offset, entries }
    }

    /// One slot is kept for the entry that closes the segment.
    pub fn is_full(&self, index_bytes_max: usize) -> bool {
        self.entries.count() + 1 >= index_bytes_max / ENTRY_BYTES
    }

    /// Adds an entry if `timestamp` is larger than the last one's.
    pub fn maybe_append(&self, timestamp: TimestampMs, offset: Offset) -> Result<(), DiskError> {
        if timestamp <= self.last()?.map_or(-1, |(t, _)| t) {
            return Ok(());
        }
        let mut entry = [0; ENTRY_BYTES];
        entry[..8].copy_from_slice(&timestamp.to_be_bytes());
        entry[8..].copy_from_slice(&((offset - self.base_offset) as i32).to_be_bytes());
        self.entries.push(&entry);
        Ok(())
    }

    /// The offset from which a search for `timestamp` may start: of the last entry at or before
    /// it, or the segment's base.
    pub fn lookup(&self, timestamp: TimestampMs) -> Result<Offset, DiskError> {
        let found = self.entries.last_where(|e| decode(e).0 <= timestamp)?;
        Ok(found.map_or(self.base_offset, |(_, e)| self.base_offset + i64::from(decode(&e).1)))
    }

    pub fn last(&self) -> Result<Option<(TimestampMs, Offset)>, DiskError> {
        Ok(self.entries.last()?.map(|entry| {
            let (timestamp, relative) = decode(&entry);
            (timestamp, self.base_offset + i64::from(relative))
        }))
    }

    /// Drops the entries at and behind `offset`.
    pub fn truncate_to(&self, offset: Offset) -> Result<(), DiskError> {
        self.entries.activate()?;
        let relative = offset - self.base_offset;
        let kept = self.entries.last_where(|e| i64::from(decode(e).1) < relative)?;
        self.entries.truncate(kept.map_or(0, |(i, _)| i + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::OsDisk;
    use crate::partition_dir::{FileCache, PartitionDir};

    #[test]
    fn only_rising_timestamps_are_entered() {
        let temp = tempfile::tempdir().unwrap();
        let disk = Arc::new(OsDisk::default());
        let dir = PartitionDir::new(disk, FileCache::new(8), temp.path().to_owned());
        let index = TimeIndex::new(5, dir.file("t".into()), None);
        for (timestamp, offset) in [(-1, 5), (10, 6), (10, 7), (9, 8), (20, 9)] {
            index.maybe_append(timestamp, offset).unwrap();
        }
        assert_eq!(index.entries.count(), 2);
        assert_eq!(index.last().unwrap(), Some((20, 9)));
        assert_eq!(index.lookup(9).unwrap(), 5);
        assert_eq!(index.lookup(19).unwrap(), 6);
        assert_eq!(index.lookup(20).unwrap(), 9);
        index.truncate_to(9).unwrap();
        assert_eq!(index.last().unwrap(), Some((10, 6)));
        assert!(index.is_full(24) && !index.is_full(36));
    }
}
