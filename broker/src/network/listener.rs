//! Listening sockets: bound early so that a port in use ends the start, accepted from once requests
//! are served. Knows nothing of frames.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::unconstrained;

use super::connection::{Connection, Serving};
use super::shared::Shared;
use super::throttle::{Place, Throttle};
use crate::config::listeners::Endpoint;
use crate::request::ConnectionContext;

/// Socket options of a listener and of what it accepts.
#[derive(Debug, Clone, Copy)]
pub struct SocketOptions {
    /// Connections that the system keeps until they are accepted.
    pub backlog: i32,
    /// `socket.receive.buffer.bytes` if it is set; else the system adapts it.
    pub receive_buffer_bytes: Option<usize>,
    /// `socket.send.buffer.bytes` if it is set; else the system adapts it.
    pub send_buffer_bytes: Option<usize>,
}

/// A bound socket under its listener's name.
#[derive(Debug)]
pub struct Listener {
    pub name: Arc<str>,
    pub local: SocketAddr,
    socket: TcpListener,
    options: SocketOptions,
}

/// Connections that are accepted in a row before they are served.
const BURST_MAX: usize = 512;

/// A connection that is not served yet.
struct Accepted {
    stream: TcpStream,
    peer: SocketAddr,
    place: Place,
}

/// The address of a listener cannot be had: exit code 6.
#[derive(Debug, thiserror::Error)]
#[error("{endpoint}: {error}")]
pub struct BindError {
    pub endpoint: Endpoint,
    pub error: io::Error,
}

impl Listener {
    /// Binds; connections wait in the backlog until `accept`. Must be called inside the runtime.
    pub fn bind(endpoint: &Endpoint, options: SocketOptions) -> Result<Listener, BindError> {
        let bound = || -> io::Result<Listener> {
            let socket = socket(endpoint, options)?;
            socket.set_nonblocking(true)?;
            let socket = TcpListener::from_std(socket.into())?;
            Ok(Listener {
                name: endpoint.name.as_str().into(),
                local: socket.local_addr()?,
                socket,
                options,
            })
        };
        bound().map_err(|error| BindError { endpoint: endpoint.clone(), error })
    }

    /// Accepts until the broker stops; each connection becomes a task. All that wait, up to
    /// `BURST_MAX`, are accepted before the first of them is served: on a busy machine this task
    /// comes rarely, and what does not fit into the backlog must try again after a second.
    pub async fn accept(self, serving: Arc<Serving>, shared: Arc<Shared>, throttle: Arc<Throttle>) {
        let mut index: u64 = 0;
        let mut burst = Vec::new();
        loop {
            let place = throttle.vacancy(&self.name).await;
            while let delay_ms @ 1.. = throttle.delay_ms(&self.name, serving.clock.now_ms()) {
                tokio::time::sleep(Duration::from_millis(delay_ms)).await;
            }
            burst.extend(self.one(place).await);
            // Where the rate of new connections is bounded, every try counts.
            while burst.len() < BURST_MAX
                && !throttle.has_rate(&self.name)
                && let Some(place) = throttle.vacancy(&self.name).now_or_never()
                && let Some(next) = unconstrained(self.one(place)).now_or_never()
            {
                burst.extend(next);
            }
            for accepted in burst.drain(..) {
                self.serve(accepted, index, &serving, &shared, &throttle);
                index += 1;
            }
        }
    }

    /// Accepts one; `None` if the peer was gone before its turn came.
    async fn one(&self, place: Place) -> Option<Accepted> {
        /// Descriptors or memory ran out: others must close before it can go on.
        const PAUSE: Duration = Duration::from_millis(100);
        match self.socket.accept().await {
            Ok((stream, peer)) => Some(Accepted { stream, peer, place }),
            // Others are not to wait for that.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => None,
            Err(error) => {
                tracing::warn!(listener = %self.name, %error, "a connection was not accepted");
                tokio::time::sleep(PAUSE).await;
                None
            }
        }
    }

    fn serve(
        &self,
        accepted: Accepted,
        index: u64,
        serving: &Arc<Serving>,
        shared: &Arc<Shared>,
        throttle: &Arc<Throttle>,
    ) {
        let Accepted { stream, peer, place } = accepted;
        let Some(slot) = throttle.enter(peer.ip(), place) else {
            serving.metrics.connections_refused.increment(1);
            tracing::info!(%peer, "connection refused: its address has its share already");
            return;
        };
        match self.prepare(&stream, peer, index) {
            Ok(context) => {
                serving.metrics.connections_accepted.increment(1);
                let connection =
                    Connection::new(stream, serving.clone(), shared.clone(), context, slot);
                serving.tasks.spawn(connection.run());
            }
            Err(error) => tracing::debug!(%peer, %error, "connection lost while accepted"),
        }
    }

    fn prepare(
        &self,
        stream: &TcpStream,
        peer: SocketAddr,
        index: u64,
    ) -> io::Result<Arc<ConnectionContext>> {
        stream.set_nodelay(true)?;
        let socket = SockRef::from(stream);
        socket.set_keepalive(true)?;
        if let Some(bytes) = self.options.send_buffer_bytes {
            socket.set_send_buffer_size(bytes)?;
        }
        let local = stream.local_addr()?;
        Ok(Arc::new(ConnectionContext {
            id: format!("{local}-{peer}-{index}"),
            peer,
            local,
            listener: self.name.clone(),
            principal: "User:ANONYMOUS".into(),
        }))
    }
}

fn socket(endpoint: &Endpoint, options: SocketOptions) -> io::Result<Socket> {
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "no such host");
    for address in addresses(endpoint)? {
        let open = || -> io::Result<Socket> {
            let domain = Domain::for_address(address);
            let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
            socket.set_reuse_address(true)?;
            if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
                // One socket for both families, as Java opens it.
                socket.set_only_v6(false)?;
            }
            if let Some(bytes) = options.receive_buffer_bytes {
                // Accepted sockets inherit it; it must be set before they offer a window.
                socket.set_recv_buffer_size(bytes)?;
            }
            socket.bind(&address.into())?;
            socket.listen(options.backlog)?;
            Ok(socket)
        };
        match open() {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Candidates in order; the first that can be bound is taken.
fn addresses(endpoint: &Endpoint) -> io::Result<Vec<SocketAddr>> {
    if endpoint.host.is_empty() {
        let any = |ip| SocketAddr::new(ip, endpoint.port);
        return Ok(vec![any(Ipv6Addr::UNSPECIFIED.into()), any(Ipv4Addr::UNSPECIFIED.into())]);
    }
    Ok((endpoint.host.as_str(), endpoint.port).to_socket_addrs()?.collect())
}
