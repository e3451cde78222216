//! One connection: frames in, requests started in order, answers out in the same order. Knows
//! nothing of what a request says; `dispatch` does.

mod reading;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use protocol::frame::{self, FrameError};
use protocol::wire::Rope;
use storage::LogSlice;
use tokio::time::Sleep;

use super::memory::Lease;
use super::outbox::{self, Flush, Outbox};
use super::shared::Shared;
use super::socket::Socket;
use super::throttle::Slot;
use crate::clock::Clock;
use crate::dispatch::{Dispatch, Dispatcher, Outcome, Waiting};
use crate::metrics::RequestMetrics;
use crate::replication::manager::ReplicaManager;
use crate::request::ConnectionContext;
use crate::tasks::Tasks;

/// Answers in memory beyond this are sent before more requests start.
const OUTBOX_BYTES_MAX: u64 = 256 << 10;
/// A sender slower than this per frame timeout holds memory for nothing.
const PROGRESS_BYTES: usize = 64 << 10;

/// Why a connection ended, beyond the peer closing it.
#[derive(Debug, thiserror::Error)]
pub enum Closed {
    #[error("the peer closed it")]
    Peer,
    #[error("the broker stops")]
    Stopping,
    #[error("idle")]
    Idle,
    #[error("a frame was begun and not finished in time")]
    SlowFrame,
    #[error("it does not read its answers, and others need their memory")]
    SlowReader,
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Request(String),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

struct Pending {
    reply: Reply,
    /// No request starts before this one is answered.
    holds: bool,
    /// Of no use once the peer is gone.
    abandon: bool,
    /// Pays for the frame, parts of which the waiting handler may still read.
    lease: Lease,
}

enum Reply {
    Ready(Rope),
    Waiting(Waiting),
}

/// What connections have of their broker.
pub struct Serving {
    pub dispatch: Dispatch,
    pub clock: Clock,
    pub tasks: Arc<Tasks>,
    pub metrics: Arc<RequestMetrics>,
    pub replicas: Arc<ReplicaManager>,
}

pub struct Connection {
    socket: Socket,
    shared: Arc<Shared>,
    serving: Arc<Serving>,
    dispatcher: Dispatcher,
    context: Arc<ConnectionContext>,
    buffer: BytesMut,
    /// Room that the buffer had at most: that of its allocation.
    allocated: usize,
    lease: Lease,
    pending: VecDeque<Pending>,
    outbox: Outbox,
    /// Pays for what the outbox has in memory.
    answers: Lease,
    /// Bytes in the outbox when the peer was last known to read, and when that was.
    unread: (u64, i64),
    /// The socket takes no more at the moment.
    blocked: bool,
    ended: bool,
    /// When anything last moved, on the monotonic clock.
    active_ms: i64,
    /// When the incomplete frame in the buffer was last known to make progress.
    partial: Option<Partial>,
    /// Room for the next read, while the pool has none.
    memory: Option<BoxFuture<'static, Lease>>,
    _slot: Slot,
}

struct Partial {
    since_ms: i64,
    received: usize,
}

enum Woke {
    Reply(Result<Rope, String>),
    Readable,
    Memory(Lease),
    Writable,
    Timer,
    Stop,
}

impl Connection {
    pub fn new(
        socket: Socket,
        serving: Arc<Serving>,
        shared: Arc<Shared>,
        context: Arc<ConnectionContext>,
        slot: Slot,
    ) -> Connection {
        let active_ms = serving.clock.monotonic_ms();
        serving.metrics.connections.increment(1);
        Connection {
            socket,
            dispatcher: serving.dispatch.dispatcher(context.clone()),
            serving,
            context,
            buffer: BytesMut::new(),
            allocated: 0,
            lease: shared.memory.empty_lease(),
            answers: shared.answers.empty_lease(),
            unread: (0, active_ms),
            shared,
            pending: VecDeque::new(),
            outbox: Outbox::default(),
            blocked: false,
            ended: false,
            active_ms,
            partial: None,
            memory: None,
            _slot: slot,
        }
    }

    /// Serves until the peer goes, misbehaves or the broker stops.
    pub async fn run(mut self) {
        let peer = self.context.peer;
        match self.serve().await {
            Closed::Peer | Closed::Stopping => {}
            Closed::Idle => tracing::debug!(%peer, "connection closed: idle"),
            Closed::Io(error) if is_disconnect(&error) => {
                tracing::debug!(%peer, %error, "connection lost");
            }
            closed => {
                self.serving.metrics.connections_closed_for_cause.increment(1);
                tracing::warn!(%peer, reason = %closed, "connection closed");
            }
        }
    }

