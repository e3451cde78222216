//! One transactional id: its producer, its transaction, and the changes it may go through, each
//! prepared, stored and only then made (Kafka's `TransactionMetadata`). Knows no log and no clock.

use std::collections::BTreeSet;

use protocol::ids::{ProducerEpoch, ProducerId, TimestampMs, TopicPartition};
use protocol::planted::{self, Planted};

use super::{State, TransactionError};

pub const NO_PRODUCER_ID: ProducerId = -1;
pub const NO_PRODUCER_EPOCH: ProducerEpoch = -1;
/// No producer is given a higher epoch than the one before, so that it can always be fenced.
const LAST_EPOCH: ProducerEpoch = i16::MAX - 1;

/// The state of a transactional id, as it is stored after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    pub producer_id: ProducerId,
    pub producer_epoch: ProducerEpoch,
    /// In memory only.
    pub last_producer_id: ProducerId,
    /// In memory only: what a producer may still name that missed the answer to its last change.
    pub last_producer_epoch: ProducerEpoch,
    pub timeout_ms: i32,
    pub state: State,
    pub partitions: BTreeSet<TopicPartition>,
    pub last_update_ms: TimestampMs,
    /// When the last transaction began, −1 if none did. Without one the log has −1, and memory the
    /// time of the one before, until it is loaded anew.
    pub start_ms: TimestampMs,
}

/// A transactional id and what is under way with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    pub now: Transition,
    /// The state that is being stored. Until the outcome is known nothing else may change.
    pub pending: Option<State>,
    /// The epoch was raised in memory, but that could not be stored: it is not raised again.
    pub failed_epoch_fence: bool,
}

impl Transaction {
    /// A new id; its producer has no epoch before the first InitProducerId is stored.
    pub fn new(producer_id: ProducerId, timeout_ms: i32, now_ms: TimestampMs) -> Transaction {
        Transaction::stored(Transition {
            producer_id,
            producer_epoch: NO_PRODUCER_EPOCH,
            last_producer_id: NO_PRODUCER_ID,
            last_producer_epoch: NO_PRODUCER_EPOCH,
            timeout_ms,
            state: State::Empty,
            partitions: BTreeSet::new(),
            last_update_ms: now_ms,
            start_ms: -1,
        })
    }

    /// As the log has it.
    pub fn stored(now: Transition) -> Transaction {
        Transaction { now, pending: None, failed_epoch_fence: false }
    }

    pub fn state(&self) -> State {
        self.now.state
    }

    /// The present epoch must not be raised again for a client.
    pub fn is_epoch_exhausted(&self) -> bool {
        is_exhausted(self.now.producer_epoch)
    }

    /// Whether a producer that says it had this id and epoch may go on (KIP-360).
    pub fn may_resume(&self, id: ProducerId, epoch: ProducerEpoch) -> bool {
        self.now.producer_epoch == NO_PRODUCER_EPOCH
            || id == self.now.producer_id
            || (id == self.now.last_producer_id && is_exhausted(epoch))
    }

    /// InitProducerId: the next epoch, or the present one for a producer that asks twice. A used up
    /// epoch is raised by rotation alone.
    pub fn prepare_epoch(
        &mut self,
        timeout_ms: i32,
        expected: Option<ProducerEpoch>,
        now_ms: TimestampMs,
    ) -> Result<Transition, TransactionError> {
        let (present, last) = (self.now.producer_epoch, self.now.last_producer_epoch);
        let (epoch, last_epoch) = match expected {
            None if planted::is(Planted::KeepProducerEpoch) && present != NO_PRODUCER_EPOCH => {
                (present, NO_PRODUCER_EPOCH)
            }
            None => (present + 1, NO_PRODUCER_EPOCH),
            Some(epoch) if present == NO_PRODUCER_EPOCH || epoch == present => {
                (present + 1, present)
            }
            Some(epoch) if epoch == last => (present, last),
            Some(_) => return Err(TransactionError::ProducerFenced),
        };
        let next = self.emptied(timeout_ms, now_ms);
        Ok(self.prepare(Transition {
            producer_epoch: epoch,
            last_producer_epoch: last_epoch,
            ..next
        }))
    }

