//! Cutting a log's end, as a follower must, and raising its start. Knows no leader.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use protocol::ids::{Offset, TimestampMs};

use crate::disk::{Durable, OpenHow, copy_range, remove_if_there};
use crate::error::{At, DeleteRecordsError, DiskError, StorageError};
use crate::log::{Changes, Log, create_segment};
use crate::producers::producer_snapshot;
use crate::producers::producer_state::ProducerState;
use crate::recovery::replay::replay;
use crate::segment::partition_dir::segment_file_name;
use crate::segment::{FileLengths, LOG_SUFFIX, Segment};

/// The end of the name makes any loader throw the file away; no compaction writes one like it.
const UNFINISHED_SUFFIX: &str = ".log.cut.cleaned";

impl Log {
    /// Removes every record at and behind `offset`; `false` if there was none. Files that slices
    /// were given of are not cut but replaced.
    ///
    /// The caller must write the recovery point checkpoint before it appends again.
    pub fn truncate_to(&self, offset: Offset, now_ms: TimestampMs) -> Result<bool, StorageError> {
        let _flushing = self.flushing.lock();
        let mut changes = self.changes.lock();
        self.check_usable(&changes)?;
        if offset < 0 {
            return Err(StorageError::NoOffset(offset));
        }
        if offset >= self.log_end_offset() {
            if self.epochs.write().truncate_from_end(offset) {
                self.write_epochs(&mut changes, Durable::Now)?;
            }
            return Ok(false);
        }
        let result = if offset < self.segments()[0].base_offset {
            self.start_over(&mut changes, offset, offset, now_ms)
        } else {
            self.cut(&mut changes, offset, now_ms)
        };
        result.inspect_err(|_| changes.failed = true)?;
        Ok(true)
    }

    /// Empties the log; the next record gets `offset`. The log start becomes `log_start`, or
    /// `offset` if that is `None`.
    pub fn truncate_fully_and_start_at(
        &self,
        offset: Offset,
        log_start: Option<Offset>,
        now_ms: TimestampMs,
    ) -> Result<(), StorageError> {
        let _flushing = self.flushing.lock();
        let mut changes = self.changes.lock();
        self.check_usable(&changes)?;
        self.start_over(&mut changes, offset, log_start.unwrap_or(offset), now_ms)
            .inspect_err(|_| changes.failed = true)?;
        Ok(())
    }

    fn start_over(
        &self,
        changes: &mut Changes,
        offset: Offset,
        log_start: Offset,
        now_ms: TimestampMs,
    ) -> Result<(), StorageError> {
        assert!(
            offset >= 0 && log_start >= 0,
            "a log is to begin anew at {offset}, to be read from {log_start}"
        );
        let old = self.segments();
        self.retire(changes, &self.active(), false)?;
        self.condemn(changes, &old, now_ms)?;
        self.remove_snapshots(changes, |_| true)?;
        let segment = create_segment(&self.dir, offset, now_ms)?;
        self.epochs.write().clear();
        self.write_epochs(changes, Durable::Now)?;
        self.producers.write().clear(offset);
        self.recovery_point.fetch_min(offset, Ordering::AcqRel);
        changes.since_index = 0;
        let mut view = self.view.write();
        view.segments = Arc::new(vec![segment]);
        view.log_start = log_start;
        view.log_end = offset;
        view.forget_recent();
        Ok(())
    }

    fn cut(
        &self,
        changes: &mut Changes,
        offset: Offset,
        now_ms: TimestampMs,
    ) -> Result<(), StorageError> {
        let old = self.segments();
        let kept = old.partition_point(|s| s.base_offset <= offset);
        assert!(
            kept > 0 && offset < self.log_end_offset(),
            "a log of {} to {} is to be cut at {offset}",
            old[0].base_offset,
            self.log_end_offset()
        );
        self.retire(changes, &self.active(), false)?;
        // The last one first: a kill between leaves a log without a hole.
        for gone in old[kept..].iter().rev() {
            self.condemn(changes, std::slice::from_ref(gone), now_ms)?;
        }
        self.remove_snapshots(changes, |snapshot| snapshot > offset)?;
        let last = self.cut_segment(changes, &old[kept - 1], offset, now_ms)?;
        let mut segments = old[..kept - 1].to_vec();
        segments.push(last);
        self.epochs.write().truncate_from_end(offset);
        self.write_epochs(changes, Durable::Now)?;
        self.recovery_point.fetch_min(offset, Ordering::AcqRel);
        changes.since_index = 0;
        let log_start = {
            let mut view = self.view.write();
            view.segments = Arc::new(segments);
            view.log_end = offset;
            view.log_start = view.log_start.min(offset);
            view.forget_recent();
            view.log_start
        };
        self.rebuild_producers(changes, log_start, offset, now_ms)
    }

    fn rebuild_producers(
        &self,
        changes: &mut Changes,
        log_start: Offset,
        log_end: Offset,
        now_ms: TimestampMs,
    ) -> Result<(), StorageError> {
        let mut producers = self.snapshot_below(changes, log_start, log_end, now_ms)?;
        replay(&self.segments(), &mut producers, log_end)?;
        *self.producers.write() = producers;
        Ok(())
    }

    fn snapshot_below(
        &self,
        changes: &mut Changes,
        log_start: Offset,
        up_to: Offset,
        now_ms: TimestampMs,
    ) -> Result<ProducerState, StorageError> {
        let expiration_ms = self.config().producer_id_expiration_ms;
        let snapshots = &mut changes.snapshots;
        let dir = &self.dir;
        let found = producer_snapshot::load_newest(
            dir,
            snapshots,
            log_start,
            up_to,
            now_ms,
            expiration_ms,
        )?;
        let mut producers = found.unwrap_or_default();
        producers.end_offset = producers.end_offset.max(log_start);
        Ok(producers)
    }

