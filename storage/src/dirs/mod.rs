//! The entries of `log.dirs` and all logs in them: found, loaded, moved, deleted, stopped. Knows
//! nothing of what a log's files hold.

pub mod checkpoint;
pub mod log_dir;
pub mod log_manager;
pub mod metadata_mark;
pub mod moving;
pub mod refusals;

pub(crate) mod upkeep;

mod deletion;
mod inventory;
