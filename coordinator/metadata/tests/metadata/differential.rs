//! The same random operations of two sessions on a server and on the bare tree: equal answers,
//! equal stats, equal events. `OTTLA_SEED=n` replays a run.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use metadata::retry::one;
use metadata::store::{
    ANY_VERSION, Change, CreateMode, MetadataStore, Op, Reply, Stat, StoreError, StoreEvent,
};
use metadata::tree::Tree;
use tokio::sync::broadcast;

use crate::fixture::{changes, config, open_zookeeper, runtime, server, simulated_server};

const STEPS: usize = 1500;

/// Names so few that operations meet.
const PATHS: [&str; 12] = [
    "/a",
    "/b",
    "/c",
    "/a/a",
    "/a/b",
    "/b/a",
    "/b/a/a",
    "/c/c",
    "/a/a/a",
    "/a-",
    "/a/s0000000002",
    "/",
];

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn path(&mut self) -> String {
        PATHS[self.below(PATHS.len() as u64) as usize].to_owned()
    }

    fn version(&mut self) -> i32 {
        if self.below(2) == 0 { ANY_VERSION } else { self.below(3) as i32 }
    }

    fn data(&mut self) -> Option<Bytes> {
        match self.below(3) {
            0 => None,
            size => Some(Bytes::from(vec![b'x'; size as usize - 1])),
        }
    }

    fn write(&mut self) -> Op {
        let path = self.path();
        match self.below(10) {
            0..4 => {
                let (path, mode) = match self.below(6) {
                    0 => (format!("{}/s", path.trim_end_matches('/')), Mode::Sequential),
                    1 => (path, Mode::Ephemeral),
                    _ => (path, Mode::Persistent),
                };
                let mode = match mode {
                    Mode::Sequential => CreateMode::PersistentSequential,
                    Mode::Ephemeral => CreateMode::Ephemeral,
                    Mode::Persistent => CreateMode::Persistent,
                };
                Op::Create { path, data: self.data(), mode }
            }
            4..7 => Op::Delete { path, version: self.version() },
            _ => Op::Set { path, data: self.data(), version: self.version() },
        }
    }

    fn op(&mut self) -> Op {
        let (path, watch) = (self.path(), self.below(2) == 0);
        match self.below(10) {
            0 => Op::Get { path, watch },
            1 | 2 => Op::Exists { path, watch },
            3 => Op::Children { path, watch },
            4 | 5 => {
                let count = self.below(4);
                let mut ops: Vec<Op> = (0..count).map(|_| self.write()).collect();
                if self.below(2) == 0 {
                    let check = Op::Check { path: self.path(), version: self.version() };
                    ops.insert(self.below(count + 1) as usize, check);
                }
                Op::Multi(ops)
            }
            _ => self.write(),
        }
    }
}

enum Mode {
    Persistent,
    Ephemeral,
    Sequential,
}

/// A session on both sides, under the same id.
struct Twin {
    store: Arc<dyn MetadataStore>,
    events: broadcast::Receiver<StoreEvent>,
    session_id: i64,
}

impl Twin {
    async fn open(connect: &str, tree: &mut Tree) -> Twin {
        let store = open_zookeeper(config(connect, 30_000)).await;
        let session_id = store.session_id();
        tree.open_session(session_id);
        Twin { events: store.subscribe(), store, session_id }
    }
}

/// The server's zxids and the tree's are not the same numbers, but in the same order.
#[derive(Default)]
struct Zxids {
    tree_of: BTreeMap<i64, i64>,
}

impl Zxids {
    fn translate(&mut self, server: i64, tree: i64) -> i64 {
        let known = *self.tree_of.entry(server).or_insert(tree);
        let ordered = self.tree_of.values().is_sorted_by(|a, b| a < b);
        if ordered { known } else { -1 }
    }

