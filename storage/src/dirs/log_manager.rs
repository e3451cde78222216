//! All logs of a broker: loading, finding, making and deleting them, their checkpoints, and a clean
//! stop. Starts no thread: loading, closing and upkeep are steps that any number of threads call.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use protocol::ids::{Offset, TimestampMs, TopicPartition, Uuid};

use crate::config::LogConfig;
use crate::dirs::checkpoint::{LOG_START_FILE, Offsets, RECOVERY_POINT_FILE};
use crate::dirs::inventory::{self, Inventory, LoadJob};
use crate::dirs::log_dir::{Checkpoints, LogDir};
use crate::disk::Disk;
use crate::error::{At, DeleteRecordsError, StorageError};
use crate::log::{Log, LogOptions};
use crate::segment::partition_dir::{FileCache, OPEN_FILES_MAX};

/// Gives a topic's effective configuration.
pub type ConfigOf<'a> = &'a (dyn Fn(&str) -> Arc<LogConfig> + Sync);

/// A log and the index of its directory.
#[derive(Debug, Clone)]
pub(crate) struct Hosted {
    pub log: Arc<Log>,
    pub dir: usize,
}

/// A renamed directory that waits for its removal.
#[derive(Debug)]
pub(crate) struct Doomed {
    pub path: PathBuf,
    pub dir: usize,
    pub due_ms: TimestampMs,
}

/// The logs of all log directories.
#[derive(Debug)]
pub struct LogManager {
    pub(crate) disk: Arc<dyn Disk>,
    files: Arc<FileCache>,
    pub(crate) dirs: Vec<LogDir>,
    pub(crate) logs: RwLock<HashMap<TopicPartition, Hosted>>,
    /// Logs that are to take the place of those, in other directories (`moving.rs`).
    pub(crate) futures: RwLock<HashMap<TopicPartition, Hosted>>,
    /// Where partitions without a log are to be made.
    pub(crate) preferred: Mutex<HashMap<TopicPartition, usize>>,
    jobs: Mutex<VecDeque<LoadJob>>,
    /// Logs that are not loaded yet, by directory.
    unloaded: Vec<AtomicUsize>,
    /// Partitions whose log could not be loaded, and why.
    failed: RwLock<BTreeMap<TopicPartition, (usize, String)>>,
    pub(crate) doomed: Mutex<Vec<Doomed>>,
    /// One partition is made at a time.
    pub(crate) creating: Mutex<()>,
    lost_offsets: AtomicU64,
    cut_bytes: AtomicU64,
    accept_loss: bool,
    accept_loss_of: BTreeSet<TopicPartition>,
}

impl LogManager {
    /// Takes directories that are locked and identified, and lists what is to be loaded. The same
    /// partition in two places is an error, unless a move was interrupted.
    pub fn new(
        disk: Arc<dyn Disk>,
        dirs: Vec<LogDir>,
        accept_loss: bool,
        now_ms: TimestampMs,
    ) -> Result<LogManager, StorageError> {
        let Inventory { jobs, doomed, failed } = inventory::list(&*disk, &dirs, now_ms)?;
        let unloaded: Vec<AtomicUsize> = (0..dirs.len())
            .map(|i| AtomicUsize::new(jobs.iter().filter(|job| job.dir == i).count()))
            .collect();
        let manager = LogManager {
            disk,
            files: FileCache::new(OPEN_FILES_MAX),
            dirs,
            logs: RwLock::default(),
            futures: RwLock::default(),
            preferred: Mutex::default(),
            jobs: Mutex::new(jobs),
            unloaded,
            failed: RwLock::new(failed),
            doomed: Mutex::new(doomed),
            creating: Mutex::default(),
            lost_offsets: AtomicU64::new(0),
            cut_bytes: AtomicU64::new(0),
            accept_loss,
            accept_loss_of: BTreeSet::new(),
        };
        manager.settle_refusals();
        let nothing_to_load = |dir: &usize| manager.unloaded[*dir].load(Ordering::Relaxed) == 0;
        (0..manager.dirs.len()).filter(nothing_to_load).for_each(|dir| manager.all_loaded(dir));
        Ok(manager)
    }

