//! What goes wrong in a run, and when: drawn from the run's seed. Knows nothing of what must hold.

use protocol::ids::BrokerId;
use storage::disk::Crash;

use crate::admin::{LASTING, PARTITIONS, VOLATILE};
use crate::checker::Checker;
use crate::client::{ADMIN, Client};
use crate::message::Node;
use crate::topics::{self, Rewritten};
use crate::world::{BROKERS, World};

/// Most faults at once.
const OPEN_MAX: usize = 3;
const RETRY_MS: u64 = 500;
/// How long a machine that lost its power may take to be in sync again, once it is back.
const GENTLE_MS: u64 = 8_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undo {
    Start(BrokerId),
    Resume(BrokerId),
    Mend,
    Quorum,
    CreateVolatile,
    MendId(Rewritten),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Kill,
    PowerLoss,
    Stop,
    Pause,
    Isolate,
    CutPair,
    CutOneWay,
    CutFromZooKeeper,
    Expire,
    LoseQuorum,
    ElectPreferred,
    DeleteTopic,
    Reassign,
    Depose,
    RewriteTopic,
}

#[derive(Debug)]
pub struct Nemesis {
    until_us: u64,
    open: Vec<(u64, Undo)>,
    /// Whether power was lost already: it is lost once in a run, and on one machine.
    power_lost: bool,
    /// Until then only what breaks nothing.
    gentle_until_us: u64,
    pub calm: bool,
}

impl Nemesis {
    pub fn new(duration_ms: u64) -> Nemesis {
        let until_us = 1_000_000_000 + duration_ms * 1000;
        Nemesis { until_us, open: Vec::new(), power_lost: false, gentle_until_us: 0, calm: false }
    }

    /// Does what is due and perhaps something new. When to be called again; `None`: never.
    pub fn act(world: &mut World) -> Option<u64> {
        let over = world.now_us >= world.nemesis.until_us;
        let now_us = world.now_us;
        let due: Vec<Undo> = world
            .nemesis
            .open
            .extract_if(.., |(at_us, _)| over || *at_us <= now_us)
            .map(|(_, undo)| undo)
            .collect();
        if over {
            world.network.mend_all();
        }
        for undo in due {
            undo_fault(world, undo);
        }
        if over && !world.nemesis.open.is_empty() {
            return Some(RETRY_MS * 1000);
        }
        if over {
            for number in world.clients.keys().copied().collect::<Vec<_>>() {
                world.tell_client(number, |client, _| client.quieten());
            }
            world.nemesis.calm = true;
            world.trace.note(now_us, "calm");
            return None;
        }
        if world.nemesis.open.len() < OPEN_MAX && world.random.one_in(2) {
            let fault = draw(world);
            begin(world, fault);
        }
        Some(world.random.between(200, 1_500) * 1000)
    }

    fn later(&mut self, now_us: u64, in_ms: u64, undo: Undo) {
        self.open.push((now_us + in_ms * 1000, undo));
    }
}

fn draw(world: &mut World) -> Fault {
    use Fault::*;
    let all = [
        Kill,
        Kill,
        Stop,
        Pause,
        Pause,
        Isolate,
        CutPair,
        CutOneWay,
        CutOneWay,
        CutFromZooKeeper,
        Expire,
        LoseQuorum,
        ElectPreferred,
        DeleteTopic,
        Reassign,
        PowerLoss,
        Depose,
        RewriteTopic,
        RewriteTopic,
    ];
    let gentle = [ElectPreferred, DeleteTopic, Reassign];
    let from = if world.now_us < world.nemesis.gentle_until_us { &gentle[..] } else { &all };
    world.random.pick(from).expect("there are faults")
}

/// Records are acknowledged before they are on any disk, so acks=all outlives a power loss only
/// where others have them: in a whole ISR with nothing else going wrong, or where the ISR had
/// shrunk to that one machine, which syncs its log before.
fn may_lose_power(world: &World, id: BrokerId) -> bool {
    !world.nemesis.power_lost && world.nemesis.open.is_empty() && Checker::stands_alone(world, id)
}

