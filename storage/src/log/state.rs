//! A partition's log: its segments, its offsets, and who may change them. Knows no high watermark
//! and no cluster; callers pass the watermark where it matters.
//!
//! Locking. `changes` is held by whoever appends, rolls, truncates or deletes, disk work included.
//! `view`, `epochs` and `producers` are held for a few instructions by everybody, never over disk
//! work. Order: `changes`, then one of the others.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::{Mutex, RwLock};
use protocol::ids::{LeaderEpoch, Offset, ProducerId, TimestampMs, TopicPartition, Uuid};

use crate::config::LogConfig;
use crate::dirs::checkpoint::{LEADER_EPOCH_FILE, PARTITION_METADATA_FILE, read_topic_id};
use crate::dirs::refusals::Suspicion;
use crate::disk::{Disk, Durable, remove_if_there, replace_file};
use crate::error::{At, DiskError, StorageError};
use crate::log::leader_epochs::{EpochEntry, LeaderEpochs};
use crate::producers::producer_snapshot;
use crate::producers::producer_state::{ProducerEntry, ProducerState};
use crate::recovery::{self, Loaded};
use crate::segment::mapped::Writer;
use crate::segment::partition_dir::{FileCache, LazyFile, PartitionDir, segment_file_name};
use crate::segment::{LOG_SUFFIX, Segment};

/// What opening a log needs to know.
#[derive(Debug, Clone)]
pub struct LogOptions {
    pub disk: Arc<dyn Disk>,
    pub files: Arc<FileCache>,
    /// The partition's directory; it is made if it does not exist.
    pub path: PathBuf,
    pub partition: TopicPartition,
    pub config: Arc<LogConfig>,
    /// The log directory's clean shutdown marker was found.
    pub clean: bool,
    /// Whatever was written before the stop can be read, synced or not: the process died, the
    /// machine did not.
    pub kept: bool,
    /// From the checkpoint: the first offset not known to be synced. 0 is always right.
    pub recovery_point: Offset,
    /// From the checkpoint: 0 if there is none.
    pub log_start: Offset,
    /// What earlier starts leave this one to check.
    pub suspicion: Suspicion,
    /// Cut even what was synced once, where it is damaged; an operator's decision, off otherwise.
    pub accept_loss: bool,
}

/// Append boundaries that are remembered: reads at the tail need no index and no scan.
const RECENT_MAX: usize = 64;

/// A batch that begins at `offset`, `position` bytes into the segment at `base`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Boundary {
    pub offset: Offset,
    pub base: Offset,
    pub position: u64,
}

/// What readers see; replaced piece by piece under a short lock.
#[derive(Debug)]
pub(crate) struct View {
    /// Ascending by base offset, never empty; the last one is active.
    pub segments: Arc<Vec<Arc<Segment>>>,
    pub log_start: Offset,
    pub log_end: Offset,
    recent: Vec<Boundary>,
    recent_next: usize,
}

impl View {
    pub fn new(segments: Vec<Arc<Segment>>, log_start: Offset, log_end: Offset) -> View {
        View {
            segments: Arc::new(segments),
            log_start,
            log_end,
            recent: Vec::new(),
            recent_next: 0,
        }
    }

    pub fn remember(&mut self, boundary: Boundary) {
        if self.recent.len() < RECENT_MAX {
            self.recent.push(boundary);
        } else {
            self.recent[self.recent_next % RECENT_MAX] = boundary;
            self.recent_next += 1;
        }
    }

    pub fn forget_recent(&mut self) {
        self.recent.clear();
        self.recent_next = 0;
    }

    pub fn recent(&self, offset: Offset) -> Option<Boundary> {
        self.recent.iter().rev().find(|b| b.offset == offset).copied()
    }

    /// Index of the last segment whose base is at or below `offset`; 0 before the first.
    pub fn segment_at(&self, offset: Offset) -> usize {
        self.segments.partition_point(|s| s.base_offset <= offset).saturating_sub(1)
    }
}

/// What only the one who changes the log touches.
#[derive(Debug)]
pub(crate) struct Changes {
    /// Bytes since the active segment's last index entry.
    pub since_index: u64,
    /// A write failed: nothing more may be changed until the log is opened anew.
    pub failed: bool,
    /// The directory has another name now and waits for its removal.
    pub gone: bool,
    /// The epochs in memory are not in their file.
    pub epochs_dirty: bool,
    /// Offsets of the producer snapshots on disk, ascending.
    pub snapshots: Vec<Offset>,
    /// Removed files and when they may be unlinked.
    pub condemned: Vec<Condemned>,
    /// Snapshots that wait for their sync.
    pub unsynced_snapshots: Vec<Offset>,
    /// Names were created since the directory was last synced.
    pub dir_dirty: bool,
    /// Records appended since the last flush.
    pub unflushed: i64,
    pub last_flush_ms: TimestampMs,
    pub writer: Writer,
}

