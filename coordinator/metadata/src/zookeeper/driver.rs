//! The task that owns a session: it moves bytes between one socket and the session's core, wakes it
//! in time and carries answers and events out. It decides nothing.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite};

use super::Config;
use super::connector::{Connecting, Stream};
use super::exchange;
use super::session::{Effect, Event, RequestId, Session, Settings};
use crate::inbox::{Answers, Inbox};
use crate::store::{Reply, StoreError, StoreEvent};

/// Operations the core holds before more stay in the inbox.
const CORE_OPS_MAX: usize = 4096;
const READ_BYTES: usize = 64 * 1024;

/// Runs a ZooKeeper store. Dropping it leaves the session to its timeout.
#[must_use = "a store does nothing without its driver"]
pub struct Driver {
    config: Config,
    inbox: Arc<Inbox>,
    session: Session,
    connecting: Option<Connecting>,
    stream: Option<Box<dyn Stream>>,
    output: BytesMut,
    input: BytesMut,
    batches: BTreeMap<u64, Answers>,
    next_batch: u64,
    ended: bool,
}

/// What woke the driver.
enum Woken {
    Connected(io::Result<Box<dyn Stream>>),
    /// So many bytes were received; 0: the server closed.
    Read(usize),
    /// So much of the output is on its way.
    Written(usize),
    Broken(io::Error),
    Timer,
    Inbox,
}

impl Driver {
    pub(super) fn new(config: Config, inbox: Arc<Inbox>) -> Self {
        let session = Session::new(Settings {
            servers: config.connect.servers.len(),
            chroot: config.connect.chroot.clone(),
            timeout_ms: config.session_timeout_ms,
            in_flight_max: config.in_flight_max.max(1),
            packet_bytes_max: config.packet_bytes_max,
            seed: config.seed,
        });
        Driver {
            config,
            inbox,
            session,
            connecting: None,
            stream: None,
            output: BytesMut::new(),
            input: BytesMut::new(),
            batches: BTreeMap::new(),
            next_batch: 0,
            ended: false,
        }
    }

    /// Until the store is closed. A chroot is created first if it is missing.
    pub async fn run(mut self) {
        if self.config.connect.chroot != "/" && !self.make_chroot().await {
            return;
        }
        self.step(Event::Tick);
        while !self.ended {
            self.take_from_inbox();
            if self.stream.is_none() {
                self.output.clear();
            }
            if self.ended {
                break;
            }
            match self.woken().await {
                Woken::Connected(result) => self.connected(result),
                Woken::Read(0) => self.disconnected(None),
                Woken::Read(_) => {
                    let bytes = self.input.split().freeze();
                    self.step(Event::Received(bytes));
                }
                Woken::Written(count) => self.output.advance(count),
                Woken::Broken(error) => self.disconnected(Some(error)),
                Woken::Timer => self.step(Event::Tick),
                Woken::Inbox => {}
            }
        }
    }

    /// False if the store was closed before it was done.
    async fn make_chroot(&mut self) -> bool {
        let make = exchange::create_chroot(&self.config);
        tokio::pin!(make);
        loop {
            tokio::select! {
                () = &mut make => return true,
                () = self.inbox.arrived() => {
                    if self.inbox.closing() {
                        return false;
                    }
                }
            }
        }
    }

    async fn woken(&mut self) -> Woken {
        let now_ms = (self.config.boot_clock)();
        let wait_ms = self.session.next_tick_ms().map_or(0, |at| at.saturating_sub(now_ms));
        let timer = tokio::time::sleep(Duration::from_millis(wait_ms));
        let Driver { connecting, stream, output, input, .. } = self;
        let moved = poll_fn(|cx| match stream {
            Some(stream) => poll_stream(stream, output, input, cx),
            None => Poll::Pending,
        });
        tokio::select! {
            biased;
            result = async { connecting.as_mut().expect("checked by the guard").await },
                if connecting.is_some() => Woken::Connected(result),
            moved = moved => moved,
            () = self.inbox.arrived() => Woken::Inbox,
            () = timer => Woken::Timer,
        }
    }

    fn connected(&mut self, result: io::Result<Box<dyn Stream>>) {
        self.connecting = None;
        match result {
            Ok(stream) => {
                self.stream = Some(stream);
                self.step(Event::Connected);
            }
            Err(error) => {
                tracing::debug!(%error, "no connection to ZooKeeper");
                self.step(Event::Disconnected);
            }
        }
    }

    fn disconnected(&mut self, error: Option<io::Error>) {
        if let Some(error) = error {
            tracing::debug!(%error, "the connection to ZooKeeper broke");
        }
        self.forget_connection();
        self.step(Event::Disconnected);
    }

    fn forget_connection(&mut self) {
        self.stream = None;
        self.connecting = None;
        self.output.clear();
    }

    fn take_from_inbox(&mut self) {
        let taken = self.inbox.take(CORE_OPS_MAX.saturating_sub(self.session.queued()));
        for batch in taken.batches {
            let number = self.next_batch;
            self.next_batch += 1;
            self.batches.insert(number, batch.answers);
            for (index, op) in batch.ops.into_iter().enumerate() {
                let id = RequestId { batch: number, index };
                self.step(Event::Submit { id, session: batch.session, op });
            }
        }
        if taken.close {
            self.step(Event::Close);
        }
    }

    fn step(&mut self, event: Event) {
        let now_ms = (self.config.boot_clock)();
        let effects = self.session.step(event, now_ms);
        self.inbox.set_lease(self.session.lease());
        for effect in effects {
            self.apply(effect);
        }
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Connect { server } => {
                let (host, port) = self.config.connect.servers[server].clone();
                self.connecting = Some((self.config.connector)(host, port));
            }
            Effect::Disconnect => self.forget_connection(),
            Effect::Send(frame) => self.output.extend_from_slice(&frame),
            Effect::Answer { id, result } => self.answer(id, result),
            Effect::Publish(event) => {
                match &event {
                    StoreEvent::SessionStarted { session_id } => {
                        tracing::info!(session_id, "ZooKeeper session started");
                    }
                    StoreEvent::SessionExpired => tracing::warn!("ZooKeeper session expired"),
                    StoreEvent::Disconnected => tracing::warn!("ZooKeeper connection lost"),
                    StoreEvent::Reconnected => tracing::info!("ZooKeeper session goes on"),
                    StoreEvent::Changed { .. } => {}
                }
                self.inbox.set_session(self.session.lease(), self.session.credentials().cloned());
                self.inbox.publish(event);
            }
            Effect::Ended => self.ended = true,
        }
    }

    fn answer(&mut self, id: RequestId, result: Result<Reply, StoreError>) {
        let Some(answers) = self.batches.get_mut(&id.batch) else { return };
        if answers.fill(id.index, result) {
            self.batches.remove(&id.batch);
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.inbox.end();
    }
}

/// Sends what is to be sent, or else receives what there is.
fn poll_stream(
    stream: &mut Box<dyn Stream>,
    output: &BytesMut,
    input: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<Woken> {
    if !output.is_empty() {
        match Pin::new(&mut *stream).poll_write(cx, output) {
            Poll::Ready(Ok(count)) => return Poll::Ready(Woken::Written(count)),
            Poll::Ready(Err(error)) => return Poll::Ready(Woken::Broken(error)),
            Poll::Pending => {}
        }
    }
    input.reserve(READ_BYTES);
    pin!(stream.read_buf(input)).poll(cx).map(|read| read.map_or_else(Woken::Broken, Woken::Read))
}
