//! What carries the bytes of connections: TCP, or whatever else the host brings. Knows nothing of
//! frames.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::task::{Context, Poll};

use bytes::BufMut;
use futures::FutureExt;
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use socket2::{Domain, Protocol, SockRef, Type};
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::{TcpListener, TcpStream};

use crate::config::listeners::Endpoint;

/// Options of a bound address and of what is accepted there.
#[derive(Debug, Clone, Copy)]
pub struct SocketOptions {
    /// Connections that the system keeps until they are accepted.
    pub backlog: i32,
    /// `socket.receive.buffer.bytes` if it is set; else the system adapts it.
    pub receive_buffer_bytes: Option<usize>,
    /// `socket.send.buffer.bytes` if it is set; else the system adapts it.
    pub send_buffer_bytes: Option<usize>,
}

/// One side of a connection that is no TCP socket. Calls do not wait: what cannot be done now is
/// `WouldBlock`, and the polls say when to try again.
pub trait Stream: Send + Sync {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()>;
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()>;
    /// 0 when the peer sends no more.
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize>;
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
    fn local_addr(&self) -> SocketAddr;
}

/// Where connections come in that are no TCP sockets.
pub trait Accept: Send + Sync {
    /// A connection and its peer's address.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Box<dyn Stream>, SocketAddr)>>;
    fn local_addr(&self) -> SocketAddr;
}

/// This side of an accepted connection.
pub enum Socket {
    Tcp(TcpStream),
    Other(Box<dyn Stream>),
}

/// A bound address that connections are accepted from.
pub enum Acceptor {
    Tcp(TcpListener),
    Other(Box<dyn Accept>),
}

/// What one read from a stream takes that is no TCP socket.
const READ_BYTES: usize = 16 << 10;

impl Socket {
    pub async fn readable(&self) {
        match self {
            // An error shows when it is read.
            Socket::Tcp(stream) => drop(stream.readable().await),
            Socket::Other(stream) => poll_fn(|cx| stream.poll_readable(cx)).await,
        }
    }

    pub async fn writable(&self) {
        match self {
            // An error shows when it is written.
            Socket::Tcp(stream) => drop(stream.writable().await),
            Socket::Other(stream) => poll_fn(|cx| stream.poll_writable(cx)).await,
        }
    }

    /// One read; `None` if there is nothing at the moment.
    pub fn try_read(&mut self, into: &mut impl BufMut) -> Option<io::Result<usize>> {
        match self {
            Socket::Tcp(stream) => stream.read_buf(into).now_or_never(),
            Socket::Other(stream) => {
                let mut bytes = [0; READ_BYTES];
                let most = bytes.len().min(into.remaining_mut());
                match stream.try_read(&mut bytes[..most]) {
                    Ok(count) => {
                        into.put_slice(&bytes[..count]);
                        Some(Ok(count))
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                    Err(error) => Some(Err(error)),
                }
            }
        }
    }

    /// Sends from memory; `more` follows at once.
    pub fn try_send(&self, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => {
                let more = if more { SendFlags::MORE } else { SendFlags::empty() };
                stream.try_io(Interest::WRITABLE, || {
                    let mut ancillary = SendAncillaryBuffer::default();
                    Ok(sendmsg(stream, slices, &mut ancillary, SendFlags::NOSIGNAL | more)?)
                })
            }
            Socket::Other(stream) => stream.try_write(slices),
        }
    }

    /// Sends from a file, without a copy. Only TCP takes files.
    pub fn try_send_file(
        &self,
        file: impl std::os::fd::AsFd,
        mut position: u64,
        count: usize,
    ) -> io::Result<usize> {
        let Socket::Tcp(stream) = self else { return Err(io::ErrorKind::Unsupported.into()) };
        stream.try_io(Interest::WRITABLE, || {
            Ok(rustix::fs::sendfile(stream, &file, Some(&mut position), count)?)
        })
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Socket::Tcp(stream) => stream.local_addr(),
            Socket::Other(stream) => Ok(stream.local_addr()),
        }
    }

    /// Sets what every accepted connection gets.
    pub fn prepare(&self, options: SocketOptions) -> io::Result<()> {
        let Socket::Tcp(stream) = self else { return Ok(()) };
        stream.set_nodelay(true)?;
        let socket = SockRef::from(stream);
        socket.set_keepalive(true)?;
        if let Some(bytes) = options.send_buffer_bytes {
            socket.set_send_buffer_size(bytes)?;
        }
        Ok(())
    }
}

impl Acceptor {
    /// The next connection and its peer's address.
    pub async fn accept(&self) -> io::Result<(Socket, SocketAddr)> {
        match self {
            Acceptor::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Socket::Tcp(stream), peer))
            }
            Acceptor::Other(listener) => {
                let (stream, peer) = poll_fn(|cx| listener.poll_accept(cx)).await?;
                Ok((Socket::Other(stream), peer))
            }
        }
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Acceptor::Tcp(listener) => listener.local_addr(),
            Acceptor::Other(listener) => Ok(listener.local_addr()),
        }
    }
}

/// Binds a TCP address: the first of the host's that can be. Must be called inside the runtime.
pub fn bind_tcp(endpoint: &Endpoint, options: SocketOptions) -> io::Result<Acceptor> {
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "no such host");
    for address in addresses(endpoint)? {
        match listen(address, options) {
            Ok(socket) => {
                socket.set_nonblocking(true)?;
                return Ok(Acceptor::Tcp(TcpListener::from_std(socket.into())?));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn listen(address: SocketAddr, options: SocketOptions) -> io::Result<socket2::Socket> {
    let domain = Domain::for_address(address);
    let socket = socket2::Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
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
}

/// Candidates in order; the first that can be bound is taken.
fn addresses(endpoint: &Endpoint) -> io::Result<Vec<SocketAddr>> {
    if endpoint.host.is_empty() {
        let any = |ip| SocketAddr::new(ip, endpoint.port);
        return Ok(vec![any(Ipv6Addr::UNSPECIFIED.into()), any(Ipv4Addr::UNSPECIFIED.into())]);
    }
    Ok((endpoint.host.as_str(), endpoint.port).to_socket_addrs()?.collect())
}
