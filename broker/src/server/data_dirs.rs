//! The log directories as the start finds them: locked, and of one broker and one cluster; then the
//! logs inside. Knows nothing of partitions' roles.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol::ids::TopicPartition;
use storage::StorageError;
use storage::checkpoint::MetaProperties;
use storage::disk::Disk;
use storage::log_dir::{DirKind, LogDir};
use storage::log_manager::LogManager;
use storage::metadata_mark::MetadataMark;

use super::StartError;
use crate::clock::Clock;
use crate::config::BrokerConfig;
use crate::replication::topic_configs::TopicConfigs;
use crate::tasks::Tasks;

/// Locked log directories; the locks go with them.
pub struct DataDirs {
    /// Those that can be used.
    pub paths: Vec<PathBuf>,
    /// What the directories that were used before agree on.
    pub known: Option<MetaProperties>,
    /// The highest epochs that any of them tells of.
    pub mark: MetadataMark,
    dirs: Vec<LogDir>,
}

impl DataDirs {
    /// Makes what is missing, locks all and reads their `meta.properties`. A directory that cannot
    /// be read is left out while another can, as Kafka does it; `first_needed`: but not the first,
    /// which holds the embedded metadata.
    pub fn open(
        disk: &Arc<dyn Disk>,
        paths: &[PathBuf],
        first_needed: bool,
    ) -> Result<DataDirs, StartError> {
        let mark = MetadataMark::default();
        let mut all = DataDirs { paths: Vec::new(), known: None, mark, dirs: Vec::new() };
        for (index, path) in paths.iter().enumerate() {
            match all.add(disk, path) {
                Ok(()) => {}
                Err(NotAdded::Refused(error)) => return Err(error),
                Err(NotAdded::Unreadable(reason)) if first_needed && index == 0 => {
                    return Err(unusable(path, &reason));
                }
                Err(NotAdded::Unreadable(reason)) => {
                    let dir = path.display();
                    tracing::error!(%dir, reason, "a log directory cannot be used: left out");
                    all.dirs.push(LogDir::unusable(disk.clone(), path));
                }
            }
        }
        all.some_usable()?;
        Ok(all)
    }

    fn add(&mut self, disk: &Arc<dyn Disk>, path: &Path) -> Result<(), NotAdded> {
        disk.create_dir(path).map_err(|error| NotAdded::Unreadable(error.to_string()))?;
        let path = std::fs::canonicalize(path);
        let path = path.map_err(|error| NotAdded::Unreadable(error.to_string()))?;
        let dir = LogDir::open(disk.clone(), &path)?;
        let mark = MetadataMark::read(&**disk, &path)?;
        match (dir.meta(), &self.known) {
            (None, _) => {}
            (Some(meta), None) => self.known = Some(meta),
            (Some(meta), Some(known)) => {
                let same = meta.broker_id == known.broker_id && meta.cluster_id == known.cluster_id;
                if !same {
                    let reason =
                        "it is of another broker or cluster than the directories before it";
                    return Err(NotAdded::Refused(unusable(&path, &reason)));
                }
            }
        }
        self.mark = self.mark.max(mark);
        self.paths.push(path);
        self.dirs.push(dir);
        Ok(())
    }

    fn some_usable(&self) -> Result<(), StartError> {
        match self.dirs.iter().all(LogDir::is_offline) {
            true => Err(StartError::DataDir("no log directory can be used".to_owned())),
            false => Ok(()),
        }
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
        for dir in self.dirs.iter().filter(|dir| !dir.is_offline()) {
            match dir.check_identity(broker_id, cluster_id) {
                Ok(()) => {}
                Err(StorageError::Disk(error)) => {
                    tracing::error!(dir = %dir.path().display(), %error, "left out");
                    dir.set_offline();
                }
                Err(error) => return Err(refused(error)),
            }
        }
        self.some_usable()?;
        let threads = config.int("num.recovery.threads.per.data.dir").max(1) as usize;
        let threads = threads.saturating_mul(self.dirs.len());
        let accepted: Vec<TopicPartition> = config
            .list("ottla.log.accept.loss")
            .iter()
            .filter_map(|name| partition(name))
            .collect();
        let load = move || {
            let now_ms = clock.now_ms();
            let mut logs = LogManager::new(disk, self.dirs, false, now_ms).map_err(refused)?;
            logs.accept_loss_of(accepted);
            let config_of = |topic: &str| topics.of(topic);
            std::thread::scope(|scope| {
                for _ in 1..threads {
                    scope.spawn(|| logs.load_all(&config_of, now_ms));
                }
                logs.load_all(&config_of, now_ms);
            });
            match logs.dirs().iter().all(LogDir::is_offline) {
                true => Err(StartError::DataDir("every log directory failed".to_owned())),
                false => Ok(logs),
            }
        };
        tasks.blocking(load).await
    }
}

/// Why a directory is not among those that are served.
enum NotAdded {
    /// It is left out.
    Unreadable(String),
    /// It stops the start.
    Refused(StartError),
}

impl From<StorageError> for NotAdded {
    fn from(error: StorageError) -> NotAdded {
        match error {
            StorageError::Disk(error) => NotAdded::Unreadable(error.to_string()),
            error => NotAdded::Refused(refused(error)),
        }
    }
}

/// `topic-partition`, as its directory is named.
fn partition(name: &str) -> Option<TopicPartition> {
    match DirKind::parse(name) {
        Some(DirKind::Partition(partition)) => Some(partition),
        _ => {
            tracing::warn!(name, "ottla.log.accept.loss: not a partition");
            None
        }
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