    async fn serve(&mut self) -> Closed {
        let stopping = self.serving.tasks.stopping();
        let mut stopping = pin!(stopping.cancelled());
        let mut timer = pin!(tokio::time::sleep(self.timer_length()));
        let mut armed_for_frame = false;
        loop {
            if let Err(closed) = self.turn().await {
                return closed;
            }
            if self.ended && self.nothing_left() {
                return Closed::Peer;
            }
            if (self.partial.is_some() || self.blocked) && !armed_for_frame {
                timer.set(tokio::time::sleep(self.shared.settings.frame_timeout));
                armed_for_frame = true;
            }
            match self.wait(timer.as_mut(), stopping.as_mut()).await {
                Woke::Reply(Ok(rope)) => {
                    let done = self.pending.pop_front().expect("its reply just came");
                    drop(done.lease);
                    if let Err(error) = self.outbox.push(rope) {
                        return Closed::Request(error.to_string());
                    }
                }
                Woke::Reply(Err(reason)) => return Closed::Request(reason),
                Woke::Readable => {
                    if let Err(closed) = self.fill() {
                        return closed;
                    }
                }
                Woke::Memory(lease) => {
                    self.memory = None;
                    if let Err(closed) = self.grow(lease).and_then(|()| self.fill()) {
                        return closed;
                    }
                }
                Woke::Writable => self.blocked = false,
                Woke::Timer => {
                    if let Err(closed) = self.check_deadlines() {
                        return closed;
                    }
                    timer.set(tokio::time::sleep(self.timer_length()));
                    armed_for_frame = false;
                }
                Woke::Stop => return Closed::Stopping,
            }
        }
    }

    /// Starts what may start and sends what may be sent, until neither goes on.
    async fn turn(&mut self) -> Result<(), Closed> {
        loop {
            let started = self.start_requests()?;
            while matches!(self.pending.front(), Some(Pending { reply: Reply::Ready(_), .. })) {
                let ready = self.pending.pop_front().expect("there is a front");
                if let Reply::Ready(rope) = ready.reply {
                    self.outbox.push(rope).map_err(|error| Closed::Request(error.to_string()))?;
                }
            }
            self.flush().await?;
            if !started || self.blocked {
                return Ok(());
            }
        }
    }

    /// The peer sends no more, and everything it can still hear has been said.
    fn nothing_left(&self) -> bool {
        self.outbox.is_empty() && self.pending.front().is_none_or(|pending| pending.abandon)
    }

    fn may_start(&self) -> bool {
        let held = self.pending.back().is_some_and(|pending| pending.holds);
        let alone = self.outbox.is_empty() && self.pending.is_empty();
        !held
            && (alone || !self.shared.answers.is_used_up())
            && self.pending.len() < self.shared.settings.inflight_max
            && self.outbox.bytes() < OUTBOX_BYTES_MAX
    }

    /// True if it stopped for room rather than for lack of frames.
    fn start_requests(&mut self) -> Result<bool, Closed> {
        while self.may_start() {
            let max = self.shared.settings.frame_bytes_max;
            let Some(frame) = frame::take_frame(&mut self.buffer, max)? else {
                self.note_partial();
                return Ok(false);
            };
            self.partial = None;
            self.lease.end_overdraft();
            let lease = self.lease.split(frame.len() + frame::LENGTH_BYTES);
            self.start(frame, lease)?;
        }
        Ok(self.outbox.bytes() >= OUTBOX_BYTES_MAX)
    }

