//! The task around one shard: loads it, feeds it requests, outcomes and time, and carries its
//! effects out. Knows nothing of what the shard is for.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use protocol::ids::{LeaderEpoch, Offset, TopicPartition};
use protocol::records::batch::BatchHeader;
use protocol::records::builder::{BatchBuilder, BatchOptions};
use protocol::records::codec::{Codec, Limits};
use protocol::records::control::ControlType;
use protocol::records::view::{Batches, OpenBatch, Records, RecordsError};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::writer::{AppendError, PartitionWriter, Stretch};
use super::{Append, Clock, Effects, EffectsOf, Marker, Shard, StoredBatch, StoredRecord, Ticket};

/// How a shard's log is read and written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardConfig {
    /// How long an append may wait for the ISR.
    pub append_timeout_ms: u32,
    /// Bytes asked for at a time while loading; at most 1 MiB is, so that the worker gets to
    /// others.
    pub load_bytes: usize,
    pub codec: Codec,
    /// Requests that may wait for one shard; more are refused as busy.
    pub queue_max: usize,
    /// Whether the shard begins only once all that it was loaded from is committed: what it does
    /// then cannot rest on records that a later leader is without.
    pub loads_committed: bool,
}

impl Default for ShardConfig {
    fn default() -> Self {
        Self {
            append_timeout_ms: 5_000,
            load_bytes: LOAD_BYTES_MAX,
            codec: Codec::None,
            queue_max: 4_096,
            loads_committed: false,
        }
    }
}

const LOAD_BYTES_MAX: usize = 1 << 20;
/// Pause after a read of the log failed; the partition stays "loading" meanwhile.
const LOAD_RETRY_MS: u64 = 1_000;
/// Pause between two looks at whether what was loaded is committed: followers take it over with
/// their next fetches.
const COMMIT_LOOK_MS: u64 = 5;

/// What every shard task works with.
pub struct Environment {
    pub writer: Arc<dyn PartitionWriter>,
    pub clock: Arc<dyn Clock>,
    pub config: ShardConfig,
}

/// What the task and those who ask it both see.
#[derive(Debug)]
pub struct Seat {
    pub partition: TopicPartition,
    /// Grows when this broker is elected again without a break.
    pub leader_epoch: AtomicI32,
    pub loading: AtomicBool,
    /// Ends the task.
    pub stop: CancellationToken,
}

impl Seat {
    pub fn new(partition: TopicPartition, leader_epoch: LeaderEpoch) -> Seat {
        Seat {
            partition,
            leader_epoch: AtomicI32::new(leader_epoch),
            loading: AtomicBool::new(true),
            stop: CancellationToken::new(),
        }
    }
}

/// Takes what a shard has for other parts of the broker, with its partition and leader epoch.
/// Must not block.
pub type Outbox<O> = Arc<dyn Fn(i32, LeaderEpoch, O) + Send + Sync>;

/// One request and where its answer goes.
pub struct Ask<S: Shard> {
    pub request: S::Request,
    pub reply: oneshot::Sender<S::Answer>,
}

/// Runs the shard until its seat is stopped. A caller whose shard ends unanswered finds its channel
/// closed.
pub async fn run<S: Shard>(
    mut shard: S,
    seat: Arc<Seat>,
    environment: Arc<Environment>,
    inbox: mpsc::Receiver<Ask<S>>,
    outbox: Outbox<S::Outgoing>,
) {
    let loaded = {
        let load = pin!(load(&mut shard, &seat, &environment));
        tokio::select! {
            biased;
            () = seat.stop.cancelled() => false,
            () = load => true,
        }
    };
    if loaded {
        Driver::new(shard, seat, environment, outbox).serve(inbox).await;
    }
}

