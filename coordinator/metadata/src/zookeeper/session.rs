//! A ZooKeeper session as a pure state machine: what happened goes in, what is to be done comes
//! out. It outlives connections and replaces itself when it expires; it knows no socket, no clock,
//! no task.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::backoff::{Backoff, CLOSE_MS_MAX};
use super::jute::{JuteError, Reader, take_packet};
use super::messages::{self, Chroot, ReplyHeader};
use super::watches::Watches;
use crate::store::{Credentials, Lease, Op, Reply, StoreError, StoreEvent};

pub use event::{Effect, Event, RequestId, Settings};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Down {
        retry_at_ms: u64,
    },
    Connecting {
        deadline_ms: u64,
    },
    /// The connect request was sent.
    Asking {
        sent_ms: u64,
        deadline_ms: u64,
    },
    Up {
        since_ms: u64,
    },
    Ended,
}

#[derive(Debug)]
struct Request {
    id: RequestId,
    session: Option<i64>,
    op: Op,
}

#[derive(Debug)]
struct InFlight {
    xid: i32,
    sent_ms: u64,
    /// `None`: the end of the session.
    request: Option<Request>,
}

pub struct Session {
    settings: Settings,
    chroot: Chroot,
    link: Link,
    credentials: Option<Credentials>,
    /// Negotiated, or asked for while there is no session.
    timeout_ms: u64,
    backoff: Backoff,
    xid: i32,
    last_zxid: i64,
    sent_ms: u64,
    received_ms: u64,
    heard_ms: u64,
    queue: VecDeque<Request>,
    in_flight: VecDeque<InFlight>,
    pings: VecDeque<u64>,
    watches: Watches,
    input: BytesMut,
    /// When a close that finds no server gives up.
    closing_until_ms: Option<u64>,
    effects: Vec<Effect>,
}

impl Session {
    pub fn new(settings: Settings) -> Self {
        Session {
            chroot: Chroot::new(&settings.chroot),
            link: Link::Down { retry_at_ms: 0 },
            credentials: None,
            timeout_ms: u64::from(settings.timeout_ms),
            backoff: Backoff::new(settings.servers, settings.seed),
            xid: 0,
            last_zxid: 0,
            sent_ms: 0,
            received_ms: 0,
            heard_ms: 0,
            queue: VecDeque::new(),
            in_flight: VecDeque::new(),
            pings: VecDeque::new(),
            watches: Watches::default(),
            input: BytesMut::new(),
            closing_until_ms: None,
            effects: Vec::new(),
            settings,
        }
    }

    /// One event. `now_ms` never goes back.
    pub fn step(&mut self, event: Event, now_ms: u64) -> Vec<Effect> {
        if self.link == Link::Ended {
            if let Event::Submit { id, .. } = event {
                self.answer(id, Err(StoreError::Closed));
            }
            self.check(now_ms);
            return std::mem::take(&mut self.effects);
        }
        match event {
            Event::Tick => {}
            Event::Connected => self.ask(now_ms),
            Event::Disconnected => self.lose(now_ms),
            Event::Received(bytes) => self.receive(&bytes, now_ms),
            Event::Submit { id, session, op } => {
                if self.closing_until_ms.is_some() {
                    self.answer(id, Err(StoreError::Closed));
                } else {
                    self.queue.push_back(Request { id, session, op });
                    self.send_queued(now_ms);
                }
            }
            Event::Close => self.close(now_ms),
        }
        self.tick(now_ms);
        self.check(now_ms);
        std::mem::take(&mut self.effects)
    }

    /// When `Tick` is due if nothing else happens before; `None` once it has ended.
    pub fn next_tick_ms(&self) -> Option<u64> {
        let next = match self.link {
            Link::Down { retry_at_ms } => retry_at_ms,
            Link::Connecting { deadline_ms } | Link::Asking { deadline_ms, .. } => deadline_ms,
            Link::Up { .. } => {
                let dead = self.received_ms + self.silence_ms_max();
                if self.pings.is_empty() { dead.min(self.ping_at_ms()) } else { dead }
            }
            Link::Ended => return None,
        };
        Some(self.closing_until_ms.map_or(next, |until| until.min(next)))
    }

