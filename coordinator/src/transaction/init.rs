//! InitProducerId with a transactional id: fences whoever had it before, and gives id and epoch.
//! Knows nothing of where fresh ids come from.

use super::metadata::Transaction;
use super::request::{InitAnswer, InitRequest};
use super::shard::{Asker, Out, Pending, TransactionShard, append};
use super::{Name, State, TransactionError};
use crate::shard::{Now, Ticket};

impl TransactionShard {
    /// `None`: the caller is answered once the change is stored.
    pub(super) fn init(
        &mut self,
        caller: Ticket,
        id: &str,
        request: &InitRequest,
        now: Now,
        out: &mut Out,
    ) -> Option<InitAnswer> {
        if request.timeout_ms <= 0 || request.timeout_ms > self.config.max_timeout_ms {
            return Some(InitAnswer::Refused(TransactionError::InvalidTransactionTimeout));
        }
        let name = match self.known_or_new(id, request, now) {
            Ok(name) => name,
            Err(answer) => return Some(answer),
        };
        let transaction = self.transactions.get_mut(&name).expect("it is there now");
        if transaction.pending.is_some() {
            return Some(InitAnswer::Refused(TransactionError::ConcurrentTransactions));
        }
        if request.expected.is_some_and(|of| !transaction.may_resume(of.id, of.epoch)) {
            return Some(InitAnswer::Refused(TransactionError::ProducerFenced));
        }
        match transaction.state() {
            State::Empty | State::CompleteCommit | State::CompleteAbort => {}
            State::Ongoing => {
                // The abort raises the epoch once, and the next attempt again: nobody is ever told
                // the epoch between.
                let next = transaction.prepare_fencing_abort(now.wall_ms);
                let state = Some(next.clone());
                let asker = Asker::Init(caller);
                let pending = Pending::End { id: name.clone(), asker, next, fence: true };
                out.appends.push(append(name, state, now, pending));
                return None;
            }
            State::PrepareCommit | State::PrepareAbort => {
                return Some(InitAnswer::Refused(TransactionError::ConcurrentTransactions));
            }
            State::Dead | State::PrepareEpochFence => unreachable!("never a present state"),
        }
        let expected = request.expected.map(|of| of.epoch);
        let present = transaction.now.producer_epoch;
        let next = if transaction.is_epoch_exhausted() && expected.is_none_or(|e| e == present) {
            let Some(fresh) = request.fresh_id else { return Some(InitAnswer::NeedsId) };
            let resumed = expected.is_some();
            transaction.prepare_rotation(fresh, request.timeout_ms, resumed, now.wall_ms)
        } else {
            match transaction.prepare_epoch(request.timeout_ms, expected, now.wall_ms) {
                Ok(next) => next,
                Err(error) => return Some(InitAnswer::Refused(error)),
            }
        };
        let state = Some(next.clone());
        let pending = Pending::Init { id: name.clone(), caller, next };
        out.appends.push(append(name, state, now, pending));
        None
    }

    fn known_or_new(
        &mut self,
        id: &str,
        request: &InitRequest,
        now: Now,
    ) -> Result<Name, InitAnswer> {
        if let Some((name, _)) = self.transactions.get_key_value(id) {
            return Ok(name.clone());
        }
        let Some(fresh) = request.fresh_id else { return Err(InitAnswer::NeedsId) };
        if self.transactions.len() >= self.config.ids_max {
            let max = self.config.ids_max;
            tracing::warn!(transactional_id = id, max, "too many transactional ids");
            return Err(InitAnswer::Refused(TransactionError::CoordinatorNotAvailable));
        }
        let name: Name = id.into();
        let transaction = Transaction::new(fresh, request.timeout_ms, now.wall_ms);
        self.transactions.insert(name.clone(), transaction);
        Ok(name)
    }
}
