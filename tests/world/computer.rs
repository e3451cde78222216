//! A computer with a disk, a clock and at most one broker process on it: the production server as
//! it is. Knows nothing of what the process is asked.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, Waker};

use broker::broker::Broker;
use broker::clock::{Clock, Time};
use broker::config::{BrokerConfig, Source};
use broker::host::Host;
use broker::server;
use broker::tasks::{Run, Runner};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use protocol::ids::BrokerId;
use storage::disk::{Crash, MemoryDisk};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::network::{Network, Node};

/// The port of every broker.
pub const PORT: u16 = 9092;
/// When the simulated world begins.
const EPOCH_MS: i64 = 1_700_000_000_000;
/// How long every computer ran before.
const UPTIME_US: u64 = 1_000_000_000;

/// A computer's clocks: the run's time, and a wall that may be set.
pub struct Clocks {
    start: tokio::time::Instant,
    wall_ahead_ms: AtomicI64,
}

impl Clocks {
    pub fn set_wall_ahead(&self, ms: i64) {
        self.wall_ahead_ms.store(ms, Ordering::Relaxed);
    }

    fn elapsed_us(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }
}

impl fmt::Debug for Clocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} us", self.elapsed_us())
    }
}

impl Time for Clocks {
    fn wall_ms(&self) -> i64 {
        let ahead = self.wall_ahead_ms.load(Ordering::Relaxed);
        EPOCH_MS + (self.elapsed_us() / 1000) as i64 + ahead
    }

    fn boot_us(&self) -> u64 {
        UPTIME_US + self.elapsed_us()
    }
}

/// How a process came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It was asked to stop, and did.
    Stopped,
    /// It would not start.
    Refused(String),
    /// It gave up by itself: every log directory failed.
    Ended,
    /// A task panicked: in production the process ends with it.
    Panicked(String),
    /// From outside.
    Killed,
}

/// One life of a broker.
pub struct Process {
    state: Mutex<State>,
    /// Told to stop in order.
    stop: CancellationToken,
    /// Called after every step of a task, with the broker once it serves.
    look: Box<dyn Fn(&Process) + Send + Sync>,
}

#[derive(Default)]
struct State {
    paused: bool,
    parked: Vec<Waker>,
    tasks: Vec<AbortHandle>,
    exit: Option<Exit>,
    broker: Option<Arc<Broker>>,
}

impl Process {
    pub fn exit(&self) -> Option<Exit> {
        self.state.lock().exit.clone()
    }

    /// The broker's parts, once it accepts connections and as long as it lives.
    pub fn broker(&self) -> Option<Arc<Broker>> {
        self.state.lock().broker.clone()
    }

    fn end(&self, exit: Exit) {
        let tasks = {
            let mut state = self.state.lock();
            state.exit.get_or_insert(exit);
            state.broker = None;
            std::mem::take(&mut state.tasks)
        };
        for task in tasks {
            task.abort();
        }
    }
}

/// Runs tasks as those of one process.
struct Scheduler(Arc<Process>);

impl Run for Scheduler {
    fn run(&self, task: BoxFuture<'static, ()>) {
        if self.0.exit().is_some() {
            return;
        }
        let held = Held { process: self.0.clone(), task: Some(task) };
        let handle = tokio::spawn(held).abort_handle();
        let mut state = self.0.state.lock();
        state.tasks.retain(|task| !task.is_finished());
        state.tasks.push(handle);
    }
}

/// A task that goes on only while its process may.
struct Held {
    process: Arc<Process>,
    task: Option<BoxFuture<'static, ()>>,
}

impl Future for Held {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        {
            let mut state = self.process.state.lock();
            if state.exit.is_some() {
                drop(state);
                self.task = None;
                return Poll::Ready(());
            }
            if state.paused {
                state.parked.push(cx.waker().clone());
                return Poll::Pending;
            }
        }
        let Some(task) = &mut self.task else { return Poll::Ready(()) };
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx)));
        match polled {
            Ok(polled) => {
                (self.process.look)(&self.process);
                polled
            }
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned()));
                self.process.end(Exit::Panicked(text.unwrap_or_default()));
                Poll::Ready(())
            }
        }
    }
}

