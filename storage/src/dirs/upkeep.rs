//! What a broker does to all its logs from time to time, in steps that its own threads call.

use std::path::PathBuf;

use protocol::ids::{Offset, TimestampMs, TopicPartition};

use crate::dirs::checkpoint::{HIGH_WATERMARK_FILE, Offsets};
use crate::dirs::deletion::remove_dir_and_files;
use crate::dirs::log_manager::{Doomed, Hosted, LogManager};
use crate::error::{At, StorageError};
use crate::log::Log;
use crate::log::topic_id::MetadataSync;

/// New partitions whose topic ids are made durable together: as many files are open for it.
const SYNCED_AT_ONCE: usize = 256;

/// How one upkeep step went.
#[derive(Debug, Default)]
pub struct StepReport {
    /// Logs that were worked on.
    pub done: usize,
    /// Partitions that failed; their directory should be judged by the caller.
    pub errors: Vec<(TopicPartition, StorageError)>,
}

impl StepReport {
    /// Notes an error, unless the log was deleted or moved away meanwhile.
    fn failed(&mut self, log: &Log, error: StorageError) {
        match log.explain(error) {
            error @ StorageError::Gone(_) => tracing::debug!(%error, "upkeep came too late"),
            error => self.errors.push((log.partition().clone(), error)),
        }
    }
}

impl LogManager {
    /// Removes deleted partitions and segments whose delay has passed.
    pub fn remove_doomed(&self, now_ms: TimestampMs) -> StepReport {
        let due: Vec<Doomed> = {
            let mut doomed = self.doomed.lock();
            let (due, waiting) =
                std::mem::take(&mut *doomed).into_iter().partition(|d| d.due_ms <= now_ms);
            *doomed = waiting;
            due
        };
        let mut report = StepReport::default();
        for doomed in due {
            if self.dirs[doomed.dir].is_offline() {
                continue;
            }
            report.done += 1;
            if let Err(error) = remove_dir_and_files(&*self.disk, &doomed.path) {
                tracing::warn!(path = %doomed.path.display(), %error, "cannot remove a directory");
            }
        }
        self.each_log_and_future(&mut report, |log| log.unlink_due(now_ms).map(|_| false));
        report
    }

    /// Deletes what retention says, of future logs too. `high_watermark_of` answers for partitions
    /// that have one; a future log has it as far as it goes.
    pub fn delete_old_segments(
        &self,
        high_watermark_of: &dyn Fn(&TopicPartition) -> Option<Offset>,
        now_ms: TimestampMs,
    ) -> StepReport {
        let mut report = StepReport::default();
        self.each_log_and_future(&mut report, |log| {
            let Some(high_watermark) = high_watermark_of(log.partition()) else {
                return Ok(false);
            };
            let high_watermark = high_watermark.min(log.log_end_offset());
            Ok(log.delete_old_segments(high_watermark, now_ms)? > 0)
        });
        report
    }

    /// Syncs logs that closed a segment since their last sync, or that were not synced for
    /// `flush.ms`.
    pub fn flush_due(&self, now_ms: TimestampMs) -> StepReport {
        let mut report = StepReport::default();
        self.each_log_and_future(&mut report, |log| {
            let due = log.is_flush_due(now_ms);
            if due {
                log.flush(now_ms)?;
            }
            Ok(due)
        });
        report
    }

    /// `wake` is called whenever [`LogManager::prepare_next`] has work.
    pub fn set_waker(&self, wake: Box<dyn Fn() + Send + Sync>) {
        self.files().set_waker(wake);
    }

    /// Prepares the end of one log for its next appends; `None` if none asks for it. Blocks on
    /// the disk: for a thread that does nothing else.
    pub fn prepare_next(&self, now_ms: TimestampMs) -> Option<StepReport> {
        let partition = self.files().asked()?;
        let mut report = StepReport { done: 1, ..StepReport::default() };
        if let Some(log) = self.log(&partition)
            && let Err(error) = log.prepare(now_ms)
        {
            report.failed(&log, error.into());
        }
        Some(report)
    }

