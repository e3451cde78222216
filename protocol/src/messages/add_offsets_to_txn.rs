//! AddOffsetsToTxn (key 25): add a group's offsets partition to a transaction.
//!
//! v2 may answer PRODUCER_FENCED · v3 flexible · v4 may answer TRANSACTION_ABORTABLE (KIP-890).

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 25, versions = 0..=4, flexible = 3..)]
pub struct AddOffsetsToTxnRequest {
    pub transactional_id: String,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub group_id: String,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 25, versions = 0..=4, flexible = 3..)]
pub struct AddOffsetsToTxnResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    pub error_code: i16,
}