/// A computer.
pub struct Computer {
    pub id: BrokerId,
    network: Network,
    settings: Vec<(String, String)>,
    pub disk: MemoryDisk,
    pub clocks: &'static Clocks,
    pub process: Option<Arc<Process>>,
    /// Lives so far.
    pub life: u64,
}

impl Computer {
    pub fn new(id: BrokerId, network: Network, settings: &[(&str, &str)]) -> Computer {
        // One for each computer of each run: a clock is copied freely and lives for ever.
        let clocks = Box::leak(Box::new(Clocks {
            start: tokio::time::Instant::now(),
            wall_ahead_ms: AtomicI64::new(0),
        }));
        let own = [
            ("broker.id", id.to_string()),
            ("listeners", format!("PLAINTEXT://{}:{PORT}", Node::Broker(id).host())),
        ];
        let given = settings.iter().map(|(key, value)| (*key, (*value).to_owned()));
        let settings = own.into_iter().chain(given).map(|(k, v)| (k.to_owned(), v)).collect();
        let disk = MemoryDisk::new(true);
        Computer { id, network, settings, disk, clocks, process: None, life: 0 }
    }

    fn config(&self) -> BrokerConfig {
        let mut config = BrokerConfig::defaults();
        for (key, value) in &self.settings {
            config.set(Source::Static, key, value).expect("a legal setting");
        }
        config
    }

    /// Starts a process. `look` is called after each of its steps.
    pub fn start(&mut self, look: impl Fn(&Process) + Send + Sync + 'static) {
        self.life += 1;
        self.network.light(Node::Broker(self.id));
        let process = Arc::new(Process {
            state: Mutex::default(),
            stop: CancellationToken::new(),
            look: Box::new(look),
        });
        let ended = process.clone();
        let host = Host {
            clock: Clock::simulated(self.clocks),
            disk: Arc::new(self.disk.clone()),
            network: Arc::new(self.network.at(Node::Broker(self.id))),
            runner: Runner::Simulated(Arc::new(Scheduler(process.clone()))),
            end: Arc::new(move || ended.end(Exit::Ended)),
        };
        Scheduler(process.clone()).run(Box::pin(live(process.clone(), self.config(), host)));
        self.process = Some(process);
    }

    /// Whether a process is there that has not been told to stop and is not paused.
    pub fn is_up(&self) -> bool {
        let is_up = |process: &Arc<Process>| {
            let is_paused = process.state.lock().paused;
            !is_paused && process.exit().is_none() && !process.stop.is_cancelled()
        };
        self.process.as_ref().is_some_and(is_up)
    }

    /// Tells the process to stop in order.
    pub fn stop(&self) {
        if let Some(process) = &self.process {
            process.stop.cancel();
        }
    }

    /// Ends the process without a warning; with the power if `crash` says so.
    pub fn kill(&mut self, crash: Crash) {
        let Some(process) = self.process.take() else { return };
        self.disk = self.disk.after(crash);
        if crash != Crash::Kill {
            self.network.darken(Node::Broker(self.id));
        }
        process.end(Exit::Killed);
    }

    /// Stops the process in its tracks (SIGSTOP).
    pub fn pause(&self) {
        if let Some(process) = &self.process {
            process.state.lock().paused = true;
        }
    }

    pub fn resume(&self) {
        let Some(process) = &self.process else { return };
        let parked = {
            let mut state = process.state.lock();
            state.paused = false;
            std::mem::take(&mut state.parked)
        };
        for waker in parked {
            waker.wake();
        }
    }
}

async fn live(process: Arc<Process>, config: BrokerConfig, host: Host) {
    match server::open(config, host, None).await {
        Ok(running) => {
            process.state.lock().broker = Some(running.broker.clone());
            tokio::select! {
                biased;
                () = process.stop.cancelled() => {}
                () = running.hear_controller() => {}
            }
            process.stop.cancelled().await;
            running.stop().await;
            process.end(Exit::Stopped);
        }
        Err(error) => process.end(Exit::Refused(error.to_string())),
    }
}
