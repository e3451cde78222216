//! InitProducerId (key 22): give an idempotent or transactional producer its id and epoch
//! (KIP-98).
//!
//! v2 flexible · v3 the id to resume with (KIP-360) · v4 may answer PRODUCER_FENCED (KIP-588) · v5
//! may answer TRANSACTION_ABORTABLE (KIP-890).

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 22, versions = 0..=5, flexible = 2..)]
pub struct InitProducerIdRequest {
    /// Null from a producer without transactions.
    #[wire(nullable = 0..)]
    pub transactional_id: Option<String>,
    /// After so long an open transaction is aborted.
    pub transaction_timeout_ms: i32,
    /// What the producer had, to go on with the next epoch; else -1.
    #[wire(versions = 3.., default = -1)]
    pub producer_id: i64,
    /// As `producer_id`.
    #[wire(versions = 3.., default = -1)]
    pub producer_epoch: i16,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 22, versions = 0..=5, flexible = 2..)]
pub struct InitProducerIdResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    #[wire(ignorable)]
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[wire(default = -1)]
    pub producer_id: i64,
    pub producer_epoch: i16,
}
