//! The coordinators of groups and transactions, and the shard runtime that both run on.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod group;
pub mod shard;
pub mod transaction;