    /// Frees what logs hold that were not appended to for [`crate::segment::mapped::IDLE_MS`].
    pub fn retire_idle(&self, now_ms: TimestampMs) -> StepReport {
        let mut report = StepReport::default();
        self.each_log_and_future(&mut report, |log| Ok(log.retire_if_idle(now_ms)?));
        report
    }

    /// Makes new partitions' topic ids durable, so that no append has to.
    pub fn sync_metadata(&self) -> StepReport {
        let mut report = StepReport::default();
        let mut unsynced: Vec<Hosted> = self.logs.read().values().cloned().collect();
        unsynced.extend(self.futures.read().values().cloned());
        unsynced.retain(|hosted| {
            !hosted.log.is_metadata_synced() && !self.dirs[hosted.dir].is_offline()
        });
        for some in unsynced.chunks(SYNCED_AT_ONCE) {
            self.sync_metadata_of(some, &mut report);
        }
        report
    }

    fn sync_metadata_of(&self, some: &[Hosted], report: &mut StepReport) {
        let mut begun = Vec::with_capacity(some.len());
        for Hosted { log, dir } in some {
            match MetadataSync::begin(log) {
                Ok(sync) => begun.push((log, *dir, sync)),
                Err(error) => report.failed(log, error.into()),
            }
        }
        begun.retain(|(log, _, sync)| match sync.finish() {
            Ok(()) => true,
            Err(error) => {
                report.failed(log, error.into());
                false
            }
        });
        for (i, root) in self.dirs.iter().enumerate() {
            let mut here = begun.iter().filter(|(_, dir, _)| *dir == i).peekable();
            let Some((first, ..)) = here.peek() else { continue };
            match self.disk.sync_dir(root.path()).at("sync", root.path()) {
                Ok(()) => here.for_each(|(_, _, sync)| sync.done()),
                Err(error) => report.errors.push((first.partition().clone(), error.into())),
            }
        }
    }

    /// Writes the high watermarks given, each into its partition's directory (every 5 s). Logs that
    /// nobody hosts yet keep what the checkpoint said of them.
    pub fn checkpoint_high_watermarks(
        &self,
        high_watermarks: &Offsets,
    ) -> Vec<(PathBuf, StorageError)> {
        let mut by_dir: Vec<Offsets> = vec![Offsets::new(); self.dirs.len()];
        for (tp, hosted) in self.logs.read().iter() {
            let before = || self.dirs[hosted.dir].checkpointed(|c| &c.high_watermarks, tp);
            if let Some(offset) = high_watermarks.get(tp).copied().or_else(before) {
                by_dir[hosted.dir].insert(tp.clone(), offset);
            }
        }
        let mut errors = Vec::new();
        for (i, mut offsets) in by_dir.into_iter().enumerate() {
            let dir = &self.dirs[i];
            if dir.is_offline() {
                continue;
            }
            self.keep_unloaded(i, |c| &c.high_watermarks, &mut offsets);
            if let Err(e) = dir.write_checkpoint(HIGH_WATERMARK_FILE, &offsets) {
                errors.push((dir.path().to_owned(), StorageError::Disk(e)));
            }
        }
        errors
    }

    /// Forgets idempotent producers that were silent for too long.
    pub fn remove_expired_producers(&self, now_ms: TimestampMs) {
        for log in self.logs() {
            log.remove_expired_producers(now_ms);
        }
    }

    /// Every log, and those that are to take one's place.
    fn each_log_and_future(
        &self,
        report: &mut StepReport,
        mut work: impl FnMut(&Log) -> Result<bool, StorageError>,
    ) {
        let mut hosted: Vec<Hosted> = self.logs.read().values().cloned().collect();
        hosted.extend(self.futures.read().values().cloned());
        self.each_of(hosted, report, &mut work);
    }

    pub(crate) fn each_of(
        &self,
        hosted: Vec<Hosted>,
        report: &mut StepReport,
        work: &mut dyn FnMut(&Log) -> Result<bool, StorageError>,
    ) {
        for Hosted { log, dir } in hosted {
            if self.dirs[dir].is_offline() {
                continue;
            }
            match work(&log) {
                Ok(worked) => report.done += usize::from(worked),
                Err(error) => report.failed(&log, error),
            }
        }
    }
}
