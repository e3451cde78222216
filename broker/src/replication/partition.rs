//! One hosted partition: its state (`replica`), its log (`storage`) and those who wait for it, put
//! together. Knows nothing of messages. What clients can have done to it takes a proof that they
//! may:
//!
//! ```
//! use broker::authorizer::{Authorized, Topic, op};
//! use broker::replication::partition::Partition;
//!
//! fn end(partition: &Partition, proof: &Authorized<'_, op::Describe, Topic>) {
//!     drop(partition.end_offset_for_epoch(proof, -1, 0));
//! }
//! ```
//!
//! ```compile_fail,E0308
//! use broker::authorizer::{Authorized, Topic, op};
//! use broker::replication::partition::Partition;
//!
//! fn end(partition: &Partition, proof: &Authorized<'_, op::Create, Topic>) {
//!     drop(partition.end_offset_for_epoch(proof, -1, 0));
//! }
//! ```
//!
//! Locking. `inner` is held shared while appending and reading, exclusively by transitions and by
//! followers' progress, never across an await. The log serialises appends itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::RwLock;
use protocol::ids::{
    BrokerId, LeaderEpoch, Offset, ProducerEpoch, ProducerId, TimestampMs, TopicPartition, Uuid,
    VerificationGuard,
};
use replica::partition::{AcksAll, PartitionState};
use replica::watermark::LogOffsets;
use storage::{AppendError, AppendInfo, AppendOrigin, Log, StorageError};

use crate::authorizer::{Authorized, On, Topic, op};
use crate::delayed::arrival::Arrival;
use crate::delayed::fetch::{FetchWaiters, Isolation, Moved, UNKNOWN_BYTES};
use crate::delayed::offset::{Countdown, OffsetWaiters};
use crate::replication::cluster_view::ClusterView;
use crate::replication::isr_changes::IsrChanges;
use crate::replication::topic_metrics::TopicMetrics;

mod follow;
mod in_sync;
mod offsets;
mod read;
mod redirect;
mod transition;

pub use follow::{Cut, Fetched, FollowError, FollowerEnd};
pub use offsets::{DeleteError, Deleted, FoundOffset, Wanted};
pub use read::{PartitionRead, ReadError, Reader, Room};
pub use transition::Became;

/// How a record set is appended.
#[derive(Debug, Clone, Copy)]
pub struct AppendTerms {
    pub origin: AppendOrigin,
    /// The in-sync replicas must be enough before.
    pub acks_all: bool,
    /// Of a coordinator's term; a producer has none.
    pub leader_epoch: Option<LeaderEpoch>,
    /// See [`Log::append_verified`].
    pub guard: Option<VerificationGuard>,
}

/// Why nothing was appended.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    #[error("this broker does not lead the partition")]
    NotLeader,
    #[error("fewer replicas in sync than min.insync.replicas")]
    NotEnoughReplicas,
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// What became of a waiting append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckOutcome {
    Replicated,
    NotEnoughReplicas,
    NotLeader,
}

#[derive(Debug)]
struct Inner {
    state: PartitionState,
    log: Option<Arc<Log>>,
}

/// A partition that this broker hosts, whether it leads it or not.
pub struct Partition {
    topic: Arc<str>,
    index: i32,
    local: BrokerId,
    /// The topic id of the log that was on disk when this was made: the partition's id while the
    /// log is not attached.
    found_id: Option<Uuid>,
    inner: RwLock<Inner>,
    high_watermark: AtomicI64,
    fetches: FetchWaiters,
    arrival: Arrival,
    /// For the high watermark.
    acks: OffsetWaiters<AckOutcome>,
    /// For the low watermark; `None` if leadership went.
    deletions: OffsetWaiters<Option<Offset>>,
    around: Surroundings,
}

/// What a partition needs of the broker around it.
#[derive(Clone)]
pub struct Surroundings {
    pub metrics: Arc<TopicMetrics>,
    pub cluster: Arc<dyn ClusterView>,
    pub isr_changes: Arc<IsrChanges>,
}

impl std::fmt::Debug for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic, self.index)
    }
}

impl Partition {
    /// Without a log and unknown to the controller. `found_id` is the topic id of the log that is
    /// on disk, if there is one.
    pub fn new(
        topic: Arc<str>,
        index: i32,
        local: BrokerId,
        found_id: Option<Uuid>,
        around: Surroundings,
    ) -> Partition {
        Partition {
            topic,
            index,
            local,
            found_id,
            inner: RwLock::new(Inner { state: PartitionState::new(local), log: None }),
            high_watermark: AtomicI64::new(0),
            fetches: FetchWaiters::default(),
            arrival: Arrival::default(),
            acks: OffsetWaiters::default(),
            deletions: OffsetWaiters::default(),
            around,
        }
    }

    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    pub fn index(&self) -> i32 {
        self.index
    }

