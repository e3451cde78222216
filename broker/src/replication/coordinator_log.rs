//! The logs of the coordinators' topics, as coordinators write and read them. Knows nothing of
//! groups and transactions, nor of who waits for an answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coordinator::shard::writer::{Acks, AppendError, PartitionWriter, Stretch, WriterFuture};
use protocol::ids::{LeaderEpoch, Offset, TimestampMs, TopicPartition, VerificationGuard};
use storage::{AppendOrigin, Log};

use super::manager::{NotHere, ReplicaManager};
use super::partition::{AckOutcome, AppendTerms, Partition, ProduceError};
use crate::authorizer::Internal;
use crate::clock::Clock;
use crate::delayed::offset::Countdown;
use crate::tasks::Tasks;

/// The replica manager behind the coordinators' seam.
pub struct CoordinatorLog {
    replicas: Arc<ReplicaManager>,
    tasks: Arc<Tasks>,
    clock: Clock,
    internal: Internal,
}

impl CoordinatorLog {
    pub fn new(
        replicas: Arc<ReplicaManager>,
        tasks: Arc<Tasks>,
        clock: Clock,
        internal: Internal,
    ) -> CoordinatorLog {
        CoordinatorLog { replicas, tasks, clock, internal }
    }
}

/// One append by a coordinator.
#[derive(Debug, Clone, Copy)]
pub struct CoordinatorBatch<'a> {
    pub leader_epoch: LeaderEpoch,
    pub bytes: &'a [u8],
    pub guard: Option<VerificationGuard>,
    pub acks: Acks,
}

/// The batch's base offset, and what is to be waited for, if anything.
pub type Started = (Offset, Option<Arc<Countdown<AckOutcome>>>);

/// Appends, and waits for nothing.
pub fn start(
    internal: Internal,
    replicas: &ReplicaManager,
    name: &TopicPartition,
    batch: CoordinatorBatch<'_>,
    now_ms: TimestampMs,
) -> Result<Started, AppendError> {
    let CoordinatorBatch { leader_epoch, bytes, guard, acks } = batch;
    let partition = find(replicas, name)?;
    let all = acks == Acks::All;
    let terms = AppendTerms {
        origin: AppendOrigin::Coordinator,
        acks_all: all,
        leader_epoch: Some(leader_epoch),
        guard,
    };
    let topic = internal.authorized(&name.topic);
    let info = partition
        .append(&topic, bytes, terms, now_ms)
        .map_err(|error| refused(replicas, name, &error))?;
    if info.rolled || info.flush_due {
        replicas.flush_soon(&partition, &info, AppendOrigin::Coordinator);
    }
    let waiting = all.then(|| {
        let countdown = Countdown::new(1);
        partition.await_acks(info.last_offset.saturating_add(1), &countdown, 0);
        countdown
    });
    Ok((info.first_offset, waiting))
}

/// What came of waiting; `None`: not in time.
pub fn outcome_of(outcome: Option<AckOutcome>) -> Result<(), AppendError> {
    match outcome {
        Some(AckOutcome::Replicated) => Ok(()),
        Some(AckOutcome::NotEnoughReplicas) => Err(AppendError::NotEnoughReplicasAfterAppend),
        Some(AckOutcome::NotLeader) => Err(AppendError::NotLeader),
        None => Err(AppendError::TimedOut),
    }
}

pub fn find(
    replicas: &ReplicaManager,
    name: &TopicPartition,
) -> Result<Arc<Partition>, AppendError> {
    replicas.find(&name.topic, name.partition).map_err(|error| match error {
        NotHere::Offline => AppendError::Storage,
        NotHere::Elsewhere => AppendError::NotLeader,
        NotHere::Unknown => AppendError::UnknownPartition,
    })
}

/// Reads beyond the high watermark, too. Blocks on the disk.
pub fn stretch(
    log: &Log,
    high_watermark: Offset,
    from: Offset,
    max_bytes: usize,
) -> Result<Stretch, storage::ReadError> {
    let from = from.max(log.log_start_offset());
    let read = log.read(from, max_bytes as u64, Offset::MAX, true)?;
    let mut batches = Vec::new();
    for slice in &read.slices {
        let bytes = slice.read().map_err(|error| match slice.disk_error(&error) {
            Some(disk) => storage::ReadError::Disk(disk),
            None => storage::ReadError::Corrupt { path: log.path(), reason: error.to_string() },
        })?;
        batches.extend_from_slice(&bytes);
    }
    let end_offset = read.log_end_offset;
    Ok(Stretch { batches: batches.into(), end_offset, high_watermark })
}

fn refused(replicas: &ReplicaManager, name: &TopicPartition, error: &ProduceError) -> AppendError {
    use storage::AppendError as Refused;
    let refused = match error {
        ProduceError::NotLeader => AppendError::NotLeader,
        ProduceError::NotEnoughReplicas => AppendError::NotEnoughReplicas,
        ProduceError::Append(
            Refused::MessageTooLarge { .. } | Refused::RecordListTooLarge { .. },
        ) => AppendError::TooLarge,
        ProduceError::Append(Refused::Disk(disk)) => {
            if !disk.is_full() {
                replicas.disk_failed(name, disk);
            }
            AppendError::Storage
        }
        ProduceError::Append(Refused::InvalidProducerEpoch { .. }) => AppendError::ProducerFenced,
        ProduceError::Append(Refused::InvalidTxnState { .. }) => AppendError::NoTransaction,
        ProduceError::Append(Refused::Failed(_)) => AppendError::Storage,
        ProduceError::Append(_) => AppendError::Refused,
    };
    tracing::warn!(partition = %name, %error, "a coordinator's records were not appended");
    refused
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
        let batch = CoordinatorBatch { leader_epoch, bytes: &batch, guard, acks };
        let started = start(self.internal, &self.replicas, partition, batch, self.clock.now_ms());
        Box::pin(async move {
            let (base_offset, waiting) = started?;
            let Some(countdown) = waiting else { return Ok(base_offset) };
            let patience = Duration::from_millis(u64::from(timeout_ms));
            let outcome = countdown.outcomes(patience).await[0];
            outcome_of(outcome).map(|()| base_offset)
        })
    }

    fn read(
        &self,
        partition: &TopicPartition,
        from: Offset,
        max_bytes: usize,
    ) -> WriterFuture<Result<Stretch, AppendError>> {
        let found = find(&self.replicas, partition);
        let (tasks, replicas, name) =
            (self.tasks.clone(), self.replicas.clone(), partition.clone());
        Box::pin(async move {
            let partition = found?;
            let log = partition.log().ok_or(AppendError::NotLeader)?;
            let read = move || stretch(&log, partition.high_watermark(), from, max_bytes);
            tasks.blocking(read).await.map_err(|error| {
                tracing::error!(%error, "a coordinator's log cannot be read");
                if let storage::ReadError::Disk(disk) = &error {
                    replicas.read_failed(&name, disk);
                }
                AppendError::Storage
            })
        })
    }
}
