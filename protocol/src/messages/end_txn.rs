//! EndTxn (key 26): commit or abort a transaction.
//!
//! v2 may answer PRODUCER_FENCED · v3 flexible · v4 may answer TRANSACTION_ABORTABLE (KIP-890).

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 26, versions = 0..=4, flexible = 3..)]
pub struct EndTxnRequest {
    pub transactional_id: String,
    pub producer_id: i64,
    pub producer_epoch: i16,
    /// True to commit, false to abort.
    pub committed: bool,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 26, versions = 0..=4, flexible = 3..)]
pub struct EndTxnResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    pub error_code: i16,
}
