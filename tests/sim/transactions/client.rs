//! A transactional producer: one transaction after the other in several partitions, committed or
//! aborted, or left to time out; fenced by the next instance of its transactional id, and begun
//! anew. Behaves as Kafka's clients do: a batch whose fate is unknown raises the epoch.

use std::collections::{BTreeMap, BTreeSet};

use coordinator::shard::Producer as ProducerEpoch;
use coordinator::transaction::TransactionError;
use coordinator::transaction::request::{InitAnswer, InitRequest};
use coordinator::transaction::service::TRANSACTIONS_TOPIC;
use protocol::error_code::ErrorCode;
use protocol::ids::TopicPartition;

use super::ledger::Deed;
use super::{CoordinatorRequest, CoordinatorResponse, STATE_PARTITIONS};
use crate::admin::{LASTING, PARTITIONS};
use crate::checker::Fact;
use crate::client::{Bootstrap, call};
use crate::context::{Context, Timer};
use crate::message::{CallId, Request, Response};
use crate::records::{self, Sequence};

const RETRY_MS: i64 = 100;
/// A batch is given up after so many tries, and its transaction with it.
const TRIES_MAX: u32 = 25;

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// InitProducerId, as a new instance or to raise the epoch.
    Init,
    /// No transaction is open.
    Ready,
    Add,
    Produce,
    End {
        commit: bool,
    },
    /// Does nothing until then: fenced, gone, or slow.
    Rest {
        until_ms: i64,
        then: Next,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    NewInstance,
    Commit,
}

#[derive(Debug)]
struct Batch {
    partition: i32,
    values: Vec<u64>,
    tries: u32,
}

#[derive(Debug)]
pub struct Transactor {
    number: u32,
    id: String,
    bootstrap: Bootstrap,
    stage: Stage,
    /// Of the instance that runs; the next one does not know it.
    producer: Option<ProducerEpoch>,
    sequences: BTreeMap<i32, i32>,
    /// Numbers this client's transactions.
    serial: u64,
    partitions: BTreeSet<i32>,
    batches: Vec<Batch>,
    asked: Option<CallId>,
    retry_ms: i64,
    /// A batch may or may not be in the log: its sequences are not used again.
    raise_epoch: bool,
    /// When it waits for a batch no longer.
    patient_until_ms: i64,
    pub quiet: bool,
}

impl Transactor {
    pub fn new(number: u32, id: &str) -> Transactor {
        Transactor {
            number,
            id: id.to_owned(),
            bootstrap: Bootstrap::default(),
            stage: Stage::Init,
            producer: None,
            sequences: BTreeMap::new(),
            serial: 0,
            partitions: BTreeSet::new(),
            batches: Vec::new(),
            asked: None,
            retry_ms: 0,
            raise_epoch: false,
            patient_until_ms: i64::MAX,
            quiet: false,
        }
    }

    pub fn is_idle(&self) -> bool {
        let resting = matches!(self.stage, Stage::Rest { then: Next::NewInstance, .. });
        self.asked.is_none() && (self.stage == Stage::Ready || resting || self.has_no_life())
    }

    fn has_no_life(&self) -> bool {
        self.stage == Stage::Init && self.producer.is_none()
    }

    /// Names this client's present transaction among all.
    fn transaction(&self) -> u64 {
        u64::from(self.number) << 32 | self.serial
    }

    pub fn go_on(&mut self, ctx: &mut Context<'_>) {
        self.bootstrap.refresh(ctx);
        if self.stage == Stage::Produce && ctx.now_ms() >= self.patient_until_ms {
            self.asked = None;
            self.give_up();
        }
        if self.asked.is_none() && ctx.now_ms() >= self.retry_ms {
            self.next(ctx);
        }
        let pause_ms = ctx.random.between(30, 120);
        ctx.wake_in(pause_ms, Timer::Client);
    }

