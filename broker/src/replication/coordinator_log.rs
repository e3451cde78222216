//! The logs of the coordinators' topics, as coordinators write and read them. Knows nothing of
//! groups and transactions, nor of who waits for an answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coordinator::shard::writer::{Acks, AppendError, PartitionWriter, Stretch, WriterFuture};
use protocol::error_code::ErrorCode;
use protocol::ids::{LeaderEpoch, Offset, TopicPartition, VerificationGuard};
use storage::AppendOrigin;

use super::manager::ReplicaManager;
use super::partition::{AckOutcome, Partition, ProduceError};
use crate::clock::Clock;
use crate::delayed::offset::Countdown;
use crate::tasks::Tasks;

/// The replica manager behind the coordinators' seam.
pub struct CoordinatorLog {
    replicas: Arc<ReplicaManager>,
    tasks: Arc<Tasks>,
    clock: Clock,
}

impl CoordinatorLog {
    pub fn new(replicas: Arc<ReplicaManager>, tasks: Arc<Tasks>, clock: Clock) -> CoordinatorLog {
        CoordinatorLog { replicas, tasks, clock }
    }

    fn find(&self, name: &TopicPartition) -> Result<Arc<Partition>, AppendError> {
        self.replicas.find(&name.topic, name.partition).map_err(|code| match code {
            ErrorCode::KAFKA_STORAGE_ERROR => AppendError::Storage,
            ErrorCode::NOT_LEADER_OR_FOLLOWER => AppendError::NotLeader,
            _ => AppendError::UnknownPartition,
        })
    }

    /// Appends; what is to be waited for, if anything, and the batch's base offset.
    fn start(
        &self,
        name: &TopicPartition,
        leader_epoch: LeaderEpoch,
        batch: &[u8],
        guard: Option<VerificationGuard>,
        acks: Acks,
    ) -> Result<(Offset, Option<Arc<Countdown<AckOutcome>>>), AppendError> {
        let partition = self.find(name)?;
        let all = acks == Acks::All;
        let now_ms = self.clock.now_ms();
        let info = partition
            .append(batch, AppendOrigin::Coordinator, all, Some(leader_epoch), guard, now_ms)
            .map_err(|error| self.refused(name, error))?;
        if info.rolled || info.flush_due {
            self.replicas.flush_soon(&partition, &info, AppendOrigin::Coordinator);
        }
        let waiting = all.then(|| {
            let countdown = Countdown::new(1);
            partition.await_acks(info.last_offset + 1, &countdown, 0);
            countdown
        });
        Ok((info.first_offset, waiting))
    }

    fn refused(&self, name: &TopicPartition, error: ProduceError) -> AppendError {
        use storage::AppendError as Log;
        let refused = match &error {
            ProduceError::NotLeader => AppendError::NotLeader,
            ProduceError::NotEnoughReplicas => AppendError::NotEnoughReplicas,
            ProduceError::Append(Log::MessageTooLarge { .. } | Log::RecordListTooLarge { .. }) => {
                AppendError::TooLarge
            }
            ProduceError::Append(Log::Disk(disk)) => {
                if !disk.is_full() {
                    self.replicas.disk_failed(name, disk);
                }
                AppendError::Storage
            }
            ProduceError::Append(Log::InvalidProducerEpoch { .. }) => AppendError::ProducerFenced,
            ProduceError::Append(Log::InvalidTxnState { .. }) => AppendError::NoTransaction,
            ProduceError::Append(Log::Failed(_)) => AppendError::Storage,
            ProduceError::Append(_) => AppendError::Refused,
        };
        tracing::warn!(partition = %name, %error, "a coordinator's records were not appended");
        refused
    }
}

impl PartitionWriter for CoordinatorLog {
    fn append(
        &self,
        partition: &TopicPartition,
        leader_epoch: LeaderEpoch,
        batch: Bytes,
        guard: Option<VerificationGuard>,
        acks: Acks,
        timeout_ms: u32,
    ) -> WriterFuture<Result<Offset, AppendError>> {
        let started = self.start(partition, leader_epoch, &batch, guard, acks);
        Box::pin(async move {
            let (base_offset, waiting) = started?;
            let Some(countdown) = waiting else { return Ok(base_offset) };
            let patience = Duration::from_millis(u64::from(timeout_ms));
            match countdown.outcomes(patience).await[0] {
                Some(AckOutcome::Replicated) => Ok(base_offset),
                Some(AckOutcome::NotEnoughReplicas) => {
                    Err(AppendError::NotEnoughReplicasAfterAppend)
                }
                Some(AckOutcome::NotLeader) => Err(AppendError::NotLeader),
                None => Err(AppendError::TimedOut),
            }
        })
    }

    fn read(
        &self,
        partition: &TopicPartition,
        from: Offset,
        max_bytes: usize,
    ) -> WriterFuture<Result<Stretch, AppendError>> {
        let found = self.find(partition);
        let tasks = self.tasks.clone();
        Box::pin(async move {
            let log = found?.log().ok_or(AppendError::NotLeader)?;
            let read = move || {
                let from = from.max(log.log_start_offset());
                let read = log.read(from, max_bytes as u64, Offset::MAX, true)?;
                let mut batches = Vec::new();
                for slice in &read.slices {
                    let bytes = slice.read().map_err(|error| storage::ReadError::Corrupt {
                        path: log.path(),
                        reason: error.to_string(),
                    })?;
                    batches.extend_from_slice(&bytes);
                }
                let end_offset = read.log_end_offset;
                Ok::<_, storage::ReadError>(Stretch { batches: batches.into(), end_offset })
            };
            tasks.blocking(read).await.map_err(|error| {
                tracing::error!(%error, "a coordinator's log cannot be read");
                AppendError::Storage
            })
        })
    }
}
