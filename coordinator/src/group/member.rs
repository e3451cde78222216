//! One member of a group. Knows nothing of the others.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::Name;
use super::request::Protocol;
use crate::shard::Ticket;

#[derive(Debug, Clone)]
pub struct Member {
    pub id: Name,
    /// `group.instance.id`: the member is static.
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    /// In order of preference.
    pub protocols: Vec<Protocol>,
    pub assignment: Bytes,
    /// The JoinGroup that waits for the rebalance to complete. Changed only by [`super::metadata`],
    /// which counts them.
    pub(super) awaiting_join: Option<Ticket>,
    /// The SyncGroup that waits for the leader's assignment.
    pub awaiting_sync: Option<Ticket>,
    /// It has never been through a completed rebalance.
    pub is_new: bool,
}

impl Member {
    pub fn is_static(&self) -> bool {
        self.instance_id.is_some()
    }

    pub fn is_awaiting_join(&self) -> bool {
        self.awaiting_join.is_some()
    }

    /// What the member says about itself under `protocol`; empty if it does not know that protocol.
    pub fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols
            .iter()
            .find(|known| known.name == protocol)
            .map(|known| known.metadata.clone())
            .unwrap_or_default()
    }

    /// The first of its protocols that is among `candidates`.
    pub fn vote(&self, candidates: &BTreeSet<&str>) -> Option<&str> {
        self.protocols
            .iter()
            .map(|known| known.name.as_str())
            .find(|name| candidates.contains(name))
    }

    /// Whether a session timer that runs out now means the member has failed. One that waits for
    /// the others is alive by definition, unless it is new: its client may have given up.
    pub fn fails_on_timeout(&self) -> bool {
        self.is_new || (self.awaiting_join.is_none() && self.awaiting_sync.is_none())
    }
}
