//! The simulated network: every connection keeps its order, connections overtake each other, and
//! each direction between two nodes can be cut. Knows nothing of what is sent.

use std::collections::{BTreeMap, BTreeSet};

use crate::message::{Flow, Node};
use crate::random::Random;

type Way = (Node, Node);

#[derive(Debug, Default)]
pub struct Network {
    cut: BTreeSet<Way>,
    /// When the last of each connection arrives.
    last_us: BTreeMap<(Node, Node, Flow), u64>,
    /// Connections that lost something: what follows on them is lost too.
    broken: BTreeSet<(Node, Node, Flow)>,
}

impl Network {
    /// When it arrives; `None`: never.
    pub fn send(
        &mut self,
        from: Node,
        to: Node,
        flow: Flow,
        now_us: u64,
        random: &mut Random,
    ) -> Option<u64> {
        let way = (from, to, flow);
        if self.is_cut(from, to) {
            self.broken.insert(way);
        }
        if self.broken.contains(&way) {
            return None;
        }
        let delay_us = match random.below(1000) {
            // A lost packet that TCP sends again, and once in a while a long stall.
            0 => random.between(300_000, 2_500_000),
            1..=20 => random.between(20_000, 300_000),
            _ => random.between(100, 2_500),
        };
        let last_us = self.last_us.entry(way).or_default();
        *last_us = (*last_us + 1).max(now_us + delay_us);
        Some(*last_us)
    }

    pub fn is_cut(&self, from: Node, to: Node) -> bool {
        from != to && self.cut.contains(&(from, to))
    }

    pub fn cut(&mut self, from: Node, to: Node) {
        self.cut.insert((from, to));
    }

    pub fn cut_both(&mut self, one: Node, other: Node) {
        self.cut(one, other);
        self.cut(other, one);
    }

    pub fn mend_all(&mut self) {
        self.cut.clear();
    }

    /// Connections to and from a process that went.
    pub fn forget(&mut self, node: Node) {
        self.last_us.retain(|(from, to, _), _| *from != node && *to != node);
        self.broken.retain(|(from, to, _)| *from != node && *to != node);
    }
}
