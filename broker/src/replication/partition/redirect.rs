//! Sending a consumer to a replica near it instead of reading (KIP-392). Knows nothing of how the
//! choice among those who have the offset is made.

use protocol::ids::{BrokerId, TimestampMs};
use replica::fetch_session::FetchAsk;

use super::read::limits;
use super::{Partition, PartitionRead, ReadError};
use crate::delayed::fetch::Isolation;
use crate::fetch::preferred::{self, Candidate, Nearby};

impl Partition {
    /// What a consumer gets that had better fetch elsewhere; `None` if this broker serves it.
    /// Replicas outside the ISR are no choice: a consumer could stay behind with them for ever.
    pub fn redirect(
        &self,
        ask: &FetchAsk,
        isolation: Isolation,
        nearby: &Nearby,
        now_ms: TimestampMs,
    ) -> Option<Result<PartitionRead, ReadError>> {
        let inner = self.inner.read();
        let log = inner.log.as_ref().filter(|_| inner.state.is_leader())?;
        let rack_of = |broker: BrokerId| {
            let endpoint = self.around.cluster.endpoint(broker, &nearby.listener)?;
            Some((broker, endpoint.rack))
        };
        let members = inner.state.isr().members().iter();
        let followers: Vec<Candidate> = members
            .filter_map(|id| Some((inner.state.follower(*id)?, rack_of(*id)?)))
            .filter(|(progress, _)| {
                progress.log_start <= ask.fetch_offset && ask.fetch_offset <= progress.log_end
            })
            .map(|(progress, (id, rack))| Candidate {
                id,
                rack,
                log_end: progress.log_end,
                behind_ms: now_ms.saturating_sub(progress.last_caught_up_ms()),
            })
            .collect();
        let own = rack_of(inner.state.leader()).and_then(|(_, rack)| rack);
        let chosen = preferred::in_rack(&nearby.rack, own.as_deref(), &followers)?;
        if let Err(error) = inner.state.check_epoch(ask.current_leader_epoch) {
            return Some(Err(error.into()));
        }
        let mut read = limits(log, self.high_watermark(), isolation);
        read.aborted = None;
        read.preferred = Some(chosen);
        Some(Ok(read))
    }
}
