//! AddPartitionsToTxn (key 24): add partitions to a transaction, or ask whether they are in it.
//!
//! v2 may answer PRODUCER_FENCED · v3 flexible · v4 brokers only: several transactions, verify
//! only (KIP-890) · v5 may answer TRANSACTION_ABORTABLE. Up to v3 the `v3_and_below_*` fields are
//! used, from v4 the others.

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 24, versions = 0..=5, flexible = 3..)]
pub struct AddPartitionsToTxnRequest {
    #[wire(versions = 4..)]
    pub transactions: Vec<AddPartitionsToTxnTransaction>,
    #[wire(versions = 0..=3)]
    pub v3_and_below_transactional_id: String,
    #[wire(versions = 0..=3)]
    pub v3_and_below_producer_id: i64,
    #[wire(versions = 0..=3)]
    pub v3_and_below_producer_epoch: i16,
    #[wire(versions = 0..=3)]
    pub v3_and_below_topics: Vec<AddPartitionsToTxnTopic>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct AddPartitionsToTxnTransaction {
    pub transactional_id: String,
    pub producer_id: i64,
    pub producer_epoch: i16,
    /// Ask only, add nothing.
    pub verify_only: bool,
    pub topics: Vec<AddPartitionsToTxnTopic>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct AddPartitionsToTxnTopic {
    pub name: String,
    pub partitions: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 24, versions = 0..=5, flexible = 3..)]
pub struct AddPartitionsToTxnResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    pub throttle_time_ms: i32,
    #[wire(versions = 4.., ignorable)]
    pub error_code: i16,
    #[wire(versions = 4..)]
    pub results_by_transaction: Vec<AddPartitionsToTxnResult>,
    #[wire(versions = 0..=3)]
    pub results_by_topic_v3_and_below: Vec<AddPartitionsToTxnTopicResult>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct AddPartitionsToTxnResult {
    pub transactional_id: String,
    pub topic_results: Vec<AddPartitionsToTxnTopicResult>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct AddPartitionsToTxnTopicResult {
    pub name: String,
    pub results_by_partition: Vec<AddPartitionsToTxnPartitionResult>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct AddPartitionsToTxnPartitionResult {
    pub partition_index: i32,
    pub partition_error_code: i16,
}
