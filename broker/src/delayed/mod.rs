//! Requests that wait for a partition to move on: fetches for more bytes, acks=all appends and
//! record deletions for an offset. Waiters hang on their partitions and are woken by what happens
//! there; time comes from one tokio timer per waiting request. Knows nothing of messages.

pub mod arrival;
pub mod fetch;
pub mod offset;