/// Feeds the whole partition to the shard. A log that cannot be read is tried again: serving a part
/// of it would show old offsets as committed ones.
async fn load<S: Shard>(shard: &mut S, seat: &Seat, environment: &Environment) {
    let started_ms = environment.clock.now().steady_ms;
    let max_bytes = environment.config.load_bytes.clamp(1, LOAD_BYTES_MAX);
    let mut next = 0;
    let mut failures = 0_u64;
    let waits = environment.config.loads_committed;
    loop {
        let before = next;
        let stretch = environment.writer.read(&seat.partition, next, max_bytes).await;
        let result = match stretch {
            Ok(Stretch { batches, high_watermark, .. }) => replay(shard, &batches, &mut next)
                .map(|()| high_watermark >= next || !waits)
                .map_err(|e| e.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match result {
            Ok(true) if next == before => break,
            Ok(false) if next == before => environment.clock.sleep(COMMIT_LOOK_MS).await,
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => {
                if failures.is_multiple_of(60) {
                    tracing::error!(partition = %seat.partition, offset = next, error,
                        "the coordinator cannot load its partition");
                }
                failures += 1;
                environment.clock.sleep(LOAD_RETRY_MS).await;
            }
        }
    }
    let took_ms = environment.clock.now().steady_ms - started_ms;
    tracing::info!(partition = %seat.partition, end_offset = next, took_ms, "loaded");
}

/// Feeds the batches from `next` on, and moves it behind the last one that could be read.
fn replay<S: Shard>(shard: &mut S, batches: &Bytes, next: &mut Offset) -> Result<(), RecordsError> {
    for raw in Batches::new(batches) {
        let raw = raw?;
        raw.verify()?;
        let open = raw.open(&Limits::default())?;
        let header = match &open {
            OpenBatch::V2 { header, .. } => Some(*header),
            OpenBatch::Legacy(_) => None,
        };
        let (stored, last) = stored_batch(header, open.records()?)?;
        let last = header.map_or(last, |header| header.last_offset());
        if last < *next {
            continue;
        }
        if let Some(stored) = stored {
            shard.replay(stored);
        }
        *next = last + 1;
    }
    Ok(())
}

/// One opened batch in the shard's terms, and its last record's offset. A control batch that is no
/// marker means nothing to a shard.
fn stored_batch(
    header: Option<BatchHeader>,
    records: Records<'_>,
) -> Result<(Option<StoredBatch>, Offset), RecordsError> {
    let producer_id = header.map_or(-1, |header| header.producer_id);
    let mut stored = Vec::new();
    let mut last = -1;
    for record in records {
        let record = record?;
        last = record.offset;
        if header.is_some_and(|header| header.is_control()) {
            let marker = match record.key.map(ControlType::parse) {
                Some(Ok(ControlType::Commit)) => Marker::Commit,
                Some(Ok(ControlType::Abort)) => Marker::Abort,
                _ => return Ok((None, last)),
            };
            return Ok((Some(StoredBatch::Marker { producer_id, marker }), last));
        }
        stored.push(StoredRecord {
            offset: record.offset,
            key: record.key.map(Bytes::copy_from_slice),
            value: record.value.map(Bytes::copy_from_slice),
        });
    }
    let transactional = header.is_some_and(|header| header.is_transactional());
    let transaction = transactional.then_some(producer_id);
    Ok((Some(StoredBatch::Records { transaction, records: stored }), last))
}

type Outcome<P> = (P, Result<Offset, AppendError>);

struct Driver<S: Shard> {
    shard: S,
    seat: Arc<Seat>,
    environment: Arc<Environment>,
    /// Bounded by the requests that connections may have under way.
    callers: BTreeMap<Ticket, oneshot::Sender<S::Answer>>,
    next_ticket: Ticket,
    /// One per append under way; each belongs to a waiting caller, or is a rare tombstone.
    appends: FuturesUnordered<BoxFuture<'static, Outcome<S::Pending>>>,
    outbox: Outbox<S::Outgoing>,
}

impl<S: Shard> Driver<S> {
    fn new(
        shard: S,
        seat: Arc<Seat>,
        environment: Arc<Environment>,
        outbox: Outbox<S::Outgoing>,
    ) -> Self {
        Self {
            shard,
            seat,
            environment,
            callers: BTreeMap::new(),
            next_ticket: 0,
            appends: FuturesUnordered::new(),
            outbox,
        }
    }

    async fn serve(mut self, mut inbox: mpsc::Receiver<Ask<S>>) {
        let stop = self.seat.stop.clone();
        let mut out = Effects::default();
        self.shard.loaded(self.environment.clock.now(), &mut out);
        self.carry_out(out);
        self.seat.loading.store(false, Ordering::Release);
        loop {
            self.expire_what_is_due();
            let wait_ms = self.until_deadline();
            let mut out = Effects::default();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some((pending, outcome)) = self.appends.next(), if !self.appends.is_empty() => {
                    let now = self.environment.clock.now();
                    self.shard.appended(pending, outcome, now, &mut out);
                }
                () = sleep(&self.environment, wait_ms), if wait_ms.is_some() => {}
                ask = inbox.recv() => match ask {
                    Some(ask) => self.ask(ask, &mut out),
                    None => break,
                }
            }
            self.carry_out(out);
        }
        let mut out = Effects::default();
        self.shard.unload(self.environment.clock.now(), &mut out);
        self.answer(out.answers);
        tracing::info!(partition = %self.seat.partition, "unloaded");
    }

    /// Between any two requests: a timer of the runtime takes a millisecond to fire, and on a busy
    /// shard there is another request before that, and after it another one.
    fn expire_what_is_due(&mut self) {
        if self.until_deadline() == Some(0) {
            let mut out = Effects::default();
            self.shard.expire(self.environment.clock.now(), &mut out);
            self.carry_out(out);
        }
    }

    fn ask(&mut self, Ask { request, reply }: Ask<S>, out: &mut EffectsOf<S>) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.callers.insert(ticket, reply);
        self.shard.handle(ticket, request, self.environment.clock.now(), out);
    }

    fn until_deadline(&self) -> Option<u64> {
        let deadline_ms = self.shard.next_deadline_ms()?;
        let wait_ms = deadline_ms.saturating_sub(self.environment.clock.now().steady_ms);
        Some(u64::try_from(wait_ms).unwrap_or(0))
    }

    fn carry_out(&mut self, out: EffectsOf<S>) {
        for append in out.appends {
            self.append(append);
        }
        for outgoing in out.outgoing {
            let epoch = self.seat.leader_epoch.load(Ordering::Acquire);
            (self.outbox)(self.seat.partition.partition, epoch, outgoing);
        }
        self.answer(out.answers);
    }

    fn answer(&mut self, answers: Vec<(Ticket, S::Answer)>) {
        for (ticket, answer) in answers {
            if let Some(reply) = self.callers.remove(&ticket) {
                // The caller may have gone; the state has changed all the same.
                let _ = reply.send(answer);
            }
        }
    }

    fn append(&mut self, append: Append<S::Record, S::Pending>) {
        let batch = encode::<S>(&append, self.environment.config.codec);
        let pending = append.pending;
        match batch {
            Ok(batch) => {
                let outcome = self.environment.writer.append(
                    &self.seat.partition,
                    self.seat.leader_epoch.load(Ordering::Acquire),
                    batch,
                    append.guard,
                    append.acks,
                    self.environment.config.append_timeout_ms,
                );
                self.appends.push(Box::pin(async move { (pending, outcome.await) }));
            }
            Err(error) => {
                let outcome = Err(error);
                self.appends.push(Box::pin(async move { (pending, outcome) }));
            }
        }
    }
}

