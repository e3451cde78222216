//! Transactions: the pure state of the transactional ids of one `__transaction_state` partition
//! ([`TransactionShard`]), the service that finds the right one ([`service`]) the queues of
//! markers on their way ([`markers`]), and questions whether partitions are in a transaction
//! ([`verification`]). Knows no sockets, no wire versions and no error codes; see
//! Kafka's `TransactionCoordinator`, KIP-98, KIP-360 and KIP-588.

pub mod add;
pub mod config;
pub mod describe;
pub mod end;
pub mod error;
pub mod expire;
pub mod init;
pub mod load;
pub mod markers;
pub mod metadata;
pub mod records;
pub mod request;
pub mod service;
pub mod shard;
pub mod state;
pub mod verification;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use config::TransactionConfig;
pub use error::TransactionError;
pub use shard::TransactionShard;
pub use state::State;

/// A transactional id: shared, since timers and pending appends repeat it.
pub type Name = Arc<str>;
