//! The ZooKeeper ensemble on the simulated network. Knows nothing of brokers.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tests::simulated::zookeeper::{ConnectionId, Output, Settings, ZooKeeper};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::checker::Checker;
use crate::network::{Network, Node, Side};

pub const PORT: u16 = 2181;
const TICK: Duration = Duration::from_millis(100);
/// Its clock when the run begins.
const EPOCH_MS: u64 = 1_000_000;

/// The ensemble; clones share it.
#[derive(Clone)]
pub struct Ensemble {
    state: Arc<Mutex<State>>,
}

struct State {
    server: ZooKeeper,
    checker: Arc<Mutex<Checker>>,
    /// What each connection is still to send; dropped when it is to be closed.
    writers: BTreeMap<ConnectionId, mpsc::UnboundedSender<Bytes>>,
    next: ConnectionId,
    start: Instant,
}

impl State {
    fn now_ms(&self) -> u64 {
        EPOCH_MS + self.start.elapsed().as_millis() as u64
    }

    fn perform(&mut self) {
        for output in self.server.take_outputs() {
            match output {
                Output::Send(id, bytes) => {
                    if let Some(writer) = self.writers.get(&id) {
                        // A connection that broke is told to the server by its reader.
                        let _ = writer.send(bytes);
                    }
                }
                Output::Close(id) => drop(self.writers.remove(&id)),
            }
        }
        self.checker.lock().look_at_tree(self.server.tree());
    }
}

impl Ensemble {
    /// Serves for as long as the runtime lives.
    pub fn start(network: &Network, checker: Arc<Mutex<Checker>>) -> Ensemble {
        let settings = Settings {
            tick_ms: 500,
            session_timeout_ms_min: 1_000,
            session_timeout_ms_max: 60_000,
        };
        let state = State {
            server: ZooKeeper::new(settings),
            checker,
            writers: BTreeMap::new(),
            next: 1,
            start: Instant::now(),
        };
        let ensemble = Ensemble { state: Arc::new(Mutex::new(state)) };
        let listening = network.at(Node::ZooKeeper).listen(PORT).expect("nobody else is there");
        let ticking = ensemble.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(TICK).await;
                ticking.act(|server, now_ms| server.tick(now_ms));
            }
        });
        let serving = ensemble.clone();
        tokio::spawn(async move {
            loop {
                let (side, _) = poll_fn(|cx| listening.poll_side(cx)).await;
                tokio::spawn(serving.clone().serve(side));
            }
        });
        ensemble
    }

    /// Does something to the ensemble, and what follows from it.
    pub fn act<T>(&self, work: impl FnOnce(&mut ZooKeeper, u64) -> T) -> T {
        let mut state = self.state.lock();
        let now_ms = state.now_ms();
        let result = work(&mut state.server, now_ms);
        state.perform();
        result
    }

    pub fn look<T>(&self, work: impl FnOnce(&ZooKeeper) -> T) -> T {
        work(&self.state.lock().server)
    }

    async fn serve(self, side: Side) {
        let (mut reader, mut writer) = tokio::io::split(side);
        let (sender, mut queue) = mpsc::unbounded_channel::<Bytes>();
        let id = {
            let mut state = self.state.lock();
            let id = state.next;
            state.next += 1;
            state.writers.insert(id, sender);
            state.server.connected(id);
            state.perform();
            id
        };
        let sending = async {
            while let Some(bytes) = queue.recv().await {
                if writer.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        };
        let receiving = async {
            let mut input = BytesMut::new();
            while let Ok(1..) = reader.read_buf(&mut input).await {
                let bytes = input.split();
                self.act(|server, now_ms| server.received(id, &bytes, now_ms));
            }
        };
        tokio::select! {
            biased;
            () = sending => {}
            () = receiving => {}
        }
        let mut state = self.state.lock();
        state.writers.remove(&id);
        state.server.disconnected(id);
        state.perform();
    }
}
