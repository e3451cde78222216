//! Which partitions of a coordinator's topic this broker leads, and the task of each. Knows nothing
//! of what the shards are for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use protocol::ids::{LeaderEpoch, TopicPartition};
use tokio::sync::{mpsc, oneshot};

use super::Shard;
use super::run::{Ask, Environment, Outbox, Seat, run};

/// Why no shard took a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotHere {
    #[error("the coordinator is not running")]
    Stopped,
    #[error("the partition is still being loaded")]
    Loading,
    #[error("this broker does not lead the partition")]
    NotLeader,
    #[error("too many requests wait for the partition")]
    Busy,
}

/// The answers of every loaded shard to come, and whether another one is still loading.
pub type AskedAll<A> = (Vec<oneshot::Receiver<A>>, bool);

/// Starts a task; the broker owns them.
pub type Spawn = Arc<dyn Fn(BoxFuture<'static, ()>) + Send + Sync>;

/// The shards of one coordinator, by partition: at most as many as its topic has partitions.
pub struct ShardDirectory<S: Shard> {
    topic: String,
    environment: Arc<Environment>,
    spawn: Spawn,
    new_shard: Box<dyn Fn() -> S + Send + Sync>,
    outbox: Outbox<S::Outgoing>,
    state: Mutex<State<S>>,
}

struct State<S: Shard> {
    running: bool,
    partitions: BTreeMap<i32, Entry<S>>,
}

struct Entry<S: Shard> {
    /// The highest epoch heard of; an order of an earlier one is late and means nothing.
    epoch: LeaderEpoch,
    shard: Option<Handle<S>>,
}

struct Handle<S: Shard> {
    seat: Arc<Seat>,
    inbox: mpsc::Sender<Ask<S>>,
}

impl<S: Shard> ShardDirectory<S> {
    pub fn new(
        topic: impl Into<String>,
        environment: Environment,
        spawn: Spawn,
        new_shard: impl Fn() -> S + Send + Sync + 'static,
        outbox: Outbox<S::Outgoing>,
    ) -> Self {
        Self {
            topic: topic.into(),
            environment: Arc::new(environment),
            spawn,
            new_shard: Box::new(new_shard),
            outbox,
            state: Mutex::new(State { running: true, partitions: BTreeMap::new() }),
        }
    }

    /// This broker leads the partition in this epoch. A shard that served the epoch just before
    /// goes on, since nobody else can have written; otherwise the partition is loaded anew. Whether
    /// it is.
    pub fn elected(&self, partition: i32, epoch: LeaderEpoch) -> bool {
        let mut state = self.state.lock();
        if !state.running {
            return false;
        }
        let entry = state.partitions.entry(partition).or_insert(Entry { epoch, shard: None });
        let late = epoch < entry.epoch;
        if late || (epoch == entry.epoch && entry.shard.is_some()) {
            return false;
        }
        let next_in_line = epoch == entry.epoch.saturating_add(1);
        entry.epoch = epoch;
        if let Some(handle) = entry.shard.as_ref().filter(|_| next_in_line) {
            handle.seat.leader_epoch.store(epoch, Ordering::Release);
            return false;
        }
        if let Some(old) = entry.shard.take() {
            old.seat.stop.cancel();
        }
        let seat = Arc::new(Seat::new(TopicPartition::new(&*self.topic, partition), epoch));
        let (sender, inbox) = mpsc::channel(self.environment.config.queue_max.max(1));
        entry.shard = Some(Handle { seat: seat.clone(), inbox: sender });
        let task =
            run((self.new_shard)(), seat, self.environment.clone(), inbox, self.outbox.clone());
        (self.spawn)(Box::pin(task));
        true
    }

    /// This broker does not lead the partition any more, as of this epoch if it is known.
    pub fn resigned(&self, partition: i32, epoch: Option<LeaderEpoch>) {
        let mut state = self.state.lock();
        let Some(entry) = state.partitions.get_mut(&partition) else {
            if let Some(epoch) = epoch {
                state.partitions.insert(partition, Entry { epoch, shard: None });
            }
            return;
        };
        if epoch.is_some_and(|epoch| epoch < entry.epoch) {
            return;
        }
        entry.epoch = epoch.unwrap_or(entry.epoch);
        if let Some(handle) = entry.shard.take() {
            handle.seat.stop.cancel();
        }
    }

    /// Hands a request to the partition's shard, in the order of the calls. The answer comes
    /// through the channel; if that closes instead, the shard has gone.
    pub fn ask(
        &self,
        partition: i32,
        request: S::Request,
    ) -> Result<oneshot::Receiver<S::Answer>, NotHere> {
        let state = self.state.lock();
        if !state.running {
            return Err(NotHere::Stopped);
        }
        let handle = state.partitions.get(&partition).and_then(|entry| entry.shard.as_ref());
        send(handle.ok_or(NotHere::NotLeader)?, request)
    }

    /// Hands a request to every shard that is loaded; also says whether one is still loading. An
    /// error means that at least one did not take it; all others have.
    pub fn ask_all(
        &self,
        request: impl Fn() -> S::Request,
    ) -> Result<AskedAll<S::Answer>, NotHere> {
        let state = self.state.lock();
        if !state.running {
            return Err(NotHere::Stopped);
        }
        let mut answers = Vec::new();
        let mut loading = false;
        let mut failure = None;
        for handle in state.partitions.values().filter_map(|entry| entry.shard.as_ref()) {
            match send(handle, request()) {
                Ok(answer) => answers.push(answer),
                Err(NotHere::Loading) => loading = true,
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok((answers, loading)), Err)
    }

    /// The state a request for this partition would find.
    pub fn check(&self, partition: i32) -> Result<(), NotHere> {
        let state = self.state.lock();
        if !state.running {
            return Err(NotHere::Stopped);
        }
        let handle = state.partitions.get(&partition).and_then(|entry| entry.shard.as_ref());
        match handle {
            None => Err(NotHere::NotLeader),
            Some(handle) if handle.seat.loading.load(Ordering::Acquire) => Err(NotHere::Loading),
            Some(_) => Ok(()),
        }
    }

    /// Ends every shard for good.
    pub fn stop(&self) {
        let mut state = self.state.lock();
        state.running = false;
        for (_, entry) in std::mem::take(&mut state.partitions) {
            if let Some(handle) = entry.shard {
                handle.seat.stop.cancel();
            }
        }
    }
}

fn send<S: Shard>(
    handle: &Handle<S>,
    request: S::Request,
) -> Result<oneshot::Receiver<S::Answer>, NotHere> {
    if handle.seat.loading.load(Ordering::Acquire) {
        return Err(NotHere::Loading);
    }
    let (reply, answer) = oneshot::channel();
    match handle.inbox.try_send(Ask { request, reply }) {
        Ok(()) => Ok(answer),
        Err(mpsc::error::TrySendError::Full(_)) => Err(NotHere::Busy),
        Err(mpsc::error::TrySendError::Closed(_)) => Err(NotHere::NotLeader),
    }
}
