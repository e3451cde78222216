//! FindCoordinator (key 10): find the broker that coordinates a group or a transactional id.
//!
//! v1 key type, error message, throttle time · v3 flexible · v4 several keys (KIP-699) · v5 may
//! answer TRANSACTION_ABORTABLE (KIP-890) · v6 share groups (KIP-932).

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 10, versions = 0..=6, flexible = 3..)]
pub struct FindCoordinatorRequest {
    /// The group or the transactional id, until v3.
    #[wire(versions = 0..=3)]
    pub key: String,
    /// 0 group, 1 transaction, 2 share group.
    #[wire(versions = 1..)]
    pub key_type: i8,
    /// The keys, from v4.
    #[wire(versions = 4..)]
    pub coordinator_keys: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 10, versions = 0..=6, flexible = 3..)]
pub struct FindCoordinatorResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    #[wire(versions = 1.., ignorable)]
    pub throttle_time_ms: i32,
    #[wire(versions = 0..=3)]
    pub error_code: i16,
    #[wire(versions = 1..=3, nullable = 1..=3, ignorable)]
    pub error_message: Option<String>,
    #[wire(versions = 0..=3)]
    pub node_id: i32,
    #[wire(versions = 0..=3)]
    pub host: String,
    #[wire(versions = 0..=3)]
    pub port: i32,
    /// One per key, from v4; the fields above are used before.
    #[wire(versions = 4..)]
    pub coordinators: Vec<Coordinator>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct Coordinator {
    pub key: String,
    pub node_id: i32,
    pub host: String,
    pub port: i32,
    pub error_code: i16,
    #[wire(nullable = 0.., ignorable)]
    pub error_message: Option<String>,
}
