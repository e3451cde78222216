//! A replica at a glance: whether the checker need look at it. Knows nothing of what must hold.

use std::sync::Arc;

use broker::replication::partition::Partition;
use protocol::ids::{LeaderEpoch, Offset, Uuid};
use storage::Log;

/// What shows that nothing has changed in a replica.
#[derive(Debug, PartialEq, Eq)]
pub struct Glance {
    topic: Arc<str>,
    index: i32,
    pub topic_id: Uuid,
    life: u64,
    pub leads: bool,
    pub leader_epoch: LeaderEpoch,
    pub high_watermark: Offset,
    pub end: usize,
}

impl Glance {
    /// `None` while it has no log, or no role: its leader is not known to be alive.
    pub fn at(partition: &Partition, life: u64) -> Option<(Arc<Log>, Glance)> {
        let log = partition.log()?;
        let (leads, leader_epoch) =
            partition.with_state(|state| (state.is_leader(), state.leader_epoch()));
        let glance = Glance {
            topic: partition.topic().clone(),
            index: partition.index(),
            topic_id: log.topic_id().filter(|_| leader_epoch >= 0)?,
            life,
            leads,
            leader_epoch,
            high_watermark: partition.high_watermark(),
            end: log.log_end_offset() as usize,
        };
        Some((log, glance))
    }
}
