//! Fetch beyond its message: sessions, and sharing a response's bytes among partitions. Knows
//! nothing of sockets or error texts.

pub mod plan;
pub mod preferred;
pub mod wanted;
