//! One entry of `log.dirs`: its lock, identity, clean shutdown marker, checkpoints, and the
//! partition directories in it. Knows names and small files; logs are `log_manager.rs`'s.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use protocol::ids::{BrokerId, Offset, TopicPartition};

use crate::checkpoint::{
    CLEAN_SHUTDOWN_FILE, CLEAN_SHUTDOWN_TEXT, CLEANER_FILE, HIGH_WATERMARK_FILE, LOCK_FILE,
    LOG_START_FILE, META_PROPERTIES_FILE, MetaProperties, Offsets, RECOVERY_POINT_FILE,
    SMALL_BYTES_MAX, WITNESS_FILE, read_offsets, read_text, write_offsets,
};
use crate::disk::{Disk, Durable, Space, remove_if_there, replace_file};
use crate::error::{At, DiskError, StorageError};
use crate::refusals::{LOADING_FILE, NOT_LOOKED_AT, Refusals, Suspicion, loading_text};

/// A locked log directory.
pub struct LogDir {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    _lock: Box<dyn Send + Sync>,
    meta: Mutex<Option<MetaProperties>>,
    /// It was stopped cleanly before this start.
    clean: bool,
    /// Whatever was written before this start can be read.
    kept: bool,
    /// It was stopped cleanly, and no start has come further than to load its logs.
    was_loading: bool,
    found: Mutex<Checkpoints>,
    refusals: Mutex<Refusals>,
    offline: AtomicBool,
    /// One writer of checkpoint files at a time.
    writing: Mutex<()>,
    /// The checkpoint files name partitions that are gone.
    stale: AtomicBool,
}

/// What the checkpoint files said at the start.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    pub recovery_points: Offsets,
    pub log_starts: Offsets,
    pub high_watermarks: Offsets,
    /// Where the last compaction ended; kept up to date.
    pub cleaned: Offsets,
}

impl std::fmt::Debug for LogDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogDir").field("path", &self.path).field("clean", &self.clean).finish()
    }
}

/// What a sub-directory is, from its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirKind {
    Partition(TopicPartition),
    /// `…-delete`: on its way out.
    Deleted(TopicPartition),
    /// `…-future`: the target of a move between log directories.
    Future(TopicPartition),
    /// `…-stray`, and those that Kafka itself ignores.
    Ignored,
}

impl DirKind {
    /// `None` for a name that makes an Apache broker refuse to start.
    pub fn parse(name: &str) -> Option<DirKind> {
        if name == "remote-log-index-cache" || name == "__cluster_metadata-0" {
            return Some(DirKind::Ignored);
        }
        if name.ends_with("-stray") {
            return Some(DirKind::Ignored);
        }
        for (suffix, make) in [
            ("-delete", DirKind::Deleted as fn(TopicPartition) -> DirKind),
            ("-future", DirKind::Future),
        ] {
            if let Some(rest) = name.strip_suffix(suffix)
                && let Some((partition, unique)) = rest.rsplit_once('.')
                && !unique.is_empty()
                && !unique.contains(char::is_whitespace)
            {
                return parse_partition(partition).map(make);
            }
        }
        parse_partition(name).map(DirKind::Partition)
    }
}

/// The topic is what stands before the last `-`; it may hold others.
fn parse_partition(name: &str) -> Option<TopicPartition> {
    let (topic, partition) = name.rsplit_once('-')?;
    let is_number = !partition.is_empty() && partition.bytes().all(|b| b.is_ascii_digit());
    if topic.is_empty() || !is_number {
        return None;
    }
    Some(TopicPartition::new(topic, partition.parse().ok()?))
}

