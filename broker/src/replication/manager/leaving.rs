//! How a partition leaves the table of those that are online. Knows nothing of files.

use std::sync::Arc;

use protocol::ids::TopicPartition;

use super::{Hosted, ReplicaManager};
use crate::replication::partition::Partition;

impl ReplicaManager {
    pub(in crate::replication) fn set_offline(&self, topic: &str, index: i32) {
        self.fetchers.stop(&TopicPartition::new(topic, index));
        let mut hosted = self.hosted.write();
        if let Some(slot) = hosted.get_mut(topic).and_then(|partitions| partitions.get_mut(&index))
        {
            if let Hosted::Online(partition) = slot {
                partition.detach_log();
            }
            *slot = Hosted::Offline;
        }
    }

    pub(super) fn unhost(&self, topic: &str, index: i32) -> Option<Arc<Partition>> {
        let mut hosted = self.hosted.write();
        let partitions = hosted.get_mut(topic)?;
        let removed = partitions.remove(&index);
        if partitions.is_empty() {
            hosted.remove(topic);
        }
        match removed? {
            Hosted::Online(partition) => Some(partition),
            Hosted::Offline => None,
        }
    }
}
