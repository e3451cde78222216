//! One partition's log: what it is, and what is done to it while it is open. Knows nothing of log
//! directories, of other logs and of clusters.

pub mod append;
pub mod leader_epochs;
pub mod read;

pub(crate) mod topic_id;

mod creation;
mod flush;
mod piece;
mod produced;
mod retention;
mod state;
mod truncate;

#[cfg(test)]
mod log_tests;

pub(crate) use self::state::{Boundary, Changes, Condemned, create_segment};
pub use self::state::{Log, LogOptions};
