//! Transactions in the simulation: the real coordinator with its shards' tasks in every broker, its
//! log in the simulated partitions, markers and verification over the simulated network, clients,
//! and what must hold of it all.

pub mod client;
mod coordinating;
pub mod ledger;
mod log;
mod markers;
pub mod reader;
pub mod state_log;
mod tasks;
mod verifying;

pub use coordinating::Coordinating;
pub use markers::Marked;

use coordinator::shard::Producer;
use coordinator::transaction::TransactionError;
use coordinator::transaction::request::{InitAnswer, InitRequest};
pub use coordinator::transaction::service::TRANSACTIONS_TOPIC;
use protocol::ids::TopicPartition;

/// Partitions of `__transaction_state` here.
pub const STATE_PARTITIONS: i32 = 2;

/// Whether a run has transactions: they make it dearer, so not every one does.
pub fn are_in(seed: u64) -> bool {
    seed.is_multiple_of(4)
}

/// What clients ask the coordinator of their transactional id.
#[derive(Debug, Clone)]
pub enum CoordinatorRequest {
    Init { id: String, init: InitRequest },
    Add { id: String, producer: Producer, partitions: Vec<TopicPartition> },
    End { id: String, producer: Producer, commit: bool },
}

#[derive(Debug, Clone)]
pub enum CoordinatorResponse {
    Init(InitAnswer),
    Add(Result<(), TransactionError>),
    End(Result<(), TransactionError>),
}
