//! Moving a partition to another log directory of the same broker (KIP-113): a future log grows
//! beside the current one until it takes its place. Copying is the caller's business.
//!
//! Source: `LogManager` of 3.9.2 (`futureLogs`, `preferredLogDirs`, `replaceCurrentWithFutureLog`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol::ids::{Offset, TimestampMs, TopicPartition, Uuid};

use crate::config::LogConfig;
use crate::dirs::checkpoint::{corrupt, read_text};
use crate::dirs::deletion::{deleted_name, hex};
use crate::dirs::log_manager::{Hosted, LogManager};
use crate::disk::{Disk, Durable, remove_if_there, replace_file};
use crate::error::{At, DiskError, StorageError};
use crate::log::Log;

/// In the directory of a log whose place another one is about to take: what says who is who if both
/// have the partition's name at a start. Ours alone; it goes with the directory.
const SUPERSEDED_FILE: &str = "ottla-superseded";
/// It holds the 16 bytes that its directory's new name is made of, in hex.
const SUPERSEDED_BYTES: u64 = 32;

/// Longest name of a directory, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 255;

/// Why a partition cannot move.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// INVALID_TOPIC_EXCEPTION.
    #[error("the topic's name is too long for the name of a future directory")]
    NameTooLong,
    /// LOG_DIR_NOT_FOUND.
    #[error("the broker has no such log directory")]
    UnknownDir,
    /// KAFKA_STORAGE_ERROR.
    #[error("a log directory is offline")]
    Offline,
    /// REPLICA_NOT_AVAILABLE.
    #[error("the partition has no log here")]
    NoLog,
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl LogManager {
    /// The log that is to take the partition's place.
    pub fn future(&self, partition: &TopicPartition) -> Option<Arc<Log>> {
        self.futures.read().get(partition).map(|hosted| hosted.log.clone())
    }

    /// Every future log, ordered by partition.
    pub fn futures(&self) -> Vec<Arc<Log>> {
        let mut logs: Vec<_> = self.futures.read().values().map(|h| h.log.clone()).collect();
        logs.sort_by(|a, b| a.partition().cmp(b.partition()));
        logs
    }

    /// Root of the log directory that a partition moves to.
    pub fn future_dir_of(&self, partition: &TopicPartition) -> Option<&Path> {
        let dir = self.futures.read().get(partition)?.dir;
        Some(self.dirs[dir].path())
    }

    /// Checks that a partition may move to `root`, and notes that its log, if it is yet to be made,
    /// is to be made there.
    pub fn prefer_dir(&self, partition: &TopicPartition, root: &Path) -> Result<(), MoveError> {
        if future_name(partition, Uuid::ZERO).len() > NAME_BYTES_MAX {
            return Err(MoveError::NameTooLong);
        }
        let dir = self.dirs.iter().position(|dir| dir.path() == root);
        let dir = dir.ok_or(MoveError::UnknownDir)?;
        if self.dirs[dir].is_offline() {
            return Err(MoveError::Offline);
        }
        let is_there = |hosted: Option<&Hosted>| hosted.is_some_and(|hosted| hosted.dir == dir);
        if !is_there(self.logs.read().get(partition))
            && !is_there(self.futures.read().get(partition))
        {
            self.preferred.lock().insert(partition.clone(), dir);
        }
        Ok(())
    }

    /// Where a new log is made: the directory that was noted for it, or else the one with the
    /// fewest logs.
    pub(crate) fn dir_for(&self, partition: &TopicPartition) -> Result<usize, StorageError> {
        let preferred = self.preferred.lock().remove(partition);
        match preferred.filter(|dir| !self.dirs[*dir].is_offline()) {
            Some(dir) => Ok(dir),
            None => self.emptiest_dir(),
        }
    }

    fn emptiest_dir(&self) -> Result<usize, StorageError> {
        let usable: Vec<usize> =
            (0..self.dirs.len()).filter(|i| !self.dirs[*i].is_offline()).collect();
        if let [only] = usable[..] {
            return Ok(only);
        }
        let mut counts = vec![0usize; self.dirs.len()];
        for hosted in self.logs.read().values() {
            counts[hosted.dir] += 1;
        }
        usable.into_iter().min_by_key(|i| counts[*i]).ok_or_else(|| StorageError::Conflict {
            path: self.dirs.first().map(|d| d.path().to_owned()).unwrap_or_default(),
            reason: "every log directory is offline".into(),
        })
    }

    /// Makes an empty future log in the directory that `prefer_dir` noted. `None` if the partition
    /// is there already, or on its way.
    pub fn create_future(
        &self,
        partition: &TopicPartition,
        config: Arc<LogConfig>,
        unique: Uuid,
        now_ms: TimestampMs,
    ) -> Result<Option<Arc<Log>>, MoveError> {
        let _one = self.creating.lock();
        let current = self.logs.read().get(partition).cloned().ok_or(MoveError::NoLog)?;
        let Some(dir) = self.preferred.lock().remove(partition) else { return Ok(None) };
        if dir == current.dir || self.futures.read().contains_key(partition) {
            return Ok(None);
        }
        if self.dirs.iter().any(|dir| dir.is_offline()) {
            // The partition may have a future log in the one that cannot be read.
            return Err(MoveError::Offline);
        }
        self.forget_former(partition, dir)?;
        let path = self.dirs[dir].path().join(future_name(partition, unique));
        let log = Arc::new(self.open_log(partition, path, dir, config, now_ms)?);
        if let Some(id) = current.log.topic_id() {
            log.assign_topic_id(id)?;
        }
        // It begins where the current one does, but for what is copied batch by batch.
        let start = current.log.log_start_offset();
        if start > 0 {
            log.truncate_fully_and_start_at(start, None, now_ms)?;
        }
        self.futures.write().insert(partition.clone(), Hosted { log: log.clone(), dir });
        Ok(Some(log))
    }

    /// Gives a move up: the future log goes as a deleted one does. `false` if there is none.
    pub fn delete_future(
        &self,
        partition: &TopicPartition,
        unique: Uuid,
        now_ms: TimestampMs,
    ) -> Result<bool, StorageError> {
        let _one = self.creating.lock();
        let Some(hosted) = self.futures.write().remove(partition) else { return Ok(false) };
        self.doom(hosted, unique, now_ms)?;
        Ok(true)
    }

    /// Truncates a future log, or with `start_over` empties it to go on at `offset`.
    pub fn truncate_future(
        &self,
        partition: &TopicPartition,
        offset: Offset,
        start_over: bool,
        now_ms: TimestampMs,
    ) -> Result<(), StorageError> {
        let Some(hosted) = self.futures.read().get(partition).cloned() else { return Ok(()) };
        match start_over {
            true => hosted.log.truncate_fully_and_start_at(offset, None, now_ms)?,
            false => drop(hosted.log.truncate_to(offset, now_ms)?),
        }
        self.checkpoint_dir(hosted.dir)
    }

    /// Puts the future log in the current one's place; that one is deleted. The caller holds off
    /// appends and truncations of both. What failed only after the place was taken is told beside
    /// the log.
    pub fn promote_future(
        &self,
        partition: &TopicPartition,
        unique: Uuid,
        now_ms: TimestampMs,
    ) -> Result<(Arc<Log>, Result<(), StorageError>), MoveError> {
        let _one = self.creating.lock();
        let future = self.futures.read().get(partition).cloned().ok_or(MoveError::NoLog)?;
        let current = self.logs.read().get(partition).cloned().ok_or(MoveError::NoLog)?;
        // A kill between here and the end leaves the partition in two directories. Kafka's broker
        // does not start then until one is taken away by hand; ours knows which.
        let mark = current.log.path().join(SUPERSEDED_FILE);
        let name = hex(unique);
        replace_file(&*self.disk, &mark, name.as_bytes(), Durable::Now)
            .map_err(StorageError::from)?;
        if let Err(error) = future.log.take_name(&partition.to_string()) {
            unmark(&*self.disk, &mark).map_err(StorageError::from)?;
            return Err(error.into());
        }
        self.futures.write().remove(partition);
        self.logs.write().insert(partition.clone(), future.clone());
        let former = current.dir;
        let rest = self
            .checkpoint_dir(future.dir)
            .and_then(|()| self.doom(current, unique, now_ms))
            .and_then(|()| self.freshen_checkpoints(former));
        Ok((future.log, rest))
    }
}