    fn next(&mut self, ctx: &mut Context<'_>) {
        match self.stage {
            Stage::Init if self.quiet && self.has_no_life() => {}
            Stage::Init => {
                let timeout_ms = ctx.random.between(2_000, 6_000) as i32;
                let init = InitRequest { timeout_ms, expected: self.producer, fresh_id: None };
                let request = CoordinatorRequest::Init { id: self.id.clone(), init };
                if self.coordinator(request, ctx) {
                    self.tell(Deed::Starting, ctx);
                }
            }
            Stage::Ready if self.quiet => {}
            Stage::Ready if ctx.random.one_in(3) => {
                // Another time; now and then as another instance.
                if ctx.random.one_in(40) {
                    self.restart(ctx);
                }
            }
            Stage::Ready => {
                self.begin(ctx);
                self.next(ctx);
            }
            Stage::Add => {
                let named = |index: &i32| TopicPartition::new(LASTING, *index);
                let partitions = self.partitions.iter().map(named).collect();
                let (id, producer) = (self.id.clone(), self.producer.expect("it is ready"));
                self.coordinator(CoordinatorRequest::Add { id, producer, partitions }, ctx);
            }
            Stage::Produce => self.produce(ctx),
            Stage::End { commit } => {
                let (id, producer) = (self.id.clone(), self.producer.expect("it is ready"));
                if self.coordinator(CoordinatorRequest::End { id, producer, commit }, ctx) && commit
                {
                    self.tell(Deed::CommitAsked, ctx);
                }
            }
            Stage::Rest { until_ms, then } if ctx.now_ms() >= until_ms => match then {
                Next::NewInstance => self.stage = Stage::Init,
                Next::Commit => self.stage = Stage::End { commit: true },
            },
            Stage::Rest { .. } => {}
        }
    }

    fn begin(&mut self, ctx: &mut Context<'_>) {
        self.serial += 1;
        self.partitions.clear();
        self.batches.clear();
        self.tell(Deed::Began(self.producer.expect("it is ready")), ctx);
        let mut count = 0;
        for _ in 0..ctx.random.between(1, 4) {
            let partition = ctx.random.below(PARTITIONS as u64) as i32;
            let values = (0..ctx.random.between(1, 3)).map(|_| {
                count += 1;
                u64::from(self.number) << 40 | self.serial << 8 | count
            });
            let values = values.collect();
            self.batches.push(Batch { partition, values, tries: 0 });
            self.partitions.insert(partition);
        }
        self.batches.reverse();
        self.stage = Stage::Add;
    }

    fn produce(&mut self, ctx: &mut Context<'_>) {
        let Some(batch) = self.batches.last_mut() else {
            self.stage = match ctx.random.below(20) {
                0..=3 => Stage::End { commit: false },
                // Longer, perhaps, than the transaction may last.
                4 => Stage::Rest {
                    until_ms: ctx.now_ms() + ctx.random.between(500, 8_000) as i64,
                    then: Next::Commit,
                },
                // Nobody ends it.
                5 => return self.restart(ctx),
                _ => Stage::End { commit: true },
            };
            return self.next(ctx);
        };
        let Some(leader) = self.bootstrap.leader(LASTING, batch.partition) else { return };
        let producer = self.producer.expect("it is ready");
        let first = self.sequences.get(&batch.partition).copied().unwrap_or(0);
        let sequence = Sequence { producer, first, transactional: true };
        batch.tries += 1;
        let records = records::batch(&batch.values, Some(sequence), ctx.now_ms());
        let tp = TopicPartition::new(LASTING, batch.partition);
        let transactional_id = Some(self.id.clone());
        let request = Request::Produce { tp, acks: -1, records, transactional_id };
        self.asked = Some(call(leader, request, ctx));
        self.patient_until_ms = i64::MAX;
        if ctx.random.one_in(4) {
            let patient_ms = ctx.random.between(5, 40);
            self.patient_until_ms = ctx.now_ms() + patient_ms as i64;
            ctx.wake_in(patient_ms, Timer::Client);
        }
    }

    /// Whether the coordinator is known, and so was asked.
    fn coordinator(&mut self, request: CoordinatorRequest, ctx: &mut Context<'_>) -> bool {
        let partition = coordinator::group::service::partition_for(&self.id, STATE_PARTITIONS);
        let leader = self.bootstrap.leader(TRANSACTIONS_TOPIC, partition);
        if let Some(leader) = leader {
            self.asked = Some(call(leader, Request::Coordinator(request), ctx));
        }
        leader.is_some()
    }

    fn tell(&self, deed: Deed, ctx: &mut Context<'_>) {
        let (transaction, id, client) = (self.transaction(), self.id.clone(), self.number);
        ctx.learned.push(Fact::Transaction { transaction, id, client, deed });
    }

