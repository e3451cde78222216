//! Taking a whole partition away: its directory is renamed at once and removed later.

use std::path::{Path, PathBuf};

use protocol::ids::{TimestampMs, TopicPartition, Uuid};

use crate::dirs::log_manager::{Doomed, Hosted, LogManager};
use crate::dirs::moving::NAME_BYTES_MAX;
use crate::disk::Disk;
use crate::error::{At, DiskError, StorageError};
use crate::log::Log;

impl Log {
    /// Renames the directory to `<topic>-<partition>.<32 hex>-delete`; `remove_files` unlinks it
    /// after `file.delete.delay.ms`.
    pub fn rename_for_deletion(&self, unique: Uuid) -> Result<PathBuf, StorageError> {
        self.rename_dir(&capped_name(&self.partition, &hex(unique), "delete"))
    }

    /// Renames the directory of a log that stays in use.
    pub(crate) fn take_name(&self, name: &str) -> Result<(), StorageError> {
        let _changes = self.changes.lock();
        let from = self.dir.path();
        let parent = from.parent().expect("a partition's directory is in a log directory");
        self.dir.rename(parent.join(name))?;
        self.dir.disk.sync_dir(parent).at("sync", parent)?;
        Ok(())
    }

    fn rename_dir(&self, name: &str) -> Result<PathBuf, StorageError> {
        let mut changes = self.changes.lock();
        if !changes.failed {
            self.retire(&mut changes, &self.active(), false)?;
        }
        let from = self.dir.path();
        let parent = from.parent().expect("a partition's directory is in a log directory");
        let to = parent.join(name);
        self.dir.rename(to.clone())?;
        self.dir.disk.sync_dir(parent).at("sync", parent)?;
        changes.failed = true;
        changes.gone = true;
        Ok(to)
    }

    /// Unlinks every file and the directory. The log must have been renamed for deletion.
    pub fn remove_files(&self) -> Result<(), StorageError> {
        for segment in self.segments().iter() {
            segment.close_files();
        }
        remove_dir_and_files(&*self.dir.disk, &self.dir.path())?;
        Ok(())
    }
}

impl LogManager {
    /// Takes a partition away: its directory is renamed now and removed by `remove_doomed` after
    /// `file.delete.delay.ms`. `unique` makes the new name. `false` if it is not here. The
    /// checkpoints follow with `forget_deleted`.
    pub fn delete(
        &self,
        partition: &TopicPartition,
        unique: Uuid,
        now_ms: TimestampMs,
    ) -> Result<bool, StorageError> {
        let _one = self.creating.lock();
        let Some(hosted) = self.logs.write().remove(partition) else { return Ok(false) };
        self.doom(hosted, unique, now_ms)?;
        Ok(true)
    }

    pub(crate) fn doom(
        &self,
        hosted: Hosted,
        unique: Uuid,
        now_ms: TimestampMs,
    ) -> Result<(), StorageError> {
        let path = hosted.log.rename_for_deletion(unique)?;
        let due_ms = now_ms.saturating_add(hosted.log.config().file_delete_delay_ms);
        self.doomed.lock().push(Doomed { path, dir: hosted.dir, due_ms });
        self.dirs[hosted.dir].forget(hosted.log.partition());
        self.dirs[hosted.dir].set_checkpoints_stale(true);
        Ok(())
    }

    /// Takes deleted partitions out of the checkpoints, of many at once. Directories that fail are
    /// returned; in a full one this is done again before a partition is made there.
    pub fn forget_deleted(&self) -> Vec<(PathBuf, StorageError)> {
        let usable = (0..self.dirs.len()).filter(|i| !self.dirs[*i].is_offline());
        usable
            .filter_map(|i| {
                let error = self.freshen_checkpoints(i).err()?;
                Some((self.dirs[i].path().to_owned(), error))
            })
            .collect()
    }

    /// Before a partition is made: a crash may have kept one of that name in the checkpoints.
    pub(crate) fn forget_former(
        &self,
        partition: &TopicPartition,
        dir: usize,
    ) -> Result<(), StorageError> {
        if self.dirs[dir].forget(partition) {
            self.dirs[dir].set_checkpoints_stale(true);
        }
        self.freshen_checkpoints(dir)
    }

    /// What is noted of a partition must not be taken for another one's of that name.
    pub(crate) fn freshen_checkpoints(&self, dir: usize) -> Result<(), StorageError> {
        let root = &self.dirs[dir];
        if root.are_checkpoints_stale() {
            root.set_checkpoints_stale(false);
            let written = root.update_cleaned(|_| true).map_err(StorageError::from);
            let written = written.and_then(|()| self.checkpoint_dir(dir));
            written.inspect_err(|_| root.set_checkpoints_stale(true))?;
        }
        Ok(())
    }
}

pub(crate) fn hex(unique: Uuid) -> String {
    unique.0.iter().map(|b| format!("{b:02x}")).collect()
}

/// `<topic>-<partition>.<hex>-delete`.
pub(crate) fn deleted_name(partition: &TopicPartition, hex: &str) -> String {
    capped_name(partition, hex, "delete")
}

/// The name of a directory that is no partition's any more. The topic part is cut so that it fits
/// 255 bytes.
fn capped_name(partition: &TopicPartition, hex: &str, kind: &str) -> String {
    let suffix = format!("-{}.{hex}-{kind}", partition.partition);
    let topic = &partition.topic;
    let mut end = topic.len().min(NAME_BYTES_MAX - suffix.len());
    while !topic.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{suffix}", &topic[..end])
}

/// Removes a directory of plain files.
pub(crate) fn remove_dir_and_files(disk: &dyn Disk, path: &Path) -> Result<(), DiskError> {
    for entry in disk.list(path).at("list", path)? {
        let file = path.join(&entry.name);
        disk.remove_file(&file).at("remove", &file)?;
    }
    disk.remove_dir(path).at("remove", path)
}
