//! Records of `__transaction_state`: one transactional id each, as key and value.
//!
//! A key or value begins with its version as an `i16`. Value v1 is flexible (KIP-915).

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(versions = 0)]
pub struct TransactionLogKey {
    #[wire(versions = 0)]
    pub transactional_id: String,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(versions = 0..=1, flexible = 1..)]
pub struct TransactionLogValue {
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub transaction_timeout_ms: i32,
    /// 0 empty, 1 ongoing, 2 prepare commit, 3 prepare abort, 4 complete commit, 5 complete abort,
    /// 6 dead, 7 prepare epoch fence.
    pub transaction_status: i8,
    /// Null when the transaction holds none.
    #[wire(nullable = 0..)]
    pub transaction_partitions: Option<Vec<PartitionsSchema>>,
    pub transaction_last_update_timestamp_ms: i64,
    /// -1 if none has been started.
    pub transaction_start_timestamp_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct PartitionsSchema {
    pub topic: String,
    pub partition_ids: Vec<i32>,
}
