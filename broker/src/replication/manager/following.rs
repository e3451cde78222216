//! How the manager has its partitions fetched and moved. Knows nothing of fetchers' work.

use protocol::ids::TopicPartition;
use protocol::planted::{self, Planted};
use replica::follower::{Stage, Start, first_offset};

use super::{ReplicaManager, RoleOrder};
use crate::replication::fetchers::{Fetchers, FollowOrder};

impl ReplicaManager {
    /// A future log has something to do.
    pub fn note_moves(&self) {
        self.moves.notify_one();
    }

    /// Returns once `note_moves` was called since the last time.
    pub async fn wait_for_moves(&self) {
        self.moves.notified().await;
    }

    pub fn fetchers(&self) -> &Fetchers {
        &self.fetchers
    }

    /// How to fetch a partition that follows now. `None`: its leader cannot be reached, or its log
    /// is gone already.
    pub(super) fn follow_order(
        &self,
        order: &RoleOrder,
        name: &TopicPartition,
    ) -> Option<FollowOrder> {
        let leader = order.assignment.leader;
        let partition = self.hosted(&name.topic, name.partition).ok()?;
        let log = partition.log()?;
        let Some(endpoint) = self.cluster.replication_endpoint(leader) else {
            tracing::error!(partition = %name, leader, "no listener for other brokers");
            return None;
        };
        let by_epoch = !planted::is(Planted::TruncateToWatermark);
        let last_epoch = log.latest_epoch().filter(|_| by_epoch);
        let high_watermark = partition.high_watermark();
        let log_end = log.log_end_offset();
        let offset = first_offset(last_epoch, log_end, high_watermark);
        // Of a new log nothing is to be cut.
        let stage = if offset < log_end { Stage::Truncating } else { Stage::Fetching };
        let (topic_id, leader_epoch) = (order.topic_id, order.assignment.leader_epoch);
        let start = Start { topic_id, leader_epoch, offset, last_epoch, stage };
        tracing::info!(partition = %name, leader, leader_epoch, offset, high_watermark, "follows");
        Some(FollowOrder { partition: name.clone(), leader, endpoint, start })
    }
}
