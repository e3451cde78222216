//! Cluster metadata, the controller, and the coordinators of groups and transactions.

pub mod assignment;
pub mod controller;
pub mod group;
pub mod metadata;
pub mod shard;
pub mod transaction;
pub mod znodes;
