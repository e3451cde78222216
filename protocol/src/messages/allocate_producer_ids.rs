//! AllocateProducerIds (key 67): a broker takes a block of producer ids from the controller
//! (KIP-730).
//!
//! v0 flexible.

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 67, versions = 0, flexible = 0..)]
pub struct AllocateProducerIdsRequest {
    pub broker_id: i32,
    /// `czxid` of the broker's registration, for fencing; -1 unknown.
    #[wire(default = -1)]
    pub broker_epoch: i64,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 67, versions = 0, flexible = 0..)]
pub struct AllocateProducerIdsResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    pub error_code: i16,
    pub producer_id_start: i64,
    pub producer_id_len: i32,
}