    /// Finds the transactions that ended at or above the high watermark: no snapshot of a log that
    /// was opened anew, or cut, names them, and they hold the last stable offset back. For whoever
    /// is to lead, and before anything is appended. Blocks on the disk.
    pub fn recall_ended(
        &self,
        high_watermark: Offset,
        now_ms: TimestampMs,
    ) -> Result<(), StorageError> {
        let (log_start, log_end) = (self.log_start_offset(), self.log_end_offset());
        let from = high_watermark.max(log_start);
        if from >= log_end || !self.producers.read().has_seen_markers() {
            return Ok(());
        }
        let mut changes = self.changes.lock();
        let mut above = ProducerState::starting_at(from);
        replay(&self.segments(), &mut above, log_end)?;
        if above.has_seen_markers() {
            let mut whole = self.snapshot_below(&mut changes, log_start, from, now_ms)?;
            replay(&self.segments(), &mut whole, log_end)?;
            self.producers.write().recall_ended(&whole, high_watermark);
        }
        Ok(())
    }

    /// A new segment with what `old` holds below `offset`, in a new inode.
    fn cut_segment(
        &self,
        changes: &mut Changes,
        old: &Arc<Segment>,
        offset: Offset,
        now_ms: TimestampMs,
    ) -> Result<Arc<Segment>, StorageError> {
        let base = old.base_offset;
        let found = old.find(offset, old.size()).map_err(crate::recovery::unreadable)?;
        let cut = found.map_or(old.size(), |(_, position)| position);
        // Readers that still hold the old segment go on with its old files.
        let source = old.file()?;
        let unfinished = self.dir.file_path(&segment_file_name(base, UNFINISHED_SUFFIX));
        let disk = &*self.dir.disk;
        remove_if_there(disk, &unfinished)?;
        let target = disk.open(&unfinished, OpenHow::CreateNew).at("create", &unfinished)?;
        copy_range((&*source, &old.log.path()), 0..cut, (&*target, &unfinished))?;
        target.sync().at("sync", &unfinished)?;
        let path = self.dir.file_path(&segment_file_name(base, LOG_SUFFIX));
        disk.rename(&unfinished, &path).at("rename", &path)?;
        let dir_path = self.dir.path();
        disk.sync_dir(&dir_path).at("sync", &dir_path)?;
        changes.dir_dirty = false;
        let lengths = FileLengths {
            log: cut,
            offset_index: Some(old.offset_index.replace_file_below(offset)?),
            time_index: Some(old.time_index.replace_file_below(offset)?),
            txn_index: (!old.txn_index.is_empty()).then_some(0),
        };
        let new = Segment::existing(&self.dir, base, &lengths, now_ms)?;
        new.txn_index.truncate_to(offset)?;
        new.load_max_timestamp().map_err(crate::recovery::unreadable)?;
        Ok(Arc::new(new))
    }

    pub(crate) fn remove_snapshots(
        &self,
        changes: &mut Changes,
        which: impl Fn(Offset) -> bool,
    ) -> Result<(), DiskError> {
        for offset in changes.snapshots.iter().filter(|o| which(**o)) {
            let name = segment_file_name(*offset, producer_snapshot::SUFFIX);
            remove_if_there(&*self.dir.disk, &self.dir.file_path(&name))?;
        }
        changes.snapshots.retain(|o| !which(*o));
        changes.unsynced_snapshots.retain(|o| !which(*o));
        Ok(())
    }

    /// DeleteRecords: raises the log start to `offset`, at most to the high watermark. Segments
    /// below it go with the next retention.
    ///
    /// The caller writes the log start checkpoint before it answers.
    pub fn delete_records(
        &self,
        offset: Offset,
        high_watermark: Offset,
    ) -> Result<Offset, DeleteRecordsError> {
        let (log_start, log_end) = {
            let view = self.view.read();
            (view.log_start, view.log_end)
        };
        if offset > high_watermark.min(log_end) || offset < 0 {
            return Err(DeleteRecordsError::OffsetOutOfRange { offset, high_watermark });
        }
        if offset > log_start {
            self.raise_log_start(offset);
        }
        Ok(self.log_start_offset())
    }

    /// Raises the log start, as a follower does after its leader; never lowers it.
    pub fn raise_log_start(&self, offset: Offset) {
        let mut changes = self.changes.lock();
        {
            let mut view = self.view.write();
            if offset <= view.log_start || offset > view.log_end {
                return;
            }
            view.log_start = offset;
        }
        self.producers.write().forget_replicated(offset);
        changes.epochs_dirty |= self.epochs.write().truncate_from_start(offset);
    }
}

#[cfg(test)]
mod tests {
    use protocol::ids::TopicPartition;

    use super::*;
    use crate::log_dir::LogDir;
    use crate::log_manager::LogManager;

    #[test]
    #[should_panic(expected = "a log of 0 to 0 is to be cut at 5")]
    fn a_log_is_cut_behind_its_end() {
        let temp = tempfile::tempdir().unwrap();
        let disk: Arc<dyn crate::disk::Disk> = Arc::new(crate::disk::OsDisk::default());
        let dir = LogDir::open(disk.clone(), temp.path()).unwrap();
        let manager = LogManager::new(disk, vec![dir], false, 0).unwrap();
        let tp = TopicPartition::new("t", 0);
        let log = manager.get_or_create(&tp, Arc::default(), None, 0).unwrap();
        let _ = log.cut(&mut log.changes.lock(), 5, 0);
    }
}
