//! The seam between a session and what carries its bytes: TCP, or whatever else the caller brings.
//! Knows nothing of ZooKeeper.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Bytes both ways, in order, until one side closes.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Opens a connection to a host (a name or an address) and port.
pub type Connector = Arc<dyn Fn(String, u16) -> Connecting + Send + Sync>;

/// A connection that is being opened.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>>;

/// Plain TCP without Nagle's delay, at the first of the host's addresses that answers.
pub(super) fn tcp() -> Connector {
    Arc::new(|host, port| {
        Box::pin(async move {
            let stream = TcpStream::connect((host.as_str(), port)).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    })
}
