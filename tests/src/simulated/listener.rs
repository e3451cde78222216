//! The simulated ZooKeeper on a real socket and the real clock, so that real clients can be put to
//! it. Decides nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::zookeeper::{ConnectionId, Output, Settings, ZooKeeper};

/// How often sessions are looked over.
const TICK: Duration = Duration::from_millis(50);

struct Shared {
    server: ZooKeeper,
    /// What each connection is still to send; dropped when it is to be closed.
    writers: BTreeMap<ConnectionId, mpsc::UnboundedSender<bytes::Bytes>>,
    next: ConnectionId,
    start: Instant,
}

impl Shared {
    fn now_ms(&self) -> u64 {
        1_000_000 + self.start.elapsed().as_millis() as u64
    }

    fn perform(&mut self) {
        for output in self.server.take_outputs() {
            match output {
                Output::Send(id, bytes) => {
                    if let Some(writer) = self.writers.get(&id) {
                        // A connection that broke is told to the server by its reader.
                        let _ = writer.send(bytes);
                    }
                }
                Output::Close(id) => drop(self.writers.remove(&id)),
            }
        }
    }
}

/// Serves on a free port of loopback for as long as the runtime lives; the port.
pub async fn serve(settings: Settings) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port of loopback");
    let port = listener.local_addr().expect("it is bound").port();
    let shared = Arc::new(Mutex::new(Shared {
        server: ZooKeeper::new(settings),
        writers: BTreeMap::new(),
        next: 1,
        start: Instant::now(),
    }));
    let ticking = shared.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(TICK).await;
            let mut shared = ticking.lock().expect("no holder panics");
            let now_ms = shared.now_ms();
            shared.server.tick(now_ms);
            shared.perform();
        }
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, shared.clone()));
        }
    });
    port
}

async fn connection(stream: TcpStream, shared: Arc<Mutex<Shared>>) {
    let (mut reader, mut writer) = stream.into_split();
    let (sender, mut outgoing) = mpsc::unbounded_channel::<bytes::Bytes>();
    let id = {
        let mut shared = shared.lock().expect("no holder panics");
        let id = shared.next;
        shared.next += 1;
        shared.writers.insert(id, sender);
        shared.server.connected(id);
        shared.perform();
        id
    };
    let reading = async {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = reader.read(&mut bytes).await {
            let mut shared = shared.lock().expect("no holder panics");
            let now_ms = shared.now_ms();
            shared.server.received(id, &bytes[..count], now_ms);
            shared.perform();
        }
    };
    let writing = async {
        while let Some(bytes) = outgoing.recv().await {
            if writer.write_all(&bytes).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = reading => {}
        () = writing => {}
    }
    let mut shared = shared.lock().expect("no holder panics");
    shared.writers.remove(&id);
    shared.server.disconnected(id);
    shared.perform();
}