    /// The server's reply with the tree's transaction numbers; times are nobody's.
    fn reply(&mut self, server: Reply, tree: &Reply) -> Reply {
        match (server, tree) {
            (Reply::Set { stat }, Reply::Set { stat: t }) => {
                Reply::Set { stat: self.stat(stat, t) }
            }
            (Reply::Data { data, stat }, Reply::Data { stat: t, .. }) => {
                Reply::Data { data, stat: self.stat(stat, t) }
            }
            (Reply::Exists { stat: Some(stat) }, Reply::Exists { stat: Some(t) }) => {
                Reply::Exists { stat: Some(self.stat(stat, t)) }
            }
            (Reply::Children { names, stat }, Reply::Children { stat: t, .. }) => {
                Reply::Children { names, stat: self.stat(stat, t) }
            }
            (Reply::Multi(server), Reply::Multi(tree)) => {
                let pairs = server.into_iter().zip(tree);
                Reply::Multi(pairs.map(|(server, tree)| self.reply(server, tree)).collect())
            }
            (server, _) => server,
        }
    }

    fn stat(&mut self, server: Stat, tree: &Stat) -> Stat {
        Stat {
            czxid: self.translate(server.czxid, tree.czxid),
            mzxid: self.translate(server.mzxid, tree.mzxid),
            ctime_ms: tree.ctime_ms,
            mtime_ms: tree.mtime_ms,
            ..server
        }
    }
}

async fn prepare(connect: &str, chroot: &str, tree: &mut Tree) {
    // The chroot was made by the first client; its numbers are those of a root that was just made.
    let outside = open_zookeeper(config(connect, 30_000)).await;
    let made = one(&*outside, Op::Exists { path: chroot.to_owned(), watch: false }).await;
    assert!(matches!(made, Ok(Reply::Exists { stat: Some(_) })));
    outside.close().await;
    assert_eq!(tree.nodes().count(), 1);
}

fn seed() -> u64 {
    let given = std::env::var("OTTLA_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| u64::from(std::process::id()) ^ crate::fixture::wall_clock()())
}

#[test]
fn random_operations_on_server_and_tree_end_alike() {
    let Some(server) = server() else { return };
    runtime().block_on(end_alike(server.connect()));
}

#[test]
fn random_operations_on_simulated_server_and_tree_end_alike() {
    runtime().block_on(async {
        let port = simulated_server().await;
        end_alike(format!("127.0.0.1:{port}")).await;
    });
}

async fn end_alike(connect: String) {
    let seed = seed();
    println!("OTTLA_SEED={seed}");
    let mut random = Random(seed);
    let chroot = format!("{connect}/twin");
    let mut tree = Tree::default();
    let mut zxids = Zxids::default();
    let mut twins = [Twin::open(&chroot, &mut tree).await, Twin::open(&chroot, &mut tree).await];
    prepare(&connect, "/twin", &mut tree).await;
    for step in 0..STEPS {
        let who = random.below(2) as usize;
        let mut fired = if random.below(50) == 0 {
            let former = &twins[who];
            former.store.close().await;
            let fired = tree.close_session(former.session_id).fired;
            twins[who] = Twin::open(&chroot, &mut tree).await;
            fired
        } else {
            let op = random.op();
            let real = one(&*twins[who].store, op.clone()).await;
            let outcome = tree.apply(twins[who].session_id, &op, 0);
            let real = match (&real, &outcome.result) {
                (Ok(server), Ok(tree)) => Ok(zxids.reply(server.clone(), tree)),
                _ => real,
            };
            assert_eq!(real, outcome.result, "step {step}, {op:?}, OTTLA_SEED={seed}");
            if let Err(StoreError::Other(strange)) = &real {
                panic!("step {step}, {op:?}: {strange}");
            }
            outcome.fired
        };
        for twin in &mut twins {
            let mut told = changes(&*twin.store, &mut twin.events).await;
            let mine = fired.extract_if(.., |fired| fired.session_id == twin.session_id);
            let mut expected: Vec<(String, Change)> =
                mine.map(|fired| (fired.path, fired.change)).collect();
            // The server ends ephemerals in an order of its own.
            told.sort_by(|a, b| format!("{a:?}").cmp(&format!("{b:?}")));
            expected.sort_by(|a, b| format!("{a:?}").cmp(&format!("{b:?}")));
            assert_eq!(told, expected, "events of step {step}, OTTLA_SEED={seed}");
        }
        assert!(fired.is_empty(), "step {step} told a session that is gone");
    }
    for twin in twins {
        twin.store.close().await;
    }
}
