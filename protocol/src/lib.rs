//! Kafka's wire protocol: bytes to types and back. No tokio, no files, no clock.

pub mod ids;
pub mod records;
pub mod varint;
