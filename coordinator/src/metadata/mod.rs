//! Where the cluster's metadata lives.

pub mod store;
