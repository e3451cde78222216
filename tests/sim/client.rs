//! The clients of a run: producers, a consumer and an operator. What they see goes to the checker.

use std::collections::BTreeMap;

use protocol::ids::{BrokerId, TopicPartition, Uuid};

use crate::admin::{Admin, VOLATILE};
use crate::consumer::Consumer;
use crate::context::{Context, Timer};
use crate::message::{CallId, Flow, Metadata, Node, Packet, PartitionMetadata, Request, Response};
use crate::producer::{IDEMPOTENT, Producer};
use crate::transactions::TRANSACTIONS_TOPIC;
use crate::transactions::client::Transactor;
use crate::transactions::reader::CommittedReader;
use crate::world::{Actor, BROKERS};

pub const ADMIN: u32 = 1;
const CALL_TIMEOUT_MS: u64 = 3_000;

pub enum Client {
    Admin(Box<Admin>),
    Producer(Box<Producer>),
    Consumer(Box<Consumer>),
    Transactor(Box<Transactor>),
    CommittedReader(Box<CommittedReader>),
}

impl Client {
    pub fn all(transactions: bool) -> Vec<(u32, Client)> {
        let mut all = vec![
            (ADMIN, Client::Admin(Box::new(Admin::new(transactions)))),
            (IDEMPOTENT, Client::Producer(Box::new(Producer::new(IDEMPOTENT, -1)))),
            (3, Client::Producer(Box::new(Producer::new(3, 1)))),
            (4, Client::Consumer(Box::default())),
        ];
        if transactions {
            // Two that fence each other, and one alone.
            for (number, id) in [(5, "shared"), (6, "shared"), (7, "alone")] {
                let transactor = Transactor::new(number, id);
                all.push((number, Client::Transactor(Box::new(transactor))));
            }
            all.push((8, Client::CommittedReader(Box::default())));
        }
        all
    }

    /// No new records any more; what is under way is finished.
    pub fn quieten(&mut self) {
        match self {
            Client::Producer(producer) => producer.quiet = true,
            Client::Transactor(transactor) => transactor.quiet = true,
            _ => {}
        }
    }

    pub fn is_idle(&self) -> bool {
        match self {
            Client::Producer(producer) => producer.is_idle(),
            Client::Transactor(transactor) => transactor.is_idle(),
            _ => true,
        }
    }
}

impl Actor for Client {
    fn packet(&mut self, _from: Node, _flow: Flow, packet: Packet, ctx: &mut Context<'_>) {
        match self {
            Client::Admin(admin) => admin.packet(packet, ctx),
            Client::Producer(producer) => match packet {
                Packet::Answer { id, response } => producer.answered(id, response, ctx),
                Packet::Refused { id } => producer.unanswered(id, ctx),
                _ => {}
            },
            Client::Consumer(consumer) => match packet {
                Packet::Answer { id, response } => consumer.answered(id, response, ctx),
                Packet::Refused { id } => consumer.unanswered(id, ctx),
                _ => {}
            },
            Client::Transactor(transactor) => match packet {
                Packet::Answer { id, response } => transactor.answered(id, response, ctx),
                Packet::Refused { id } => transactor.unanswered(id, ctx),
                _ => {}
            },
            Client::CommittedReader(reader) => match packet {
                Packet::Answer { id, response } => reader.answered(id, response, ctx),
                Packet::Refused { id } => reader.unanswered(id),
                _ => {}
            },
        }
    }

    fn timer(&mut self, timer: Timer, ctx: &mut Context<'_>) {
        match (self, timer) {
            (Client::Admin(admin), timer) => admin.timer(timer, ctx),
            (Client::Producer(producer), Timer::Unanswered(id)) => producer.unanswered(id, ctx),
            (Client::Producer(producer), _) => producer.go_on(ctx),
            (Client::Consumer(consumer), Timer::Unanswered(id)) => consumer.unanswered(id, ctx),
            (Client::Consumer(consumer), _) => consumer.go_on(ctx),
            (Client::Transactor(client), Timer::Unanswered(id)) => client.unanswered(id, ctx),
            (Client::Transactor(client), _) => client.go_on(ctx),
            (Client::CommittedReader(reader), Timer::Unanswered(id)) => reader.unanswered(id),
            (Client::CommittedReader(reader), _) => reader.go_on(ctx),
        }
    }

