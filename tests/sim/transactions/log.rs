//! The log of `__transaction_state` as the coordinator has it: the broker's own replicated
//! partitions, waited for in simulated time. Knows nothing of what is written.

use std::sync::Arc;

use broker::authorizer::Internal;
use broker::replication::coordinator_log::{CoordinatorBatch, find, outcome_of, start, stretch};
use broker::replication::manager::ReplicaManager;
use bytes::Bytes;
use coordinator::shard::writer::{Acks, AppendError, PartitionWriter, Stretch, WriterFuture};
use protocol::ids::{LeaderEpoch, Offset, TopicPartition, VerificationGuard};

use super::tasks::Waits;

pub struct SimulatedLog {
    pub replicas: Arc<ReplicaManager>,
    pub waits: Arc<Waits>,
}

impl PartitionWriter for SimulatedLog {
    fn append(
        &self,
        partition: &TopicPartition,
        leader_epoch: LeaderEpoch,
        batch: Bytes,
        guard: Option<VerificationGuard>,
        acks: Acks,
        timeout_ms: u32,
    ) -> WriterFuture<Result<Offset, AppendError>> {
        let batch = CoordinatorBatch { leader_epoch, bytes: &batch, guard, acks };
        let started = start(
            Internal::of_this_broker(),
            &self.replicas,
            partition,
            batch,
            self.waits.now_ms(),
        );
        let waits = self.waits.clone();
        Box::pin(async move {
            let (base_offset, acks) = started?;
            let Some(acks) = acks else { return Ok(base_offset) };
            waits.wait(u64::from(timeout_ms), Some(acks.clone())).await;
            outcome_of(acks.settled()[0]).map(|()| base_offset)
        })
    }

    fn read(
        &self,
        partition: &TopicPartition,
        from: Offset,
        max_bytes: usize,
    ) -> WriterFuture<Result<Stretch, AppendError>> {
        let read = find(&self.replicas, partition).and_then(|found| {
            let log = found.log().ok_or(AppendError::NotLeader)?;
            stretch(&log, found.high_watermark(), from, max_bytes).map_err(|_| AppendError::Storage)
        });
        Box::pin(std::future::ready(read))
    }
}
