//! A ZooKeeper ensemble as a state machine: connections, bytes and time go in, bytes come out. The
//! tree is the one that the embedded store uses; sessions, their expiry and watches that are set
//! again are as in `SessionTrackerImpl` and `DataTree`. Knows no socket and no clock.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use metadata::store::{Change, Op};
use metadata::tree::{Fired, Tree};
use metadata::zookeeper::jute::{JuteError, take_packet};

use super::packets::{self, Request, Rewatch};

/// Longest packet it takes (`jute.maxbuffer` as Kafka sets it).
const PACKET_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Names a connection; the caller's, none twice.
pub type ConnectionId = u64;

/// What the server does to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    Send(ConnectionId, Bytes),
    Close(ConnectionId),
}

#[derive(Debug, Clone)]
pub struct Settings {
    /// Sessions end at multiples of this.
    pub tick_ms: u64,
    pub session_timeout_ms_min: u64,
    pub session_timeout_ms_max: u64,
}

#[derive(Debug)]
struct Session {
    password: Bytes,
    timeout_ms: u64,
    expires_ms: u64,
    connection: Option<ConnectionId>,
}

#[derive(Debug, Default)]
struct Connection {
    input: BytesMut,
    /// `None` until it said which.
    session: Option<i64>,
}

/// The ensemble: one tree, as its clients see it through one server or another.
#[derive(Debug)]
pub struct ZooKeeper {
    settings: Settings,
    tree: Tree,
    sessions: BTreeMap<i64, Session>,
    connections: BTreeMap<ConnectionId, Connection>,
    next_session: i64,
    /// No quorum: nobody is served and no session ends.
    away: bool,
    outputs: Vec<Output>,
}

impl ZooKeeper {
    pub fn new(settings: Settings) -> ZooKeeper {
        ZooKeeper {
            settings,
            tree: Tree::default(),
            sessions: BTreeMap::new(),
            connections: BTreeMap::new(),
            next_session: 0x1000_0000,
            away: false,
            outputs: Vec::new(),
        }
    }

    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// What is to be done to connections, in order.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// Whether a connection can be made now.
    pub fn is_away(&self) -> bool {
        self.away
    }

    pub fn connected(&mut self, id: ConnectionId) {
        if self.away {
            return self.outputs.push(Output::Close(id));
        }
        self.connections.insert(id, Connection::default());
    }

    /// The client hung up, or the way to it is gone. Its session lives on for its timeout.
    pub fn disconnected(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.remove(&id) else { return };
        let Some(session_id) = connection.session else { return };
        if let Some(session) = self.sessions.get_mut(&session_id)
            && session.connection == Some(id)
        {
            session.connection = None;
            self.tree.drop_watches(session_id);
        }
    }

    pub fn received(&mut self, id: ConnectionId, bytes: &[u8], now_ms: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.input.extend_from_slice(bytes);
        loop {
            let Some(connection) = self.connections.get_mut(&id) else { return };
            let session = connection.session;
            let done = match take_packet(&mut connection.input, PACKET_BYTES_MAX) {
                Ok(None) => return,
                Ok(Some(packet)) => match session {
                    None => self.hello(id, packet, now_ms),
                    Some(session) => self.request(id, session, packet, now_ms),
                },
                Err(error) => Err(error),
            };
            if done.is_err() {
                self.hang_up(id);
            }
        }
    }

    fn hang_up(&mut self, id: ConnectionId) {
        self.disconnected(id);
        self.outputs.push(Output::Close(id));
    }

