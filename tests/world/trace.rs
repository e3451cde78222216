//! What happened in a run: a number that two runs of a seed must share, and lines to read if it is
//! asked for. Knows nothing of what is right.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::network::Node;

/// The record of a run; clones share it.
#[derive(Clone)]
pub struct Trace {
    state: Arc<Mutex<State>>,
}

struct State {
    start: Instant,
    hash: u64,
    events: u64,
    prints: bool,
}

impl Trace {
    /// Begins now, on the runtime's clock.
    pub fn new() -> Trace {
        let state = State {
            start: Instant::now(),
            hash: 0xcbf2_9ce4_8422_2325,
            events: 0,
            prints: std::env::var_os("OTTLA_SIM_TRACE").is_some(),
        };
        Trace { state: Arc::new(Mutex::new(state)) }
    }

    /// Time since the run began.
    pub fn elapsed(&self) -> Duration {
        self.state.lock().start.elapsed()
    }

    pub fn fold(&self, number: u64) {
        self.state.lock().fold(number);
    }

    pub fn bytes(&self, from: Node, to: Node, bytes: &[u8]) {
        let mut state = self.state.lock();
        let now = state.start.elapsed().as_micros() as u64;
        state.events += 1;
        state.fold(now ^ (bytes.len() as u64) << 40);
        state.fold_bytes(bytes);
        if state.prints {
            let head: String = bytes.iter().take(160).map(|byte| format!("{byte:02x}")).collect();
            println!("{now:>10} {from:?} > {to:?} {} {head}", bytes.len());
        }
    }

    pub fn note(&self, line: impl FnOnce() -> String) {
        let state = self.state.lock();
        let now = state.start.elapsed().as_micros() as u64;
        if state.prints {
            println!("{now:>10} {}", line());
        }
    }

    pub fn hash(&self) -> u64 {
        self.state.lock().hash
    }

    pub fn events(&self) -> u64 {
        self.state.lock().events
    }
}

impl State {
    /// FNV-1a, eight bytes at a time.
    fn fold(&mut self, number: u64) {
        self.hash = (self.hash ^ number).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
    }

    fn fold_bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.fold(u64::from_le_bytes(word));
        }
    }
}
