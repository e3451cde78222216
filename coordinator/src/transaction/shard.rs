//! The transactional ids of one `__transaction_state` partition as a [`Shard`]: finds the id of a
//! request, hears the outcome of appends and of markers, and keeps time. Knows no clock, no log and
//! no connection.

use std::collections::BTreeMap;

use protocol::ids::Offset;

use super::add::Waiting;
use super::metadata::{Transaction, Transition};
use super::records::{self, TransactionRecord};
use super::request::{Answer, InitAnswer, Request, SendMarkers};
use super::{Name, TransactionConfig, TransactionError};
use crate::shard::timers::Timers;
use crate::shard::writer::{Acks, AppendError};
use crate::shard::{Append, Effects, KeyValue, Now, Producer, Shard, StoredBatch, Ticket};

pub type Out = Effects<TransactionRecord, Answer, Pending, SendMarkers>;

/// What must be known when the outcome of an append comes back.
#[derive(Debug)]
pub enum Pending {
    Init { id: Name, caller: Ticket, next: Transition },
    Add { id: Name, caller: Ticket, next: Transition },
    End { id: Name, asker: Asker, next: Transition, fence: bool },
    Complete { id: Name },
    Tombstones { ids: Vec<Name> },
}

/// Who wants a transaction to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    Client(Ticket),
    /// A new producer, which is to come again once the old one's transaction is aborted.
    Init(Ticket),
    Timeout,
}

/// All transactional ids of one partition.
#[derive(Debug)]
pub struct TransactionShard {
    pub(super) config: TransactionConfig,
    pub(super) transactions: BTreeMap<Name, Transaction>,
    /// The last change of transactions that are decided, stored once every marker is written.
    pub(super) completing: BTreeMap<Name, Transition>,
    /// When those that could not be stored are stored again.
    pub(super) retries: Timers<Name>,
    /// Who begins anew while the transaction before is being ended: at most one an id.
    pub(super) waiting: BTreeMap<Name, Waiting>,
    /// Until when they wait.
    pub(super) patience: Timers<Name>,
    pub(super) next_abort_ms: Option<i64>,
    pub(super) next_expiry_ms: Option<i64>,
    /// Records that could not be understood while loading.
    pub(super) skipped: u64,
}

impl TransactionShard {
    /// A shard that is to be loaded by `replay` and `loaded`.
    pub fn new(config: TransactionConfig) -> TransactionShard {
        TransactionShard {
            config,
            transactions: BTreeMap::new(),
            completing: BTreeMap::new(),
            retries: Timers::default(),
            waiting: BTreeMap::new(),
            patience: Timers::default(),
            next_abort_ms: None,
            next_expiry_ms: None,
            skipped: 0,
        }
    }

    /// Every transactional id, in order.
    pub fn transactions(&self) -> impl Iterator<Item = (&Name, &Transaction)> {
        self.transactions.iter()
    }

    pub fn transaction(&self, id: &str) -> Option<&Transaction> {
        self.transactions.get(id)
    }

    /// The id, its transaction, and whether the producer is the one it belongs to.
    pub(super) fn of_producer(
        &mut self,
        id: &str,
        producer: Producer,
    ) -> Result<(Name, &mut Transaction), TransactionError> {
        let name = match self.transactions.get_key_value(id) {
            Some((name, _)) => name.clone(),
            None => return Err(TransactionError::InvalidProducerIdMapping),
        };
        let transaction = self.transactions.get_mut(id).expect("it was just found");
        if transaction.now.producer_id != producer.id {
            return Err(TransactionError::InvalidProducerIdMapping);
        }
        if transaction.now.producer_epoch != producer.epoch {
            return Err(TransactionError::ProducerFenced);
        }
        Ok((name, transaction))
    }

    /// A change could not be stored: the id may be changed again.
    fn failed(&mut self, id: &Name, error: AppendError) -> TransactionError {
        if let Some(transaction) = self.transactions.get_mut(id) {
            transaction.pending = None;
        }
        tracing::info!(transactional_id = %id, %error, "a transaction's state was not stored");
        TransactionError::from_append(error)
    }

    /// A change is stored.
    fn stored(&mut self, id: &Name, next: Transition) {
        let transaction = self.transactions.get_mut(id).expect("a change of it is pending");
        transaction.complete(next);
    }
}

impl Shard for TransactionShard {
    type Request = Request;
    type Answer = Answer;
    type Record = TransactionRecord;
    type Pending = Pending;
    type Outgoing = SendMarkers;

    fn handle(&mut self, caller: Ticket, request: Request, now: Now, out: &mut Out) {
        let answer = match request {
            Request::Init { id, init } => match self.init(caller, &id, &init, now, out) {
                Some(answer) => Answer::Init(answer),
                None => return,
            },
            Request::Add { id, producer, partitions } => {
                match self.add_partitions(caller, &id, producer, partitions, now, out) {
                    Some(result) => Answer::Add(result),
                    None => return,
                }
            }
            Request::End { id, producer, commit } => {
                match self.end_by_client(caller, &id, producer, commit, now, out) {
                    Some(result) => Answer::End(result),
                    None => return,
                }
            }
            Request::Verify { id, producer, partitions } => {
                Answer::Verify(self.verify(&id, producer, partitions))
            }
            Request::Describe { id } => Answer::Describe(self.describe(&id)),
            Request::List { filter } => Answer::List(self.list(&filter, now)),
            Request::MarkersDone(done) => {
                self.markers_done(&done, now, out);
                Answer::Done
            }
        };
        out.answers.push((caller, answer));
    }