impl LogDir {
    /// Makes the directory if it is missing, takes its lock, reads identity and checkpoints, and
    /// takes the clean shutdown marker away: from now on a crash is a crash.
    pub fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<LogDir, StorageError> {
        disk.create_dir(path).at("create", path)?;
        let lock_path = path.join(LOCK_FILE);
        let Some(lock) = disk.lock(&lock_path).at("lock", &lock_path)? else {
            return Err(StorageError::Locked { path: path.to_owned() });
        };
        let meta = MetaProperties::read(&*disk, &path.join(META_PROPERTIES_FILE))?;
        let lenient = |name: &str| match read_offsets(&*disk, &path.join(name)) {
            Err(StorageError::Corrupt { path, reason }) => {
                tracing::warn!(path = %path.display(), reason, "treating a checkpoint as empty");
                Ok(Offsets::new())
            }
            other => other,
        };
        let recovery_points = lenient(RECOVERY_POINT_FILE)?;
        let log_starts = lenient(LOG_START_FILE)?;
        let cleaned = lenient(CLEANER_FILE)?;
        let high_watermarks = read_offsets(&*disk, &path.join(HIGH_WATERMARK_FILE))?;
        let refusals = Refusals::read(&*disk, path)?;
        let marker = path.join(CLEAN_SHUTDOWN_FILE);
        let clean = disk.stat(&marker).at("stat", &marker)?.is_some();
        let (loading, text) = (path.join(LOADING_FILE), loading_text(&recovery_points));
        let was_loading = match read_text(&*disk, &loading, SMALL_BYTES_MAX) {
            Err(StorageError::Corrupt { .. }) => false,
            found => !clean && found? == Some(text.clone()),
        };
        if clean {
            replace_file(&*disk, &loading, text.as_bytes(), Durable::Now)?;
            remove_if_there(&*disk, &marker)?;
            disk.sync_dir(path).at("sync", path)?;
        }
        let witness = path.join(WITNESS_FILE);
        let before = match read_text(&*disk, &witness, SMALL_BYTES_MAX) {
            Err(StorageError::Corrupt { .. }) => None,
            other => other?,
        };
        let now = disk.witness(path).at("stat", path)?;
        let kept = before.is_some() && before == now;
        Ok(LogDir {
            disk,
            path: path.to_owned(),
            _lock: lock,
            meta: Mutex::new(meta),
            clean,
            kept,
            was_loading,
            found: Mutex::new(Checkpoints {
                recovery_points,
                log_starts,
                high_watermarks,
                cleaned,
            }),
            refusals: Mutex::new(refusals),
            offline: AtomicBool::new(false),
            writing: Mutex::new(()),
            stale: AtomicBool::new(false),
        })
    }

