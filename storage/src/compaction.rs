//! Compaction: of every key the last record stays, and what producers and transactions need. As
//! Kafka's `LogCleaner`, `Cleaner` and `LogCleanerManager` do it, in steps that the owner of the
//! threads calls. Knows no clock, no thread and no leader: time and watermarks are arguments.

pub mod cleaner;

mod checkpoint;
mod cleaning;
mod filter;
mod offset_map;
mod output;
mod range;
mod reader;
mod swap;
mod transactions;

pub use cleaner::{
    Cleaner, CleanerBoard, CleanerGauges, CleanerSettings, CleanerStep, SEGMENT_BYTES_MAX,
};
pub use cleaning::CleaningStats;