    /// Notes what is not going to be loaded, and forgets refused logs that are gone.
    fn settle_refusals(&self) {
        let (failed, jobs) = (self.failed.read(), self.jobs.lock());
        for (i, root) in self.dirs.iter().enumerate().filter(|(_, root)| !root.is_offline()) {
            let failed = failed.iter().filter(|(_, (dir, _))| *dir == i).map(|(tp, _)| tp.clone());
            let failed: Vec<_> = failed.collect();
            let jobs = jobs.iter().filter(|job| job.dir == i && !job.is_future);
            let here: BTreeSet<_> = jobs.map(|job| &job.partition).chain(&failed).collect();
            let settled = root.retain_refusals(|tp| here.contains(tp));
            let settled = settled.and_then(|()| root.pass_over(&failed));
            root.offline_if_failed(settled);
        }
    }

    /// Lets these partitions be cut where they are damaged (`ottla.log.accept.loss`): call it
    /// before anything is loaded.
    pub fn accept_loss_of(&mut self, partitions: impl IntoIterator<Item = TopicPartition>) {
        self.accept_loss_of.extend(partitions);
    }

    /// Loads one log that is not loaded yet; `false` once there is none left. Threads may call it
    /// at the same time. A damaged log is set aside; an I/O error takes its directory offline.
    pub fn load_next(&self, config_of: ConfigOf<'_>, now_ms: TimestampMs) -> bool {
        let Some(job) = self.jobs.lock().pop_front() else { return false };
        let dir = job.dir;
        if !self.dirs[dir].is_offline() {
            self.load(job, config_of, now_ms);
        }
        if self.unloaded[dir].fetch_sub(1, Ordering::AcqRel) == 1 {
            self.all_loaded(dir);
        }
        true
    }

    fn load(&self, job: LoadJob, config_of: ConfigOf<'_>, now_ms: TimestampMs) {
        let dir = &self.dirs[job.dir];
        let config = config_of(&job.partition.topic);
        match self.open_log(&job.partition, job.path, job.dir, config, now_ms) {
            Ok(log) => {
                // Before anything can be appended to it.
                let cleared = job.is_future
                    || dir.offline_if_failed(dir.retain_refusals(|tp| *tp != job.partition));
                if !cleared {
                    return;
                }
                let replicated = dir.checkpointed(|c| &c.high_watermarks, &job.partition);
                let (end, replicated) = (log.log_end_offset(), replicated.unwrap_or(0));
                if end < replicated {
                    tracing::warn!(partition = %job.partition, log_end = end,
                        high_watermark = replicated, lost = replicated - end,
                        "committed records are not in the log any more");
                    self.lost_offsets.fetch_add((replicated - end) as u64, Ordering::Relaxed);
                }
                self.cut_bytes.fetch_add(log.cut_bytes, Ordering::Relaxed);
                let hosted = Hosted { log: Arc::new(log), dir: job.dir };
                let logs = if job.is_future { &self.futures } else { &self.logs };
                logs.write().insert(job.partition, hosted);
            }
            Err(error) => {
                tracing::error!(partition = %job.partition, %error, "a log cannot be loaded");
                if matches!(error, StorageError::Disk(_)) {
                    dir.set_offline();
                }
                if job.is_future {
                    // The current log has everything; the directory waits for somebody to look.
                    return;
                }
                let expected_end = match error {
                    StorageError::Damaged { expected_end, .. } => expected_end,
                    _ => dir.expected_end(&job.partition),
                };
                dir.offline_if_failed(dir.refuse(&job.partition, expected_end));
                self.failed.write().insert(job.partition, (job.dir, error.to_string()));
            }
        }
    }