    fn hello(&mut self, id: ConnectionId, packet: Bytes, now_ms: u64) -> Result<(), JuteError> {
        let hello = packets::hello(packet)?;
        if hello.last_zxid > self.tree.last_zxid() {
            // It has seen what this server has not.
            self.hang_up(id);
            return Ok(());
        }
        let mut session_id = hello.session_id;
        if session_id == 0 {
            session_id = self.open_session(hello.timeout_ms);
        }
        match self.sessions.get_mut(&session_id) {
            Some(session) if hello.session_id == 0 || session.password == hello.password => {
                let former = session.connection.replace(id);
                let password = session.password.clone();
                let timeout_ms = session.timeout_ms as i32;
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.session = Some(session_id);
                }
                if let Some(former) = former.filter(|former| *former != id) {
                    self.tree.drop_watches(session_id);
                    self.connections.remove(&former);
                    self.outputs.push(Output::Close(former));
                }
                self.heard(session_id, now_ms);
                let welcome = packets::welcome(timeout_ms, session_id, &password);
                self.outputs.push(Output::Send(id, welcome));
            }
            _ => {
                self.outputs.push(Output::Send(id, packets::welcome(0, 0, &[0; 16])));
                self.hang_up(id);
            }
        }
        Ok(())
    }

    fn open_session(&mut self, timeout_ms: i32) -> i64 {
        let session_id = self.next_session;
        self.next_session += 1;
        let asked = u64::try_from(timeout_ms).unwrap_or(0);
        let (min, max) =
            (self.settings.session_timeout_ms_min, self.settings.session_timeout_ms_max);
        let mut password = [0x5a; 16];
        password[..8].copy_from_slice(&session_id.to_be_bytes());
        let session = Session {
            password: Bytes::copy_from_slice(&password),
            timeout_ms: asked.clamp(min, max),
            expires_ms: 0,
            connection: None,
        };
        self.sessions.insert(session_id, session);
        self.tree.open_session(session_id);
        session_id
    }

    /// Sessions end with the tick after their timeout, as in `ExpiryQueue`.
    fn heard(&mut self, session_id: i64, now_ms: u64) {
        let tick_ms = self.settings.tick_ms;
        if let Some(session) = self.sessions.get_mut(&session_id) {
            session.expires_ms = ((now_ms + session.timeout_ms) / tick_ms + 1) * tick_ms;
        }
    }

    fn request(
        &mut self,
        id: ConnectionId,
        session_id: i64,
        packet: Bytes,
        now_ms: u64,
    ) -> Result<(), JuteError> {
        let (xid, request) = packets::request(packet)?;
        self.heard(session_id, now_ms);
        match request {
            Request::Ping => self.send_bare(id, xid),
            Request::Close => {
                self.end_session(session_id);
                self.send_bare(id, xid);
                self.hang_up(id);
            }
            Request::Rewatch(rewatch) => {
                self.rewatch(id, session_id, &rewatch, now_ms);
                self.send_bare(id, xid);
            }
            Request::Op(op) => {
                let outcome = self.tree.apply(session_id, &op, now_ms as i64);
                self.notify(outcome.fired);
                let reply = packets::reply(xid, self.tree.last_zxid(), &op, &outcome.result);
                self.outputs.push(Output::Send(id, reply));
            }
        }
        Ok(())
    }

    fn send_bare(&mut self, id: ConnectionId, xid: i32) {
        let reply = packets::bare_reply(xid, self.tree.last_zxid());
        self.outputs.push(Output::Send(id, reply));
    }

    fn notify(&mut self, fired: Vec<Fired>) {
        for Fired { session_id, path, change } in fired {
            let session = self.sessions.get(&session_id);
            if let Some(id) = session.and_then(|session| session.connection) {
                self.outputs.push(Output::Send(id, packets::notification(&path, change)));
            }
        }
    }

    /// What changed while the client was away is told at once (`DataTree.setWatches`).
    fn rewatch(&mut self, id: ConnectionId, session_id: i64, again: &Rewatch, now_ms: u64) {
        let mut changes: Vec<(&String, Change)> = Vec::new();
        let watch = |tree: &mut Tree, op: Op| drop(tree.apply(session_id, &op, now_ms as i64));
        for path in &again.data {
            match self.tree.node(path).map(|node| node.mzxid) {
                None => changes.push((path, Change::Deleted)),
                Some(zxid) if zxid > again.since_zxid => changes.push((path, Change::DataChanged)),
                Some(_) => watch(&mut self.tree, Op::Get { path: path.clone(), watch: true }),
            }
        }
        for path in &again.exists {
            match self.tree.node(path) {
                Some(_) => changes.push((path, Change::Created)),
                None => watch(&mut self.tree, Op::Exists { path: path.clone(), watch: true }),
            }
        }
        for path in &again.children {
            match self.tree.node(path).map(|node| node.pzxid) {
                None => changes.push((path, Change::Deleted)),
                Some(zxid) if zxid > again.since_zxid => {
                    changes.push((path, Change::ChildrenChanged));
                }
                Some(_) => watch(&mut self.tree, Op::Children { path: path.clone(), watch: true }),
            }
        }
        for (path, change) in changes {
            self.outputs.push(Output::Send(id, packets::notification(path, change)));
        }
    }

    fn end_session(&mut self, session_id: i64) {
        self.sessions.remove(&session_id);
        let fired = self.tree.close_session(session_id).fired;
        self.notify(fired);
    }

    /// Ends a session from outside, as an operator or a guard does; its connection is closed.
    pub fn expire(&mut self, session_id: i64) {
        let Some(session) = self.sessions.get(&session_id) else { return };
        let connection = session.connection;
        self.end_session(session_id);
        if let Some(id) = connection {
            self.connections.remove(&id);
            self.outputs.push(Output::Close(id));
        }
    }

    /// Ends the sessions whose time is over.
    pub fn tick(&mut self, now_ms: u64) {
        if self.away {
            return;
        }
        let over: Vec<i64> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.expires_ms <= now_ms)
            .map(|(id, _)| *id)
            .collect();
        over.into_iter().for_each(|id| self.expire(id));
    }

    /// When `tick` is due; `None` while no session can end.
    pub fn next_tick_ms(&self) -> Option<u64> {
        if self.away {
            return None;
        }
        self.sessions.values().map(|session| session.expires_ms).min()
    }

    /// The quorum goes: every connection breaks, none can be made, no session ends.
    pub fn lose_quorum(&mut self) {
        self.away = true;
        let open: Vec<ConnectionId> = self.connections.keys().copied().collect();
        open.into_iter().for_each(|id| self.hang_up(id));
    }

    /// The quorum is back: a new leader gives every session its whole timeout again.
    pub fn regain_quorum(&mut self, now_ms: u64) {
        self.away = false;
        let all: Vec<i64> = self.sessions.keys().copied().collect();
        all.into_iter().for_each(|id| self.heard(id, now_ms));
    }
}
