//! The coordinators of groups and transactions, and the shard runtime that both run on.

pub mod group;
pub mod shard;
pub mod transaction;
