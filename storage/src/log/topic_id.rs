//! The topic's id in a log's directory (`partition.metadata`). Knows nothing of records.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use protocol::ids::Uuid;

use crate::dirs::checkpoint::{PARTITION_METADATA_FILE, topic_id_text};
use crate::disk::{DiskFile, Durable, OpenHow, replace_file};
use crate::error::{At, DiskError, StorageError};
use crate::log::Log;

impl Log {
    pub fn topic_id(&self) -> Option<Uuid> {
        *self.topic_id.read()
    }

    /// Enters the topic's id; the file is durable before anything is appended. An error if another
    /// id is there.
    pub fn assign_topic_id(&self, id: Uuid) -> Result<(), StorageError> {
        let mut known = self.topic_id.write();
        let path = self.dir.file_path(PARTITION_METADATA_FILE);
        match *known {
            Some(found) if found == id => return Ok(()),
            Some(found) => {
                return Err(StorageError::Mismatch {
                    path,
                    field: "topic_id",
                    found: found.to_string(),
                    expected: id.to_string(),
                });
            }
            None => {}
        }
        replace_file(&*self.dir.disk, &path, topic_id_text(id).as_bytes(), Durable::Later)?;
        self.metadata_synced.store(false, Ordering::Release);
        *known = Some(id);
        Ok(())
    }

    pub(crate) fn is_metadata_synced(&self) -> bool {
        self.metadata_synced.load(Ordering::Acquire)
    }

    /// Makes the topic id durable: before the first append at the latest, better in the background.
    pub fn sync_metadata(&self) -> Result<(), DiskError> {
        if self.is_metadata_synced() {
            return Ok(());
        }
        let sync = MetadataSync::begin(self)?;
        sync.finish()?;
        let path = self.dir.path();
        let root = path.parent().expect("a partition's directory is in a log directory");
        self.dir.disk.sync_dir(root).at("sync", root)?;
        sync.done();
        Ok(())
    }
}

/// A log whose topic id is being made durable, one of many: a file system commits many files at
/// once if it is told of all of them before the first is waited for.
pub(crate) struct MetadataSync<'a> {
    log: &'a Log,
    file: Arc<dyn DiskFile>,
}

impl<'a> MetadataSync<'a> {
    /// Has the system begin to write.
    pub fn begin(log: &'a Log) -> Result<MetadataSync<'a>, DiskError> {
        let file = log.dir.open(PARTITION_METADATA_FILE, OpenHow::Write)?;
        file.begin_writing().at("write", &log.dir.file_path(PARTITION_METADATA_FILE))?;
        Ok(MetadataSync { log, file })
    }

    /// Waits until the file and its name are durable; not yet that of the directory.
    pub fn finish(&self) -> Result<(), DiskError> {
        self.file.sync().at("sync", &self.log.dir.file_path(PARTITION_METADATA_FILE))?;
        self.log.dir.sync()
    }

    /// Everything is durable.
    pub fn done(&self) {
        self.log.metadata_synced.store(true, Ordering::Release);
    }
}
