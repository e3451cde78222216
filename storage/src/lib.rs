//! One partition's log on a disk, in Kafka's own format, and the directories that hold many. It is
//! synchronous, starts no thread, reads no clock (`now_ms` is an argument) and knows no cluster.
//!
//! [`Log`] may be shared freely: changes of one log wait for each other inside, readers never wait
//! for a change's disk work.
//!
//! The rooms, from the bytes up: `disk`, `index`, `segment`, `producers`, `log`, `recovery`,
//! `compaction`, `dirs`. Other crates see what is re-exported here, not the rooms.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod compaction;
pub mod config;
pub mod disk;
pub mod error;

mod dirs;
mod index;
mod log;
mod producers;
mod recovery;
mod segment;

pub use config::LogConfig;
pub use dirs::log_dir::LogDir;
pub use dirs::log_manager::LogManager;
pub use dirs::upkeep::StepReport;
pub use dirs::{checkpoint, log_dir, log_manager, metadata_mark, moving, refusals};
pub use error::{AppendError, DiskError, ReadError, StorageError};
pub use index::transaction::AbortedTxn;
pub use log::append::AppendInfo;
pub use log::read::{LogRead, LogSlice};
pub use log::{Log, LogOptions, append, leader_epochs, read};
pub use producers::producer_state;
pub use producers::producer_state::AppendOrigin;
pub use segment::{batch, mapped, partition_dir};
