//! Servers that run inside the test, on a time that the test makes. Knows nothing of any one test.

mod listener;
mod packets;
pub mod zookeeper;

pub use listener::serve;
