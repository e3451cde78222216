//! Listening sockets: bound early so that a port in use ends the start, accepted from once requests
//! are served. Knows nothing of frames.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::task::unconstrained;

use super::connection::{Connection, Serving};
use super::shared::Shared;
use super::socket::{Acceptor, Socket, SocketOptions};
use super::throttle::{Place, Throttle};
use crate::config::listeners::Endpoint;
use crate::host::Network;
use crate::request::ConnectionContext;

/// A bound socket under its listener's name.
pub struct Listener {
    pub name: Arc<str>,
    pub local: SocketAddr,
    acceptor: Acceptor,
    options: SocketOptions,
}

/// Connections that are accepted in a row before they are served.
const BURST_MAX: usize = 512;

/// A connection that is not served yet.
struct Accepted {
    socket: Socket,
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
    pub fn bind(
        network: &dyn Network,
        endpoint: &Endpoint,
        options: SocketOptions,
    ) -> Result<Listener, BindError> {
        let bound = || -> io::Result<Listener> {
            let acceptor = network.bind(endpoint, options)?;
            let local = acceptor.local_addr()?;
            Ok(Listener { name: endpoint.name.as_str().into(), local, acceptor, options })
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
        match self.acceptor.accept().await {
            Ok((socket, peer)) => Some(Accepted { socket, peer, place }),
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
        let Accepted { socket, peer, place } = accepted;
        let Some(slot) = throttle.enter(peer.ip(), place) else {
            serving.metrics.connections_refused.increment(1);
            tracing::info!(%peer, "connection refused: its address has its share already");
            return;
        };
        match self.prepare(&socket, peer, index) {
            Ok(context) => {
                serving.metrics.connections_accepted.increment(1);
                let connection =
                    Connection::new(socket, serving.clone(), shared.clone(), context, slot);
                serving.tasks.spawn(connection.run());
            }
            Err(error) => tracing::debug!(%peer, %error, "connection lost while accepted"),
        }
    }

    fn prepare(
        &self,
        socket: &Socket,
        peer: SocketAddr,
        index: u64,
    ) -> io::Result<Arc<ConnectionContext>> {
        socket.prepare(self.options)?;
        let local = socket.local_addr()?;
        Ok(Arc::new(ConnectionContext {
            id: format!("{local}-{peer}-{index}"),
            peer,
            local,
            listener: self.name.clone(),
            principal: "User:ANONYMOUS".into(),
        }))
    }
}
