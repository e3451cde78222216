//! A client's end of ZooKeeper: the real session core, its connection simulated. Knows nothing of
//! what is stored.

use std::collections::BTreeMap;

use bytes::Bytes;
use metadata::store::{Op, Reply, StoreError, StoreEvent};
use metadata::zookeeper::session::{Effect, Event, RequestId, Session, Settings};

use crate::context::{Context, Timer};
use crate::message::{Flow, Node, Packet};

/// `zookeeper.session.timeout.ms` here.
pub const SESSION_TIMEOUT_MS: u32 = 4_000;

/// Whose operations they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Controller,
    Registration,
    Admin,
}

#[derive(Debug)]
struct Batch {
    owner: Owner,
    results: Vec<Option<Result<Reply, StoreError>>>,
}

/// What came of an input.
#[derive(Debug)]
pub enum Happened {
    Event(StoreEvent),
    Results(Owner, Vec<Result<Reply, StoreError>>),
}

pub struct ZooKeeperClient {
    session: Session,
    connection: Option<u64>,
    batches: BTreeMap<u64, Batch>,
    next_batch: u64,
}

impl ZooKeeperClient {
    pub fn new(seed: u64) -> ZooKeeperClient {
        let session = Session::new(Settings {
            servers: 1,
            chroot: "/".to_owned(),
            timeout_ms: SESSION_TIMEOUT_MS,
            in_flight_max: 10,
            packet_bytes_max: 4 << 20,
            seed,
        });
        ZooKeeperClient { session, connection: None, batches: BTreeMap::new(), next_batch: 0 }
    }

    /// 0 while there is none.
    pub fn session_id(&self) -> i64 {
        self.session.lease().map_or(0, |lease| lease.session_id)
    }

    pub fn submit(
        &mut self,
        owner: Owner,
        session: i64,
        ops: Vec<Op>,
        ctx: &mut Context<'_>,
    ) -> Vec<Happened> {
        let batch = self.next_batch;
        self.next_batch += 1;
        self.batches.insert(batch, Batch { owner, results: vec![None; ops.len()] });
        let mut happened = Vec::new();
        for (index, op) in ops.into_iter().enumerate() {
            let id = RequestId { batch, index };
            let submit = Event::Submit { id, session: Some(session), op };
            happened.append(&mut self.step(submit, ctx));
        }
        happened
    }

    pub fn tick(&mut self, ctx: &mut Context<'_>) -> Vec<Happened> {
        self.step(Event::Tick, ctx)
    }

    /// Ends the session, as a clean stop does.
    pub fn close(&mut self, ctx: &mut Context<'_>) -> Vec<Happened> {
        self.step(Event::Close, ctx)
    }

    pub fn packet(&mut self, packet: Packet, ctx: &mut Context<'_>) -> Vec<Happened> {
        let here = |connection| self.connection == Some(connection);
        match packet {
            Packet::ZooKeeperConnected { connection } if here(connection) => {
                self.step(Event::Connected, ctx)
            }
            Packet::ZooKeeperBytes { connection, bytes } if here(connection) => {
                self.step(Event::Received(bytes), ctx)
            }
            Packet::ZooKeeperClosed { connection } if here(connection) => {
                self.connection = None;
                self.step(Event::Disconnected, ctx)
            }
            _ => Vec::new(),
        }
    }

    fn step(&mut self, event: Event, ctx: &mut Context<'_>) -> Vec<Happened> {
        let mut happened = Vec::new();
        for effect in self.session.step(event, ctx.now_ms() as u64) {
            match effect {
                Effect::Connect { .. } => {
                    let connection = ctx.fresh();
                    self.connection = Some(connection);
                    self.send(Packet::ZooKeeperConnect { connection }, connection, ctx);
                }
                Effect::Disconnect => {
                    if let Some(connection) = self.connection.take() {
                        self.send(Packet::ZooKeeperClosed { connection }, connection, ctx);
                    }
                }
                Effect::Send(bytes) => self.send_bytes(bytes, ctx),
                Effect::Answer { id, result } => happened.extend(self.answer(id, result)),
                Effect::Publish(event) => happened.push(Happened::Event(event)),
                Effect::Ended => {}
            }
        }
        if let Some(at_ms) = self.session.next_tick_ms() {
            ctx.wake_at(at_ms, Timer::Session);
        }
        happened
    }

    fn send_bytes(&mut self, bytes: Bytes, ctx: &mut Context<'_>) {
        if let Some(connection) = self.connection {
            self.send(Packet::ZooKeeperBytes { connection, bytes }, connection, ctx);
        }
    }

    fn send(&self, packet: Packet, connection: u64, ctx: &mut Context<'_>) {
        ctx.send(Node::ZooKeeper, Flow::ZooKeeper(connection), packet);
    }

    fn answer(&mut self, id: RequestId, result: Result<Reply, StoreError>) -> Option<Happened> {
        let batch = self.batches.get_mut(&id.batch)?;
        batch.results[id.index] = Some(result);
        if batch.results.iter().any(Option::is_none) {
            return None;
        }
        let batch = self.batches.remove(&id.batch)?;
        let results = batch.results.into_iter().flatten().collect();
        Some(Happened::Results(batch.owner, results))
    }
}
