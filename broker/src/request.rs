//! The shape of a request and of its reply, as every handler has them. Knows nothing of sockets and
//! frames.

use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::BoxFuture;

/// What the requests of one connection have in common.
#[derive(Debug)]
pub struct ConnectionContext {
    /// Unique in this process, and in Kafka's shape: `local:port-remote:port-index`.
    pub id: String,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    /// Name of the listener that accepted it, as in `listeners`.
    pub listener: Arc<str>,
    /// `User:ANONYMOUS` on a PLAINTEXT listener.
    pub principal: Arc<str>,
}

/// One request's circumstances. Cheap to clone, so that a waiting reply can keep it.
#[derive(Debug, Clone)]
pub struct RequestContext {
    pub connection: Arc<ConnectionContext>,
    pub api_key: i16,
    pub api_version: i16,
    pub correlation_id: i32,
    pub client_id: Option<Arc<str>>,
    /// When its last byte was read, on the clock's `elapsed_ms`.
    pub arrived_ms: f64,
}

impl RequestContext {
    /// The client id as Kafka's handlers see it: empty when the client sent none.
    pub fn client_id(&self) -> &str {
        self.client_id.as_deref().unwrap_or("")
    }

    /// The peer's address as Kafka prints it in group descriptions: `/127.0.0.1`.
    pub fn client_host(&self) -> String {
        format!("/{}", self.connection.peer.ip())
    }
}

/// What a handler gives back.
pub enum Reply<R> {
    /// The answer.
    Now(R),
    /// The answer comes later. Everything that must happen in request order was done before this
    /// was returned. The future is dropped when the peer goes, so work that must be finished
    /// belongs in `Tasks`, with this future waiting for its result.
    Later(BoxFuture<'static, R>),
    /// As `Later`, but no other request of the connection starts before: what is still to be done
    /// has its place in their order. Ends in any kind of reply.
    Held(BoxFuture<'static, Reply<R>>),
    /// No answer, by protocol (Produce with acks=0).
    Nothing,
    /// The connection must be closed; the reason goes to the log.
    Close(String),
}

impl<R: Send + 'static> Reply<R> {
    /// Shorthand for `Reply::Later(Box::pin(future))`.
    pub fn later(future: impl Future<Output = R> + Send + 'static) -> Reply<R> {
        Reply::Later(Box::pin(future))
    }
}
