//! What the transaction coordinator can be asked, and its answers. Independent of the wire.

use std::collections::BTreeSet;

use protocol::ids::{ProducerEpoch, ProducerId, TimestampMs, TopicPartition};

use super::{Name, State, TransactionError};
use crate::shard::Producer;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitRequest {
    pub timeout_ms: i32,
    /// The producer that wants to go on (KIP-360); `None` from a new one.
    pub expected: Option<Producer>,
    /// An id that nobody else ever got; without it the answer may be `NeedsId`.
    pub fresh_id: Option<ProducerId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitAnswer {
    Ready(Producer),
    /// Ask again with a fresh id.
    NeedsId,
    Refused(TransactionError),
}

/// A transaction is decided: these markers are to be written. Coordinator and epoch are added on
/// the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendMarkers {
    pub id: Name,
    pub producer: Producer,
    pub commit: bool,
    pub partitions: BTreeSet<TopicPartition>,
}

/// What became of markers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkersDone {
    pub id: Name,
    pub producer: Producer,
    /// Written, or not to be written because the partition is gone.
    pub partitions: Vec<TopicPartition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    pub state: State,
    pub timeout_ms: i32,
    pub start_ms: TimestampMs,
    pub producer_id: ProducerId,
    pub producer_epoch: ProducerEpoch,
    pub partitions: BTreeSet<TopicPartition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    pub id: Name,
    pub producer_id: ProducerId,
    pub state: State,
}

/// What to list; empty sets do not filter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    pub producer_ids: BTreeSet<ProducerId>,
    /// `None`: any state. Empty: none, since only unknown states were named.
    pub states: Option<BTreeSet<State>>,
    /// Only those open for longer; negative: all.
    pub duration_ms: i64,
}

/// One result per partition, in the request's order.
pub type Verified = Vec<(TopicPartition, Option<TransactionError>)>;

/// Everything one transaction shard can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    Init { id: String, init: InitRequest },
    Add { id: String, producer: Producer, partitions: BTreeSet<TopicPartition> },
    Verify { id: String, producer: Producer, partitions: Vec<TopicPartition> },
    End { id: String, producer: Producer, commit: bool },
    Describe { id: String },
    List { filter: Filter },
    MarkersDone(MarkersDone),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Init(InitAnswer),
    Add(Result<(), TransactionError>),
    Verify(Verified),
    End(Result<(), TransactionError>),
    Describe(Result<Description, TransactionError>),
    List(Vec<Listing>),
    Done,
}
