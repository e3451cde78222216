//! The tasks of one simulated broker, run between two events until none can go on, and what they
//! wait for: simulated time and acknowledgements. Knows nothing of what they do.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use broker::delayed::offset::Countdown;
use broker::replication::partition::AckOutcome;
use coordinator::shard::{Clock, Now};
use parking_lot::Mutex;

pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Says that some task may go on.
struct Again(AtomicBool);

impl Wake for Again {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub struct Tasks {
    pub spawned: Arc<Mutex<Vec<Task>>>,
    running: Vec<Task>,
    again: Arc<Again>,
    pub waits: Arc<Waits>,
}

impl Tasks {
    pub fn new() -> Tasks {
        Tasks {
            spawned: Arc::default(),
            running: Vec::new(),
            again: Arc::new(Again(AtomicBool::new(false))),
            waits: Arc::default(),
        }
    }

    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawned.lock().push(Box::pin(task));
    }

    pub fn set_time(&self, now_ms: i64) {
        self.waits.state.lock().now_ms = now_ms;
    }

    /// Runs what can run, in the order in which it was begun.
    pub fn run(&mut self) {
        let waker = Waker::from(self.again.clone());
        let mut context = Context::from_waker(&waker);
        loop {
            self.waits.wake_due();
            let fresh = std::mem::take(&mut *self.spawned.lock());
            let any = !fresh.is_empty();
            self.running.extend(fresh);
            if !self.again.0.swap(false, Ordering::Relaxed) && !any {
                return;
            }
            self.running.retain_mut(|task| task.as_mut().poll(&mut context).is_pending());
        }
    }
}

/// What tasks of a broker wait for.
#[derive(Default)]
pub struct Waits {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    now_ms: i64,
    next: u64,
    open: BTreeMap<u64, Wait>,
}

struct Wait {
    until_ms: i64,
    acks: Option<Arc<Countdown<AckOutcome>>>,
    waker: Option<Waker>,
}

impl Wait {
    fn is_over(&self, now_ms: i64) -> bool {
        now_ms >= self.until_ms || self.acks.as_ref().is_some_and(|acks| acks.is_settled())
    }
}

/// Ends when its time has come, or when its acknowledgements have.
pub struct Waiting {
    waits: Arc<Waits>,
    number: u64,
}

impl Waits {
    pub fn wait(
        self: &Arc<Self>,
        wait_ms: u64,
        acks: Option<Arc<Countdown<AckOutcome>>>,
    ) -> Waiting {
        let mut state = self.state.lock();
        let number = state.next;
        state.next += 1;
        let until_ms = state.now_ms + i64::try_from(wait_ms).expect("a short time");
        state.open.insert(number, Wait { until_ms, acks, waker: None });
        Waiting { waits: self.clone(), number }
    }

    pub fn now_ms(&self) -> i64 {
        self.state.lock().now_ms
    }

    fn wake_due(&self) {
        let mut state = self.state.lock();
        let now_ms = state.now_ms;
        let over = state.open.values_mut().filter(|wait| wait.is_over(now_ms));
        let wakers: Vec<Waker> = over.filter_map(|wait| wait.waker.take()).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// When time alone lets something go on.
    pub fn next_ms(&self) -> Option<i64> {
        self.state.lock().open.values().map(|wait| wait.until_ms).min()
    }
}

impl Future for Waiting {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.waits.state.lock();
        let now_ms = state.now_ms;
        let wait = state.open.get_mut(&self.number).expect("it is there while this is");
        if wait.is_over(now_ms) {
            return Poll::Ready(());
        }
        wait.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.waits.state.lock().open.remove(&self.number);
    }
}

/// The broker's clock as its shards see it.
pub struct SimulatedClock(pub Arc<Waits>);

impl Clock for SimulatedClock {
    fn now(&self) -> Now {
        let now_ms = self.0.now_ms();
        Now { wall_ms: now_ms, steady_ms: now_ms }
    }

    fn sleep(&self, wait_ms: u64) -> Task {
        Box::pin(self.0.wait(wait_ms, None))
    }
}
