//! The transaction coordinator of one simulated broker: the real service and its shards, fed by the
//! controller's orders and clients' requests. Knows nothing of how markers travel.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker::replication::manager::{Obeyed, ReplicaManager, StopOrder};
use coordinator::shard::run::{Environment, ShardConfig};
use coordinator::transaction::TransactionConfig;
use coordinator::transaction::markers::{Order, Told};
use coordinator::transaction::request::{InitAnswer, InitRequest};
use coordinator::transaction::service::{Outbox, TRANSACTIONS_TOPIC, TransactionService};
use coordinator::transaction::verification::{Asked, Questions, Unverified};
use parking_lot::Mutex;
use protocol::ids::BrokerId;

use super::log::SimulatedLog;
use super::tasks::{SimulatedClock, Tasks};
use super::verifying::Held;
use super::{CoordinatorRequest, CoordinatorResponse, STATE_PARTITIONS};
use crate::broker::Broker;
use crate::context::{Context, Timer};
use crate::control::ReplyTo;
use crate::message::{CallId, Packet, Response};

const APPEND_TIMEOUT_MS: u32 = 2_000;
/// `transaction.abort.timed.out.transaction.cleanup.interval.ms` here.
const ABORT_INTERVAL_MS: i64 = 1_000;

pub struct Coordinating {
    pub service: Arc<TransactionService>,
    pub outbox: Arc<Outbox>,
    pub tasks: Tasks,
    pub answers: Arc<Mutex<Vec<(ReplyTo, Response)>>>,
    /// Markers under way, one request to a broker at a time.
    pub sending: BTreeMap<BrokerId, (CallId, Vec<Order>)>,
    /// Brokers that get markers again at that time.
    pub resting: BTreeMap<BrokerId, i64>,
    /// News that a shard could not hear yet.
    pub news: Vec<Told>,
    /// Batches that wait for a coordinator's word, there and here.
    pub questions: Questions<Held>,
    pub asking: BTreeMap<BrokerId, (CallId, Vec<Asked<Held>>)>,
    pub verified: Arc<Mutex<Vec<(Held, Unverified)>>>,
    /// Connections to other brokers, by what they are for.
    pub flows: BTreeMap<(BrokerId, &'static str), u64>,
}

impl Coordinating {
    pub fn new(replicas: Arc<ReplicaManager>) -> Coordinating {
        let tasks = Tasks::new();
        let environment = Environment {
            writer: Arc::new(SimulatedLog { replicas, waits: tasks.waits.clone() }),
            clock: Arc::new(SimulatedClock(tasks.waits.clone())),
            config: ShardConfig {
                append_timeout_ms: APPEND_TIMEOUT_MS,
                loads_committed: true,
                ..ShardConfig::default()
            },
        };
        let spawned = tasks.spawned.clone();
        let outbox = Arc::new(Outbox { queues: Default::default(), wake: Box::new(|| ()) });
        let service = TransactionService::new(
            TransactionConfig {
                abort_interval_ms: ABORT_INTERVAL_MS,
                ..TransactionConfig::default()
            },
            environment,
            Arc::new(move |task| spawned.lock().push(task)),
            STATE_PARTITIONS,
            outbox.clone(),
        );
        Coordinating {
            service: Arc::new(service),
            outbox,
            tasks,
            answers: Arc::default(),
            sending: BTreeMap::new(),
            resting: BTreeMap::new(),
            news: Vec::new(),
            questions: Questions::default(),
            asking: BTreeMap::new(),
            verified: Arc::default(),
            flows: BTreeMap::new(),
        }
    }

    pub fn took_roles(&self, obeyed: &Obeyed) {
        let ours = |topic: &str| topic == TRANSACTIONS_TOPIC;
        for (partition, epoch) in obeyed.leaders.iter().filter(|(tp, _)| ours(&tp.topic)) {
            self.service.elected(partition.partition, *epoch);
        }
        for (partition, epoch) in obeyed.followers.iter().filter(|(tp, _)| ours(&tp.topic)) {
            self.service.resigned(partition.partition, Some(*epoch));
        }
    }

    pub fn stopped(&self, order: &StopOrder) {
        if order.topic == TRANSACTIONS_TOPIC {
            let epoch = Some(order.leader_epoch).filter(|epoch| *epoch >= 0);
            self.service.resigned(order.index, epoch);
        }
    }
}

impl Broker {
    /// A client's request: it is in the shard's queue when this returns.
    pub fn coordinate(&mut self, request: CoordinatorRequest, to: ReplyTo, ctx: &mut Context<'_>) {
        let service = self.coordinating.service.clone();
        let answers = self.coordinating.answers.clone();
        let tasks = &self.coordinating.tasks;
        let answer = move |response| {
            answers.lock().push((to, Response::Coordinator(response)));
        };
        match request {
            CoordinatorRequest::Init { id, init } => {
                // An id that nobody ever got.
                let fresh_id = Some(1_000_000 + ctx.fresh() as i64);
                let first = service.init(&id, init.clone());
                tasks.spawn(async move {
                    let answered = match first.await {
                        InitAnswer::NeedsId => {
                            service.init(&id, InitRequest { fresh_id, ..init }).await
                        }
                        answered => answered,
                    };
                    answer(CoordinatorResponse::Init(answered));
                });
            }
            CoordinatorRequest::Add { id, producer, partitions } => {
                let added = service.add_partitions(&id, producer, partitions.into_iter().collect());
                tasks.spawn(async move { answer(CoordinatorResponse::Add(added.await)) });
            }
            CoordinatorRequest::End { id, producer, commit } => {
                let ended = service.end(&id, producer, commit);
                tasks.spawn(async move { answer(CoordinatorResponse::End(ended.await)) });
            }
        }
    }

    /// Lets shards, markers and questions go on as far as they can.
    pub fn drive_coordinator(&mut self, ctx: &mut Context<'_>) {
        self.coordinating.tasks.set_time(ctx.now_ms());
        loop {
            self.coordinating.tasks.run();
            let verified = std::mem::take(&mut *self.coordinating.verified.lock());
            let settled = verified.is_empty();
            for (held, unverified) in verified {
                self.append_held(held, &unverified, ctx);
            }
            if !self.drive_markers(ctx) && settled {
                break;
            }
        }
        self.drive_questions(ctx);
        for (to, response) in std::mem::take(&mut *self.coordinating.answers.lock()) {
            ctx.send(to.node, to.flow, Packet::Answer { id: to.id, response });
        }
        if let Some(at_ms) = self.coordinating.tasks.waits.next_ms() {
            ctx.wake_at(at_ms.max(0) as u64, Timer::Coordinator);
        }
    }

    /// The connection to another broker; a new one after `hang_up`.
    pub fn flow_to(
        &mut self,
        broker: BrokerId,
        purpose: &'static str,
        ctx: &mut Context<'_>,
    ) -> u64 {
        *self.coordinating.flows.entry((broker, purpose)).or_insert_with(|| ctx.fresh())
    }

    pub fn hang_up(&mut self, broker: BrokerId, purpose: &'static str) {
        self.coordinating.flows.remove(&(broker, purpose));
    }
}
