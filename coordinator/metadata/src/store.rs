//! The seam between coordination and where its tree lives: a real ZooKeeper ensemble, the embedded
//! journal, or the simulation. ZooKeeper-shaped (versioned nodes, sessions, ephemerals, atomic
//! multi, one-shot watches); knows nothing of Kafka's znodes.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use super::path;

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
    /// Waits until the server that is asked has everything the ensemble had committed before. A
    /// read after it sees the outcome of a write that was lost with an earlier connection.
    Sync {
        path: String,
    },
    /// All or nothing; holds only `Create`, `Delete`, `Set` and `Check`.
    Multi(Vec<Op>),
}

impl Op {
    /// The node it is about; the root for a multi.
    pub fn path(&self) -> &str {
        match self {
            Op::Create { path, .. }
            | Op::Delete { path, .. }
            | Op::Set { path, .. }
            | Op::Get { path, .. }
            | Op::Exists { path, .. }
            | Op::Children { path, .. }
            | Op::Check { path, .. }
            | Op::Sync { path } => path,
            Op::Multi(_) => "/",
        }
    }

    /// Refuses what no store takes: bad paths, `Check` alone, reads inside a multi.
    pub fn validate(&self) -> Result<(), StoreError> {
        let valid = match self {
            Op::Multi(ops) => {
                for (index, op) in ops.iter().enumerate() {
                    op.validate_in_multi()
                        .map_err(|error| StoreError::Multi { index, error: Box::new(error) })?;
                }
                true
            }
            Op::Get { path, .. }
            | Op::Exists { path, .. }
            | Op::Children { path, .. }
            | Op::Sync { path } => path::is_valid(path),
            Op::Check { .. } => false,
            write => return write.validate_in_multi(),
        };
        if valid { Ok(()) } else { Err(StoreError::BadArguments(self.path().to_owned())) }
    }

    fn validate_in_multi(&self) -> Result<(), StoreError> {
        let valid = match self {
            Op::Create { path, mode: CreateMode::PersistentSequential, .. } => {
                path::is_valid_sequential(path)
            }
            Op::Create { path, .. } | Op::Delete { path, .. } => {
                path != "/" && path::is_valid(path)
            }
            Op::Set { path, .. } | Op::Check { path, .. } => path::is_valid(path),
            _ => false,
        };
        if valid { Ok(()) } else { Err(StoreError::BadArguments(self.path().to_owned())) }
    }
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
    /// `names` are sorted.
    Children {
        names: Vec<String>,
        stat: Stat,
    },
    Checked,
    Synced,
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
    /// A path or an operation that the store does not take.
    #[error("bad arguments: {0}")]
    BadArguments(String),
    /// More operations wait than the store keeps; nothing was done.
    #[error("too many operations are waiting")]
    Overloaded,
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

impl StoreError {
    /// Whether the same operation may work if it is tried again. After `ConnectionLost` a write may
    /// also have been done already: read (after `Op::Sync`) and compare before doing it again.
    pub fn retriable(&self) -> bool {
        match self {
            StoreError::ConnectionLost | StoreError::Overloaded => true,
            StoreError::Multi { error, .. } => error.retriable(),
            _ => false,
        }
    }
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

/// A clock in milliseconds: the coordinator reads none of its own. Which one is said where it is
/// asked.
pub type ClockMs = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The session in force, as far as its holder can vouch for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    pub session_id: i64,
    /// As negotiated with the server.
    pub timeout_ms: u64,
    /// When the newest answered request or ping was sent, on the clock given to the store
    /// (CLOCK_BOOTTIME in a broker). `u64::MAX`: silence cannot end this session.
    pub last_heard_ms: u64,
    /// The newest transaction that the store has shown this holder: after a `Sync`, nothing that
    /// was committed before is newer.
    pub last_zxid: i64,
}

impl Lease {
    /// From here on the holder must act as if the session were over: nine tenths of the timeout
    /// after `last_heard_ms`. The server cannot have ended it earlier for silence.
    pub fn deadline_ms(&self) -> u64 {
        self.last_heard_ms.saturating_add(self.timeout_ms / 10 * 9)
    }

    /// Whether the session may still be counted on.
    pub fn is_in_force(&self, now_ms: u64) -> bool {
        now_ms < self.deadline_ms()
    }
}

/// Whoever holds these can take a session over, and end it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub session_id: i64,
    password: Bytes,
}

impl Credentials {
    pub fn new(session_id: i64, password: Bytes) -> Self {
        Credentials { session_id, password }
    }

    /// The secret: for the wire and for the guard's pipe, never for a log, argument or file.
    pub fn expose_password(&self) -> &[u8] {
        &self.password
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials {{ session_id: {:#x}, password: .. }}", self.session_id)
    }
}

/// A tree of versioned nodes with sessions.
pub trait MetadataStore: Send + Sync + 'static {
    /// Sends `ops` in this order without waiting between them; the answers come in the same order.
    /// They are sent when this is called, not when the future is polled. Without a connection they
    /// wait for one, also for a new session's. If the connection goes, those of `ops` that were
    /// under way and those behind them answer `ConnectionLost`.
    fn submit(&self, ops: Vec<Op>) -> StoreFuture<Vec<Result<Reply, StoreError>>>;

    /// As `submit`, but only ever in this session: in another one every operation answers
    /// `SessionExpired` and nothing is done.
    fn submit_in(
        &self,
        session_id: i64,
        ops: Vec<Op>,
    ) -> StoreFuture<Vec<Result<Reply, StoreError>>>;

    /// Every event from now on. A subscriber that lags too far behind misses events and is told by
    /// the channel; it must then read everything anew.
    fn subscribe(&self) -> tokio::sync::broadcast::Receiver<StoreEvent>;

    /// The session in force; 0 while there is none. It may have no connection at the moment.
    fn session_id(&self) -> i64;

    /// What the session's own deadline is computed from; `None` while there is no session.
    fn lease(&self) -> Option<Lease>;

    /// What a guard needs to end the session; `None` without a session, and where no other process
    /// could end it.
    fn credentials(&self) -> Option<Credentials>;

    /// Ends the session at once, so that its ephemerals go. Every operation answers `Closed`
    /// afterwards.
    fn close(&self) -> StoreFuture<()>;
}
