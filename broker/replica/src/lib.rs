//! What one partition's replica decides: who leads, who is in sync, how far the high watermark may
//! go, what a follower fetches and cuts, and what a fetch session remembers. No files, no clock, no
//! task; see each module.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod alter_partition;
pub mod assignment;
pub mod fetch_session;
pub mod follower;
pub mod isr;
pub mod partition;
pub mod session_cache;
pub mod truncation;
pub mod watermark;