    pub fn name(&self) -> TopicPartition {
        TopicPartition::new(self.topic.to_string(), self.index)
    }

    pub fn metrics(&self) -> &TopicMetrics {
        &self.around.metrics
    }

    pub fn log(&self) -> Option<Arc<Log>> {
        self.inner.read().log.clone()
    }

    /// The id that the log has, whether it is attached or still waits on disk for a role.
    pub fn topic_id(&self) -> Option<Uuid> {
        match &self.inner.read().log {
            Some(log) => log.topic_id(),
            None => self.found_id,
        }
    }

    /// A look at the state: leader, epochs, replicas, ISR.
    pub fn with_state<T>(&self, look: impl FnOnce(&PartitionState) -> T) -> T {
        look(&self.inner.read().state)
    }

    pub fn is_leader(&self) -> bool {
        self.inner.read().state.is_leader()
    }

    pub fn high_watermark(&self) -> Offset {
        self.high_watermark.load(Ordering::Acquire)
    }

    /// −1 without a log.
    pub fn log_start(&self) -> Offset {
        self.inner.read().log.as_ref().map_or(-1, |log| log.log_start_offset())
    }

    /// `min.insync.replicas`; 1 without a log.
    pub fn min_isr(&self) -> usize {
        self.inner.read().log.as_ref().map_or(1, |log| min_isr(log))
    }

    pub fn fetch_waiters(&self) -> &FetchWaiters {
        &self.fetches
    }

    /// Records that arrived at `at_ms` are about to be appended: noted for the fetches that wait.
    pub fn arriving(&self, at_ms: f64) {
        if !self.fetches.is_empty()
            && let Some(log) = &self.inner.read().log
        {
            self.arrival.note(log.log_end_offset(), at_ms);
        }
    }

    pub fn arrival(&self) -> &Arrival {
        &self.arrival
    }

    /// Up to where a reader sees at this moment; −1 without a log.
    pub fn limit(&self, isolation: Isolation) -> Offset {
        let inner = self.inner.read();
        inner.log.as_ref().map_or(-1, |log| self.limit_of(log, isolation))
    }

    fn limit_of(&self, log: &Log, isolation: Isolation) -> Offset {
        match isolation {
            Isolation::LogEnd => log.log_end_offset(),
            Isolation::HighWatermark => self.high_watermark(),
            Isolation::LastStable => log.last_stable_offset(self.high_watermark()),
        }
    }

    fn offsets(&self, log: &Log) -> LogOffsets {
        LogOffsets {
            start: log.log_start_offset(),
            end: log.log_end_offset(),
            high_watermark: self.high_watermark(),
        }
    }

    /// A proof must be of this partition's topic.
    fn check<Op: On<Topic>>(&self, authorized: &Authorized<'_, Op, Topic>) {
        assert_eq!(authorized.name(), &*self.topic, "the proof is of another topic");
    }

    /// Appends a record set as leader.
    pub fn append(
        &self,
        authorized: &Authorized<'_, op::Write, Topic>,
        records: &[u8],
        terms: AppendTerms,
        now_ms: TimestampMs,
    ) -> Result<AppendInfo, ProduceError> {
        self.check(authorized);
        let result = self.append_now(records, terms, now_ms);
        match &result {
            Ok(info) => self.around.metrics.appended(info.bytes, info.record_count.max(0) as u64),
            Err(_) => self.around.metrics.append_failed(),
        }
        result
    }

    fn append_now(
        &self,
        records: &[u8],
        terms: AppendTerms,
        now_ms: TimestampMs,
    ) -> Result<AppendInfo, ProduceError> {
        let AppendTerms { origin, acks_all, leader_epoch, guard } = terms;
        let inner = self.inner.read();
        let epoch = inner.state.leader_epoch();
        let log = match &inner.log {
            Some(log) if inner.state.is_leader() && leader_epoch.is_none_or(|e| e == epoch) => log,
            _ => return Err(ProduceError::NotLeader),
        };
        if acks_all && inner.state.check_min_isr(min_isr(log)).is_err() {
            return Err(ProduceError::NotEnoughReplicas);
        }
        let info = log.append_verified(records, epoch, origin, guard, now_ms)?;
        if info.bytes > 0 && !info.flush_due {
            self.advance(&inner, log, now_ms);
            self.tell_grown(log, &info, origin);
        }
        Ok(info)
    }

