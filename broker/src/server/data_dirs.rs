//! The log directories as the start finds them: locked, and of one broker and one cluster; then the
//! logs inside. Knows nothing of partitions' roles.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage::StorageError;
use storage::checkpoint::MetaProperties;
use storage::disk::Disk;
use storage::log_dir::LogDir;
use storage::log_manager::LogManager;

use super::StartError;
use crate::clock::Clock;
use crate::config::BrokerConfig;
use crate::replication::topic_configs::TopicConfigs;
use crate::tasks::Tasks;

/// Locked log directories; the locks go with them.
pub struct DataDirs {
    pub paths: Vec<PathBuf>,
    /// What the directories that were used before agree on.
    pub known: Option<MetaProperties>,
    dirs: Vec<LogDir>,
}

impl DataDirs {
    /// Makes what is missing, locks all and reads their `meta.properties`.
    pub fn open(disk: &Arc<dyn Disk>, paths: &[PathBuf]) -> Result<DataDirs, StartError> {
        let mut all = DataDirs { paths: Vec::new(), known: None, dirs: Vec::new() };
        for path in paths {
            disk.create_dir(path).map_err(|error| unusable(path, &error))?;
            let path = std::fs::canonicalize(path).map_err(|error| unusable(path, &error))?;
            let dir = LogDir::open(disk.clone(), &path).map_err(refused)?;
            match (dir.meta(), &all.known) {
                (None, _) => {}
                (Some(meta), None) => all.known = Some(meta),
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
            all.paths.push(path);
            all.dirs.push(dir);
        }
        Ok(all)
    }

    /// Marks the directories as this broker's, then loads every log, with
    /// `num.recovery.threads.per.data.dir` threads for each directory.
    pub async fn load(
        self,
        disk: Arc<dyn Disk>,
        config: &BrokerConfig,
        (broker_id, cluster_id): (i32, &str),
        topics: Arc<TopicConfigs>,
        clock: Clock,
        tasks: &Tasks,
    ) -> Result<LogManager, StartError> {
        for dir in &self.dirs {
            dir.check_identity(broker_id, cluster_id).map_err(refused)?;
        }
        let threads = config.int("num.recovery.threads.per.data.dir").max(1) as usize;
        let threads = threads.saturating_mul(self.dirs.len());
        let load = move || {
            let now_ms = clock.now_ms();
            let logs = LogManager::new(disk, self.dirs, false, now_ms).map_err(refused)?;
            let config_of = |topic: &str| topics.of(topic);
            std::thread::scope(|scope| {
                for _ in 1..threads {
                    scope.spawn(|| logs.load_all(&config_of, now_ms));
                }
                logs.load_all(&config_of, now_ms);
            });
            Ok(logs)
        };
        tasks.blocking(load).await
    }
}

fn unusable(path: &Path, reason: &dyn std::fmt::Display) -> StartError {
    StartError::DataDir(format!("{}: {reason}", path.display()))
}

fn refused(error: StorageError) -> StartError {
    match &error {
        StorageError::Locked { path } => unusable(path, &"another process has it locked"),
        _ => StartError::DataDir(error.to_string()),
    }
}
