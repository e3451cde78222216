//! Operations on their way from many callers to the one task that owns a store, and the answers'
//! way back; knows nothing of what the task does with them.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast, oneshot};

use super::store::{
    Credentials, Lease, MetadataStore, Op, Reply, StoreError, StoreEvent, StoreFuture,
};

/// Most operations that wait for the owner; more answer `Overloaded`.
pub const WAITING_MAX: usize = 1 << 18;
/// Most events a subscriber may lag behind.
pub const EVENTS_MAX: usize = 8192;

/// What one `submit` asked for.
#[derive(Debug)]
pub struct Batch {
    /// The only session these may run in; `None`: any.
    pub session: Option<i64>,
    pub ops: Vec<Op>,
    pub answers: Answers,
}

/// Collects one batch's answers, which may come in any order; sent when the last is in.
#[derive(Debug)]
pub struct Answers {
    slots: Vec<Option<Result<Reply, StoreError>>>,
    missing: usize,
    to: Option<oneshot::Sender<Vec<Result<Reply, StoreError>>>>,
}

impl Answers {
    /// Fills the slot of the operation at `index`; true when none is missing any more.
    pub fn fill(&mut self, index: usize, answer: Result<Reply, StoreError>) -> bool {
        if self.slots[index].replace(answer).is_none() {
            self.missing -= 1;
        }
        if self.missing == 0 {
            let all = self.slots.drain(..).flatten().collect();
            if let Some(to) = self.to.take() {
                // A caller that went away does not want its answers.
                let _ = to.send(all);
            }
        }
        self.missing == 0
    }
}

#[derive(Debug, Default)]
struct Waiting {
    batches: VecDeque<Batch>,
    ops: usize,
    close: bool,
    closers: Vec<oneshot::Sender<()>>,
    /// The owner is gone: nothing is taken any more.
    ended: bool,
}

#[derive(Debug, Default)]
struct Published {
    lease: Option<Lease>,
    credentials: Option<Credentials>,
}

/// Shared between a store's handle and its owner.
#[derive(Debug)]
pub struct Inbox {
    waiting: Mutex<Waiting>,
    wake: Notify,
    published: Mutex<Published>,
    events: broadcast::Sender<StoreEvent>,
}

/// What the owner finds in the inbox.
#[derive(Debug)]
pub struct Taken {
    pub batches: VecDeque<Batch>,
    pub close: bool,
}

impl Inbox {
    pub fn new() -> Arc<Self> {
        Arc::new(Inbox {
            waiting: Mutex::default(),
            wake: Notify::new(),
            published: Mutex::default(),
            events: broadcast::Sender::new(EVENTS_MAX),
        })
    }

    /// Queues `ops` now; the future only waits for the answers.
    pub fn submit(
        &self,
        session: Option<i64>,
        ops: Vec<Op>,
    ) -> StoreFuture<Vec<Result<Reply, StoreError>>> {
        let count = ops.len();
        if count == 0 {
            return Box::pin(async { Vec::new() });
        }
        match self.queue(session, ops) {
            Ok(answers) => Box::pin(async move {
                answers.await.unwrap_or_else(|_| vec![Err(StoreError::Closed); count])
            }),
            Err(error) => Box::pin(async move { vec![Err(error); count] }),
        }
    }

    fn queue(
        &self,
        session: Option<i64>,
        ops: Vec<Op>,
    ) -> Result<oneshot::Receiver<Vec<Result<Reply, StoreError>>>, StoreError> {
        let (to, answers) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        if waiting.ended || waiting.close {
            return Err(StoreError::Closed);
        }
        if waiting.ops + ops.len() > WAITING_MAX {
            return Err(StoreError::Overloaded);
        }
        waiting.ops += ops.len();
        let slots = vec![None; ops.len()];
        let answers_to = Answers { missing: slots.len(), slots, to: Some(to) };
        waiting.batches.push_back(Batch { session, ops, answers: answers_to });
        drop(waiting);
        self.wake.notify_one();
        Ok(answers)
    }

    /// Asks the owner to end; the future is done when it has.
    pub fn close(&self) -> StoreFuture<()> {
        let (done, wait) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock();
            if waiting.ended {
                return Box::pin(async {});
            }
            waiting.close = true;
            waiting.closers.push(done);
        }
        self.wake.notify_one();
        Box::pin(async move {
            // An error means that the owner is gone, which is what was asked for.
            let _ = wait.await;
        })
    }

    pub fn subscribe(&self) -> broadcast::Receiver<StoreEvent> {
        self.events.subscribe()
    }

    pub fn lease(&self) -> Option<Lease> {
        self.published.lock().lease
    }

    pub fn credentials(&self) -> Option<Credentials> {
        self.published.lock().credentials.clone()
    }

    /// For the owner: what came in, at most `room` operations of it (but always a whole batch).
    pub fn take(&self, room: usize) -> Taken {
        let mut waiting = self.waiting.lock();
        let mut batches = VecDeque::new();
        let mut taken = 0;
        while taken < room {
            let Some(batch) = waiting.batches.pop_front() else { break };
            taken += batch.ops.len();
            batches.push_back(batch);
        }
        waiting.ops -= taken;
        let close = waiting.close && waiting.batches.is_empty();
        Taken { batches, close }
    }

    /// For the owner: whether it was asked to end.
    pub fn closing(&self) -> bool {
        self.waiting.lock().close
    }

    /// For the owner: resolves when something came in since the last `take`.
    pub async fn arrived(&self) {
        self.wake.notified().await;
    }

    /// For the owner, before the event that tells of it.
    pub fn set_session(&self, lease: Option<Lease>, credentials: Option<Credentials>) {
        *self.published.lock() = Published { lease, credentials };
    }

    /// For the owner: the session was heard again.
    pub fn set_lease(&self, lease: Option<Lease>) {
        self.published.lock().lease = lease;
    }

    pub fn publish(&self, event: StoreEvent) {
        // No subscriber is no error.
        let _ = self.events.send(event);
    }

    /// For the owner's end: whoever waits, or comes later, is told `Closed`.
    pub fn end(&self) {
        self.set_session(None, None);
        let ended = {
            let mut waiting = self.waiting.lock();
            waiting.ended = true;
            std::mem::take(&mut waiting.batches);
            std::mem::take(&mut waiting.closers)
        };
        for closer in ended {
            let _ = closer.send(());
        }
    }
}

/// A store as its callers have it: their end of the inbox. Dropped, it asks the owner to end.
#[derive(Debug)]
pub struct Callers(pub Arc<Inbox>);

impl MetadataStore for Callers {
    fn submit(&self, ops: Vec<Op>) -> StoreFuture<Vec<Result<Reply, StoreError>>> {
        self.0.submit(None, ops)
    }

    fn submit_in(
        &self,
        session_id: i64,
        ops: Vec<Op>,
    ) -> StoreFuture<Vec<Result<Reply, StoreError>>> {
        self.0.submit(Some(session_id), ops)
    }

    fn subscribe(&self) -> broadcast::Receiver<StoreEvent> {
        self.0.subscribe()
    }

    fn session_id(&self) -> i64 {
        self.lease().map_or(0, |lease| lease.session_id)
    }

    fn lease(&self) -> Option<Lease> {
        self.0.lease()
    }

    fn credentials(&self) -> Option<Credentials> {
        self.0.credentials()
    }

    fn close(&self) -> StoreFuture<()> {
        self.0.close()
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        drop(self.0.close());
    }
}
