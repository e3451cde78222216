//! The end of a transaction: decided, marked in every partition, and stored as complete. Knows
//! nothing of how markers travel.

use protocol::ids::Offset;
use protocol::planted::{self, Planted};

use super::config::COMPLETE_RETRY_MS;
use super::request::{MarkersDone, SendMarkers};
use super::shard::{Asker, Out, Pending, TransactionShard, append};
use super::{Name, State, TransactionError};
use crate::shard::writer::AppendError;
use crate::shard::{Now, Producer, Ticket};

impl TransactionShard {
    /// EndTxn. `None`: the caller is answered once the decision is stored.
    pub(super) fn end_by_client(
        &mut self,
        caller: Ticket,
        id: &str,
        producer: Producer,
        commit: bool,
        now: Now,
        out: &mut Out,
    ) -> Option<Result<(), TransactionError>> {
        let (name, transaction) = match self.of_producer(id, producer) {
            Ok(found) => found,
            Err(error) => return Some(Err(error)),
        };
        if transaction.pending.is_some() {
            return Some(Err(TransactionError::ConcurrentTransactions));
        }
        let same = |same: bool, otherwise| {
            Some(if same { otherwise } else { Err(TransactionError::InvalidTxnState) })
        };
        match transaction.state() {
            State::Ongoing => {}
            State::CompleteCommit => return same(commit, Ok(())),
            State::CompleteAbort => return same(!commit, Ok(())),
            State::PrepareCommit => {
                return same(commit, Err(TransactionError::ConcurrentTransactions));
            }
            State::PrepareAbort => {
                return same(!commit, Err(TransactionError::ConcurrentTransactions));
            }
            State::Empty => return Some(Err(TransactionError::InvalidTxnState)),
            State::Dead | State::PrepareEpochFence => unreachable!("never a present state"),
        }
        let next = transaction.prepare_end(commit, now.wall_ms);
        if planted::is(Planted::MarkBeforeDecision) {
            let partitions = next.partitions.clone();
            out.outgoing.push(SendMarkers { id: name.clone(), producer, commit, partitions });
        }
        let state = Some(next.clone());
        let asker = Asker::Client(caller);
        let pending = Pending::End { id: name.clone(), asker, next, fence: false };
        out.appends.push(append(name, state, now, pending));
        None
    }

    /// Aborts what is open for longer than its producer allowed, and fences the producer.
    pub(super) fn abort_timed_out(&mut self, now: Now, out: &mut Out) {
        for (id, transaction) in &mut self.transactions {
            let deadline_ms =
                transaction.now.start_ms.saturating_add(i64::from(transaction.now.timeout_ms));
            let open = transaction.state() == State::Ongoing && transaction.pending.is_none();
            if !open || deadline_ms >= now.wall_ms {
                continue;
            }
            let next = transaction.prepare_fencing_abort(now.wall_ms);
            let state = Some(next.clone());
            let asker = Asker::Timeout;
            let pending = Pending::End { id: id.clone(), asker, next, fence: true };
            out.appends.push(append(id.clone(), state, now, pending));
        }
    }

    /// The decision is stored, now or before a restart: markers go out.
    pub(super) fn start_completing(&mut self, id: &Name, now: Now, out: &mut Out) {
        let transaction = self.transactions.get_mut(id).expect("a decided transaction");
        let partitions = transaction.now.partitions.clone();
        let producer =
            Producer { id: transaction.now.producer_id, epoch: transaction.now.producer_epoch };
        let commit = transaction.state() == State::PrepareCommit;
        let next = transaction.prepare_complete(now.wall_ms);
        self.completing.insert(id.clone(), next);
        if partitions.is_empty() {
            self.store_completion(id, now, out);
        } else {
            out.outgoing.push(SendMarkers { id: id.clone(), producer, commit, partitions });
        }
    }

    pub(super) fn markers_done(&mut self, done: &MarkersDone, now: Now, out: &mut Out) {
        let Some(transaction) = self.transactions.get_mut(&done.id) else { return };
        let producer =
            Producer { id: transaction.now.producer_id, epoch: transaction.now.producer_epoch };
        // Late words about an earlier transaction mean nothing.
        if producer != done.producer
            || !transaction.state().is_prepared()
            || !self.completing.contains_key(&done.id)
            || transaction.now.partitions.is_empty()
        {
            return;
        }
        for partition in &done.partitions {
            transaction.now.partitions.remove(partition);
        }
        if transaction.now.partitions.is_empty() {
            self.store_completion(&done.id, now, out);
        }
    }

    pub(super) fn store_completion(&mut self, id: &Name, now: Now, out: &mut Out) {
        let Some(next) = self.completing.get(id) else { return };
        let pending = Pending::Complete { id: id.clone() };
        out.appends.push(append(id.clone(), Some(next.clone()), now, pending));
    }

    /// A failure is tried again until it works, or until this broker does not lead any more: in
    /// every partition the transaction is over already.
    pub(super) fn completed(
        &mut self,
        id: &Name,
        outcome: Result<Offset, AppendError>,
        now: Now,
        out: &mut Out,
    ) {
        if let Err(error) = outcome {
            tracing::info!(transactional_id = %id, %error, "a transaction's end was not stored");
            self.retries.arm(id.clone(), now.steady_ms.saturating_add(COMPLETE_RETRY_MS));
            return;
        }
        let Some(next) = self.completing.remove(id) else { return };
        let transaction = self.transactions.get_mut(id).expect("a decided transaction");
        transaction.complete(next);
        self.add_waiting(id, now, out);
    }
}