    /// InitProducerId once the epochs are used up: a new id.
    pub fn prepare_rotation(
        &mut self,
        producer_id: ProducerId,
        timeout_ms: i32,
        resumed: bool,
        now_ms: TimestampMs,
    ) -> Transition {
        let last = if resumed { self.now.producer_epoch } else { NO_PRODUCER_EPOCH };
        let next = self.emptied(timeout_ms, now_ms);
        self.prepare(Transition {
            producer_id,
            producer_epoch: 0,
            last_producer_epoch: last,
            ..next
        })
    }

    fn emptied(&self, timeout_ms: i32, now_ms: TimestampMs) -> Transition {
        Transition {
            last_producer_id: self.now.producer_id,
            timeout_ms,
            state: State::Empty,
            partitions: BTreeSet::new(),
            last_update_ms: now_ms,
            start_ms: -1,
            ..self.now.clone()
        }
    }

    /// AddPartitionsToTxn, AddOffsetsToTxn.
    pub fn prepare_partitions(
        &mut self,
        added: BTreeSet<TopicPartition>,
        now_ms: TimestampMs,
    ) -> Transition {
        let mut next = self.now.clone();
        if next.state != State::Ongoing {
            next.start_ms = now_ms;
        }
        next.state = State::Ongoing;
        next.partitions.extend(added);
        next.last_update_ms = now_ms;
        self.prepare(next)
    }

    /// The transaction's end is decided.
    pub fn prepare_end(&mut self, commit: bool, now_ms: TimestampMs) -> Transition {
        let state = if commit { State::PrepareCommit } else { State::PrepareAbort };
        self.prepare(Transition { state, last_update_ms: now_ms, ..self.now.clone() })
    }

    /// The same, after raising the epoch: whoever has the present one must stop. The new epoch is
    /// nobody's, and counts in memory at once.
    pub fn prepare_fencing_abort(&mut self, now_ms: TimestampMs) -> Transition {
        assert_eq!(self.pending, None, "one change at a time");
        if !self.failed_epoch_fence && !planted::is(Planted::KeepProducerEpoch) {
            // No client was given the last epoch, whatever a damaged record says.
            self.now.producer_epoch = self.now.producer_epoch.saturating_add(1);
        }
        self.now.last_producer_epoch = NO_PRODUCER_EPOCH;
        self.prepare_end(false, now_ms)
    }

    /// Every partition will have its marker.
    pub fn prepare_complete(&mut self, now_ms: TimestampMs) -> Transition {
        let state = match self.now.state {
            State::PrepareCommit => State::CompleteCommit,
            _ => State::CompleteAbort,
        };
        self.failed_epoch_fence = false;
        self.prepare(Transition {
            state,
            partitions: BTreeSet::new(),
            last_update_ms: now_ms,
            ..self.now.clone()
        })
    }

    /// The id is to be forgotten.
    pub fn prepare_dead(&mut self) {
        assert_eq!(self.pending, None, "one change at a time");
        assert!(State::Dead.may_follow(self.now.state), "no open transaction is forgotten");
        self.pending = Some(State::Dead);
    }

    fn prepare(&mut self, next: Transition) -> Transition {
        assert_eq!(self.pending, None, "one change at a time");
        assert!(next.state.may_follow(self.now.state), "{} after {}", next.state, self.now.state);
        self.pending = Some(next.state);
        next
    }

    /// The change is stored.
    pub fn complete(&mut self, next: Transition) {
        assert_eq!(self.pending, Some(next.state), "what was prepared is completed");
        self.pending = None;
        let start_ms = match next.state {
            State::Empty => self.now.start_ms,
            _ => next.start_ms,
        };
        self.now = Transition { start_ms, ..next };
    }
}

fn is_exhausted(epoch: ProducerEpoch) -> bool {
    epoch >= LAST_EPOCH
}
