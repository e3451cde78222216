//! Cluster metadata, the controller, and the coordinators of groups and transactions.

pub mod metadata;
pub mod znodes;
