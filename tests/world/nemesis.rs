//! What goes wrong in a run, and when: drawn from the run's seed. Knows nothing of what must hold.

use std::time::Duration;

use protocol::ids::BrokerId;
use storage::disk::Crash;
use tokio::time::Instant;

use crate::network::Node;
use crate::place::{PARTITIONS, VOLATILE};
use crate::random::Random;
use crate::world::{BROKERS, World};

/// Most faults at once.
const OPEN_MAX: usize = 3;
const CLOCK_JUMP_MS_MAX: u64 = 30_000;
/// How long a computer that lost its power may take to be in sync again, once it is back.
const GENTLE: Duration = Duration::from_secs(8);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Undo {
    Start(BrokerId),
    Resume(BrokerId),
    Mend,
    Quorum,
    CreateVolatile,
    SetClock(BrokerId),
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
    ClockJump,
}

pub struct Nemesis {
    random: Random,
    open: Vec<(Instant, Undo)>,
    /// Whether power was lost already: it is lost once in a run, and on one computer.
    power_lost: bool,
    /// Until then only what breaks nothing.
    gentle_until: Instant,
}

impl Nemesis {
    pub fn new(seed: u64) -> Nemesis {
        Nemesis {
            random: Random::new(seed ^ 0x6e65_6d65),
            open: Vec::new(),
            power_lost: false,
            gentle_until: Instant::now(),
        }
    }

    /// Breaks things for so long, and then mends everything.
    pub async fn rage(&mut self, world: &mut World, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end && !world.is_wrong() {
            self.undo_due(world, Instant::now());
            if self.open.len() < OPEN_MAX && self.random.one_in(2) {
                let fault = self.draw();
                self.begin(world, fault);
            }
            let pause = Duration::from_millis(self.random.between(200, 1_500));
            tokio::time::sleep(pause).await;
        }
        self.undo_due(world, Instant::now() + Duration::from_secs(3600));
        world.network.mend_all();
    }

    fn draw(&mut self) -> Fault {
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
            ClockJump,
        ];
        let gentle = [ElectPreferred, DeleteTopic, Reassign];
        let is_gentle = Instant::now() < self.gentle_until;
        self.random.pick(if is_gentle { &gentle[..] } else { &all }).expect("there are faults")
    }

    fn later(&mut self, time: Duration, undo: Undo) {
        self.open.push((Instant::now() + time, undo));
    }

    fn begin(&mut self, world: &mut World, fault: Fault) {
        let id = self.random.pick(&BROKERS).expect("there are brokers");
        let time = Duration::from_millis(self.random.between(300, 9_000));
        let is_up = world.computer(id).is_up();
        world.trace.note(|| format!("nemesis: {fault:?} {id} {time:?}"));
        match fault {
            Fault::Kill if is_up => {
                world.kill(id, Crash::Kill);
                self.later(time, Undo::Start(id));
            }
            // Records are acknowledged before they are on any disk, so acks=all outlives a power
            // loss only where others have them: in a whole ISR with nothing else going wrong, or
            // where the ISR had shrunk to that one computer, which syncs its log before.
            Fault::PowerLoss
                if is_up && !self.power_lost && self.open.is_empty() && world.stands_alone(id) =>
            {
                self.power_lost = true;
                let seed = self.random.draw();
                world.kill(id, Crash::PowerLoss { seed });
                self.later(time, Undo::Start(id));
                self.gentle_until = Instant::now() + time + GENTLE;
            }
            Fault::Stop if is_up => {
                world.computer(id).stop();
                self.later(time + Duration::from_secs(4), Undo::Start(id));
            }
            Fault::Pause if is_up => {
                world.computer(id).pause();
                self.later(time, Undo::Resume(id));
            }
            Fault::Isolate | Fault::CutPair | Fault::CutOneWay | Fault::CutFromZooKeeper => {
                self.cut(world, fault, id);
                self.later(time, Undo::Mend);
            }
            Fault::Expire => world.expire(id),
            Fault::LoseQuorum if !world.ensemble.look(|server| server.is_away()) => {
                world.ensemble.act(|server, _| server.lose_quorum());
                self.later(time, Undo::Quorum);
            }
            Fault::ElectPreferred => world.operate(|operator| async move {
                operator.elect_preferred().await;
            }),
            Fault::DeleteTopic => {
                world.operate(|operator| async move { operator.delete_volatile().await });
                self.later(time, Undo::CreateVolatile);
            }
            Fault::Depose => world.operate(|operator| async move { operator.depose().await }),
            Fault::Reassign => {
                let index = self.random.below(PARTITIONS as u64) as i32;
                let mut to = BROKERS.to_vec();
                to.rotate_left(self.random.below(3) as usize);
                world.operate(move |operator| async move { operator.reassign(index, to).await });
            }
            Fault::ClockJump => {
                // Timeouts that go by the wall's clock, as Kafka's transactions do, wait so much
                // longer when it is set back.
                let ms = self.random.below(2 * CLOCK_JUMP_MS_MAX) as i64;
                world.computer(id).clocks.set_wall_ahead(ms - CLOCK_JUMP_MS_MAX as i64);
                self.later(time, Undo::SetClock(id));
            }
            _ => {}
        }
    }

    /// Cuts ways of the network at one broker.
    fn cut(&mut self, world: &World, fault: Fault, id: BrokerId) {
        let other = BROKERS[(id as usize) % BROKERS.len()];
        let (node, peer) = (Node::Broker(id), Node::Broker(other));
        let network = &world.network;
        match fault {
            Fault::Isolate => {
                for to in BROKERS.iter().filter(|to| **to != id).map(|to| Node::Broker(*to)) {
                    network.cut_both(node, to);
                }
                if self.random.one_in(2) {
                    network.cut_both(node, Node::ZooKeeper);
                }
            }
            Fault::CutPair => network.cut_both(node, peer),
            Fault::CutOneWay => match self.random.below(3) {
                0 => network.cut(node, peer),
                1 => network.cut(node, Node::ZooKeeper),
                _ => network.cut(Node::ZooKeeper, node),
            },
            Fault::CutFromZooKeeper => network.cut_both(node, Node::ZooKeeper),
            _ => unreachable!("cuts nothing: {fault:?}"),
        }
    }

    fn undo_due(&mut self, world: &mut World, now: Instant) {
        let due: Vec<Undo> =
            self.open.extract_if(.., |(at, _)| *at <= now).map(|(_, undo)| undo).collect();
        for undo in due {
            world.trace.note(|| format!("nemesis: {undo:?}"));
            match undo {
                Undo::Start(id) => {
                    // A clean stop that takes long is ended by force, as service managers do.
                    world.kill(id, Crash::Kill);
                    world.start(id);
                }
                Undo::Resume(id) => world.computer(id).resume(),
                Undo::Mend => world.network.mend_all(),
                Undo::Quorum => world.ensemble.act(|server, now_ms| server.regain_quorum(now_ms)),
                Undo::CreateVolatile => world.operate(|operator| async move {
                    // Only the run's end needs it.
                    drop(operator.create(VOLATILE).await);
                }),
                Undo::SetClock(id) => world.computer(id).clocks.set_wall_ahead(0),
            }
        }
    }
}
