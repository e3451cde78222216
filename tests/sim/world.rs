//! The world of one run: time, what is to happen when, machines that run and stop, and the one loop
//! that lets it happen. Everything follows from the seed. Knows nothing of what is right.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::ids::BrokerId;
use storage::LogConfig;
use storage::disk::{Crash, MemoryDisk};
use tests::simulated::zookeeper::{Output, Settings, ZooKeeper};

use crate::broker::{Broker, Common};
use crate::checker::Checker;
use crate::client::Client;
use crate::context::{Context, Deed, Timer};
use crate::message::{CallId, Flow, Node, Packet};
use crate::nemesis::Nemesis;
use crate::network::Network;
use crate::random::Random;
use crate::trace::Trace;
use crate::transactions;

const ZOOKEEPER_TICK_MS: u64 = 100;
pub const BROKERS: [BrokerId; 3] = [1, 2, 3];

/// A computer with a disk, and perhaps a broker that runs on it.
pub struct Machine {
    pub disk: MemoryDisk,
    pub broker: Option<Box<Broker>>,
    /// Stopped in its tracks (SIGSTOP).
    pub paused: bool,
    held: Vec<Scheduled>,
    /// Lives so far: what was meant for an earlier one does not arrive.
    pub life: u64,
    /// The last life ended with the power.
    pub lost_power: bool,
}

#[derive(Debug)]
enum Scheduled {
    Packet { from: Node, to: Node, to_life: u64, flow: Flow, packet: Packet },
    Timer { node: Node, life: u64, timer: Timer },
    ZooKeeper,
    Nemesis,
}

struct OpenCall {
    from: Node,
    to: Node,
    flow: Flow,
}

pub struct World {
    pub now_us: u64,
    order: u64,
    queue: BTreeMap<(u64, u64), Scheduled>,
    timers: BTreeMap<(Node, u64, Timer), u64>,
    pub random: Random,
    next: u64,
    pub network: Network,
    pub zookeeper: ZooKeeper,
    connections: BTreeMap<u64, (Node, Flow)>,
    calls: BTreeMap<CallId, OpenCall>,
    pub machines: BTreeMap<BrokerId, Machine>,
    pub clients: BTreeMap<u32, Client>,
    pub checker: Checker,
    pub nemesis: Nemesis,
    pub trace: Trace,
    common: Common,
    pub steps: u64,
}

fn common() -> Common {
    let log = LogConfig {
        min_insync_replicas: 2,
        segment_bytes: 16 * 1024,
        file_delete_delay_ms: 2_000,
        ..LogConfig::default()
    };
    Common { log: Arc::new(log), max_lag_ms: 3_000 }
}

impl World {
    pub fn new(seed: u64, nemesis: Nemesis) -> World {
        let settings = Settings {
            tick_ms: 500,
            session_timeout_ms_min: 1_000,
            session_timeout_ms_max: 60_000,
        };
        let mut world = World {
            now_us: 1_000_000_000,
            order: 0,
            queue: BTreeMap::new(),
            timers: BTreeMap::new(),
            random: Random::new(seed),
            next: 0,
            network: Network::default(),
            zookeeper: ZooKeeper::new(settings),
            connections: BTreeMap::new(),
            calls: BTreeMap::new(),
            machines: BTreeMap::new(),
            clients: BTreeMap::new(),
            checker: Checker::default(),
            nemesis,
            trace: Trace::default(),
            common: common(),
            steps: 0,
        };
        world.schedule(world.now_us, Scheduled::ZooKeeper);
        for id in BROKERS {
            let machine = Machine {
                disk: MemoryDisk::new(true),
                broker: None,
                paused: false,
                held: Vec::new(),
                life: 0,
                lost_power: false,
            };
            world.machines.insert(id, machine);
        }
        for (number, client) in Client::all(transactions::are_in(seed)) {
            world.clients.insert(number, client);
            world.act(Node::Client(number), |node, ctx| node.timer(Timer::Client, ctx));
        }
        BROKERS.into_iter().for_each(|id| world.start(id));
        world.schedule(world.now_us + 3_000_000, Scheduled::Nemesis);
        world
    }

