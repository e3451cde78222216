//! How a partition that the controller speaks of gets its log, and what becomes of a directory that
//! fails meanwhile. Knows nothing of roles.

use std::path::PathBuf;

use protocol::ids::{TimestampMs, TopicPartition};
use protocol::planted::{self, Planted};
use storage::StorageError;
use storage::log_dir::LogDir;

use super::{OrderError, ReplicaManager, RoleOrder};
use crate::random;
use crate::replication::partition::Partition;

impl ReplicaManager {
    /// Attaches the partition's log, made if there is none. The caller has compared the topic ids.
    pub(super) fn open_log(
        &self,
        partition: &Partition,
        order: &RoleOrder,
        now_ms: TimestampMs,
    ) -> Result<(), OrderError> {
        if partition.log().is_some() {
            return Ok(());
        }
        let name = TopicPartition::new(order.topic.clone(), order.index);
        let topic_id = Some(order.topic_id).filter(|id| !id.is_zero());
        let log = match self.logs().log(&name) {
            Some(log) => log,
            None if !order.is_new && self.logs().dirs().iter().any(LogDir::is_offline) => {
                // Its log may well be in the directory that cannot be read.
                return Err(OrderError::Offline);
            }
            None => {
                let config = self.cluster().log_config(&order.topic);
                self.logs().get_or_create(&name, config, topic_id, now_ms)?
            }
        };
        partition.attach_log(log, self.logs().checkpointed_high_watermark(&name));
        if self.logs().future(&name).is_some() {
            self.note_moves();
        }
        Ok(())
    }

    /// Never, but for a planted fault: a log of another topic id is left alone.
    pub(super) fn replaces_log(&self, partition: &Partition, now_ms: TimestampMs) -> bool {
        planted::is(Planted::ReplaceForeignLog)
            && partition.log().is_none()
            && self.logs().delete(&partition.name(), random::uuid(), now_ms).is_ok()
    }

    pub(super) fn judge_checkpoints(&self, errors: Vec<(PathBuf, StorageError)>) {
        errors.iter().for_each(|(dir, error)| self.checkpoint_failed(dir, error));
    }

    /// A directory in which something could not be made, opened or renamed has failed. A full disk
    /// has not.
    pub(super) fn judge_disk(&self, error: &OrderError) {
        let OrderError::Storage(StorageError::Disk(error)) = error else { return };
        if error.is_full() {
            return;
        }
        let dir = self.logs().dirs().iter().find(|dir| error.path.starts_with(dir.path()));
        if let Some(dir) = dir {
            self.dir_failed(dir.path(), error);
        }
    }
}
