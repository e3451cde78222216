//! One partition's log on a disk, in Kafka's own format, and the directories that hold many. It is
//! synchronous, starts no thread, reads no clock (`now_ms` is an argument) and knows no cluster.
//!
//! [`Log`] may be shared freely: changes of one log wait for each other inside, readers never wait
//! for a change's disk work.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod append;
pub mod batch;
pub mod checkpoint;
pub mod compaction;
pub mod config;
pub mod disk;
pub mod error;
pub mod leader_epochs;
pub mod log;
pub mod log_dir;
pub mod log_manager;
pub mod mapped;
pub mod metadata_mark;
pub mod moving;
pub mod partition_dir;
pub mod producer_state;
pub mod read;
pub mod refusals;

mod creation;
mod deletion;
mod flush;
mod index;
mod inventory;
mod judge;
mod later;
mod partition_files;
mod piece;
mod produced;
mod producer_snapshot;
mod recovery;
mod replay;
mod retention;
mod segment;
mod split;
mod topic_id;
mod truncate;
mod upkeep;
mod verification;

#[cfg(test)]
mod log_tests;

pub use append::AppendInfo;
pub use config::LogConfig;
pub use error::{AppendError, DiskError, ReadError, StorageError};
pub use index::transaction::AbortedTxn;
pub use log::{Log, LogOptions};
pub use log_dir::LogDir;
pub use log_manager::LogManager;
pub use producer_state::AppendOrigin;
pub use read::{LogRead, LogSlice};
pub use upkeep::StepReport;
