//! The time index: from a timestamp to an offset before which no record is as young. Entry: `i64`
//! largest timestamp so far, `i32` last offset of its batch − base offset (Kafka's `TimeIndex`).

use protocol::ids::{Offset, TimestampMs};

use super::{Entry, Index};
use crate::error::DiskError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    timestamp: TimestampMs,
    relative: i32,
}

impl Entry for TimeEntry {
    const BYTES: usize = 12;

    fn decode(bytes: &[u8]) -> Self {
        let (timestamp, relative) = bytes.split_at(8);
        Self {
            timestamp: i64::from_be_bytes(timestamp.try_into().expect("an entry has 12 bytes")),
            relative: i32::from_be_bytes(relative.try_into().expect("an entry has 12 bytes")),
        }
    }

    fn encode(&self, bytes: &mut [u8]) {
        bytes[..8].copy_from_slice(&self.timestamp.to_be_bytes());
        bytes[8..].copy_from_slice(&self.relative.to_be_bytes());
    }

    fn relative(&self) -> i32 {
        self.relative
    }
}

pub(crate) type TimeIndex = Index<TimeEntry>;

impl TimeIndex {
    /// One slot is kept for the entry that closes the segment.
    pub fn is_full(&self, index_bytes_max: usize) -> bool {
        self.count() + 1 >= index_bytes_max / TimeEntry::BYTES
    }

    /// Adds an entry if `timestamp` is larger than the last one's.
    pub fn maybe_append(&self, timestamp: TimestampMs, offset: Offset) -> Result<(), DiskError> {
        if timestamp > self.last()?.map_or(-1, |entry| entry.timestamp) {
            let relative = (offset - self.base_offset) as i32;
            self.push(TimeEntry { timestamp, relative });
        }
        Ok(())
    }

    /// The offset from which a search for `timestamp` may start: of the last entry at or before
    /// it, or the segment's base.
    pub fn lookup(&self, timestamp: TimestampMs) -> Result<Offset, DiskError> {
        let found = self.last_where(|e| e.timestamp <= timestamp)?;
        Ok(found.map_or(self.base_offset, |(_, entry)| self.absolute(&entry)))
    }

    pub fn last_time(&self) -> Result<Option<(TimestampMs, Offset)>, DiskError> {
        Ok(self.last()?.map(|entry| (entry.timestamp, self.absolute(&entry))))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::disk::OsDisk;
    use crate::segment::partition_dir::{FileCache, PartitionDir};

    #[test]
    fn only_rising_timestamps_are_entered() {
        let temp = tempfile::tempdir().unwrap();
        let disk = Arc::new(OsDisk::default());
        let dir = PartitionDir::new(disk, FileCache::new(8), temp.path().to_owned());
        let index = TimeIndex::new(5, dir.file("t".into()), None);
        for (timestamp, offset) in [(-1, 5), (10, 6), (10, 7), (9, 8), (20, 9)] {
            index.maybe_append(timestamp, offset).unwrap();
        }
        assert_eq!(index.count(), 2);
        assert_eq!(index.last_time().unwrap(), Some((20, 9)));
        assert_eq!(index.lookup(9).unwrap(), 5);
        assert_eq!(index.lookup(19).unwrap(), 6);
        assert_eq!(index.lookup(20).unwrap(), 9);
        assert_eq!(index.replace_file_below(9).unwrap(), 12);
        assert!(index.is_full(36) && !index.is_full(48));
    }
}