    /// From here on a kill of this process leaves nothing to look at but the logs' ends.
    fn all_loaded(&self, dir: usize) {
        let root = &self.dirs[dir];
        if root.is_offline() {
            return;
        }
        let done = root.complete_refusals().and_then(|()| root.write_witness());
        // Without room for it the next start reads more than it must.
        let done = match done {
            Err(error) if error.is_full() => root.remove_witness(),
            other => other,
        };
        root.offline_if_failed(done);
    }

    /// Offsets below the checkpointed high watermarks that no log had any more at this start.
    pub fn lost_offsets(&self) -> u64 {
        self.lost_offsets.load(Ordering::Relaxed)
    }

    /// Bytes behind the last whole batch of a log that this start cut off, zeros left out.
    pub fn cut_bytes(&self) -> u64 {
        self.cut_bytes.load(Ordering::Relaxed)
    }

    /// Loads everything on the calling thread.
    pub fn load_all(&self, config_of: ConfigOf<'_>, now_ms: TimestampMs) {
        while self.load_next(config_of, now_ms) {}
    }

    pub(crate) fn open_log(
        &self,
        partition: &TopicPartition,
        path: PathBuf,
        dir: usize,
        config: Arc<LogConfig>,
        now_ms: TimestampMs,
    ) -> Result<Log, StorageError> {
        Log::open(self.options(partition, path, dir, config), now_ms)
    }

    pub(crate) fn options(
        &self,
        partition: &TopicPartition,
        path: PathBuf,
        dir: usize,
        config: Arc<LogConfig>,
    ) -> LogOptions {
        let root = &self.dirs[dir];
        LogOptions {
            disk: self.disk.clone(),
            files: self.files.clone(),
            path,
            partition: partition.clone(),
            config,
            clean: root.was_clean(),
            recovery_point: root.checkpointed(|c| &c.recovery_points, partition).unwrap_or(0),
            log_start: root.checkpointed(|c| &c.log_starts, partition).unwrap_or(0),
            kept: root.was_log_kept(partition),
            suspicion: root.suspicion(partition),
            accept_loss: self.accept_loss || self.accept_loss_of.contains(partition),
        }
    }

    /// The descriptors and windows of all logs.
    pub fn files(&self) -> &Arc<FileCache> {
        &self.files
    }

    pub fn dirs(&self) -> &[LogDir] {
        &self.dirs
    }

    pub fn log(&self, partition: &TopicPartition) -> Option<Arc<Log>> {
        self.logs.read().get(partition).map(|h| h.log.clone())
    }

    /// Every log, ordered by partition.
    pub fn logs(&self) -> Vec<Arc<Log>> {
        let mut logs: Vec<_> = self.logs.read().values().map(|h| h.log.clone()).collect();
        logs.sort_by(|a, b| a.partition().cmp(b.partition()));
        logs
    }

    /// Root of the log directory that hosts the partition.
    pub fn dir_of(&self, partition: &TopicPartition) -> Option<&Path> {
        let dir = self.logs.read().get(partition)?.dir;
        Some(self.dirs[dir].path())
    }

    /// Why a partition that is on disk has no log.
    pub fn failure_of(&self, partition: &TopicPartition) -> Option<String> {
        self.failed.read().get(partition).map(|(_, reason)| reason.clone())
    }

    /// The high watermark of the last checkpoint; 0 if there is none.
    pub fn checkpointed_high_watermark(&self, partition: &TopicPartition) -> Offset {
        let dir = match self.logs.read().get(partition) {
            Some(hosted) => hosted.dir,
            None => return 0,
        };
        self.dirs[dir].checkpointed(|c| &c.high_watermarks, partition).unwrap_or(0)
    }

