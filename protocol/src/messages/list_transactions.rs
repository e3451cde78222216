//! ListTransactions (key 66): the transactions that a broker coordinates (KIP-664).
//!
//! v0 flexible · v1 filter by duration (KIP-994).

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 66, versions = 0..=1, flexible = 0..)]
pub struct ListTransactionsRequest {
    /// Empty for all.
    pub state_filters: Vec<String>,
    /// Empty for all.
    pub producer_id_filters: Vec<i64>,
    /// Only those open for longer, in milliseconds; negative for all.
    #[wire(versions = 1.., default = -1)]
    pub duration_filter: i64,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 66, versions = 0..=1, flexible = 0..)]
pub struct ListTransactionsResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    pub error_code: i16,
    /// Filters that name no state.
    pub unknown_state_filters: Vec<String>,
    pub transaction_states: Vec<TransactionState>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct TransactionState {
    pub transactional_id: String,
    pub producer_id: i64,
    pub transaction_state: String,
}