    /// A directory that cannot be used, for as long as the process runs: offline from the start,
    /// known so that nobody looks elsewhere for what may be in it.
    pub fn unusable(disk: Arc<dyn Disk>, path: &Path) -> LogDir {
        LogDir {
            disk,
            path: path.to_owned(),
            _lock: Box::new(()),
            meta: Mutex::new(None),
            clean: false,
            kept: false,
            was_loading: false,
            found: Mutex::default(),
            refusals: Mutex::default(),
            offline: AtomicBool::new(true),
            writing: Mutex::new(()),
            stale: AtomicBool::new(false),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn was_clean(&self) -> bool {
        self.clean
    }

    /// The process that used the directory before died while the machine ran on, and it met no
    /// I/O error: what it wrote is there, synced or not.
    pub fn was_kept(&self) -> bool {
        self.kept
    }

    /// What earlier starts leave this one to check of a log.
    pub(crate) fn suspicion(&self, tp: &TopicPartition) -> Suspicion {
        let point = self.checkpointed(|c| &c.recovery_points, tp).unwrap_or(0);
        let mut suspicion = self.refusals.lock().suspicion(tp, point);
        if self.was_loading {
            suspicion.expected_end = suspicion.expected_end.max(point);
        }
        suspicion
    }

    /// Whether what `was_kept` says holds for a log.
    pub(crate) fn was_log_kept(&self, tp: &TopicPartition) -> bool {
        (self.kept || self.was_loading) && !self.refusals.lock().was_passed_over(tp)
    }

    /// Where a log ends at least that nothing else is known of.
    pub(crate) fn expected_end(&self, tp: &TopicPartition) -> Offset {
        let point = self.checkpointed(|c| &c.recovery_points, tp).unwrap_or(0);
        let known = if self.clean { point } else { 0 };
        known.max(self.suspicion(tp).expected_end)
    }

    /// Notes durably that a log is refused until it reaches `expected_end` and reads as a whole.
    pub(crate) fn refuse(
        &self,
        tp: &TopicPartition,
        expected_end: Offset,
    ) -> Result<(), DiskError> {
        self.change_refusals(|refusals| refusals.add(tp.clone(), expected_end))
    }

    /// Notes durably that logs are not looked at, so that the next start knows what this one did.
    pub(crate) fn pass_over(&self, logs: &[TopicPartition]) -> Result<(), DiskError> {
        let known = |tp: &TopicPartition| match (self.clean, self.kept) {
            (true, _) => self.checkpointed(|c| &c.recovery_points, tp).unwrap_or(0),
            (false, true) => 0,
            (false, false) => NOT_LOOKED_AT,
        };
        self.change_refusals(|refusals| {
            let each = logs.iter().map(|tp| (tp.clone(), known(tp)));
            each.fold(false, |any, (tp, end)| refusals.add_if_new(tp, end) | any)
        })
    }

    /// Forgets, durably, the refusals of logs that `stays` does not hold for.
    pub(crate) fn retain_refusals(
        &self,
        stays: impl Fn(&TopicPartition) -> bool,
    ) -> Result<(), DiskError> {
        self.change_refusals(|refusals| refusals.retain(stays))
    }

    /// Every log was looked at.
    pub(crate) fn complete_refusals(&self) -> Result<(), DiskError> {
        self.change_refusals(Refusals::complete)?;
        remove_if_there(&*self.disk, &self.path.join(LOADING_FILE))?;
        self.disk.sync_dir(&self.path).at("sync", &self.path)
    }

    fn change_refusals(&self, change: impl FnOnce(&mut Refusals) -> bool) -> Result<(), DiskError> {
        let mut refusals = self.refusals.lock();
        match change(&mut refusals) {
            true => refusals.write(&*self.disk, &self.path),
            false => Ok(()),
        }
    }

    /// Notes durably which boot and mount the bytes written from now on belong to. Every log must
    /// have been loaded, or noted as refused: the next start may look at less.
    pub(crate) fn write_witness(&self) -> Result<(), DiskError> {
        let path = self.path.join(WITNESS_FILE);
        match self.disk.witness(&self.path).at("stat", &self.path)? {
            Some(text) => replace_file(&*self.disk, &path, text.as_bytes(), Durable::Now),
            None => self.remove_witness(),
        }
    }

    pub(crate) fn remove_witness(&self) -> Result<(), DiskError> {
        remove_if_there(&*self.disk, &self.path.join(WITNESS_FILE))
    }

    /// What `meta.properties` says; `None` in a new directory.
    pub fn meta(&self) -> Option<MetaProperties> {
        self.meta.lock().clone()
    }

    /// Checks that the directory belongs to this broker and cluster; a new one is marked so.
    pub fn check_identity(
        &self,
        broker_id: BrokerId,
        cluster_id: &str,
    ) -> Result<(), StorageError> {
        let path = self.path.join(META_PROPERTIES_FILE);
        let mut meta = self.meta.lock();
        let mut known = meta.clone().unwrap_or(MetaProperties {
            broker_id: None,
            cluster_id: None,
            directory_id: None,
        });
        if let Some(found) = known.broker_id.filter(|found| *found != broker_id) {
            return Err(StorageError::Mismatch {
                path,
                field: "broker.id",
                found: found.to_string(),
                expected: broker_id.to_string(),
            });
        }
        if let Some(found) = known.cluster_id.as_deref().filter(|found| *found != cluster_id) {
            return Err(StorageError::Mismatch {
                path,
                field: "cluster.id",
                found: found.to_owned(),
                expected: cluster_id.to_owned(),
            });
        }
        known.broker_id = Some(broker_id);
        known.cluster_id = Some(cluster_id.to_owned());
        if meta.as_ref() != Some(&known) {
            known.write(&*self.disk, &path)?;
            *meta = Some(known);
        }
        Ok(())
    }

    /// Every partition directory: its path and what it is. Any other directory is an error, as
    /// it is for an Apache broker; plain files are nobody's business.
    pub fn partitions(&self) -> Result<Vec<(PathBuf, DirKind)>, StorageError> {
        let mut found = Vec::new();
        for entry in self.disk.list(&self.path).at("list", &self.path)? {
            if !entry.is_dir {
                continue;
            }
            let path = self.path.join(&entry.name);
            match DirKind::parse(&entry.name) {
                Some(DirKind::Ignored) => {}
                Some(kind) => found.push((path, kind)),
                None => {
                    let reason = "not the name of a partition's directory".to_owned();
                    return Err(StorageError::Conflict { path, reason });
                }
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }

    /// Looks up one of the checkpoints of the start; `None` for a partition that is not in it.
    pub(crate) fn checkpointed(
        &self,
        which: fn(&Checkpoints) -> &Offsets,
        tp: &TopicPartition,
    ) -> Option<Offset> {
        which(&self.found.lock()).get(tp).copied()
    }

    /// The partition is gone: one of the same name has nothing to do with the checkpoints. Whether
    /// they had anything of it.
    pub(crate) fn forget(&self, tp: &TopicPartition) -> bool {
        let mut found = self.found.lock();
        let Checkpoints { recovery_points, log_starts, high_watermarks, cleaned } = &mut *found;
        let all = [recovery_points, log_starts, high_watermarks, cleaned];
        all.into_iter().fold(false, |any, offsets| offsets.remove(tp).is_some() | any)
    }

    /// Changes what is known of compactions and writes it, if `change` says that it did.
    pub(crate) fn update_cleaned(
        &self,
        change: impl FnOnce(&mut Offsets) -> bool,
    ) -> Result<(), DiskError> {
        let _one = self.writing.lock();
        let cleaned = {
            let mut found = self.found.lock();
            if !change(&mut found.cleaned) {
                return Ok(());
            }
            found.cleaned.clone()
        };
        write_offsets(&*self.disk, &self.path.join(CLEANER_FILE), &cleaned)
    }

    pub(crate) fn are_checkpoints_stale(&self) -> bool {
        self.stale.load(Ordering::Acquire)
    }

    pub(crate) fn set_checkpoints_stale(&self, stale: bool) {
        self.stale.store(stale, Ordering::Release);
    }

    /// Room on the file system below.
    pub fn space(&self) -> std::io::Result<Space> {
        self.disk.space(&self.path)
    }

    pub fn is_offline(&self) -> bool {
        self.offline.load(Ordering::Acquire)
    }

    /// An I/O error was met here: nothing is written to it any more. `false` if it was known.
    pub fn set_offline(&self) -> bool {
        let news = !self.offline.swap(true, Ordering::AcqRel);
        if news && let Err(error) = self.remove_witness() {
            tracing::warn!(%error, "the next start may trust what was not synced");
        }
        news
    }

    /// Takes the directory out of service if something that must be in it cannot be written; `true`
    /// if it was.
    pub(crate) fn offline_if_failed(&self, done: Result<(), DiskError>) -> bool {
        let Err(error) = done else { return true };
        tracing::error!(dir = %self.path.display(), %error, "a log directory fails");
        self.set_offline();
        false
    }

    pub(crate) fn write_checkpoint(&self, name: &str, offsets: &Offsets) -> Result<(), DiskError> {
        let _one = self.writing.lock();
        write_offsets(&*self.disk, &self.path.join(name), offsets)
    }

    pub(crate) fn write_clean_marker(&self) -> Result<(), DiskError> {
        let path = self.path.join(CLEAN_SHUTDOWN_FILE);
        replace_file(&*self.disk, &path, CLEAN_SHUTDOWN_TEXT.as_bytes(), Durable::Now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::OsDisk;

    #[test]
    fn names() {
        let tp = |topic: &str, p| TopicPartition::new(topic, p);
        let hex = "bd75fa420a2542be9938e183aabd72bf";
        for (name, kind) in [
            ("foo-0".to_owned(), Some(DirKind::Partition(tp("foo", 0)))),
            ("a-b.c-12".to_owned(), Some(DirKind::Partition(tp("a-b.c", 12)))),
            (format!("del-me-0.{hex}-delete"), Some(DirKind::Deleted(tp("del-me", 0)))),
            (format!("x-3.{hex}-future"), Some(DirKind::Future(tp("x", 3)))),
            ("x-3-stray".to_owned(), Some(DirKind::Ignored)),
            ("__cluster_metadata-0".to_owned(), Some(DirKind::Ignored)),
            ("lost+found".to_owned(), None),
            ("foo".to_owned(), None),
            ("foo-x".to_owned(), None),
            ("-1".to_owned(), None),
            ("x-3.short-delete".to_owned(), Some(DirKind::Deleted(tp("x", 3)))),
            ("x-3.-delete".to_owned(), None),
        ] {
            assert_eq!(DirKind::parse(&name), kind, "{name}");
        }
    }

    #[test]
    fn identity_is_written_once_and_checked() {
        let temp = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(OsDisk::default());
        let dir = LogDir::open(disk.clone(), temp.path()).unwrap();
        assert!(!dir.was_clean() && dir.meta().is_none());
        dir.check_identity(1, "abc").unwrap();
        dir.write_clean_marker().unwrap();
        drop(dir);
        let dir = LogDir::open(disk, temp.path()).unwrap();
        assert!(dir.was_clean());
        assert!(!temp.path().join(CLEAN_SHUTDOWN_FILE).exists());
        dir.check_identity(1, "abc").unwrap();
        for (id, cluster, wrong) in [(2, "abc", "broker.id"), (1, "abd", "cluster.id")] {
            let error = dir.check_identity(id, cluster).unwrap_err();
            assert!(matches!(error, StorageError::Mismatch { field, .. } if field == wrong));
        }
    }

    #[test]
    fn a_strange_directory_stops_the_start() {
        let temp = tempfile::tempdir().unwrap();
        let dir = LogDir::open(Arc::new(OsDisk::default()), temp.path()).unwrap();
        std::fs::create_dir(temp.path().join("foo-0")).unwrap();
        std::fs::write(temp.path().join("notes"), "x").unwrap();
        assert_eq!(dir.partitions().unwrap().len(), 1);
        std::fs::create_dir(temp.path().join("notes.d")).unwrap();
        assert!(matches!(dir.partitions(), Err(StorageError::Conflict { .. })));
    }
}