    /// The partition's log; made in the directory with the fewest logs if there is none. The
    /// topic id, if given, is durable before the first append (`sync_metadata`).
    pub fn get_or_create(
        &self,
        partition: &TopicPartition,
        config: Arc<LogConfig>,
        topic_id: Option<Uuid>,
        now_ms: TimestampMs,
    ) -> Result<Arc<Log>, StorageError> {
        let _one = self.creating.lock();
        if let Some(log) = self.log(partition) {
            if let Some(id) = topic_id {
                log.assign_topic_id(id)?;
            }
            return Ok(log);
        }
        if let Some((dir, reason)) = self.failed.read().get(partition) {
            let path = self.dirs[*dir].path().join(partition.to_string());
            return Err(StorageError::Corrupt { path, reason: reason.clone() });
        }
        let dir = self.dir_for(partition)?;
        let root = self.dirs[dir].path();
        let path = root.join(partition.to_string());
        let is_new = self.disk.stat(&path).at("stat", &path)?.is_none();
        let log = if is_new {
            self.forget_former(partition, dir)?;
            Log::create(self.options(partition, path, dir, config), topic_id, now_ms)?
        } else {
            let log = self.open_log(partition, path, dir, config, now_ms)?;
            topic_id.map_or(Ok(()), |id| log.assign_topic_id(id))?;
            log
        };
        let log = Arc::new(log);
        let hosted = Hosted { log: log.clone(), dir };
        self.logs.write().insert(partition.clone(), hosted);
        Ok(log)
    }

    /// Truncates a log and writes its directory's recovery points before it returns.
    pub fn truncate_to(
        &self,
        partition: &TopicPartition,
        offset: Offset,
        now_ms: TimestampMs,
    ) -> Result<bool, StorageError> {
        let Some(hosted) = self.logs.read().get(partition).cloned() else { return Ok(false) };
        let cut = hosted.log.truncate_to(offset, now_ms)?;
        if cut {
            self.checkpoint_dir(hosted.dir)?;
            self.lower_cleaner_offset(&hosted)?;
        }
        Ok(cut)
    }

    /// Empties a log, to go on at `offset`, and writes its directory's recovery points.
    pub fn truncate_fully_and_start_at(
        &self,
        partition: &TopicPartition,
        offset: Offset,
        now_ms: TimestampMs,
    ) -> Result<(), StorageError> {
        let Some(hosted) = self.logs.read().get(partition).cloned() else { return Ok(()) };
        hosted.log.truncate_fully_and_start_at(offset, None, now_ms)?;
        self.checkpoint_dir(hosted.dir)?;
        self.lower_cleaner_offset(&hosted)
    }

    /// Raises a log's start and writes its directory's checkpoint before it answers.
    pub fn delete_records(
        &self,
        log: &Log,
        offset: Offset,
        high_watermark: Offset,
    ) -> Result<Result<Offset, DeleteRecordsError>, StorageError> {
        let answer = log.delete_records(offset, high_watermark);
        let dir = self.logs.read().get(log.partition()).map(|h| h.dir);
        if let (Ok(_), Some(dir)) = (&answer, dir) {
            self.write_log_starts(dir)?;
        }
        Ok(answer)
    }

    /// Writes recovery points and log starts of every directory (every 60 s). Directories that
    /// fail are returned.
    pub fn checkpoint(&self) -> Vec<(PathBuf, StorageError)> {
        let usable = (0..self.dirs.len()).filter(|i| !self.dirs[*i].is_offline());
        usable
            .filter_map(|i| {
                let written = self.freshen_checkpoints(i).and_then(|()| self.checkpoint_dir(i));
                let error = written.err()?;
                Some((self.dirs[i].path().to_owned(), error))
            })
            .collect()
    }

    pub(crate) fn checkpoint_dir(&self, dir: usize) -> Result<(), StorageError> {
        let mut points = self.offsets_of(dir, |log| Some(log.recovery_point()));
        self.keep_unloaded(dir, |c| &c.recovery_points, &mut points);
        self.dirs[dir].write_checkpoint(RECOVERY_POINT_FILE, &points)?;
        self.write_log_starts(dir)
    }