/// `<topic>-<partition>.<32 hex>-future`.
fn future_name(partition: &TopicPartition, unique: Uuid) -> String {
    format!("{partition}.{}-future", hex(unique))
}

fn unmark(disk: &dyn Disk, mark: &Path) -> Result<(), DiskError> {
    remove_if_there(disk, mark)?;
    let dir = mark.parent().expect("a mark is in a directory");
    disk.sync_dir(dir).at("sync", dir)
}

/// The new name of a marked directory, in hex; `None` if no move has marked it. An error if the
/// mark is none that a move writes.
pub(crate) fn superseded_as(disk: &dyn Disk, path: &Path) -> Result<Option<String>, StorageError> {
    let mark = path.join(SUPERSEDED_FILE);
    let Some(name) = read_text(disk, &mark, SUPERSEDED_BYTES)? else { return Ok(None) };
    let is_hex = |n: &String| n.len() == 32 && n.bytes().all(|b| b.is_ascii_hexdigit());
    let name = Some(name).filter(is_hex);
    name.map(Some).ok_or_else(|| corrupt(&mark, "not the mark of a move"))
}

/// The move that marked the directory had not come so far: it stays what it is.
pub(crate) fn keep_superseded(disk: &dyn Disk, path: &Path) -> Result<(), DiskError> {
    unmark(disk, &path.join(SUPERSEDED_FILE))
}

/// Finishes a move: the directory waits for its removal under the name that is returned.
pub(crate) fn finish_superseded(
    disk: &dyn Disk,
    partition: &TopicPartition,
    path: &Path,
    hex: &str,
) -> Result<PathBuf, DiskError> {
    let parent = path.parent().expect("a partition's directory is in a log directory");
    let to = parent.join(deleted_name(partition, hex));
    disk.rename(path, &to).at("rename", path)?;
    disk.sync_dir(parent).at("sync", parent)?;
    tracing::warn!(%partition, path = %path.display(), "finishing a move to another directory");
    Ok(to)
}

#[cfg(test)]
#[path = "moving_tests.rs"]
mod tests;
