//! The segment that a compaction writes, under `.cleaned` names: batches and their indexes. Knows
//! nothing of what stays.

use std::sync::Arc;

use protocol::ids::{Offset, TimestampMs};

use crate::batch::LogBatch;
use crate::disk::{DiskFile, remove_if_there};
use crate::error::{At, DiskError};
use crate::index::transaction::AbortedTxn;
use crate::partition_dir::PartitionDir;
use crate::partition_files::CLEANED_SUFFIX;
use crate::segment::Segment;

#[derive(Debug)]
pub(super) struct Output {
    segment: Segment,
    file: Arc<dyn DiskFile>,
    /// Batches that are not written yet.
    pending: Vec<u8>,
    pending_max: usize,
    since_index: u64,
    interval: u64,
}

impl Output {
    pub fn create(
        dir: &Arc<PartitionDir>,
        base_offset: Offset,
        interval: u64,
        pending_max: usize,
        now_ms: TimestampMs,
    ) -> Result<Output, DiskError> {
        let segment = Segment::with_suffix(dir, base_offset, CLEANED_SUFFIX, now_ms);
        for file in segment.all_files() {
            remove_if_there(&*dir.disk, &file.path())?;
        }
        let file = segment.log.create_new()?;
        let pending = Vec::new();
        Ok(Output { segment, file, pending, pending_max, since_index: 0, interval })
    }

    /// Whether the batch's offset can be expressed in this segment's indexes.
    pub fn reaches(&self, last_offset: Offset) -> bool {
        last_offset - self.segment.base_offset <= i64::from(i32::MAX)
    }

    /// Whether the segment may grow by so many bytes. What is compressed anew may be larger than
    /// its sources were, and positions in indexes have 31 bits (KAFKA-20036).
    pub fn has_room_for(&self, bytes: u64) -> bool {
        fits(self.segment.size() + self.pending.len() as u64, bytes)
    }

    /// Adds a batch; returns the bytes that were written by it.
    pub fn push(&mut self, batch: &LogBatch, bytes: &[u8]) -> Result<u64, DiskError> {
        let at = self.segment.size() + self.pending.len() as u64;
        self.segment.index_batch(batch, at, &mut self.since_index, self.interval)?;
        self.pending.extend_from_slice(bytes);
        if self.pending.len() < self.pending_max {
            return Ok(0);
        }
        self.write_pending()
    }

    pub fn push_aborted(&self, txn: AbortedTxn) -> Result<(), DiskError> {
        self.segment.txn_index.append(txn)
    }

    fn write_pending(&mut self) -> Result<u64, DiskError> {
        let at = self.segment.size();
        let path = self.segment.log.path();
        self.file.write_at(&[&self.pending], at).at("write", &path)?;
        let written = self.pending.len() as u64;
        self.segment.set_size(at + written);
        self.pending.clear();
        Ok(written)
    }

    /// Writes the rest and makes everything durable; the file gets the sources' time.
    pub fn finish(mut self, modified_ms: TimestampMs) -> Result<(Arc<Segment>, u64), DiskError> {
        let written = self.write_pending()?;
        self.segment.close_indexes()?;
        self.segment.sync()?;
        let path = self.segment.log.path();
        self.file.set_modified(modified_ms).at("touch", &path)?;
        self.segment.close_files();
        Ok((Arc::new(self.segment), written))
    }

    /// Removes the files: nothing came of it.
    pub fn discard(self) -> Result<(), DiskError> {
        remove_files(&self.segment)
    }
}

fn fits(size: u64, more: u64) -> bool {
    size.saturating_add(more) <= i32::MAX as u64
}

/// Removes what there is of a segment that is in no log.
pub(super) fn remove_files(segment: &Segment) -> Result<(), DiskError> {
    segment.close_files();
    for file in segment.all_files() {
        file.remove()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_segment_ends_where_apaches_must() {
        let most = i32::MAX as u64;
        assert!(fits(0, most) && fits(most - 61, 61) && fits(most, 0));
        assert!(!fits(most - 60, 61) && !fits(most, 1) && !fits(1, u64::MAX));
    }
}
