//! Logs of this broker's that are no replica's any more. Knows nothing of how they came about.

use protocol::ids::{TimestampMs, TopicPartition, Uuid};

use super::{Hosted, ReplicaManager, StaleController};
use crate::authorizer::{Authorized, Cluster, op};
use crate::random;

/// A partition of a topic that is being deleted, and that topic's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doomed {
    pub partition: TopicPartition,
    pub topic_id: Uuid,
}

impl ReplicaManager {
    /// Whether there is a log of a deleted topic that no StopReplica will come for: the broker was
    /// away when the partition left it. In Kafka it stays, and is in the way of the next topic of
    /// that name.
    pub fn is_stray(&self, doomed: &Doomed) -> bool {
        let Doomed { partition, topic_id } = doomed;
        let hosted = self.hosted.read();
        let hosted = hosted.get(&*partition.topic).and_then(|all| all.get(&partition.partition));
        let is_used = match hosted {
            Some(Hosted::Online(partition)) => partition.log().is_some(),
            Some(Hosted::Offline) => true,
            None => false,
        };
        let log = self.logs.log(partition);
        !is_used && !topic_id.is_zero() && log.and_then(|log| log.topic_id()) == Some(*topic_id)
    }

    /// Deletes the logs of those that are strays. Renames directories, so it blocks on the disk.
    pub fn delete_strays(
        &self,
        _: &Authorized<'_, op::ClusterAction, Cluster>,
        controller_epoch: i32,
        doomed: &[Doomed],
        now_ms: TimestampMs,
    ) -> Result<(), StaleController> {
        let _one = self.controller(controller_epoch)?;
        for doomed in doomed.iter().filter(|doomed| self.is_stray(doomed)) {
            let partition = &doomed.partition;
            tracing::info!(%partition, "deleting the log that a deleted topic left behind");
            // An order for another topic may have been refused because of it.
            drop(self.unhost(&partition.topic, partition.partition));
            let deleted = self.logs.delete(partition, random::uuid(), now_ms);
            if let Err(error) = deleted.map_err(super::OrderError::from) {
                tracing::error!(%partition, %error, "it could not be deleted");
                self.judge_disk(&error);
            }
        }
        Ok(())
    }
}