    fn start(&mut self, frame: Bytes, lease: Lease) -> Result<(), Closed> {
        match self.dispatcher.dispatch(frame) {
            Outcome::Now(rope) if self.pending.is_empty() => {
                self.outbox.push(rope).map_err(|error| Closed::Request(error.to_string()))?;
            }
            Outcome::Now(rope) => {
                let lease = self.shared.memory.empty_lease();
                let reply = Reply::Ready(rope);
                self.pending.push_back(Pending { reply, holds: false, abandon: false, lease });
            }
            Outcome::Later { reply, holds, abandon } => {
                let reply = Reply::Waiting(reply);
                self.pending.push_back(Pending { reply, holds, abandon, lease });
            }
            Outcome::Nothing => {}
            Outcome::Close(reason) => return Err(Closed::Request(reason)),
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Closed> {
        // What goes out at once need not be paid for.
        if self.outbox.memory() > OUTBOX_BYTES_MAX {
            self.pay_for_answers();
        }
        let flushed = self.send().await;
        self.pay_for_answers();
        flushed
    }

    fn pay_for_answers(&mut self) {
        let bytes = usize::try_from(self.outbox.memory()).unwrap_or(usize::MAX);
        if bytes != self.answers.bytes() {
            self.answers.settle(bytes);
        }
    }

    async fn send(&mut self) -> Result<(), Closed> {
        while !self.blocked {
            let flushed = self.outbox.flush(&self.socket, &self.shared.residency);
            if let (Err(error), Some(slice)) = (&flushed, self.outbox.front_slice()) {
                self.blame_disk(slice, error);
            }
            match flushed? {
                Flush::Empty => return Ok(()),
                Flush::Blocked => self.blocked = true,
                Flush::Yield => tokio::task::yield_now().await,
                Flush::Cold(slice) => {
                    let permit = self.shared.cold_reads.clone().acquire_owned().await;
                    let cold = slice.clone();
                    let bytes = usize::try_from(slice.len).unwrap_or(usize::MAX);
                    let room = self
                        .shared
                        .residency
                        .dontcache
                        .then(|| self.shared.answers.try_lease(bytes));
                    let room = room.flatten();
                    let past = room.is_some();
                    let read = self.serving.tasks.blocking(move || outbox::warm(&cold, past)).await;
                    drop(permit);
                    let read = read.inspect_err(|error| self.blame_disk(&slice, error))?;
                    if let (Some(room), Some(_)) = (room, &read) {
                        self.answers.merge(room);
                    }
                    match read {
                        None => self.outbox.warmed(&slice),
                        Some(bytes) => self.outbox.replace_cold(bytes),
                    }
                }
            }
        }
        Ok(())
    }

    fn blame_disk(&self, slice: &LogSlice, error: &std::io::Error) {
        if let Some(error) = slice.disk_error(error) {
            self.serving.replicas.send_failed(&error);
        }
    }

    /// Waits for the next thing to do.
    async fn wait(&mut self, timer: Pin<&mut Sleep>, stopping: impl Future<Output = ()>) -> Woke {
        let reads =
            !self.ended && self.memory.is_none() && (self.buffer.is_empty() || self.may_start());
        let waits = !self.pending.is_empty();
        let front = self.pending.front_mut();
        let reply = async {
            match front {
                Some(Pending { reply: Reply::Waiting(waiting), .. }) => waiting.await,
                _ => std::future::pending().await,
            }
        };
        let memory = self.memory.as_mut();
        let lease = async {
            match memory {
                Some(lease) => lease.await,
                None => std::future::pending().await,
            }
        };
        let woke = tokio::select! {
            biased;
            reply = reply, if waits => Woke::Reply(reply),
            () = self.socket.writable(), if self.blocked => Woke::Writable,
            lease = lease => Woke::Memory(lease),
            () = self.socket.readable(), if reads => Woke::Readable,
            () = timer => return Woke::Timer,
            () = stopping => return Woke::Stop,
        };
        self.active_ms = self.serving.clock.monotonic_ms();
        woke
    }

    fn timer_length(&self) -> Duration {
        let Some(idle) = self.shared.settings.idle else { return Duration::from_secs(86_400) };
        if !self.pending.is_empty() {
            return idle;
        }
        let quiet = self.serving.clock.monotonic_ms() - self.active_ms;
        let quiet = Duration::from_millis(u64::try_from(quiet).unwrap_or(0));
        idle.saturating_sub(quiet).max(Duration::from_millis(1))
    }

    fn check_deadlines(&mut self) -> Result<(), Closed> {
        let now_ms = self.serving.clock.monotonic_ms();
        let elapsed =
            |since_ms: i64| Duration::from_millis(u64::try_from(now_ms - since_ms).unwrap_or(0));
        let may_start = self.may_start();
        if let Some(partial) = &mut self.partial
            && elapsed(partial.since_ms) >= self.shared.settings.frame_timeout
        {
            // While the broker itself does not read, the peer cannot go on; but whoever holds part
            // of a frame and gets no room for the rest makes room for the others.
            let stuck = self.memory.is_some();
            if stuck || may_start && partial.received < PROGRESS_BYTES {
                return Err(Closed::SlowFrame);
            }
            *partial = Partial { since_ms: now_ms, received: 0 };
        }
        if !self.blocked || self.unread.0 != self.outbox.bytes() {
            self.unread = (self.outbox.bytes(), now_ms);
        } else if self.outbox.memory() > 0
            && self.shared.answers.is_used_up()
            && elapsed(self.unread.1) >= self.shared.settings.frame_timeout
        {
            return Err(Closed::SlowReader);
        }
        let quiet = self.shared.settings.idle.is_some_and(|idle| elapsed(self.active_ms) >= idle);
        if quiet && self.pending.is_empty() {
            return Err(Closed::Idle);
        }
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.serving.metrics.connections.decrement(1);
    }
}

fn is_disconnect(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, TimedOut};
    matches!(error.kind(), BrokenPipe | ConnectionReset | TimedOut)
}
