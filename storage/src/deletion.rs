//! Taking a whole partition away: its directory is renamed at once and removed later.

use std::path::{Path, PathBuf};

use protocol::ids::{TopicPartition, Uuid};

use crate::disk::Disk;
use crate::error::{At, DiskError, StorageError};
use crate::log::Log;

impl Log {
    /// Renames the directory to `<topic>-<partition>.<32 hex>-delete`; `remove_files` unlinks it
    /// after `file.delete.delay.ms`.
    pub fn rename_for_deletion(&self, unique: Uuid) -> Result<PathBuf, StorageError> {
        let hex: String = unique.0.iter().map(|b| format!("{b:02x}")).collect();
        self.rename_dir(&deleted_name(&self.partition, &hex))
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

/// `<topic>-<partition>.<hex>-delete`; the topic part is cut so that the name fits 255 bytes.
pub(crate) fn deleted_name(partition: &TopicPartition, hex: &str) -> String {
    let suffix = format!("-{}.{hex}-delete", partition.partition);
    let topic = &partition.topic;
    let topic = &topic[..topic.len().min(255 - suffix.len())];
    format!("{topic}{suffix}")
}

/// Removes a directory of plain files.
pub(crate) fn remove_dir_and_files(disk: &dyn Disk, path: &Path) -> Result<(), DiskError> {
    for entry in disk.list(path).at("list", path)? {
        let file = path.join(&entry.name);
        disk.remove_file(&file).at("remove", &file)?;
    }
    disk.remove_dir(path).at("remove", path)
}