#[derive(Debug)]
pub(crate) struct Condemned {
    pub due_ms: TimestampMs,
    pub files: Vec<Arc<LazyFile>>,
}

/// One partition's log. See the crate's documentation for what may be called from where.
#[derive(Debug)]
pub struct Log {
    pub(crate) dir: Arc<PartitionDir>,
    pub(crate) partition: TopicPartition,
    pub(crate) config: RwLock<Arc<LogConfig>>,
    pub(crate) changes: Mutex<Changes>,
    pub(crate) view: RwLock<View>,
    pub(crate) epochs: RwLock<LeaderEpochs>,
    pub(crate) producers: RwLock<ProducerState>,
    pub(crate) recovery_point: AtomicI64,
    pub(crate) flushing: Mutex<()>,
    pub(crate) topic_id: RwLock<Option<Uuid>>,
    /// `partition.metadata` is durable, or there is none.
    pub(crate) metadata_synced: AtomicBool,
    /// Bytes that were cut off when it was opened.
    pub(crate) cut_bytes: u64,
}

impl Log {
    /// Opens a partition's directory, or makes it, and recovers it if it was not closed cleanly.
    pub fn open(options: LogOptions, now_ms: TimestampMs) -> Result<Log, StorageError> {
        let disk = options.disk.clone();
        disk.create_dir(&options.path).at("create", &options.path)?;
        let dir = PartitionDir::new(disk, options.files.clone(), options.path.clone());
        let metadata = dir.file_path(PARTITION_METADATA_FILE);
        let topic_id = read_topic_id(&*dir.disk, &metadata);
        let loaded = recovery::load(&dir, &options, now_ms)?;
        let topic_id = match topic_id {
            // It is synced before the first record: torn beside an empty log, it never counted.
            Err(StorageError::Corrupt { .. }) if loaded.segments.iter().all(|s| s.size() == 0) => {
                remove_if_there(&*dir.disk, &metadata)?;
                None
            }
            other => other?,
        };
        Ok(Log::assemble(dir, options, loaded, topic_id, now_ms))
    }

    /// The log of what a directory holds.
    pub(crate) fn assemble(
        dir: Arc<PartitionDir>,
        options: LogOptions,
        loaded: Loaded,
        topic_id: Option<Uuid>,
        now_ms: TimestampMs,
    ) -> Log {
        let changes = Changes {
            since_index: 0,
            failed: false,
            gone: false,
            epochs_dirty: false,
            snapshots: loaded.snapshots,
            condemned: Vec::new(),
            unsynced_snapshots: Vec::new(),
            dir_dirty: true,
            unflushed: 0,
            last_flush_ms: now_ms,
            writer: Writer::default(),
        };
        Log {
            dir,
            partition: options.partition,
            config: RwLock::new(options.config),
            changes: Mutex::new(changes),
            view: RwLock::new(View::new(loaded.segments, loaded.log_start, loaded.log_end)),
            epochs: RwLock::new(loaded.epochs),
            producers: RwLock::new(loaded.producers),
            recovery_point: AtomicI64::new(loaded.recovery_point),
            flushing: Mutex::new(()),
            topic_id: RwLock::new(topic_id),
            // Whoever wrote it may not have synced it.
            metadata_synced: AtomicBool::new(topic_id.is_none()),
            cut_bytes: loaded.cut_bytes,
        }
    }

    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The partition's directory; it changes when the log is renamed for deletion.
    pub fn path(&self) -> PathBuf {
        self.dir.path()
    }

    pub fn config(&self) -> Arc<LogConfig> {
        self.config.read().clone()
    }

    /// Takes effect with the next operation.
    pub fn set_config(&self, config: Arc<LogConfig>) {
        *self.config.write() = config;
    }

    /// The first offset that may be read.
    pub fn log_start_offset(&self) -> Offset {
        self.view.read().log_start
    }

    /// The offset of the next record.
    pub fn log_end_offset(&self) -> Offset {
        self.view.read().log_end
    }

    /// Whether a read from `offset` needs the active segment alone, whose indexes are in memory.
    pub fn is_at_tail(&self, offset: Offset) -> bool {
        offset >= self.active().base_offset
    }

