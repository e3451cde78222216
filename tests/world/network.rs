//! The simulated network: who is where, how long bytes take, and which ways are cut. Everything
//! follows from the run's seed. Knows nothing of what is sent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use broker::config::listeners;
use broker::network::socket::{Accept, Acceptor, SocketOptions, Stream};
use client::{Duplex, Endpoint, Transport};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use protocol::ids::BrokerId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::pipe::Pipe;
use crate::random::Random;
use crate::trace::Trace;

/// A computer of the simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    Broker(BrokerId),
    ZooKeeper,
    Client(u32),
}

impl Node {
    /// The name under which others find it.
    pub fn host(self) -> String {
        match self {
            Node::Broker(id) => format!("broker-{id}"),
            Node::ZooKeeper => "zookeeper".to_owned(),
            Node::Client(number) => format!("client-{number}"),
        }
    }

    fn of_host(host: &str) -> Option<Node> {
        let number = |prefix: &str| host.strip_prefix(prefix)?.parse().ok();
        let broker = number("broker-").or_else(|| number("10.0.0.")).map(Node::Broker);
        broker.or_else(|| (host == "zookeeper").then_some(Node::ZooKeeper))
    }

    fn address(self, port: u16) -> SocketAddr {
        let last = match self {
            Node::Broker(id) => [0, id as u8],
            Node::ZooKeeper => [1, 0],
            Node::Client(number) => [2, number as u8],
        };
        SocketAddr::from(([10, 0, last[0], last[1]], port))
    }
}

/// The network; clones share it.
#[derive(Clone)]
pub struct Network {
    state: Arc<Mutex<State>>,
    pub trace: Trace,
}

struct State {
    random: Random,
    cut: BTreeSet<(Node, Node)>,
    /// Computers without power: nothing answers there.
    dark: BTreeSet<Node>,
    listeners: BTreeMap<(Node, u16), Arc<Mutex<Backlog>>>,
    wires: Vec<Wire>,
    next_port: u16,
}

#[derive(Default)]
struct Backlog {
    waiting: VecDeque<(Side, SocketAddr)>,
    acceptor: Option<Waker>,
}

/// One direction between two nodes.
struct Wire {
    from: Node,
    to: Node,
    pipe: Weak<Mutex<Pipe>>,
}

impl Network {
    pub fn new(seed: u64, trace: Trace) -> Network {
        let state = State {
            random: Random::new(seed ^ 0x6e65_7477),
            cut: BTreeSet::new(),
            dark: BTreeSet::new(),
            listeners: BTreeMap::new(),
            wires: Vec::new(),
            next_port: 40_000,
        };
        Network { state: Arc::new(Mutex::new(state)), trace }
    }

    /// The network as one node sees it.
    pub fn at(&self, node: Node) -> Outlet {
        Outlet { node, network: self.clone() }
    }

    fn arrival(&self) -> Instant {
        let random = &mut self.state.lock().random;
        let delay_ms = match random.below(1000) {
            // A lost packet that TCP sends again, and once in a while a long stall.
            0 => random.between(300, 2_500),
            1..=20 => random.between(20, 300),
            21..=500 => random.between(1, 2),
            _ => 0,
        };
        Instant::now() + Duration::from_millis(delay_ms)
    }

    /// Nothing goes from one to the other until `mend_all`.
    pub fn cut(&self, from: Node, to: Node) {
        let mut state = self.state.lock();
        if from != to && state.cut.insert((from, to)) {
            state.each_pipe(|a, b, pipe| {
                if (a, b) == (from, to) {
                    pipe.hold(true);
                }
            });
        }
    }

    pub fn cut_both(&self, one: Node, other: Node) {
        self.cut(one, other);
        self.cut(other, one);
    }

    pub fn mend_all(&self) {
        let mut state = self.state.lock();
        state.cut.clear();
        state.each_pipe(|_, _, pipe| pipe.hold(false));
    }

    /// The power goes: nobody there says or hears anything any more.
    pub fn darken(&self, node: Node) {
        let mut state = self.state.lock();
        state.dark.insert(node);
        state.listeners.retain(|(at, _), _| *at != node);
        state.each_pipe(|from, to, pipe| {
            if from == node || to == node {
                pipe.fall_silent();
            }
        });
    }

    /// The power is back, and nobody there knows of any connection from before.
    pub fn light(&self, node: Node) {
        let mut state = self.state.lock();
        if state.dark.remove(&node) {
            let at = Instant::now() + Duration::from_millis(1);
            state.each_pipe(|from, to, pipe| {
                if from == node || to == node {
                    pipe.reset(at);
                }
            });
        }
    }
}

impl State {
    fn each_pipe(&mut self, mut work: impl FnMut(Node, Node, &mut Pipe)) {
        self.wires.retain(|wire| match wire.pipe.upgrade() {
            Some(pipe) => {
                work(wire.from, wire.to, &mut pipe.lock());
                true
            }
            None => false,
        });
    }

    fn pipe(&mut self, from: Node, to: Node) -> Arc<Mutex<Pipe>> {
        let mut pipe = Pipe::default();
        pipe.hold(self.cut.contains(&(from, to)));
        let pipe = Arc::new(Mutex::new(pipe));
        self.wires.push(Wire { from, to, pipe: Arc::downgrade(&pipe) });
        pipe
    }

