//! The seam between a coordinator and the log of its partition: the replica manager, or memory.
//! Knows nothing of what the records mean.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use protocol::ids::{LeaderEpoch, Offset, TopicPartition, VerificationGuard};

/// How safe an append must be before it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// In the leader's log (0 and 1: the leader is this broker).
    Leader,
    /// Held by the whole ISR, which has at least `min.insync.replicas` members.
    All,
}

/// Why records are not known to be in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    #[error("the partition does not exist here")]
    UnknownPartition,
    /// Not the leader, or no longer in the epoch the caller was elected in.
    #[error("this broker does not lead the partition in that epoch")]
    NotLeader,
    #[error("the ISR is smaller than min.insync.replicas")]
    NotEnoughReplicas,
    #[error("the ISR shrank below min.insync.replicas after the append")]
    NotEnoughReplicasAfterAppend,
    #[error("the ISR did not have the records in time")]
    TimedOut,
    #[error("the batch is larger than the partition takes")]
    TooLarge,
    #[error("the log directory failed")]
    Storage,
    /// A transactional batch of a producer whose epoch is over.
    #[error("the producer has been fenced")]
    ProducerFenced,
    /// A transactional batch that belongs to no open transaction.
    #[error("the producer is in no transaction of this partition")]
    NoTransaction,
    /// A malformed batch.
    #[error("the batch was refused")]
    Refused,
}

impl AppendError {
    /// Whether the same append may succeed later, here or at the next leader.
    pub fn retriable(self) -> bool {
        !matches!(
            self,
            AppendError::ProducerFenced
                | AppendError::NoTransaction
                | AppendError::TooLarge
                | AppendError::Refused
        )
    }
}

/// A stretch of a partition's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// Whole batches, one after the other, the first of which holds or follows the asked offset.
    /// Empty at the end of the log.
    pub batches: Bytes,
    /// Log end offset when this was read.
    pub end_offset: Offset,
    /// What is below is committed: no later leader can be without it.
    pub high_watermark: Offset,
}

pub type WriterFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Appends to and reads from the partitions this broker leads.
pub trait PartitionWriter: Send + Sync + 'static {
    /// Appends one batch (magic 2, base offset 0, leader epoch not set) as the leader of
    /// `leader_epoch`. Appends to one partition take effect in the order of the calls, so the work
    /// starts in the call, not in the first poll. Gives the batch's base offset. `guard`: as in
    /// [`super::Append`].
    fn append(
        &self,
        partition: &TopicPartition,
        leader_epoch: LeaderEpoch,
        batch: Bytes,
        guard: Option<VerificationGuard>,
        acks: Acks,
        timeout_ms: u32,
    ) -> WriterFuture<Result<Offset, AppendError>>;

    /// Reads from `from` (0 or less: the log start) towards the log end, beyond the high watermark
    /// too, about `max_bytes` and at least one batch.
    fn read(
        &self,
        partition: &TopicPartition,
        from: Offset,
        max_bytes: usize,
    ) -> WriterFuture<Result<Stretch, AppendError>>;
}
