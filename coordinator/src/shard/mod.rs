//! The runtime both coordinators share: a pure shard per partition that turns requests into
//! `(records, answers)`, and the thin shell that appends, reads back and keeps time for it. Knows
//! nothing of groups or transactions.
//!
//! A shard never waits and never sees a clock, a task or a log. It is given a request, the outcome
//! of an append or the passing of time, together with [`Now`], and fills [`Effects`]: answers that
//! may go at once, and appends, each with a `Pending` value that comes back when its outcome is
//! known. An answer that must not be given before its records are committed is part of that value.

pub mod directory;
pub mod memory;
pub mod run;
pub mod timers;
pub mod writer;

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use protocol::ids::{Offset, ProducerEpoch, ProducerId, TimestampMs, VerificationGuard};

use writer::{Acks, AppendError};

/// The two clocks a shard is told about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Wall clock: what is written into records.
    pub wall_ms: TimestampMs,
    /// A clock that never jumps: what timers are set by, so that a corrected wall clock expires
    /// nobody's session.
    pub steady_ms: i64,
}

/// Where a shard gets its time from; only the shell calls it.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Now;

    /// Ends after so long on the steady clock: tokio's, unless time is made by whoever runs the
    /// shard.
    fn sleep(&self, wait_ms: u64) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(Duration::from_millis(wait_ms)))
    }
}

/// Names a caller that waits for an answer. Unique within one shard's life.
pub type Ticket = u64;

/// The producer in whose name a batch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Producer {
    pub id: ProducerId,
    pub epoch: ProducerEpoch,
}

/// One record before it stands in a batch; a value of `None` is a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    pub key: Bytes,
    pub value: Option<Bytes>,
}

/// One batch to append. Batches are appended in the order in which the shard asked for them.
#[derive(Debug)]
pub struct Append<R, P> {
    /// Never empty.
    pub records: Vec<R>,
    /// A transactional batch of this producer; `None` for the shard's own.
    pub producer: Option<Producer>,
    /// What lets a transactional batch begin its transaction in the partition; `None`: anything
    /// does.
    pub guard: Option<VerificationGuard>,
    pub acks: Acks,
    /// In the batch's header. Kafka writes 0 into offset commits, even without a producer.
    pub base_sequence: i32,
    /// CreateTime of every record.
    pub timestamp_ms: TimestampMs,
    /// Comes back to [`Shard::appended`].
    pub pending: P,
}

/// What one step of a shard asks for.
#[derive(Debug)]
pub struct Effects<R, A, P, O = Infallible> {
    pub answers: Vec<(Ticket, A)>,
    pub appends: Vec<Append<R, P>>,
    /// What goes to other parts of the broker.
    pub outgoing: Vec<O>,
}

impl<R, A, P, O> Default for Effects<R, A, P, O> {
    fn default() -> Self {
        Self { answers: Vec::new(), appends: Vec::new(), outgoing: Vec::new() }
    }
}

/// How a transaction ended, from a control batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    Commit,
    Abort,
}

/// One record as read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    pub offset: Offset,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
}

/// One batch as read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredBatch {
    Records {
        /// The producer of a transactional batch; `None` for any other.
        transaction: Option<ProducerId>,
        records: Vec<StoredRecord>,
    },
    Marker {
        producer_id: ProducerId,
        marker: Marker,
    },
}

/// The effects of shard `S`.
pub type EffectsOf<S> = Effects<
    <S as Shard>::Record,
    <S as Shard>::Answer,
    <S as Shard>::Pending,
    <S as Shard>::Outgoing,
>;

/// The state of one partition of a coordinator's topic: pure, and owned by one task.
pub trait Shard: Send + 'static {
    type Request: Send + 'static;
    type Answer: Send + 'static;
    type Record: Send + 'static;
    /// What the shard must know when an append's outcome comes back.
    type Pending: Send + 'static;
    /// What it has other parts of the broker do; `Infallible` if nothing.
    type Outgoing: Send + 'static;

    /// A request. The caller is answered now, or later, exactly once, or by the shard's end.
    fn handle(
        &mut self,
        caller: Ticket,
        request: Self::Request,
        now: Now,
        out: &mut EffectsOf<Self>,
    );

    /// An append's outcome: the offset of its first record once it is as safe as it was asked to
    /// be, or why it is not known to be.
    fn appended(
        &mut self,
        pending: Self::Pending,
        outcome: Result<Offset, AppendError>,
        now: Now,
        out: &mut EffectsOf<Self>,
    );

    /// Does what is due by `now.steady_ms`.
    fn expire(&mut self, now: Now, out: &mut EffectsOf<Self>);

    /// On the steady clock, when `expire` next has something to do.
    fn next_deadline_ms(&self) -> Option<i64>;

    /// The next batch of the partition, while it is loaded in log order. What cannot be understood
    /// is reported and passed over.
    fn replay(&mut self, batch: StoredBatch);

    /// The end of the partition is reached: from here on requests are served.
    fn loaded(&mut self, now: Now, out: &mut EffectsOf<Self>);

    /// The partition has gone elsewhere: whoever waits is answered, nothing is appended any more.
    fn unload(&mut self, now: Now, out: &mut EffectsOf<Self>);

    /// The stored form of a record; `None` if a field is too long for it.
    fn encode(record: &Self::Record) -> Option<KeyValue>;
}