    fn can_talk(&self, one: Node, other: Node) -> bool {
        !self.cut.contains(&(one, other))
            && !self.cut.contains(&(other, one))
            && !self.dark.contains(&other)
    }
}

/// One node's way into the network.
#[derive(Clone)]
pub struct Outlet {
    node: Node,
    network: Network,
}

impl Outlet {
    pub async fn connect(&self, to: &Endpoint) -> io::Result<Side> {
        let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("no host {}", to.host));
        let peer = Node::of_host(&to.host).ok_or_else(unknown)?;
        tokio::time::sleep_until(self.network.arrival()).await;
        while !self.network.state.lock().can_talk(self.node, peer) {
            // The caller gives up before the system does.
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        let opened = self.open(peer, to.port);
        tokio::time::sleep_until(self.network.arrival()).await;
        opened
    }

    fn open(&self, peer: Node, port: u16) -> io::Result<Side> {
        let mut state = self.network.state.lock();
        let Some(backlog) = state.listeners.get(&(peer, port)).cloned() else {
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        state.next_port = state.next_port.checked_add(1).unwrap_or(40_000);
        let (mine, theirs) = (self.node.address(state.next_port), peer.address(port));
        let (out, back) = (state.pipe(self.node, peer), state.pipe(peer, self.node));
        drop(state);
        let side = |node, peer, local, read, write| Side {
            node,
            peer,
            local,
            read,
            write,
            network: self.network.clone(),
        };
        let here = side(self.node, peer, mine, back.clone(), out.clone());
        let there = side(peer, self.node, theirs, out, back);
        let mut backlog = backlog.lock();
        backlog.waiting.push_back((there, mine));
        if let Some(acceptor) = backlog.acceptor.take() {
            acceptor.wake();
        }
        Ok(here)
    }

    pub fn listen(&self, port: u16) -> io::Result<Listening> {
        let mut state = self.network.state.lock();
        if state.listeners.contains_key(&(self.node, port)) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let backlog = Arc::new(Mutex::new(Backlog::default()));
        state.listeners.insert((self.node, port), backlog.clone());
        Ok(Listening { node: self.node, port, backlog, network: self.network.clone() })
    }
}

impl Transport for Outlet {
    fn connect<'a>(&'a self, to: &'a Endpoint) -> BoxFuture<'a, io::Result<Box<dyn Duplex>>> {
        Box::pin(async move {
            let side = Outlet::connect(self, to).await?;
            Ok(Box::new(side) as Box<dyn Duplex>)
        })
    }
}

impl broker::host::Network for Outlet {
    fn transport(&self) -> Arc<dyn Transport> {
        Arc::new(self.clone())
    }

    fn bind(&self, endpoint: &listeners::Endpoint, _: SocketOptions) -> io::Result<Acceptor> {
        Ok(Acceptor::Other(Box::new(self.listen(endpoint.port)?)))
    }
}

/// A bound address; unbound when it is dropped.
pub struct Listening {
    node: Node,
    port: u16,
    backlog: Arc<Mutex<Backlog>>,
    network: Network,
}

impl Listening {
    pub fn poll_side(&self, cx: &mut Context<'_>) -> Poll<(Side, SocketAddr)> {
        let mut backlog = self.backlog.lock();
        match backlog.waiting.pop_front() {
            Some(next) => Poll::Ready(next),
            None => {
                backlog.acceptor = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Accept for Listening {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Box<dyn Stream>, SocketAddr)>> {
        self.poll_side(cx).map(|(side, peer)| Ok((Box::new(side) as Box<dyn Stream>, peer)))
    }

    fn local_addr(&self) -> SocketAddr {
        self.node.address(self.port)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut state = self.network.state.lock();
        let key = (self.node, self.port);
        // The computer may be up again, and another process there.
        if state.listeners.get(&key).is_some_and(|known| Arc::ptr_eq(known, &self.backlog)) {
            state.listeners.remove(&key);
        }
        drop(state);
        let waiting = std::mem::take(&mut self.backlog.lock().waiting);
        drop(waiting);
    }
}

/// One side of a connection; closed when it is dropped.
pub struct Side {
    node: Node,
    peer: Node,
    local: SocketAddr,
    read: Arc<Mutex<Pipe>>,
    write: Arc<Mutex<Pipe>>,
    network: Network,
}

impl Stream for Side {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.read.lock().poll_readable(cx)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.write.lock().poll_writable(cx)
    }

    fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        self.read.lock().read(into)
    }

    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let at = self.network.arrival();
        let mut written = 0;
        for slice in slices {
            match self.write.lock().write(slice, at) {
                Ok(count) => {
                    self.network.trace.bytes(self.node, self.peer, &slice[..count]);
                    written += count;
                    if count < slice.len() {
                        break;
                    }
                }
                Err(_) if written > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl AsyncRead for Side {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut bytes = [0; 16 << 10];
            let most = bytes.len().min(buf.remaining());
            match self.try_read(&mut bytes[..most]) {
                Ok(count) => {
                    buf.put_slice(&bytes[..count]);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            std::task::ready!(self.poll_readable(cx));
        }
    }
}

impl AsyncWrite for Side {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.try_write(&[IoSlice::new(buf)]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
            std::task::ready!(self.poll_writable(cx));
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write.lock().close(self.network.arrival());
        Poll::Ready(Ok(()))
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        let at = self.network.arrival();
        self.write.lock().close(at);
        self.read.lock().abandon(at);
    }
}
