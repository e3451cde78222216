//! What the log directories hold when a broker starts: logs to load, directories to remove, and
//! what an interrupted move between log directories left. Knows names, not what the logs hold.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use protocol::ids::{TimestampMs, TopicPartition};

use crate::config::LogConfig;
use crate::dirs::log_dir::{DirKind, LogDir};
use crate::dirs::log_manager::Doomed;
use crate::dirs::moving::{finish_superseded, keep_superseded, superseded_as};
use crate::disk::Disk;
use crate::error::StorageError;

/// A log that is to be loaded.
#[derive(Debug)]
pub(crate) struct LoadJob {
    pub partition: TopicPartition,
    pub path: PathBuf,
    pub dir: usize,
    /// The target of a move between log directories.
    pub is_future: bool,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    pub jobs: VecDeque<LoadJob>,
    pub doomed: Vec<Doomed>,
    /// Partitions that must not be loaded: their directory's place, and why.
    pub failed: BTreeMap<TopicPartition, (usize, String)>,
}

/// Lists the directories that are online; one that cannot be listed goes offline. The same
/// partition in two places is an error, unless a move that was interrupted says which one counts.
pub(crate) fn list(
    disk: &dyn Disk,
    dirs: &[LogDir],
    now_ms: TimestampMs,
) -> Result<Inventory, StorageError> {
    let mut found: BTreeMap<(TopicPartition, bool), Vec<LoadJob>> = BTreeMap::new();
    let mut inventory = Inventory::default();
    for (i, dir) in dirs.iter().enumerate().filter(|(_, dir)| !dir.is_offline()) {
        let partitions = match dir.partitions() {
            Ok(partitions) => partitions,
            Err(StorageError::Disk(error)) => {
                tracing::error!(dir = %dir.path().display(), %error, "it cannot be listed");
                dir.set_offline();
                continue;
            }
            Err(error) => return Err(error),
        };
        for (path, kind) in partitions {
            let is_future = matches!(kind, DirKind::Future(_));
            match kind {
                DirKind::Partition(partition) | DirKind::Future(partition) => {
                    let key = (partition.clone(), is_future);
                    found.entry(key).or_default().push(LoadJob {
                        partition,
                        path,
                        dir: i,
                        is_future,
                    });
                }
                DirKind::Deleted(_) => inventory.doom(path, i, now_ms),
                DirKind::Ignored => {}
            }
        }
    }
    let all_readable = !dirs.iter().any(LogDir::is_offline);
    for ((_, is_future), mut jobs) in found {
        if !is_future {
            inventory.settle_moves(disk, &mut jobs, all_readable, now_ms)?;
        }
        if let [one, other, ..] = &jobs[..] {
            let reason = format!("{} is in {} too", one.partition, other.path.display());
            return Err(StorageError::Conflict { path: one.path.clone(), reason });
        }
        inventory.jobs.extend(jobs);
    }
    Ok(inventory)
}

impl Inventory {
    fn doom(&mut self, path: PathBuf, dir: usize, now_ms: TimestampMs) {
        let due_ms = now_ms + LogConfig::default().file_delete_delay_ms;
        self.doomed.push(Doomed { path, dir, due_ms });
    }

    /// Takes away the directories of a partition whose place another one took.
    fn settle_moves(
        &mut self,
        disk: &dyn Disk,
        jobs: &mut Vec<LoadJob>,
        all_readable: bool,
        now_ms: TimestampMs,
    ) -> Result<(), StorageError> {
        let mut marked = Vec::new();
        let mut unclear = false;
        for job in std::mem::take(jobs) {
            match superseded_as(disk, &job.path) {
                Ok(Some(hex)) => marked.push((job, hex)),
                Ok(None) => jobs.push(job),
                // Without its mark no directory says which of two logs counts.
                Err(StorageError::Corrupt { path, reason }) => {
                    let reason = format!("{}: {reason}", path.display());
                    tracing::error!(partition = %job.partition, reason, "a log is not loaded");
                    self.failed.insert(job.partition, (job.dir, reason));
                    unclear = true;
                }
                Err(error) => return Err(error),
            }
        }
        if unclear {
            jobs.clear();
            return Ok(());
        }
        let (has_successor, alone) = (!jobs.is_empty(), marked.len() == 1);
        for (job, hex) in marked {
            if has_successor {
                let path = finish_superseded(disk, &job.partition, &job.path, &hex)?;
                self.doom(path, job.dir, now_ms);
            } else if all_readable {
                // Of several nobody knows which was the last.
                if alone {
                    keep_superseded(disk, &job.path)?;
                }
                jobs.push(job);
            } else {
                let reason = "another log directory, which cannot be read, may have its successor";
                tracing::error!(partition = %job.partition, reason, "a log is not loaded");
                self.failed.insert(job.partition, (job.dir, reason.to_owned()));
            }
        }
        Ok(())
    }
}
