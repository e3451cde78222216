//! The segments that a compaction writes, under `.cleaned` names: batches and their indexes. Knows
//! nothing of what stays.

use std::sync::Arc;

use protocol::ids::{Offset, TimestampMs};

use crate::disk::{DiskFile, remove_if_there};
use crate::error::{At, DiskError};
use crate::index::transaction::AbortedTxn;
use crate::recovery::partition_files::CLEANED_SUFFIX;
use crate::segment::Segment;
use crate::segment::batch::LogBatch;
use crate::segment::partition_dir::PartitionDir;

/// How the outputs of a group are made.
#[derive(Debug)]
pub(super) struct OutputOptions {
    pub dir: Arc<PartitionDir>,
    /// `index.interval.bytes`.
    pub interval: u64,
    /// So many bytes are written at once.
    pub pending_max: usize,
    /// A segment grows no further, unless a single batch is larger.
    pub bytes_max: u64,
    /// When the files were written, as their sources say.
    pub modified_ms: TimestampMs,
    pub now_ms: TimestampMs,
}

/// What a group of segments becomes: one segment, or several where one would grow too large. What
/// is compressed anew may be larger than its sources were, and positions in indexes have 31 bits
/// (KAFKA-20036).
#[derive(Debug)]
pub(super) struct Outputs {
    options: OutputOptions,
    /// Complete and synced.
    full: Vec<Arc<Segment>>,
    current: Output,
    /// The offset behind all batches that were seen, kept or not.
    next: Offset,
}

impl Outputs {
    pub fn create(options: OutputOptions, base_offset: Offset) -> Result<Outputs, DiskError> {
        let current = Output::create(&options, base_offset)?;
        Ok(Outputs { options, full: Vec::new(), current, next: base_offset })
    }

    /// Adds a batch; returns the bytes that were written by it.
    pub fn push(&mut self, batch: &LogBatch, bytes: &[u8]) -> Result<u64, DiskError> {
        let mut written = 0;
        if !self.current.takes(batch, self.options.bytes_max) {
            // In old formats a batch says its last offset only.
            let base = self.next.max(batch.last_offset.saturating_sub(i64::from(i32::MAX)));
            let next = Output::create(&self.options, base)?;
            let full = std::mem::replace(&mut self.current, next);
            let (segment, rest) = full.finish(self.options.modified_ms)?;
            self.full.push(segment);
            written += rest;
        }
        Ok(written + self.current.push(batch, bytes, &self.options)?)
    }

    pub fn push_aborted(&self, txn: AbortedTxn) -> Result<(), DiskError> {
        self.current.segment.txn_index.append(txn)
    }

    /// Everything below `next` was seen.
    pub fn pass_to(&mut self, next: Offset) {
        self.next = self.next.max(next);
    }

    /// Writes the rest and makes everything durable; the files get the sources' time.
    pub fn finish(self) -> Result<(Vec<Arc<Segment>>, u64), DiskError> {
        let mut all = self.full;
        let (last, written) = self.current.finish(self.options.modified_ms)?;
        all.push(last);
        Ok((all, written))
    }

    /// Removes the files: nothing came of it.
    pub fn discard(self) -> Result<(), DiskError> {
        remove_files(&self.current.segment)?;
        self.full.iter().try_for_each(|segment| remove_files(segment))
    }
}

/// One of them while it grows.
#[derive(Debug)]
struct Output {
    segment: Segment,
    file: Arc<dyn DiskFile>,
    /// Batches that are not written yet.
    pending: Vec<u8>,
    since_index: u64,
}

impl Output {
    fn create(options: &OutputOptions, base_offset: Offset) -> Result<Output, DiskError> {
        let (dir, now_ms) = (&options.dir, options.now_ms);
        let segment = Segment::with_suffix(dir, base_offset, CLEANED_SUFFIX, now_ms);
        for file in segment.all_files() {
            remove_if_there(&*dir.disk, &file.path())?;
        }
        let file = segment.log.create_new()?;
        Ok(Output { segment, file, pending: Vec::new(), since_index: 0 })
    }

    /// Whether the batch can be in this segment.
    fn takes(&self, batch: &LogBatch, bytes_max: u64) -> bool {
        let size = self.segment.size() + self.pending.len() as u64;
        let reach = batch.last_offset.saturating_sub(self.segment.base_offset);
        reach <= i64::from(i32::MAX) && fits(size, batch.size, bytes_max)
    }

    fn push(
        &mut self,
        batch: &LogBatch,
        bytes: &[u8],
        options: &OutputOptions,
    ) -> Result<u64, DiskError> {
        let at = self.segment.size() + self.pending.len() as u64;
        self.segment.index_batch(batch, at, &mut self.since_index, options.interval)?;
        self.pending.extend_from_slice(bytes);
        if self.pending.len() < options.pending_max {
            return Ok(0);
        }
        self.write_pending()
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

    fn finish(mut self, modified_ms: TimestampMs) -> Result<(Arc<Segment>, u64), DiskError> {
        let written = self.write_pending()?;
        self.segment.close_indexes()?;
        self.segment.sync()?;
        let path = self.segment.log.path();
        self.file.set_modified(modified_ms).at("touch", &path)?;
        self.segment.close_files();
        Ok((Arc::new(self.segment), written))
    }
}

/// The first batch always does.
fn fits(size: u64, more: u64, max: u64) -> bool {
    size == 0 || size.saturating_add(more) <= max
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
    use super::super::SEGMENT_BYTES_MAX as MAX;
    use super::fits;

    #[test]
    fn a_segment_ends_where_apaches_must() {
        assert_eq!(MAX, (1 << 31) - 1);
        assert!(fits(0, MAX, MAX) && fits(MAX - 61, 61, MAX) && fits(MAX, 0, MAX));
        assert!(!fits(MAX - 60, 61, MAX) && !fits(MAX, 1, MAX) && !fits(1, u64::MAX, MAX));
        assert!(fits(0, MAX + 12, MAX));
    }
}
