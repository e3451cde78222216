//! What becomes of a log directory that fails while the broker runs: its partitions go offline, the
//! controller is told, and with the last directory the broker ends (Kafka's
//! `LogDirFailureHandler`). Knows nothing of what failed in it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use metadata::retry;
use metadata::store::{CreateMode, MetadataStore, Op, StoreError};
use metadata::znodes::log_dir_event;
use protocol::ids::{BrokerId, TopicPartition};
use storage::log_dir::LogDir;
use storage::{DiskError, StorageError};

use super::manager::ReplicaManager;
use crate::tasks::Tasks;

/// Pause before the controller is told again, while the store does not take it.
const RETRY: Duration = Duration::from_millis(500);

impl ReplicaManager {
    /// A file of this partition failed: nothing in its directory can be trusted any more. The
    /// partition may have moved to another one since.
    pub fn disk_failed(&self, partition: &TopicPartition, error: &DiskError) {
        let paths = self.logs().dirs().iter().map(LogDir::path);
        let of_file = paths.filter(|dir| error.path.starts_with(dir)).max();
        let Some(dir) = of_file.or(self.logs().dir_of(partition)).map(Path::to_owned) else {
            return;
        };
        tracing::error!(%partition, "a file of this partition failed");
        self.dir_failed(&dir, error);
    }

    /// The same of a read, which may also fail without a fault of the disk.
    pub fn read_failed(&self, partition: &TopicPartition, error: &DiskError) {
        if !error.is_passing() {
            self.disk_failed(partition, error);
        }
    }

    /// The same of records on their way to somebody.
    pub fn send_failed(&self, error: &DiskError) {
        let root = error.path.parent().and_then(Path::parent);
        let mut dirs = self.logs().dirs().iter();
        // Many connections may send from it when it fails.
        if let Some(dir) = dirs.find(|dir| Some(dir.path()) == root && !dir.is_offline()) {
            self.dir_failed(dir.path(), error);
        }
    }

    /// The same of upkeep, for which a full disk is no reason to give a directory up: appends are
    /// refused by themselves until there is room again.
    pub fn upkeep_failed(&self, partition: &TopicPartition, error: &StorageError) {
        if matches!(error, StorageError::Gone(_)) {
            tracing::debug!(%partition, "a log was deleted or moved away under its upkeep");
            return;
        }
        let unharmed = || self.logs().log(partition).is_none_or(|log| !log.has_failed());
        if error.is_full() && unharmed() {
            tracing::warn!(%partition, %error, "no room for a log's upkeep; it is tried again");
            return;
        }
        match (error, self.logs().dir_of(partition).map(Path::to_owned)) {
            (StorageError::Disk(disk), _) => self.disk_failed(partition, disk),
            (_, Some(dir)) => self.dir_failed(&dir, error),
            (_, None) => {}
        }
    }

    /// The same of a checkpoint: without room the one of before stays, which is never wrong.
    pub fn checkpoint_failed(&self, dir: &Path, error: &StorageError) {
        if error.is_full() {
            tracing::warn!(dir = %dir.display(), %error, "no room for a checkpoint");
            return;
        }
        self.dir_failed(dir, error);
    }

    /// A file at the root of this directory failed, or one in it.
    pub fn dir_failed(&self, dir: &Path, error: &dyn std::error::Error) {
        let gone = self.logs().take_offline(dir);
        let partitions = gone.len();
        tracing::error!(dir = %dir.display(), %error, partitions, "a log directory failed");
        for gone in gone {
            self.set_offline(&gone.topic, gone.partition);
        }
        self.dir_failures.notify_one();
    }
}

/// Tells the controller of every failure, until the broker stops. `ended` is called when no
/// directory is left.
pub fn report(
    replicas: Arc<ReplicaManager>,
    store: Arc<dyn MetadataStore>,
    broker_id: BrokerId,
    tasks: &Tasks,
    ended: impl Fn() + Send + 'static,
) {
    tasks.spawn_until_stop(async move {
        loop {
            replicas.dir_failures.notified().await;
            // The last directory may fail while the store takes no notice of another.
            while !replicas.logs().dirs().iter().all(LogDir::is_offline) {
                let Err(error) = tell(&*store, broker_id).await else { break };
                tracing::warn!(%error, "the controller could not be told of a failed directory");
                tokio::time::sleep(RETRY).await;
            }
            if replicas.logs().dirs().iter().all(LogDir::is_offline) {
                return ended();
            }
        }
    });
}

/// A notice that is there twice does no harm.
async fn tell(store: &dyn MetadataStore, broker_id: BrokerId) -> Result<(), StoreError> {
    let notice = Op::Create {
        path: log_dir_event::path_to_create(),
        data: Some(log_dir_event::encode(broker_id)),
        mode: CreateMode::PersistentSequential,
    };
    retry::one(store, notice).await.map(drop)
}