async fn sleep(environment: &Environment, wait_ms: Option<u64>) {
    if let Some(wait_ms) = wait_ms {
        environment.clock.sleep(wait_ms).await;
    }
}

fn encode<S: Shard>(
    append: &Append<S::Record, S::Pending>,
    codec: Codec,
) -> Result<Bytes, AppendError> {
    let mut builder = BatchBuilder::new(BatchOptions {
        codec,
        producer_id: append.producer.map_or(-1, |producer| producer.id),
        producer_epoch: append.producer.map_or(-1, |producer| producer.epoch),
        base_sequence: append.base_sequence,
        transactional: append.producer.is_some(),
        ..BatchOptions::default()
    });
    for record in &append.records {
        let stored = S::encode(record).ok_or(AppendError::TooLarge)?;
        builder
            .append(append.timestamp_ms, Some(&stored.key), stored.value.as_deref(), &[])
            .map_err(|_| AppendError::TooLarge)?;
    }
    builder.finish().map(Bytes::from).map_err(|_| AppendError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{GroupConfig, GroupShard};

    /// A batch that lost its records to compaction, as the last of a round stays (KAFKA-17076).
    fn emptied(base: Offset, last: Offset, transactional: bool, control: bool) -> Vec<u8> {
        let mut builder = BatchBuilder::new(BatchOptions {
            base_offset: base,
            producer_id: if transactional { 5 } else { -1 },
            producer_epoch: if transactional { 0 } else { -1 },
            transactional,
            control,
            ..BatchOptions::default()
        });
        builder.keep_last_offset(last);
        builder.finish().expect("a header")
    }

    #[test]
    fn a_partition_that_ends_with_an_empty_batch_is_read_to_its_end() {
        for (transactional, control) in [(false, false), (true, false), (true, true)] {
            let mut builder = BatchBuilder::new(BatchOptions::default());
            builder.append(0, None, Some(b"v"), &[]).expect("it fits");
            let mut log = builder.finish().expect("a batch");
            log.extend(emptied(1, 9, transactional, control));
            let mut shard = GroupShard::new(GroupConfig::default());
            let mut next = 0;
            replay(&mut shard, &Bytes::from(log.clone()), &mut next).expect("it is whole");
            assert_eq!(next, 10, "behind the empty batch, not before it (KAFKA-17941)");
            replay(&mut shard, &Bytes::from(log), &mut next).expect("read already");
            assert_eq!(next, 10);
        }
    }
}
