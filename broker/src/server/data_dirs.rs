//! The log directories as the start finds them: locked, and of one broker and one cluster. Knows nothing
//! of the logs inside.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage::checkpoint::{LOCK_FILE, META_PROPERTIES_FILE, MetaProperties};
use storage::disk::Disk;

use super::StartError;

/// Locked log directories; the locks are held until this is dropped.
pub struct DataDirs {
    pub paths: Vec<PathBuf>,
    /// What the directories that were used before agree on.
    pub known: Option<MetaProperties>,
    /// Directories without `meta.properties`.
    fresh: Vec<PathBuf>,
    _locks: Vec<Box<dyn Send + Sync>>,
}

impl DataDirs {
    /// Makes what is missing, locks all and reads their `meta.properties`.
    pub fn open(disk: &Arc<dyn Disk>, paths: &[PathBuf]) -> Result<DataDirs, StartError> {
        let mut dirs =
            DataDirs { paths: Vec::new(), known: None, fresh: Vec::new(), _locks: Vec::new() };
        for path in paths {
            disk.create_dir(path).map_err(|error| unusable(path, &error))?;
            let path = std::fs::canonicalize(path).map_err(|error| unusable(path, &error))?;
            match disk.lock(&path.join(LOCK_FILE)) {
                Ok(Some(lock)) => dirs._locks.push(lock),
                Ok(None) => return Err(unusable(&path, &"another process has it locked")),
                Err(error) => return Err(unusable(&path, &error)),
            }
            let meta = MetaProperties::read(&**disk, &path.join(META_PROPERTIES_FILE))
                .map_err(|error| unusable(&path, &error))?;
            match (meta, &dirs.known) {
                (None, _) => dirs.fresh.push(path.clone()),
                (Some(meta), None) => dirs.known = Some(meta),
                (Some(meta), Some(known)) => {
                    let same =
                        meta.broker_id == known.broker_id && meta.cluster_id == known.cluster_id;
                    if !same {
                        let reason = "it is of another broker or cluster than the directories \
                                      before it";
                        return Err(unusable(&path, &reason));
                    }
                }
            }
            dirs.paths.push(path);
        }
        Ok(dirs)
    }

    /// Writes `meta.properties` where it is missing.
    pub fn claim(
        &self,
        disk: &Arc<dyn Disk>,
        broker_id: i32,
        cluster_id: &str,
    ) -> Result<(), StartError> {
        let meta = MetaProperties {
            broker_id: Some(broker_id),
            cluster_id: Some(cluster_id.to_owned()),
            directory_id: None,
        };
        for path in &self.fresh {
            meta.write(&**disk, &path.join(META_PROPERTIES_FILE))
                .map_err(|error| unusable(path, &error))?;
        }
        Ok(())
    }
}

fn unusable(path: &Path, reason: &dyn std::fmt::Display) -> StartError {
    StartError::DataDir(format!("{}: {reason}", path.display()))
}