    /// This instance is no more; after a while there is another.
    fn restart(&mut self, ctx: &mut Context<'_>) {
        self.producer = None;
        self.raise_epoch = false;
        self.sequences.clear();
        self.batches.clear();
        let until_ms = ctx.now_ms() + ctx.random.between(300, 3_000) as i64;
        self.stage = Stage::Rest { until_ms, then: Next::NewInstance };
    }

    fn again(&mut self, ctx: &Context<'_>) {
        self.retry_ms = ctx.now_ms() + RETRY_MS;
        self.bootstrap.stale = true;
    }

    pub fn answered(&mut self, id: CallId, response: Response, ctx: &mut Context<'_>) {
        let Some(response) = self.bootstrap.take(id, response, ctx) else { return };
        if self.asked != Some(id) {
            return;
        }
        self.asked = None;
        match response {
            Response::Coordinator(CoordinatorResponse::Init(answer)) => self.inited(answer, ctx),
            Response::Coordinator(CoordinatorResponse::Add(Ok(()))) => self.stage = Stage::Produce,
            Response::Coordinator(CoordinatorResponse::Add(Err(error))) => {
                self.refused(error, ctx);
            }
            Response::Coordinator(CoordinatorResponse::End(Ok(()))) => {
                self.tell(Deed::Ended { commit: self.stage == Stage::End { commit: true } }, ctx);
                self.stage = if self.raise_epoch { Stage::Init } else { Stage::Ready };
            }
            Response::Coordinator(CoordinatorResponse::End(Err(error))) => {
                self.refused(error, ctx);
            }
            Response::Produced(result) => self.produced(result.map(drop), ctx),
            other => panic!("{other:?} answers a transactional producer"),
        }
        if self.asked.is_none() && ctx.now_ms() >= self.retry_ms {
            self.next(ctx);
        }
    }

    fn inited(&mut self, answer: InitAnswer, ctx: &mut Context<'_>) {
        match answer {
            InitAnswer::Ready(producer) => {
                self.producer = Some(producer);
                self.raise_epoch = false;
                self.sequences.clear();
                self.stage = Stage::Ready;
                self.tell(Deed::Started(producer), ctx);
            }
            InitAnswer::NeedsId => panic!("the broker has ids"),
            InitAnswer::Refused(error) => self.refused(error, ctx),
        }
    }

    fn refused(&mut self, error: TransactionError, ctx: &mut Context<'_>) {
        match error {
            error if error.retriable() => self.again(ctx),
            TransactionError::ProducerFenced | TransactionError::InvalidProducerIdMapping => {
                self.restart(ctx);
            }
            error => {
                let what = format!("{} at {:?} is told: {error}", self.id, self.stage);
                ctx.learned.push(Fact::Wrong(what));
            }
        }
    }

    fn produced(&mut self, result: Result<(), ErrorCode>, ctx: &mut Context<'_>) {
        let Some(batch) = self.batches.last() else { return };
        match result {
            Ok(()) => {
                *self.sequences.entry(batch.partition).or_default() += batch.values.len() as i32;
                let values = batch.values.clone();
                self.batches.pop();
                self.tell(Deed::Wrote(values), ctx);
            }
            Err(ErrorCode::INVALID_PRODUCER_EPOCH) => self.restart(ctx),
            Err(ErrorCode::TRANSACTION_ABORTABLE | ErrorCode::INVALID_TXN_STATE) => self.give_up(),
            Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER) => {
                let what = format!("{}: {result:?} for {batch:?}", self.id);
                ctx.learned.push(Fact::Wrong(what));
            }
            Err(_) if batch.tries >= TRIES_MAX => self.give_up(),
            Err(_) => self.again(ctx),
        }
    }

    /// The batch may be there or not: the transaction is aborted.
    fn give_up(&mut self) {
        self.raise_epoch = true;
        self.batches.clear();
        self.stage = Stage::End { commit: false };
    }

    pub fn unanswered(&mut self, id: CallId, ctx: &mut Context<'_>) {
        if self.bootstrap.lost(id) || self.asked != Some(id) {
            return;
        }
        self.asked = None;
        self.again(ctx);
    }
}
