//! What happened in a run, folded into one number that two runs of a seed must share; and, if asked
//! for, as lines to read.

use crate::context::Timer;
use crate::message::{Node, Packet, Request, Response};

#[derive(Debug)]
pub struct Trace {
    hash: u64,
    pub lines: Option<Vec<String>>,
}

impl Default for Trace {
    fn default() -> Trace {
        let wanted = std::env::var_os("OTTLA_SIM_TRACE").is_some();
        Trace { hash: 0xcbf2_9ce4_8422_2325, lines: wanted.then(Vec::new) }
    }
}

impl Trace {
    pub fn hash(&self) -> u64 {
        self.hash
    }

    pub fn fold(&mut self, number: u64) {
        // FNV-1a, eight bytes at a time.
        self.hash = (self.hash ^ number).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
    }

    pub fn fold_text(&mut self, text: &str) {
        for chunk in text.as_bytes().chunks(8) {
            let mut bytes = [0; 8];
            bytes[..chunk.len()].copy_from_slice(chunk);
            self.fold(u64::from_le_bytes(bytes));
        }
    }

    pub fn note(&mut self, now_us: u64, text: &str) {
        self.fold(now_us);
        self.fold_text(text);
        self.line(now_us, || text.to_owned());
    }

    pub fn line(&mut self, now_us: u64, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>11.6} {}", now_us as f64 / 1e6 - 1000.0, text()));
        }
    }

    pub fn timer(&mut self, now_us: u64, node: Node, timer: Timer) {
        self.fold(now_us);
        self.fold(number(node));
        let loud = !matches!(timer, Timer::Session | Timer::Waiters | Timer::Client);
        if loud && self.lines.is_some() && !matches!(timer, Timer::Unanswered(_)) {
            self.line(now_us, || format!("{node:?} {timer:?}"));
        }
    }

    pub fn packet(&mut self, now_us: u64, from: Node, to: Node, packet: &Packet) {
        self.fold(now_us);
        self.fold(number(from) << 16 | number(to));
        self.fold(match packet {
            Packet::ZooKeeperBytes { bytes, .. } => bytes.len() as u64,
            Packet::Call { id, .. } | Packet::Answer { id, .. } | Packet::Refused { id } => *id,
            _ => 0,
        });
        if self.lines.is_some() {
            let quiet = matches!(
                packet,
                Packet::ZooKeeperBytes { .. }
                    | Packet::Call { request: Request::Metadata | Request::Consume { .. }, .. }
                    | Packet::Answer {
                        response: Response::Metadata(_) | Response::Consumed(Ok(_)),
                        ..
                    }
            );
            if !quiet {
                self.line(now_us, || format!("{from:?} > {to:?} {packet:?}"));
            }
        }
    }
}

fn number(node: Node) -> u64 {
    match node {
        Node::Broker(id) => id as u64,
        Node::ZooKeeper => 100,
        Node::Client(number) => 200 + u64::from(number),
    }
}