    fn write_log_starts(&self, dir: usize) -> Result<(), StorageError> {
        let mut starts = self.offsets_of(dir, |log| {
            let start = log.log_start_offset();
            (start > log.segment_sizes()[0].0).then_some(start)
        });
        self.keep_unloaded(dir, |c| &c.log_starts, &mut starts);
        Ok(self.dirs[dir].write_checkpoint(LOG_START_FILE, &starts)?)
    }

    /// Logs that are not or could not be loaded keep what the checkpoint said of them.
    pub(crate) fn keep_unloaded(
        &self,
        dir: usize,
        which: fn(&Checkpoints) -> &Offsets,
        offsets: &mut Offsets,
    ) {
        let failed = self.failed.read();
        let failed = failed.iter().filter(|(_, (d, _))| *d == dir).map(|(tp, _)| tp.clone());
        let jobs = self.jobs.lock();
        let waiting = jobs.iter().filter(|j| j.dir == dir).map(|j| j.partition.clone());
        for tp in failed.chain(waiting) {
            if let Some(offset) = self.dirs[dir].checkpointed(which, &tp) {
                offsets.insert(tp, offset);
            }
        }
    }

    fn offsets_of(&self, dir: usize, of: impl Fn(&Log) -> Option<Offset>) -> Offsets {
        let (logs, futures) = (self.logs.read(), self.futures.read());
        // No directory has both of a partition.
        let all = logs.iter().chain(futures.iter());
        let here = all.filter(|(_, hosted)| hosted.dir == dir);
        here.filter_map(|(tp, hosted)| Some((tp.clone(), of(&hosted.log)?))).collect()
    }

    /// Takes a directory out of service after an I/O error; returns the partitions that were in
    /// it, whose logs are gone with it.
    pub fn take_offline(&self, root: &Path) -> Vec<TopicPartition> {
        let Some(dir) = self.dirs.iter().position(|d| d.path() == root) else {
            return Vec::new();
        };
        self.dirs[dir].set_offline();
        self.futures.write().retain(|_, hosted| hosted.dir != dir);
        let mut logs = self.logs.write();
        let gone: Vec<_> =
            logs.iter().filter(|(_, h)| h.dir == dir).map(|(tp, _)| tp.clone()).collect();
        for tp in &gone {
            logs.remove(tp);
        }
        gone
    }

    /// A clean stop: every log is closed as Kafka leaves it, then the checkpoints, then, where
    /// nothing failed, the marker. The caller wrote the high watermarks before. Nothing may be
    /// appended afterwards.
    pub fn close(&self) -> Vec<(PathBuf, StorageError)> {
        let mut errors = Vec::new();
        for (i, dir) in self.dirs.iter().enumerate() {
            if dir.is_offline() {
                continue;
            }
            if let Err(e) = self.close_dir(i) {
                errors.push((dir.path().to_owned(), e));
            }
        }
        errors
    }

    fn close_dir(&self, dir: usize) -> Result<(), StorageError> {
        let logs: Vec<Arc<Log>> = {
            let (logs, futures) = (self.logs.read(), self.futures.read());
            let here = logs.values().chain(futures.values()).filter(|hosted| hosted.dir == dir);
            here.map(|hosted| hosted.log.clone()).collect()
        };
        let mut first_error = None;
        for log in logs {
            if let Err(error) = log.close() {
                tracing::error!(partition = %log.partition(), %error, "a log was not closed");
                first_error.get_or_insert(error);
            }
        }
        self.checkpoint_dir(dir)?;
        if let Some(error) = first_error {
            return Err(error);
        }
        let unloaded = self.jobs.lock().iter().any(|job| job.dir == dir)
            || self.failed.read().values().any(|(failed_dir, _)| *failed_dir == dir);
        if !unloaded {
            self.dirs[dir].write_clean_marker()?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "log_manager_tests.rs"]
mod tests;
