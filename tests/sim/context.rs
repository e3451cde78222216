//! What a node may do while it handles something: look at the time, send, set timers, draw
//! numbers. It takes effect when the node is done.

use crate::checker::Fact;
use crate::message::{CallId, Flow, Node, Packet};
use crate::random::Random;

/// Why a node wanted to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The ZooKeeper session's own.
    Session,
    /// The controller's clock.
    Controller,
    /// Registering is tried again.
    Register,
    /// ISR shrinking, checkpoints, removals.
    Upkeep,
    /// A long poll may be over.
    Waiters,
    /// The channel to this broker may go on.
    Link(i32),
    /// Fetching from this broker may go on.
    Fetcher(i32),
    /// A question was not answered.
    Unanswered(CallId),
    /// The controller may be asked for other ISRs again.
    IsrChanges,
    /// The controller is asked again for leave to stop.
    Shutdown,
    /// Transactions' shards, markers and questions may go on.
    Coordinator,
    /// What a client does next.
    Client,
}

#[derive(Debug)]
pub enum Deed {
    Send { to: Node, flow: Flow, packet: Packet },
    Wake { at_us: u64, timer: Timer },
}

pub struct Context<'a> {
    pub now_us: u64,
    pub random: &'a mut Random,
    pub next: &'a mut u64,
    pub deeds: Vec<Deed>,
    /// What a client saw, for the checker.
    pub learned: Vec<Fact>,
}

impl Context<'_> {
    pub fn now_ms(&self) -> i64 {
        (self.now_us / 1000) as i64
    }

    /// A number that nothing else has in this run.
    pub fn fresh(&mut self) -> u64 {
        *self.next += 1;
        *self.next
    }

    pub fn send(&mut self, to: Node, flow: Flow, packet: Packet) {
        self.deeds.push(Deed::Send { to, flow, packet });
    }

    pub fn wake_at(&mut self, at_ms: u64, timer: Timer) {
        self.deeds.push(Deed::Wake { at_us: (at_ms * 1000).max(self.now_us), timer });
    }

    pub fn wake_in(&mut self, in_ms: u64, timer: Timer) {
        self.deeds.push(Deed::Wake { at_us: self.now_us + in_ms * 1000, timer });
    }
}