    /// The first offset that is not known to be synced.
    pub fn recovery_point(&self) -> Offset {
        self.recovery_point.load(Ordering::Acquire)
    }

    /// Up to where readers of committed data may read: the high watermark, or the first offset of
    /// the earliest transaction that is open or whose marker is not below the watermark.
    pub fn last_stable_offset(&self, high_watermark: Offset) -> Offset {
        let producers = self.producers.read();
        if !producers.has_unstable() {
            return high_watermark;
        }
        let Some(first) = producers.first_unstable_offset(high_watermark) else {
            return high_watermark;
        };
        drop(producers);
        // DeleteRecords may have passed the beginning of a transaction.
        first.max(self.log_start_offset()).min(high_watermark)
    }

    /// Lets go of what was kept for transactions below the high watermark. Call it when the
    /// watermark rises; what `last_stable_offset` answers does not change by it.
    pub fn on_high_watermark(&self, high_watermark: Offset) {
        if self.producers.read().has_unstable() {
            self.producers.write().forget_replicated(high_watermark);
        }
    }

    /// Whether the producer has a transaction open here.
    pub fn has_open_transaction(&self, producer_id: ProducerId) -> bool {
        let producers = self.producers.read();
        producers.get(producer_id).is_some_and(|e| e.current_txn_first_offset.is_some())
    }

    /// Every known producer, for DescribeProducers.
    pub fn producers(&self) -> BTreeMap<ProducerId, ProducerEntry> {
        let producers = self.producers.read();
        producers.producers().into_iter().map(|(id, entry)| (id, entry.clone())).collect()
    }

    /// Forgets producers that were silent for `producer.id.expiration.ms`.
    pub fn remove_expired_producers(&self, now_ms: TimestampMs) {
        let expiration_ms = self.config().producer_id_expiration_ms;
        self.producers.write().remove_expired(now_ms, expiration_ms);
    }

    /// Logical bytes of all segments.
    pub fn size(&self) -> u64 {
        self.segments().iter().map(|s| s.size()).sum()
    }

    /// Base offset and logical bytes of every segment, oldest first.
    pub fn segment_sizes(&self) -> Vec<(Offset, u64)> {
        self.segments().iter().map(|s| (s.base_offset, s.size())).collect()
    }

    pub(crate) fn segments(&self) -> Arc<Vec<Arc<Segment>>> {
        self.view.read().segments.clone()
    }

    pub(crate) fn active(&self) -> Arc<Segment> {
        self.view.read().segments.last().expect("a log has a segment").clone()
    }

