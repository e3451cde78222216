//! The seam between coordination and where its tree lives: a real ZooKeeper ensemble, the embedded
//! journal, or the simulation. ZooKeeper-shaped (versioned nodes, sessions, ephemerals, atomic
//! multi, one-shot watches); knows nothing of Kafka's znodes.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

/// "Any version" in a conditional operation.
pub const ANY_VERSION: i32 = -1;

/// How long a created node lives, and whether the store appends a 10-digit number to its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CreateMode {
    Persistent,
    PersistentSequential,
    Ephemeral,
}

/// One operation. Paths are absolute below the chroot, without a trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// `data: None` is ZooKeeper's null, which is not the same as empty.
    Create {
        path: String,
        data: Option<Bytes>,
        mode: CreateMode,
    },
    Delete {
        path: String,
        version: i32,
    },
    Set {
        path: String,
        data: Option<Bytes>,
        version: i32,
    },
    Get {
        path: String,
        watch: bool,
    },
    Exists {
        path: String,
        watch: bool,
    },
    Children {
        path: String,
        watch: bool,
    },
    /// Only inside `Multi`.
    Check {
        path: String,
        version: i32,
    },
    /// All or nothing; holds only `Create`, `Delete`, `Set` and `Check`.
    Multi(Vec<Op>),
}

/// What a node's metadata says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stat {
    /// Transaction that created the node: a broker's epoch.
    pub czxid: i64,
    pub mzxid: i64,
    pub ctime_ms: i64,
    pub mtime_ms: i64,
    /// Data version.
    pub version: i32,
    pub cversion: i32,
    /// Session that owns the node; 0 if it is not ephemeral.
    pub ephemeral_owner: i64,
    pub num_children: i32,
}

/// What an operation gives back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The path as created, with its number if it was sequential.
    Created {
        path: String,
    },
    Deleted,
    Set {
        stat: Stat,
    },
    Data {
        data: Option<Bytes>,
        stat: Stat,
    },
    /// `None`: no such node (a watch was set all the same).
    Exists {
        stat: Option<Stat>,
    },
    Children {
        names: Vec<String>,
        stat: Stat,
    },
    Checked,
    Multi(Vec<Reply>),
}

/// Why an operation gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("no node {0}")]
    NoNode(String),
    #[error("node {0} exists")]
    NodeExists(String),
    #[error("node {0} has another version")]
    BadVersion(String),
    #[error("node {0} has children")]
    NotEmpty(String),
    #[error("node {0} is ephemeral and can have no children")]
    NoChildrenForEphemerals(String),
    #[error("not allowed on {0}")]
    NoAuth(String),
    /// The operation at this index of a multi failed, so none was done.
    #[error("operation {index} of a multi: {error}")]
    Multi { index: usize, error: Box<StoreError> },
    /// The connection went away: the operation may or may not have been done.
    #[error("connection lost")]
    ConnectionLost,
    /// The session is over: its ephemerals and watches are gone.
    #[error("session expired")]
    SessionExpired,
    #[error("authentication failed")]
    AuthFailed,
    #[error("the store is closed")]
    Closed,
    #[error("{0}")]
    Other(String),
}

/// What a store tells its subscribers, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreEvent {
    /// A one-shot watch fired.
    Changed { path: String, change: Change },
    /// A new session: every watch and ephemeral of the former one is gone. Also the first event.
    SessionStarted { session_id: i64 },
    /// The session is over; nothing works until the next `SessionStarted`.
    SessionExpired,
    /// The connection went away; the session may outlive it.
    Disconnected,
    /// The same session goes on over a new connection; watches were set again.
    Reconnected,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    Created,
    Deleted,
    DataChanged,
    ChildrenChanged,
}

pub type StoreFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A tree of versioned nodes with sessions.
pub trait MetadataStore: Send + Sync + 'static {
    /// Sends `ops` in this order without waiting between them; the answers come in the same order.
    fn submit(&self, ops: Vec<Op>) -> StoreFuture<Vec<Result<Reply, StoreError>>>;

    /// Every event from now on. A subscriber that lags too far behind misses events and is told by
    /// the channel; it must then read everything anew.
    fn subscribe(&self) -> tokio::sync::broadcast::Receiver<StoreEvent>;

    /// The session in force; 0 while there is none.
    fn session_id(&self) -> i64;

    /// Ends the session at once, so that its ephemerals go.
    fn close(&self) -> StoreFuture<()>;
}
