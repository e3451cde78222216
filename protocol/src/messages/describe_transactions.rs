//! DescribeTransactions (key 65): state of transactional ids (KIP-664).
//!
//! v0 flexible.

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 65, versions = 0, flexible = 0..)]
pub struct DescribeTransactionsRequest {
    pub transactional_ids: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 65, versions = 0, flexible = 0..)]
pub struct DescribeTransactionsResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    pub transaction_states: Vec<TransactionState>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct TransactionState {
    pub error_code: i16,
    pub transactional_id: String,
    /// Such as `Ongoing`, `CompleteCommit`.
    pub transaction_state: String,
    pub transaction_timeout_ms: i32,
    /// Milliseconds since the epoch; -1 if none is open.
    pub transaction_start_time_ms: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub topics: Vec<TopicData>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct TopicData {
    pub topic: String,
    pub partitions: Vec<i32>,
}