fn begin(world: &mut World, fault: Fault) {
    let id = world.random.pick(&BROKERS).expect("there are brokers");
    let now_us = world.now_us;
    let duration_ms = world.random.between(300, 9_000);
    let machine = &world.machines[&id];
    let runs = machine.broker.is_some() && !machine.paused;
    let stopping = machine.broker.as_ref().is_some_and(|b| b.stopping.is_some());
    world.trace.note(now_us, &format!("{fault:?} {id} {duration_ms} ms"));
    match fault {
        Fault::Kill if runs => {
            world.kill(id, Crash::Kill);
            world.nemesis.later(now_us, duration_ms, Undo::Start(id));
        }
        Fault::PowerLoss if runs && may_lose_power(world, id) => {
            world.nemesis.power_lost = true;
            let seed = world.random.draw();
            world.kill(id, Crash::PowerLoss { seed });
            world.nemesis.later(now_us, duration_ms, Undo::Start(id));
            world.nemesis.gentle_until_us = now_us + (duration_ms + GENTLE_MS) * 1000;
        }
        Fault::Stop if runs && !stopping => {
            world.stop(id);
            world.nemesis.later(now_us, 4_000 + duration_ms, Undo::Start(id));
        }
        Fault::Pause if runs => {
            world.pause(id);
            world.nemesis.later(now_us, duration_ms, Undo::Resume(id));
        }
        Fault::Isolate | Fault::CutPair | Fault::CutOneWay | Fault::CutFromZooKeeper => {
            cut(world, fault, id);
            world.nemesis.later(now_us, duration_ms, Undo::Mend);
        }
        Fault::Expire => {
            let session = machine.broker.as_ref().map_or(0, |b| b.zookeeper.session_id());
            world.zookeeper.expire(session);
            world.zookeeper_outputs();
        }
        Fault::LoseQuorum if !world.zookeeper.is_away() => {
            world.zookeeper.lose_quorum();
            world.zookeeper_outputs();
            world.nemesis.later(now_us, duration_ms, Undo::Quorum);
        }
        Fault::ElectPreferred => admin(world, |admin, ctx| admin.elect_preferred(ctx)),
        Fault::DeleteTopic => {
            admin(world, |admin, ctx| admin.delete_topic(VOLATILE, ctx));
            world.nemesis.later(now_us, duration_ms, Undo::CreateVolatile);
        }
        Fault::Depose => admin(world, |admin, ctx| admin.depose(ctx)),
        Fault::Reassign => {
            let index = world.random.below(PARTITIONS as u64) as i32;
            let mut to = BROKERS.to_vec();
            to.rotate_left(world.random.below(3) as usize);
            admin(world, |admin, ctx| admin.reassign(index, to, ctx));
        }
        Fault::RewriteTopic => rewrite_topic(world, duration_ms),
        _ => {}
    }
}

/// A tool of a release before 2.8 changes a topic: its znode loses the topic's id, and the next
/// controller, at once or not, draws another. An operator mends it later. A replica that was never
/// made cannot be told from another topic's then, so all have been.
fn rewrite_topic(world: &mut World, duration_ms: u64) {
    let name = if world.random.one_in(3) { VOLATILE } else { LASTING };
    let is_open = |(_, undo): &(u64, Undo)| matches!(undo, Undo::MendId(open) if open.name == name);
    let open = world.nemesis.open.iter().any(is_open);
    if open || !Checker::is_hosted_everywhere(world, name) {
        return;
    }
    let Some((rewritten, op)) = topics::without_id(world.zookeeper.tree(), name) else { return };
    admin(world, |admin, ctx| admin.submit(vec![op], ctx));
    if world.random.one_in(2) {
        admin(world, |admin, ctx| admin.depose(ctx));
    }
    world.nemesis.later(world.now_us, 2_000 + duration_ms, Undo::MendId(rewritten));
}

/// Cuts ways of the network at one broker.
fn cut(world: &mut World, fault: Fault, id: BrokerId) {
    let other = BROKERS[(id as usize) % BROKERS.len()];
    let (node, peer) = (Node::Broker(id), Node::Broker(other));
    match fault {
        Fault::Isolate => {
            for to in BROKERS.iter().filter(|to| **to != id).map(|to| Node::Broker(*to)) {
                world.network.cut_both(node, to);
            }
            if world.random.one_in(2) {
                world.network.cut_both(node, Node::ZooKeeper);
            }
        }
        Fault::CutPair => {
            world.network.cut_both(node, peer);
        }
        Fault::CutOneWay => match world.random.below(3) {
            0 => world.network.cut(node, peer),
            1 => world.network.cut(node, Node::ZooKeeper),
            _ => world.network.cut(Node::ZooKeeper, node),
        },
        Fault::CutFromZooKeeper => {
            world.network.cut_both(node, Node::ZooKeeper);
        }
        _ => unreachable!("cuts nothing: {fault:?}"),
    }
}

fn admin(
    world: &mut World,
    tell: impl FnOnce(&mut crate::admin::Admin, &mut crate::context::Context<'_>),
) {
    world.tell_client(ADMIN, |client, ctx| {
        if let Client::Admin(admin) = client {
            tell(admin, ctx);
        }
    });
}

fn undo_fault(world: &mut World, undo: Undo) {
    match undo {
        Undo::Start(id) if world.machines[&id].broker.is_none() => world.start(id),
        // A clean stop that takes long is ended by force, as service managers do.
        Undo::Start(id) => {
            let broker = world.machines[&id].broker.as_ref();
            if broker.is_some_and(|broker| broker.stopping.is_some()) {
                world.kill(id, Crash::Kill);
                world.start(id);
            }
        }
        Undo::Resume(id) => world.resume(id),
        Undo::Mend => world.network.mend_all(),
        Undo::Quorum => {
            world.zookeeper.regain_quorum(world.now_us / 1000);
            world.zookeeper_outputs();
        }
        Undo::CreateVolatile => {
            admin(world, |admin, ctx| admin.create_topic(VOLATILE, PARTITIONS, ctx))
        }
        Undo::MendId(rewritten) => {
            let (tree, topics) = (world.zookeeper.tree(), &world.checker.topics);
            if let Some(ops) = topics::mend(tree, topics, rewritten) {
                admin(world, |admin, ctx| admin.submit(ops, ctx));
                world.nemesis.later(world.now_us, RETRY_MS, undo);
            }
        }
    }
    world.trace.note(world.now_us, &format!("{undo:?}"));
}