    /// What a producer's batch needs to begin its transaction here once the coordinator has
    /// confirmed it; `None` if the transaction is open already.
    pub fn begin_verification(
        &self,
        authorized: &Authorized<'_, op::Write, Topic>,
        producer: (ProducerId, ProducerEpoch),
        sequence: i32,
        now_ms: TimestampMs,
    ) -> Result<Option<VerificationGuard>, ProduceError> {
        self.check(authorized);
        let inner = self.inner.read();
        match &inner.log {
            Some(log) if inner.state.is_leader() => {
                Ok(log.begin_verification(producer, sequence, now_ms))
            }
            _ => Err(ProduceError::NotLeader),
        }
    }

    /// Makes what was appended durable, then visible: where `flush.messages` or `flush.ms` ask for
    /// it. Blocks on the disk.
    pub fn flush_and_show(
        &self,
        info: &AppendInfo,
        origin: AppendOrigin,
        now_ms: TimestampMs,
    ) -> Result<(), StorageError> {
        let log = self.log().ok_or_else(|| StorageError::Gone(self.name().to_string()))?;
        log.flush(now_ms)?;
        let inner = self.inner.read();
        self.advance(&inner, &log, now_ms);
        self.tell_grown(&log, info, origin);
        Ok(())
    }

    /// Raises the high watermark as far as the rules allow, and settles who waits for it.
    fn advance(&self, inner: &Inner, log: &Log, now_ms: TimestampMs) -> bool {
        let next = inner.state.next_high_watermark(
            &self.offsets(log),
            min_isr(log),
            self.around.cluster.max_lag_ms(),
            now_ms,
            &|broker| self.around.cluster.is_alive(broker),
        );
        let Some(mut next) = next else { return false };
        if inner.state.is_thinning(min_isr(log)) {
            let synced = log.recovery_point();
            if next > synced {
                // Goes on once it is on disk: `synced`.
                self.around.isr_changes.sync(self.name());
                next = synced;
            }
        }
        debug_assert!(
            next <= log.log_end_offset(),
            "the high watermark of {self:?} goes to {next}, beyond the log's end at {}",
            log.log_end_offset()
        );
        if self.high_watermark.fetch_max(next, Ordering::AcqRel) >= next {
            return false;
        }
        log.on_high_watermark(next);
        if !self.acks.is_empty() {
            let outcome = ack_outcome(inner.state.acks_all(0, next, min_isr(log)));
            self.acks.reached(next, &outcome.unwrap_or(AckOutcome::Replicated));
        }
        true
    }

    /// Wakes the fetches that can read what was just appended.
    fn tell_grown(&self, log: &Log, info: &AppendInfo, origin: AppendOrigin) {
        let high_watermark = self.high_watermark();
        let moved = Moved {
            log_end: true,
            high_watermark: high_watermark > info.last_offset,
            last_stable: log.last_stable_offset(high_watermark) > info.last_offset,
        };
        let bytes = match origin {
            // A marker may make many bytes before it readable.
            AppendOrigin::Coordinator => UNKNOWN_BYTES,
            _ => i64::try_from(info.bytes).unwrap_or(UNKNOWN_BYTES),
        };
        self.fetches.grew(moved, bytes);
    }

    /// Enters part `part` of a request that waits until `required` is replicated.
    pub fn await_acks(&self, required: Offset, request: &Arc<Countdown<AckOutcome>>, part: usize) {
        self.acks.enter(required, request, part);
        let inner = self.inner.read();
        let min_isr = inner.log.as_ref().map_or(1, |log| min_isr(log));
        let reached = inner.state.acks_all(required, self.high_watermark(), min_isr);
        if let Some(outcome) = ack_outcome(reached) {
            request.settle(part, outcome);
        }
    }
}

fn min_isr(log: &Log) -> usize {
    usize::try_from(log.config().min_insync_replicas).unwrap_or(1)
}

fn ack_outcome(acks: AcksAll) -> Option<AckOutcome> {
    match acks {
        AcksAll::Waiting => None,
        AcksAll::Replicated => Some(AckOutcome::Replicated),
        AcksAll::NotEnoughReplicas => Some(AckOutcome::NotEnoughReplicas),
        AcksAll::NotLeader => Some(AckOutcome::NotLeader),
    }
}

#[cfg(test)]
mod tests;
