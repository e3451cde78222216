//! Which segments are old enough to go, and their removal. Knows no clock: the time is given.

use std::sync::Arc;

use protocol::ids::{Offset, TimestampMs};

use crate::config::LogConfig;
use crate::error::{At, DiskError, StorageError};
use crate::log::{Changes, Condemned, Log};
use crate::segment::partition_dir::LazyFile;
use crate::segment::{DELETED_SUFFIX, Segment};

/// Why a segment goes; the first that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    LogStart,
    Time,
    Size,
}

impl Log {
    /// Removes what retention says (`cleanup.policy` with `delete`) and what is below the log
    /// start (always); never what is not below the high watermark. Returns how many segments.
    ///
    /// The files are unlinked by [`Log::unlink_due`] after `file.delete.delay.ms`.
    pub fn delete_old_segments(
        &self,
        high_watermark: Offset,
        now_ms: TimestampMs,
    ) -> Result<usize, StorageError> {
        let config = self.config();
        self.read_expired(&config, high_watermark, now_ms)?;
        let mut changes = self.changes.lock();
        self.check_usable(&changes)?;
        let count = self.deletable(&config, high_watermark, now_ms)?;
        if count == 0 {
            return Ok(0);
        }
        self.delete_first(&mut changes, count, now_ms).inspect_err(|_| changes.failed = true)?;
        Ok(count)
    }

    /// The length of the prefix of segments that may go.
    fn deletable(
        &self,
        config: &LogConfig,
        high_watermark: Offset,
        now_ms: TimestampMs,
    ) -> Result<usize, StorageError> {
        let segments = self.segments();
        let (log_start, log_end) = {
            let view = self.view.read();
            (view.log_start, view.log_end)
        };
        let total: u64 = segments.iter().map(|s| s.size()).sum();
        let mut excess = match config.retention_bytes {
            limit if limit < 0 => 0,
            limit => total.saturating_sub(limit as u64),
        };
        let mut count = 0;
        for (i, segment) in segments.iter().enumerate() {
            let next_base = segments.get(i + 1).map(|s| s.base_offset);
            let end = next_base.unwrap_or(log_end);
            // An empty active segment has nothing to delete.
            if high_watermark < end || (next_base.is_none() && segment.size() == 0) {
                break;
            }
            let reason = if next_base.is_some_and(|base| base <= log_start) {
                Some(Reason::LogStart)
            } else if !config.cleanup_policy.delete {
                None
            } else if segment.is_time_read() && self.is_expired(segment, config, now_ms)? {
                Some(Reason::Time)
            } else if excess >= segment.size() && excess > 0 {
                Some(Reason::Size)
            } else {
                None
            };
            let Some(reason) = reason else { break };
            excess = excess.saturating_sub(segment.size());
            tracing::info!(partition = %self.partition, base_offset = segment.base_offset,
                size = segment.size(), ?reason, "deleting a segment");
            count += 1;
        }
        Ok(count)
    }

    /// Looks at the batches of segments that seem to be too old, once and before anybody has to
    /// wait for it: a time index alone deletes nothing.
    fn read_expired(
        &self,
        config: &LogConfig,
        high_watermark: Offset,
        now_ms: TimestampMs,
    ) -> Result<(), DiskError> {
        if !config.cleanup_policy.delete {
            return Ok(());
        }
        for segment in self.segments().iter().filter(|segment| segment.size() > 0) {
            if segment.base_offset >= high_watermark || !self.is_expired(segment, config, now_ms)? {
                break;
            }
            segment.read_max_timestamp(&*self.dir.disk)?;
        }
        Ok(())
    }

    fn is_expired(
        &self,
        segment: &Segment,
        config: &LogConfig,
        now_ms: TimestampMs,
    ) -> Result<bool, DiskError> {
        if config.retention_ms < 0 {
            return Ok(false);
        }
        let mut newest = segment.max_timestamp()?.timestamp;
        if newest < 0 {
            let path = segment.log.path();
            newest = self.dir.disk.stat(&path).at("stat", &path)?.map_or(now_ms, |s| s.modified_ms);
        }
        Ok(now_ms.saturating_sub(newest) > config.retention_ms)
    }

    fn delete_first(
        &self,
        changes: &mut Changes,
        count: usize,
        now_ms: TimestampMs,
    ) -> Result<(), DiskError> {
        if count == self.segments().len() {
            self.roll_at(changes, self.log_end_offset(), now_ms)?;
        }
        let segments = self.segments();
        let (gone, kept) = segments.split_at(count);
        let first_base = kept[0].base_offset;
        {
            let mut view = self.view.write();
            view.segments = Arc::new(kept.to_vec());
            view.log_start = view.log_start.max(first_base);
        }
        self.condemn(changes, gone, now_ms)?;
        self.remove_snapshots(changes, |snapshot| gone.iter().any(|s| s.base_offset == snapshot))?;
        let log_start = self.log_start_offset();
        self.producers.write().forget_replicated(log_start);
        changes.epochs_dirty |= self.epochs.write().truncate_from_start(log_start);
        Ok(())
    }

    /// Renames the files of segments that left the log; they are unlinked later.
    pub(crate) fn condemn(
        &self,
        changes: &mut Changes,
        gone: &[Arc<Segment>],
        now_ms: TimestampMs,
    ) -> Result<(), DiskError> {
        let due_ms = now_ms.saturating_add(self.config().file_delete_delay_ms);
        for segment in gone {
            let mut files: Vec<Arc<LazyFile>> = Vec::new();
            for file in segment.all_files() {
                let path = file.path();
                if self.dir.disk.stat(&path).at("stat", &path)?.is_none() {
                    continue;
                }
                let mut name = path.file_name().expect("a file has a name").to_os_string();
                name.push(DELETED_SUFFIX);
                file.rename(name.to_string_lossy().into_owned())?;
                files.push(file.clone());
            }
            changes.condemned.push(Condemned { due_ms, files });
        }
        changes.dir_dirty = true;
        Ok(())
    }

    /// Unlinks what was removed at least `file.delete.delay.ms` ago; returns how many files wait.
    pub fn unlink_due(&self, now_ms: TimestampMs) -> Result<usize, StorageError> {
        let due: Vec<Condemned> = {
            let mut changes = self.changes.lock();
            let (due, waiting) = std::mem::take(&mut changes.condemned)
                .into_iter()
                .partition(|c| c.due_ms <= now_ms);
            changes.condemned = waiting;
            due
        };
        // A flush that began before the removal may still sync these files.
        let flushing = self.flushing.lock();
        for file in due.iter().flat_map(|c| &c.files) {
            file.close();
            let path = file.path();
            crate::disk::remove_if_there(&*self.dir.disk, &path)?;
        }
        drop(flushing);
        Ok(self.changes.lock().condemned.iter().map(|c| c.files.len()).sum())
    }
}
