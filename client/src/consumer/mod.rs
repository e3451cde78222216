//! A consumer for the tools that read: a topic, some topics or one partition, with or without a
//! group of the classic protocol. Knows nothing of what is done with records.
//!
//! Differs from Apache's consumer: one fetch from each leader at a time, none ahead; the assignors
//! are `range` and `roundrobin`, a member gives back all its partitions in every rebalance.

mod assignor;
mod fetcher;
mod member;
mod reader;

use std::sync::Arc;

pub use assignor::Assignor;
pub use reader::{Next, Reader, ReaderOptions, Rebalance, Start, Wanted};

/// A record as it was read, with where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConsumedRecord {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
    /// `None` in message format 0; else whether it is the time of append, and the time.
    pub timestamp: Option<(bool, i64)>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}
