//! Groups: the pure state of the groups of one `__consumer_offsets` partition ([`GroupShard`]) and
//! the service that finds the right one ([`service`]). What stands here is the classic protocol
//! and what all groups have in common, their offsets above all; [`consumer`] is the new protocol
//! (KIP-848). Knows no sockets, no wire versions and no error codes; see Kafka's
//! `GroupCoordinator`.

pub mod commit;
pub mod config;
pub mod consumer;
pub mod describe;
pub mod error;
pub mod heartbeat;
pub mod join;
pub mod leave;
pub mod load;
pub mod member;
pub mod metadata;
pub mod offsets;
pub mod rebalance;
pub mod records;
pub mod remove;
pub mod request;
pub mod service;
pub mod shard;
pub mod static_member;
pub mod sync;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use config::GroupConfig;
pub use error::GroupError;
pub use shard::GroupShard;

/// A group's, member's or topic's name: shared, since timers and indexes repeat it.
pub type Name = Arc<str>;