    fn schedule(&mut self, at_us: u64, what: Scheduled) {
        self.order += 1;
        self.queue.insert((at_us, self.order), what);
    }

    /// The next thing that happens.
    pub fn step(&mut self) {
        let ((at_us, _), what) = self.queue.pop_first().expect("ZooKeeper's clock never ends");
        self.now_us = self.now_us.max(at_us);
        self.steps += 1;
        match what {
            Scheduled::ZooKeeper => {
                self.zookeeper.tick(self.now_us / 1000);
                self.zookeeper_outputs();
                self.schedule(self.now_us + ZOOKEEPER_TICK_MS * 1000, Scheduled::ZooKeeper);
            }
            Scheduled::Nemesis => self.nemesis_acts(),
            what => self.deliver(what, at_us),
        }
    }

    fn nemesis_acts(&mut self) {
        if let Some(again_us) = Nemesis::act(self) {
            self.schedule(self.now_us + again_us, Scheduled::Nemesis);
        }
    }

    fn deliver(&mut self, what: Scheduled, at_us: u64) {
        let (node, life) = match &what {
            Scheduled::Packet { to, to_life, .. } => (*to, *to_life),
            Scheduled::Timer { node, life, .. } => (*node, *life),
            Scheduled::ZooKeeper | Scheduled::Nemesis => unreachable!("handled by step"),
        };
        if let Node::Broker(id) = node {
            let machine = self.machines.get_mut(&id).expect("brokers have machines");
            if machine.broker.is_none() || machine.life != life {
                return self.nobody_there(what);
            }
            if machine.paused {
                return machine.held.push(what);
            }
        }
        match what {
            Scheduled::Timer { node, life, timer } => {
                // Only the earliest of several wishes counts.
                if self.timers.get(&(node, life, timer)) != Some(&at_us) {
                    return;
                }
                self.timers.remove(&(node, life, timer));
                self.trace.timer(self.now_us, node, timer);
                self.act(node, |node, ctx| node.timer(timer, ctx));
            }
            Scheduled::Packet { from, to, flow, packet, .. } => {
                self.trace.packet(self.now_us, from, to, &packet);
                if let Packet::Answer { id, .. } | Packet::Refused { id } = &packet {
                    self.calls.remove(id);
                }
                match to {
                    Node::ZooKeeper => self.reach_zookeeper(from, flow, packet),
                    to => self.act(to, |node, ctx| node.packet(from, flow, packet, ctx)),
                }
            }
            Scheduled::ZooKeeper | Scheduled::Nemesis => unreachable!("handled by step"),
        }
    }

    /// The process that was meant is gone: its machine says so.
    fn nobody_there(&mut self, what: Scheduled) {
        if let Scheduled::Packet { from, to, flow, packet: Packet::Call { id, .. }, .. } = what {
            self.transmit(to, from, flow, Packet::Refused { id });
        }
    }

    fn reach_zookeeper(&mut self, from: Node, flow: Flow, packet: Packet) {
        match packet {
            Packet::ZooKeeperConnect { connection } => {
                if self.zookeeper.is_away() {
                    let closed = Packet::ZooKeeperClosed { connection };
                    return self.transmit(Node::ZooKeeper, from, flow, closed);
                }
                self.connections.insert(connection, (from, flow));
                self.zookeeper.connected(connection);
                let connected = Packet::ZooKeeperConnected { connection };
                self.transmit(Node::ZooKeeper, from, flow, connected);
            }
            Packet::ZooKeeperBytes { connection, bytes } => {
                self.zookeeper.received(connection, &bytes, self.now_us / 1000);
            }
            Packet::ZooKeeperClosed { connection } => {
                self.connections.remove(&connection);
                self.zookeeper.disconnected(connection);
            }
            other => panic!("ZooKeeper is no broker: {other:?}"),
        }
        self.zookeeper_outputs();
    }

