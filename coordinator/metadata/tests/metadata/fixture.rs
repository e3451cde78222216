//! A store of each kind, opened anew on the same data as often as a test likes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use metadata::store::{
    Change, ClockMs, Credentials, Lease, MetadataStore, Op, Reply, StoreError, StoreEvent,
    StoreFuture,
};
use metadata::tree::Tree;
use metadata::zookeeper::{self, Config};
use metadata::{embedded, retry};
use parking_lot::Mutex;
use tempfile::TempDir;
use tests::places;
use tests::simulated::zookeeper::Settings;
use tests::zookeeper::ZooKeeperServer;
use tokio::sync::broadcast;

pub const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy)]
pub enum Kind {
    ZooKeeper {
        chroot: &'static str,
    },
    Embedded,
    Tree,
    /// The simulation's ensemble, behind a real socket and the real client.
    Simulated,
}

/// Where stores of one kind find the same data.
pub enum Stores {
    ZooKeeper { server: ZooKeeperServer, chroot: &'static str },
    Embedded { dir: TempDir },
    Tree { tree: Arc<Mutex<Tree>>, next_session: i64 },
    Simulated { port: Option<u16> },
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A clock that never goes back, as a broker's CLOCK_BOOTTIME.
pub fn boot_clock() -> ClockMs {
    let start = Instant::now();
    Arc::new(move || 1_000_000 + start.elapsed().as_millis() as u64)
}

pub fn wall_clock() -> ClockMs {
    Arc::new(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64)
}

/// Whether a real server can be run; says what the machine lacks.
pub fn server_jar() -> bool {
    places::have(&[("Debian's zookeeper", tests::zookeeper::jar())])
}

/// `None` after saying what the machine lacks.
pub fn server() -> Option<ZooKeeperServer> {
    server_jar().then(ZooKeeperServer::start)
}

/// A simulated server with the limits of `tests::zookeeper`'s; its port.
pub async fn simulated_server() -> u16 {
    let limits =
        Settings { tick_ms: 500, session_timeout_ms_min: 1_000, session_timeout_ms_max: 60_000 };
    tests::simulated::serve(limits).await
}

pub fn config(connect: &str, session_timeout_ms: u32) -> Config {
    let mut config = Config::new(connect.parse().unwrap(), boot_clock());
    config.session_timeout_ms = session_timeout_ms;
    config
}

/// A store with its driver running and its session there.
pub async fn open_zookeeper(config: Config) -> Arc<dyn MetadataStore> {
    let (store, driver) = zookeeper::connect(config);
    tokio::spawn(driver.run());
    retry::session(&*store, PATIENCE).await.expect("a session");
    store
}

impl Stores {
    pub fn start(kind: Kind) -> Option<Stores> {
        Some(match kind {
            Kind::ZooKeeper { chroot } => Stores::ZooKeeper { server: server()?, chroot },
            Kind::Embedded => Stores::Embedded { dir: tempfile::tempdir().unwrap() },
            Kind::Tree => {
                Stores::Tree { tree: Arc::new(Mutex::new(Tree::default())), next_session: 1 }
            }
            Kind::Simulated => Stores::Simulated { port: None },
        })
    }

    /// A store with a session of its own. Of embedded ones only one can be open.
    pub async fn open(&mut self) -> Arc<dyn MetadataStore> {
        match self {
            Stores::ZooKeeper { server, chroot } => {
                open_zookeeper(config(&format!("{}{chroot}", server.connect()), 20_000)).await
            }
            Stores::Embedded { dir } => {
                let (store, driver) =
                    embedded::open(&journal_path(dir), wall_clock()).expect("the journal opens");
                tokio::spawn(driver.run());
                store
            }
            Stores::Tree { tree, next_session } => {
                let session_id = *next_session;
                *next_session += 1;
                tree.lock().open_session(session_id);
                let events = broadcast::Sender::new(1000);
                Arc::new(TreeStore { tree: Arc::clone(tree), session_id, events })
            }
            Stores::Simulated { port } => {
                let port = match *port {
                    Some(port) => port,
                    None => *port.insert(simulated_server().await),
                };
                open_zookeeper(config(&format!("127.0.0.1:{port}"), 20_000)).await
            }
        }
    }
}

pub fn journal_path(dir: &TempDir) -> PathBuf {
    dir.path().join("metadata.redb")
}

/// The bare tree behind the seam: at once, and to its own session alone.
struct TreeStore {
    tree: Arc<Mutex<Tree>>,
    session_id: i64,
    events: broadcast::Sender<StoreEvent>,
}

impl MetadataStore for TreeStore {
    fn submit(&self, ops: Vec<Op>) -> StoreFuture<Vec<Result<Reply, StoreError>>> {
        let mut tree = self.tree.lock();
        let closed = !tree.has_session(self.session_id);
        let mut results = Vec::new();
        for op in &ops {
            let outcome = tree.apply(self.session_id, op, 1);
            for fired in outcome.fired {
                if fired.session_id == self.session_id {
                    let event = StoreEvent::Changed { path: fired.path, change: fired.change };
                    let _ = self.events.send(event);
                }
            }
            results.push(if closed { Err(StoreError::Closed) } else { outcome.result });
        }
        Box::pin(std::future::ready(results))
    }

    fn submit_in(
        &self,
        session_id: i64,
        ops: Vec<Op>,
    ) -> StoreFuture<Vec<Result<Reply, StoreError>>> {
        if session_id == self.session_id {
            return self.submit(ops);
        }
        Box::pin(std::future::ready(vec![Err(StoreError::SessionExpired); ops.len()]))
    }

    fn subscribe(&self) -> broadcast::Receiver<StoreEvent> {
        self.events.subscribe()
    }

    fn session_id(&self) -> i64 {
        self.lease().map_or(0, |lease| lease.session_id)
    }

    fn lease(&self) -> Option<Lease> {
        let session_id = self.session_id;
        let lease = Lease { session_id, timeout_ms: 0, last_heard_ms: u64::MAX, last_zxid: 0 };
        self.tree.lock().has_session(session_id).then_some(lease)
    }

    fn credentials(&self) -> Option<Credentials> {
        None
    }

    fn close(&self) -> StoreFuture<()> {
        self.tree.lock().close_session(self.session_id);
        Box::pin(std::future::ready(()))
    }
}

pub fn bytes(text: &str) -> Option<Bytes> {
    Some(Bytes::copy_from_slice(text.as_bytes()))
}

/// Every change told so far, once `store` has answered an operation sent now.
pub async fn changes(
    store: &dyn MetadataStore,
    events: &mut broadcast::Receiver<StoreEvent>,
) -> Vec<(String, Change)> {
    retry::exists(store, "/", false).await.unwrap();
    let mut changes = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let StoreEvent::Changed { path, change } = event {
            changes.push((path, change));
        }
    }
    changes
}

/// Waits for the first event for which `pick` gives something.
pub async fn event<T>(
    events: &mut broadcast::Receiver<StoreEvent>,
    mut pick: impl FnMut(&StoreEvent) -> Option<T>,
) -> T {
    let found = async {
        loop {
            let event = events.recv().await.expect("no event is missed");
            if let Some(found) = pick(&event) {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("the event comes")
}