    fn as_client(&mut self) -> Option<&mut Client> {
        Some(self)
    }
}

/// What a client knows of the cluster, and how it asks.
#[derive(Debug, Default)]
pub struct Bootstrap {
    metadata: Metadata,
    /// A question for metadata is under way.
    asked: Option<CallId>,
    pub stale: bool,
    known_ms: i64,
}

impl Bootstrap {
    /// Asks any broker, if what is known is old.
    pub fn refresh(&mut self, ctx: &mut Context<'_>) {
        let old = self.stale || ctx.now_ms() > self.known_ms + 2_000;
        if old && self.asked.is_none() {
            let broker = ctx.random.pick(&BROKERS).expect("there are brokers");
            self.asked = Some(call(broker, Request::Metadata, ctx));
        }
    }

    /// Takes an answer over if it is one about metadata.
    pub fn take(&mut self, id: CallId, response: Response, ctx: &Context<'_>) -> Option<Response> {
        if self.asked != Some(id) {
            return Some(response);
        }
        self.asked = None;
        if let Response::Metadata(metadata) = response
            && !metadata.partitions.is_empty()
        {
            self.take_over(metadata);
            self.stale = false;
            self.known_ms = ctx.now_ms();
        }
        None
    }

    /// An older leader epoch than the known one is an old broker's word, as for Kafka's clients.
    fn take_over(&mut self, mut metadata: Metadata) {
        for new in &mut metadata.partitions {
            new.topic_id = life_of(&new.tp.topic, new.topic_id);
            let same = |p: &&PartitionMetadata| p.tp == new.tp && p.topic_id == new.topic_id;
            if let Some(known) = self.metadata.partitions.iter().find(same)
                && known.leader_epoch > new.leader_epoch
            {
                *new = known.clone();
            }
        }
        self.metadata = metadata;
    }

    /// Whether the question was one for metadata.
    pub fn lost(&mut self, id: CallId) -> bool {
        let mine = self.asked == Some(id);
        if mine {
            self.asked = None;
        }
        mine
    }

    /// Any partition that clients write to.
    pub fn pick(&self, ctx: &mut Context<'_>) -> Option<PartitionMetadata> {
        let all = self.metadata.partitions.iter();
        let all: Vec<_> = all.filter(|p| p.tp.topic != TRANSACTIONS_TOPIC).collect();
        let at = ctx.random.below(all.len().max(1) as u64) as usize;
        all.get(at).copied().cloned()
    }

    pub fn leader(&self, topic: &str, index: i32) -> Option<BrokerId> {
        let is_it = |p: &&PartitionMetadata| p.tp.topic == topic && p.tp.partition == index;
        let found = self.metadata.partitions.iter().find(is_it)?;
        Some(found.leader).filter(|leader| *leader >= 0)
    }
}

/// Sends a question on a connection of its own.
pub fn call(broker: BrokerId, request: Request, ctx: &mut Context<'_>) -> CallId {
    let id = ctx.fresh();
    ctx.send(Node::Broker(broker), Flow::Client(id), Packet::Call { id, request });
    ctx.wake_in(CALL_TIMEOUT_MS, Timer::Unanswered(id));
    id
}

/// A partition of one life of a topic.
pub type Place = (TopicPartition, Uuid);

/// What tells one life of a topic from another. A topic that stays has one life, whatever id its
/// znode has at the moment.
pub fn life_of(topic: &str, id: Uuid) -> Uuid {
    if topic == VOLATILE { id } else { Uuid::ZERO }
}

pub type Places<T> = BTreeMap<Place, T>;