    pub fn zookeeper_outputs(&mut self) {
        for output in self.zookeeper.take_outputs() {
            let (connection, packet) = match output {
                Output::Send(connection, bytes) => {
                    (connection, Packet::ZooKeeperBytes { connection, bytes })
                }
                Output::Close(connection) => (connection, Packet::ZooKeeperClosed { connection }),
            };
            let Some((to, flow)) = self.connections.get(&connection).copied() else { continue };
            if matches!(packet, Packet::ZooKeeperClosed { .. }) {
                self.connections.remove(&connection);
            }
            self.transmit(Node::ZooKeeper, to, flow, packet);
        }
        Checker::look_at_tree(self);
    }

    fn transmit(&mut self, from: Node, to: Node, flow: Flow, packet: Packet) {
        let arrives = self.network.send(from, to, flow, self.now_us, &mut self.random);
        let Some(at_us) = arrives else { return };
        if let Packet::Call { id, .. } = &packet {
            self.calls.insert(*id, OpenCall { from, to, flow });
        }
        let to_life = self.life_of(to);
        self.schedule(at_us, Scheduled::Packet { from, to, to_life, flow, packet });
    }

    fn life_of(&self, node: Node) -> u64 {
        match node {
            Node::Broker(id) => self.machines[&id].life,
            _ => 0,
        }
    }