    /// The latest leader epoch that has an entry.
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.read().latest().map(|e| e.epoch)
    }

    pub fn epoch_entries(&self) -> Vec<EpochEntry> {
        self.epochs.read().entries().to_vec()
    }

    /// The epoch of the record at `offset`, if it is known.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.epochs.read().epoch_at(offset)
    }

    /// The largest known epoch at or below `epoch` and its end offset; (−1, −1) if `epoch` is
    /// above all (`LeaderEpochFileCache.endOffsetFor`).
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> (LeaderEpoch, Offset) {
        let log_end = self.log_end_offset();
        self.epochs.read().end_offset_for(epoch, log_end)
    }

    /// Enters that a leader epoch begins at `start_offset`. In memory: the file follows with the
    /// first append, and an epoch without data may be forgotten.
    pub fn assign_epoch(&self, epoch: LeaderEpoch, start_offset: Offset) {
        let mut changes = self.changes.lock();
        changes.epochs_dirty |= self.epochs.write().assign(epoch, start_offset);
    }

    pub(crate) fn write_epochs(
        &self,
        changes: &mut Changes,
        durable: Durable,
    ) -> Result<(), DiskError> {
        if changes.epochs_dirty || durable == Durable::Now {
            let text = self.epochs.read().to_text();
            let path = self.dir.file_path(LEADER_EPOCH_FILE);
            replace_file(&*self.dir.disk, &path, text.as_bytes(), durable)?;
            changes.epochs_dirty = false;
        }
        Ok(())
    }

    /// Writes a producer snapshot at the log's end, unless there is one.
    pub(crate) fn take_snapshot(
        &self,
        changes: &mut Changes,
        durable: Durable,
    ) -> Result<(), DiskError> {
        let producers = self.producers.read();
        let offset = producers.end_offset;
        let newest = changes.snapshots.last().copied();
        if newest.unwrap_or(self.log_start_offset()) >= offset {
            return Ok(());
        }
        // Encoded under the lock, written outside it.
        let bytes = producer_snapshot::encode(&producers);
        drop(producers);
        let path = self.dir.file_path(&segment_file_name(offset, producer_snapshot::SUFFIX));
        replace_file(&*self.dir.disk, &path, &bytes, durable)?;
        changes.snapshots.push(offset);
        if durable == Durable::Later {
            changes.unsynced_snapshots.push(offset);
        }
        Ok(())
    }

    /// Closes the active segment and begins one at the log's end. No effect on an empty one.
    pub fn roll(&self, now_ms: TimestampMs) -> Result<(), StorageError> {
        let mut changes = self.changes.lock();
        self.check_usable(&changes)?;
        let end = self.log_end_offset();
        if self.active().size() > 0 {
            self.roll_at(&mut changes, end, now_ms).inspect_err(|_| changes.failed = true)?;
        }
        Ok(())
    }

    /// Trim the old segment first: only the last one may end in zeros.
    pub(crate) fn roll_at(
        &self,
        changes: &mut Changes,
        base_offset: Offset,
        now_ms: TimestampMs,
    ) -> Result<Arc<Segment>, DiskError> {
        let old = self.active();
        if old.size() == 0 && old.base_offset == base_offset {
            return Ok(old);
        }
        assert!(
            base_offset > old.base_offset && base_offset >= self.log_end_offset(),
            "a segment of {base_offset} is to follow that of {}, which ends at {}",
            old.base_offset,
            self.log_end_offset()
        );
        self.seal(changes, &old)?;
        if self.recovery_point() >= base_offset {
            // No later flush and no recovery would look at this segment again.
            old.sync()?;
            let path = self.dir.path();
            self.dir.disk.sync_dir(&path).at("sync", &path)?;
        }
        self.take_snapshot(changes, Durable::Later)?;
        let new = Arc::new(Segment::new(&self.dir, base_offset, now_ms));
        new.log.create_new()?;
        changes.since_index = 0;
        changes.dir_dirty = true;
        let mut view = self.view.write();
        let mut segments = view.segments.to_vec();
        segments.push(new.clone());
        view.segments = Arc::new(segments);
        Ok(new)
    }

    /// Cuts a segment's files to what they hold.
    fn seal(&self, changes: &mut Changes, segment: &Segment) -> Result<(), DiskError> {
        self.retire(changes, segment, false)?;
        segment.close_indexes()
    }

    /// Whether a write failed in a way that leaves nothing to go on with.
    pub fn has_failed(&self) -> bool {
        self.changes.lock().failed
    }

    pub(crate) fn check_usable(&self, changes: &Changes) -> Result<(), StorageError> {
        if changes.gone {
            return Err(StorageError::Gone(self.partition.to_string()));
        }
        if changes.failed {
            return Err(StorageError::Failed(self.partition.to_string()));
        }
        Ok(())
    }

    /// What an error means that was met without the lock: the files of a log that was deleted or
    /// moved away meanwhile may be removed under whoever works on them (KAFKA-19571).
    pub(crate) fn explain(&self, error: StorageError) -> StorageError {
        let missing = match &error {
            StorageError::Disk(disk) => disk.source.kind() == std::io::ErrorKind::NotFound,
            StorageError::Failed(_) => true,
            _ => false,
        };
        match missing && self.changes.lock().gone {
            true => StorageError::Gone(self.partition.to_string()),
            false => error,
        }
    }

    /// Writes and syncs everything as Kafka leaves it after a clean stop. The log must not be
    /// used afterwards.
    pub fn close(&self) -> Result<(), StorageError> {
        let _flushing = self.flushing.lock();
        let mut changes = self.changes.lock();
        self.check_usable(&changes)?;
        changes.failed = true;
        self.sync_metadata()?;
        self.seal(&mut changes, &self.active())?;
        self.take_snapshot(&mut changes, Durable::Now)?;
        let work = self.flush_work(&mut changes)?.with_indexes();
        self.sync(&work)?;
        for segment in self.segments().iter() {
            segment.close_files();
        }
        Ok(())
    }
}

/// A segment with an empty file, replacing a leftover of that name.
pub(crate) fn create_segment(
    dir: &Arc<PartitionDir>,
    base_offset: Offset,
    now_ms: TimestampMs,
) -> Result<Arc<Segment>, DiskError> {
    let segment = Segment::new(dir, base_offset, now_ms);
    let path = dir.file_path(&segment_file_name(base_offset, LOG_SUFFIX));
    segment.log.get_or_create()?.set_len(0).at("truncate", &path)?;
    Ok(Arc::new(segment))
}
