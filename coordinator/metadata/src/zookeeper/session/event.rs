//! What goes into a ZooKeeper session and what comes out of it. Knows nothing of what happens in
//! between.

use bytes::Bytes;

use crate::store::{Op, Reply, StoreError, StoreEvent};

/// How a session behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many servers there are; a `Connect` effect names one by its place.
    pub servers: usize,
    pub chroot: String,
    /// Asked for; the server may give another.
    pub timeout_ms: u32,
    pub in_flight_max: usize,
    /// Longest packet in either direction (`jute.maxbuffer`).
    pub packet_bytes_max: usize,
    /// Chooses the first server and spreads retries; any number.
    pub seed: u64,
}

/// Names an operation in an `Answer`. Operations of one batch share its fate when a connection
/// goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId {
    pub batch: u64,
    pub index: usize,
}

/// Not printable: what is received may hold the session's password.
pub enum Event {
    /// Time passed: at the start, and at `next_tick_ms`.
    Tick,
    /// The connection that was asked for is there.
    Connected,
    /// It could not be made, or it ended.
    Disconnected,
    Received(Bytes),
    /// `session`: the only one it may run in.
    Submit {
        id: RequestId,
        session: Option<i64>,
        op: Op,
    },
    /// End the session.
    Close,
}

/// Not printable: what is sent may hold the session's password.
#[derive(PartialEq, Eq)]
pub enum Effect {
    /// Open a connection to the server at this place of the list.
    Connect {
        server: usize,
    },
    /// Drop the connection, made or in the making. No `Disconnected` is to come back for it.
    Disconnect,
    Send(Bytes),
    Answer {
        id: RequestId,
        result: Result<Reply, StoreError>,
    },
    Publish(StoreEvent),
    /// The session is over for good; nothing else will come.
    Ended,
}