    /// Operations not yet sent.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    pub fn lease(&self) -> Option<Lease> {
        let session_id = self.credentials.as_ref()?.session_id;
        let (timeout_ms, last_heard_ms) = (self.timeout_ms, self.heard_ms);
        Some(Lease { session_id, timeout_ms, last_heard_ms, last_zxid: self.last_zxid })
    }

    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    fn tick(&mut self, now_ms: u64) {
        if self.closing_until_ms.is_some_and(|until| now_ms >= until) {
            return self.end();
        }
        match self.link {
            Link::Connecting { deadline_ms } | Link::Asking { deadline_ms, .. }
                if now_ms >= deadline_ms =>
            {
                self.drop_connection(now_ms);
            }
            Link::Up { .. } if now_ms >= self.received_ms + self.silence_ms_max() => {
                self.drop_connection(now_ms);
            }
            Link::Up { .. } if now_ms >= self.ping_at_ms() && self.pings.is_empty() => {
                self.pings.push_back(now_ms);
                self.send(messages::ping(), now_ms);
            }
            _ => {}
        }
        if matches!(self.link, Link::Down { retry_at_ms } if now_ms >= retry_at_ms) {
            let wait_ms = self.silence_ms_max() / self.backoff.servers();
            self.link = Link::Connecting { deadline_ms: now_ms + wait_ms.max(1) };
            self.effects.push(Effect::Connect { server: self.backoff.server() });
        }
    }

    /// A server silent for so long is left for another while there is still time to reach one.
    fn silence_ms_max(&self) -> u64 {
        self.timeout_ms * 2 / 3
    }

    fn ping_at_ms(&self) -> u64 {
        self.sent_ms + self.timeout_ms / 3
    }

    fn send(&mut self, frame: Bytes, now_ms: u64) {
        self.sent_ms = now_ms;
        self.effects.push(Effect::Send(frame));
    }

    fn answer(&mut self, id: RequestId, result: Result<Reply, StoreError>) {
        self.effects.push(Effect::Answer { id, result });
    }

    fn ask(&mut self, now_ms: u64) {
        let Link::Connecting { deadline_ms } = self.link else { return };
        let timeout_ms = i32::try_from(self.settings.timeout_ms).unwrap_or(i32::MAX);
        let frame =
            messages::connect_request(self.last_zxid, timeout_ms, self.credentials.as_ref());
        self.link = Link::Asking { sent_ms: now_ms, deadline_ms };
        self.send(frame, now_ms);
    }

    fn drop_connection(&mut self, now_ms: u64) {
        self.effects.push(Effect::Disconnect);
        self.lose(now_ms);
    }

    /// The connection is gone: what was under way is in doubt, and so is what was to follow it.
    fn lose(&mut self, now_ms: u64) {
        let up_ms = if let Link::Up { since_ms } = self.link { now_ms - since_ms } else { 0 };
        let was_up = matches!(self.link, Link::Up { .. });
        self.input.clear();
        self.pings.clear();
        self.link = Link::Down { retry_at_ms: now_ms + self.backoff.failed(up_ms) };
        for lost in std::mem::take(&mut self.in_flight) {
            if let Some(request) = lost.request {
                self.answer(request.id, Err(StoreError::ConnectionLost));
                self.fail_queued(StoreError::ConnectionLost, |queued| {
                    queued.id.batch == request.id.batch
                });
            }
        }
        if was_up {
            self.effects.push(Effect::Publish(StoreEvent::Disconnected));
        }
        if self.closing_until_ms.is_some() && self.credentials.is_none() {
            self.end();
        }
    }

    fn fail_queued(&mut self, error: StoreError, which: impl Fn(&Request) -> bool) {
        for request in std::mem::take(&mut self.queue) {
            if which(&request) {
                self.answer(request.id, Err(error.clone()));
            } else {
                self.queue.push_back(request);
            }
        }
    }

    fn close(&mut self, now_ms: u64) {
        if self.closing_until_ms.is_some() {
            return;
        }
        self.closing_until_ms = Some(now_ms + self.timeout_ms.min(CLOSE_MS_MAX));
        self.fail_queued(StoreError::Closed, |_| true);
        match self.link {
            Link::Up { .. } => self.send_close(now_ms),
            // No session, and none that a server could be opening for us.
            Link::Down { .. } | Link::Connecting { .. } if self.credentials.is_none() => self.end(),
            _ => {}
        }
    }

    fn send_close(&mut self, now_ms: u64) {
        let xid = self.next_xid();
        self.in_flight.push_back(InFlight { xid, sent_ms: now_ms, request: None });
        self.send(messages::close_session(xid), now_ms);
    }

    fn end(&mut self) {
        for lost in std::mem::take(&mut self.in_flight) {
            if let Some(request) = lost.request {
                self.answer(request.id, Err(StoreError::ConnectionLost));
            }
        }
        self.fail_queued(StoreError::Closed, |_| true);
        self.credentials = None;
        self.link = Link::Ended;
        self.effects.push(Effect::Disconnect);
        self.effects.push(Effect::Ended);
    }

    fn next_xid(&mut self) -> i32 {
        self.xid = if self.xid == i32::MAX { 1 } else { self.xid + 1 };
        self.xid
    }

    fn send_queued(&mut self, now_ms: u64) {
        if !matches!(self.link, Link::Up { .. }) {
            return;
        }
        while self.in_flight.len() < self.settings.in_flight_max {
            let Some(request) = self.queue.pop_front() else { return };
            let here = self.credentials.as_ref().map(|known| known.session_id);
            if request.session.is_some() && request.session != here {
                self.answer(request.id, Err(StoreError::SessionExpired));
                continue;
            }
            let xid = self.next_xid();
            let max = self.settings.packet_bytes_max;
            match messages::request(xid, &request.op, &self.chroot, max) {
                Ok(frame) => {
                    let request = Some(request);
                    self.in_flight.push_back(InFlight { xid, sent_ms: now_ms, request });
                    self.send(frame, now_ms);
                }
                Err(error) => self.answer(request.id, Err(error)),
            }
        }
    }

    fn receive(&mut self, bytes: &[u8], now_ms: u64) {
        if !matches!(self.link, Link::Asking { .. } | Link::Up { .. }) {
            return;
        }
        self.received_ms = now_ms;
        self.input.extend_from_slice(bytes);
        loop {
            let taken = match take_packet(&mut self.input, self.settings.packet_bytes_max) {
                Ok(Some(packet)) => self.packet(packet, now_ms),
                Ok(None) => break,
                Err(error) => Err(error),
            };
            if let Err(error) = taken {
                tracing::warn!(%error, "ZooKeeper sent bytes without sense");
                return self.drop_connection(now_ms);
            }
            if !matches!(self.link, Link::Asking { .. } | Link::Up { .. }) {
                return;
            }
        }
        self.send_queued(now_ms);
    }

    fn packet(&mut self, packet: Bytes, now_ms: u64) -> Result<(), JuteError> {
        if let Link::Asking { sent_ms, .. } = self.link {
            match messages::connect_response(packet)? {
                Some(connected) => self.connected(connected, sent_ms, now_ms),
                None => self.expired(now_ms),
            }
            return Ok(());
        }
        let mut reader = Reader::new(packet);
        let header = messages::reply_header(&mut reader)?;
        if header.zxid > 0 {
            self.last_zxid = self.last_zxid.max(header.zxid);
        }
        match header.xid {
            messages::XID_NOTIFICATION => self.notified(&mut reader),
            messages::XID_PING => {
                if let Some(sent_ms) = self.pings.pop_front() {
                    self.heard_ms = self.heard_ms.max(sent_ms);
                }
                Ok(())
            }
            // Watches that could not be set again would never fire: take another connection.
            messages::XID_SET_WATCHES | messages::XID_AUTH if header.err != 0 => {
                Err(JuteError::Value(header.err))
            }
            messages::XID_SET_WATCHES | messages::XID_AUTH => Ok(()),
            _ => self.answered(header, &mut reader),
        }
    }

    fn connected(&mut self, connected: messages::Connected, sent_ms: u64, now_ms: u64) {
        let session_id = connected.credentials.session_id;
        let same = self.credentials.as_ref().is_some_and(|known| known.session_id == session_id);
        self.timeout_ms = u64::try_from(connected.timeout_ms).unwrap_or(0).max(1);
        self.credentials = Some(connected.credentials);
        self.heard_ms = self.heard_ms.max(sent_ms);
        self.link = Link::Up { since_ms: now_ms };
        let event = if same {
            StoreEvent::Reconnected
        } else {
            self.watches.clear();
            StoreEvent::SessionStarted { session_id }
        };
        self.effects.push(Effect::Publish(event));
        if self.closing_until_ms.is_some() {
            return self.send_close(now_ms);
        }
        for [data, exists, children] in self.watches.packets(|path| self.chroot.outer(path)) {
            let frame = messages::set_watches(self.last_zxid, [&data, &exists, &children]);
            self.send(frame, now_ms);
        }
    }

    /// The server says that the session we asked for is over.
    fn expired(&mut self, now_ms: u64) {
        self.effects.push(Effect::Disconnect);
        let Some(former) = self.credentials.take() else { return self.lose(now_ms) };
        self.watches.clear();
        self.input.clear();
        self.timeout_ms = u64::from(self.settings.timeout_ms);
        self.heard_ms = 0;
        self.fail_queued(StoreError::SessionExpired, |queued| {
            queued.session.is_none_or(|session| session == former.session_id)
        });
        self.effects.push(Effect::Publish(StoreEvent::SessionExpired));
        self.link = Link::Down { retry_at_ms: now_ms };
        if self.closing_until_ms.is_some() {
            self.end();
        }
    }

    fn notified(&mut self, reader: &mut Reader) -> Result<(), JuteError> {
        let Some((outer, change)) = messages::notification(reader)? else { return Ok(()) };
        let Some(path) = self.chroot.inner(&outer) else { return Ok(()) };
        if self.watches.fire(path, change) {
            let path = path.to_owned();
            self.effects.push(Effect::Publish(StoreEvent::Changed { path, change }));
        }
        Ok(())
    }

    /// Replies come in the order of the requests.
    fn answered(&mut self, header: ReplyHeader, reader: &mut Reader) -> Result<(), JuteError> {
        if self.in_flight.front().is_none_or(|front| front.xid != header.xid) {
            return Err(JuteError::Value(header.xid));
        }
        let Some(front) = self.in_flight.pop_front() else { return Ok(()) };
        let Some(request) = front.request else {
            self.end();
            return Ok(());
        };
        match messages::outcome(&request.op, header.err, reader, &self.chroot) {
            Ok(result) => {
                let unheard = [StoreError::SessionExpired, StoreError::ConnectionLost];
                if !result.as_ref().is_err_and(|error| unheard.contains(error)) {
                    self.heard_ms = self.heard_ms.max(front.sent_ms);
                }
                self.watches.note(&request.op, &result);
                self.answer(request.id, result);
                Ok(())
            }
            Err(error) => {
                // It may have been done: it shares the fate of all that is under way.
                self.in_flight.push_front(InFlight { request: Some(request), ..front });
                Err(error)
            }
        }
    }
}

mod check;
mod event;
#[cfg(test)]
mod tests;