    /// Lets a node do something, and then carries out what it wants.
    fn act(&mut self, node: Node, deed: impl FnOnce(&mut dyn Actor, &mut Context<'_>)) {
        let mut ctx = Context {
            now_us: self.now_us,
            random: &mut self.random,
            next: &mut self.next,
            deeds: Vec::new(),
            learned: Vec::new(),
        };
        match node {
            Node::Broker(id) => {
                let machine = self.machines.get_mut(&id).expect("brokers have machines");
                let broker = machine.broker.as_mut().expect("it runs");
                deed(&mut **broker, &mut ctx);
            }
            Node::Client(number) => {
                deed(self.clients.get_mut(&number).expect("clients stay"), &mut ctx);
            }
            Node::ZooKeeper => unreachable!("ZooKeeper is not an actor"),
        }
        let (deeds, learned) = (ctx.deeds, ctx.learned);
        for deed in deeds {
            match deed {
                Deed::Send { to, flow, packet } => self.transmit(node, to, flow, packet),
                Deed::Wake { at_us, timer } => self.wake(node, at_us, timer),
            }
        }
        for fact in learned {
            self.checker.learn(self.now_us, fact);
        }
        if let Node::Broker(id) = node {
            Checker::look_at_broker(self, id);
            self.end_if_stopped(id);
        }
    }

    fn wake(&mut self, node: Node, at_us: u64, timer: Timer) {
        let life = self.life_of(node);
        let known = self.timers.get(&(node, life, timer));
        if known.is_none_or(|known| *known > at_us) {
            self.timers.insert((node, life, timer), at_us);
            self.schedule(at_us, Scheduled::Timer { node, life, timer });
        }
    }

    pub fn start(&mut self, id: BrokerId) {
        let machine = self.machines.get_mut(&id).expect("brokers have machines");
        machine.life += 1;
        let (disk, common) = (machine.disk.clone(), self.common.clone());
        let mut ctx = Context {
            now_us: self.now_us,
            random: &mut self.random,
            next: &mut self.next,
            deeds: Vec::new(),
            learned: Vec::new(),
        };
        let broker = Broker::start(id, &disk, &common, &mut ctx);
        let deeds = ctx.deeds;
        machine.broker = Some(Box::new(broker));
        self.checker.started(id);
        for deed in deeds {
            match deed {
                Deed::Send { to, flow, packet } => {
                    self.transmit(Node::Broker(id), to, flow, packet);
                }
                Deed::Wake { at_us, timer } => self.wake(Node::Broker(id), at_us, timer),
            }
        }
        Checker::look_at_broker(self, id);
    }

    /// The process goes; what it had open is closed by its machine.
    pub fn kill(&mut self, id: BrokerId, crash: Crash) {
        let machine = self.machines.get_mut(&id).expect("brokers have machines");
        let Some(broker) = machine.broker.take() else { return };
        machine.disk = machine.disk.after(crash);
        machine.lost_power = matches!(crash, Crash::PowerLoss { .. });
        machine.paused = false;
        let held = std::mem::take(&mut machine.held);
        drop(broker);
        let node = Node::Broker(id);
        self.timers.retain(|(of, _, _), _| *of != node);
        for what in held {
            self.nobody_there(what);
        }
        let open: Vec<u64> =
            self.connections.iter().filter(|(_, (n, _))| *n == node).map(|(c, _)| *c).collect();
        for connection in open {
            let flow = Flow::ZooKeeper(connection);
            let packet = Packet::ZooKeeperClosed { connection };
            self.transmit(node, Node::ZooKeeper, flow, packet);
        }
        let lost: Vec<CallId> =
            self.calls.iter().filter(|(_, call)| call.to == node).map(|(id, _)| *id).collect();
        for call_id in lost {
            let call = self.calls.remove(&call_id).expect("just listed");
            self.transmit(node, call.from, call.flow, Packet::Refused { id: call_id });
        }
        self.network.forget(node);
    }

    fn end_if_stopped(&mut self, id: BrokerId) {
        let broker = self.machines[&id].broker.as_ref();
        if broker.is_some_and(|b| b.stopping.as_ref().is_some_and(|s| s.done)) {
            self.kill(id, Crash::Kill);
        }
    }

    pub fn stop(&mut self, id: BrokerId) {
        if self.machines[&id].broker.is_some() && !self.machines[&id].paused {
            self.act(Node::Broker(id), |node, ctx| node.stop(ctx));
        }
    }

    pub fn pause(&mut self, id: BrokerId) {
        let machine = self.machines.get_mut(&id).expect("brokers have machines");
        machine.paused = machine.broker.is_some();
    }

    pub fn resume(&mut self, id: BrokerId) {
        let machine = self.machines.get_mut(&id).expect("brokers have machines");
        machine.paused = false;
        for what in std::mem::take(&mut machine.held) {
            if let Scheduled::Timer { node, life, timer } = &what {
                self.timers.insert((*node, *life, *timer), self.now_us);
            }
            self.schedule(self.now_us, what);
        }
    }

    /// Has a client do something now.
    pub fn tell_client(&mut self, number: u32, tell: impl FnOnce(&mut Client, &mut Context<'_>)) {
        self.act(Node::Client(number), |node, ctx| {
            tell(node.as_client().expect("a client's number"), ctx);
        });
    }
}

/// Whoever handles packets and timers.
pub trait Actor {
    fn packet(&mut self, from: Node, flow: Flow, packet: Packet, ctx: &mut Context<'_>);
    fn timer(&mut self, timer: Timer, ctx: &mut Context<'_>);
    fn stop(&mut self, _ctx: &mut Context<'_>) {}
    fn as_client(&mut self) -> Option<&mut Client> {
        None
    }
}

impl Actor for Broker {
    fn packet(&mut self, from: Node, flow: Flow, packet: Packet, ctx: &mut Context<'_>) {
        Broker::packet(self, from, flow, packet, ctx);
    }

    fn timer(&mut self, timer: Timer, ctx: &mut Context<'_>) {
        Broker::timer(self, timer, ctx);
    }

    fn stop(&mut self, ctx: &mut Context<'_>) {
        Broker::stop(self, ctx);
    }
}
