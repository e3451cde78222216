//! The rows of the table, by what they measure.

pub mod cluster;
pub mod failover;
pub mod groups;
pub mod latency;
pub mod start;
pub mod throughput;
pub mod topics;
pub mod transactions;
