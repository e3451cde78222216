//! A broker in this process and raw sockets to it, for the tests beside. Knows no client library.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod leading;

use std::net::SocketAddr;
use std::time::Duration;

use broker::clock::Clock;
use broker::config::{BrokerConfig, Source};
use broker::host::Host;
use broker::server::{self, Running};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Longer than anything here takes on a busy machine; no test sleeps for it.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct TestBroker {
    pub running: Running,
    pub address: SocketAddr,
    _data: tempfile::TempDir,
}

/// A broker with embedded metadata on a free port.
pub async fn start(settings: &[(&str, &str)]) -> TestBroker {
    let data = tempfile::tempdir().expect("a directory");
    let mut config = BrokerConfig::defaults();
    let directory = data.path().display().to_string();
    let common = [
        ("broker.id", "1"),
        ("listeners", "PLAINTEXT://127.0.0.1:0"),
        ("log.dirs", directory.as_str()),
        ("ottla.http.listener", "127.0.0.1:0"),
        ("offsets.topic.replication.factor", "1"),
    ];
    for (key, value) in common.iter().chain(settings) {
        match BrokerConfig::definition(key) {
            Some(_) => config.set(Source::Static, key, value).expect("a legal setting"),
            // Of one listener.
            None => config.set_other(Source::Static, key, value),
        }
    }
    let host = Host::computer(Clock::system(), &[], server::end_without_directories);
    let running = server::start(config, host, None).await.expect("the broker starts");
    let address = running.listeners[0].1;
    TestBroker { running, address, _data: data }
}

/// Connects from an address of the loopback network, so that one test can play several hosts.
pub async fn connect_from(host: [u8; 4], to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((host, 0)))?;
    socket.connect(to).await
}

/// A request with a version 1 header, its length in front.
pub fn request(key: i16, version: i16, correlation_id: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend_from_slice(&i32::try_from(10 + body.len()).expect("small").to_be_bytes());
    frame.extend_from_slice(&key.to_be_bytes());
    frame.extend_from_slice(&version.to_be_bytes());
    frame.extend_from_slice(&correlation_id.to_be_bytes());
    frame.extend_from_slice(&(-1i16).to_be_bytes());
    frame.extend_from_slice(body);
    frame
}

/// ApiVersions v0: the smallest thing to ask.
pub fn api_versions(correlation_id: i32) -> Vec<u8> {
    request(18, 0, correlation_id, &[])
}

/// Reads one answer: its correlation id and what follows. `None` if the broker closed instead.
pub async fn answer(stream: &mut TcpStream) -> Option<(i32, Vec<u8>)> {
    let read = async {
        let length = stream.read_i32().await.ok()?;
        let correlation_id = stream.read_i32().await.ok()?;
        let mut body = vec![0; usize::try_from(length).ok()? - 4];
        stream.read_exact(&mut body).await.ok()?;
        Some((correlation_id, body))
    };
    tokio::time::timeout(PATIENCE, read).await.expect("an answer or a close in time")
}

/// Asks and reads the answer.
pub async fn ask(stream: &mut TcpStream, correlation_id: i32) -> Option<(i32, Vec<u8>)> {
    stream.write_all(&api_versions(correlation_id)).await.ok()?;
    answer(stream).await
}

/// Waits until the broker closes, throwing away what it still sends.
pub async fn closed(stream: &mut TcpStream) {
    let mut buffer = [0; 4096];
    let read = async { while matches!(stream.read(&mut buffer).await, Ok(1..)) {} };
    tokio::time::timeout(PATIENCE, read).await.expect("the broker closes the connection");
}

/// Memory of this process that belongs to nobody else, in bytes.
pub fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("RssAnon");
    let kib: usize = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("KiB");
    kib * 1024
}
