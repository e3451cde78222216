//! Where the cluster's metadata lives: the seam, its stores, and what a broker does first with
//! them.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod deadline;
pub mod embedded;
mod inbox;
pub mod path;
pub mod registration;
pub mod retry;
pub mod store;
pub mod tree;
pub mod znodes;
pub mod zookeeper;