    fn appended(
        &mut self,
        pending: Pending,
        outcome: Result<Offset, AppendError>,
        now: Now,
        out: &mut Out,
    ) {
        match pending {
            Pending::Init { id, caller, next } => {
                let producer = Producer { id: next.producer_id, epoch: next.producer_epoch };
                let answer = match outcome {
                    Ok(_) => {
                        self.stored(&id, next);
                        InitAnswer::Ready(producer)
                    }
                    Err(error) => InitAnswer::Refused(self.failed(&id, error)),
                };
                out.answers.push((caller, Answer::Init(answer)));
            }
            Pending::Add { id, caller, next } => {
                let result = match outcome {
                    Ok(_) => {
                        self.stored(&id, next);
                        Ok(())
                    }
                    Err(error) => Err(self.failed(&id, error)),
                };
                out.answers.push((caller, Answer::Add(result)));
            }
            Pending::End { id, asker, next, fence } => {
                let result = match outcome {
                    Ok(_) => {
                        self.stored(&id, next);
                        self.start_completing(&id, now, out);
                        Ok(())
                    }
                    Err(error) => {
                        if let Some(transaction) = self.transactions.get_mut(&id) {
                            transaction.failed_epoch_fence |= fence;
                        }
                        Err(self.failed(&id, error))
                    }
                };
                answer_asker(&id, asker, result, out);
            }
            Pending::Complete { id } => self.completed(&id, outcome, now, out),
            Pending::Tombstones { ids } => self.forgotten(&ids, outcome),
        }
    }

    fn expire(&mut self, now: Now, out: &mut Out) {
        while let Some(id) = self.retries.pop_due(now.steady_ms) {
            self.store_completion(&id, now, out);
        }
        self.send_away(now, out);
        if self.next_abort_ms.is_some_and(|at_ms| at_ms <= now.steady_ms) {
            let interval_ms = self.config.abort_interval_ms.max(1);
            self.next_abort_ms = Some(now.steady_ms.saturating_add(interval_ms));
            self.abort_timed_out(now, out);
        }
        if self.next_expiry_ms.is_some_and(|at_ms| at_ms <= now.steady_ms) {
            let interval_ms = self.config.expiration_interval_ms.max(1);
            self.next_expiry_ms = Some(now.steady_ms.saturating_add(interval_ms));
            self.forget_expired(now, out);
        }
    }

    fn next_deadline_ms(&self) -> Option<i64> {
        let timers = [self.retries.next_ms(), self.patience.next_ms()];
        let all = timers.into_iter().chain([self.next_abort_ms, self.next_expiry_ms]);
        all.flatten().min()
    }

    fn replay(&mut self, batch: StoredBatch) {
        self.read(batch);
    }

    fn loaded(&mut self, now: Now, out: &mut Out) {
        self.start_after_load(now, out);
    }

    fn unload(&mut self, _now: Now, _out: &mut Out) {
        // Whoever waits finds the shard gone.
        self.transactions.clear();
        self.completing.clear();
        self.retries.clear();
        self.waiting.clear();
        self.patience.clear();
        self.next_abort_ms = None;
        self.next_expiry_ms = None;
    }

    fn encode(record: &TransactionRecord) -> Option<KeyValue> {
        records::encode(record).ok()
    }
}

fn answer_asker(id: &Name, asker: Asker, result: Result<(), TransactionError>, out: &mut Out) {
    match asker {
        Asker::Client(caller) => out.answers.push((caller, Answer::End(result))),
        Asker::Init(caller) => {
            // Aborted or not: it is to come again.
            let error = result.err().unwrap_or(TransactionError::ConcurrentTransactions);
            out.answers.push((caller, Answer::Init(InitAnswer::Refused(error))));
        }
        Asker::Timeout => match result {
            Ok(()) => tracing::info!(transactional_id = %id, "aborting a timed out transaction"),
            Err(error) => {
                tracing::warn!(transactional_id = %id, %error,
                    "a timed out transaction was not aborted");
            }
        },
    }
}

/// One record in a batch of its own, as Kafka writes every change.
pub(super) fn append(
    id: Name,
    state: Option<Transition>,
    now: Now,
    pending: Pending,
) -> Append<TransactionRecord, Pending> {
    append_all(vec![TransactionRecord { id, state }], now, pending)
}

pub(super) fn append_all(
    records: Vec<TransactionRecord>,
    now: Now,
    pending: Pending,
) -> Append<TransactionRecord, Pending> {
    Append {
        records,
        producer: None,
        guard: None,
        acks: Acks::All,
        base_sequence: -1,
        timestamp_ms: now.wall_ms,
        pending,
    }
}
