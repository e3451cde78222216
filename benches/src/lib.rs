//! Measurements: ours beside Apache Kafka 3.9.2, interleaved, with one client for both.

pub mod floor;
pub mod load;
pub mod process_cost;
pub mod rows;
pub mod subject;
pub mod table;
