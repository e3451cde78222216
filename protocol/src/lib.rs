//! Kafka's wire protocol: bytes to types and back. No tokio, no files, no clock.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

// The derive names this crate by its full path, so that it works inside of it too.
extern crate self as protocol;

pub mod api;
pub mod error_code;
pub mod frame;
pub mod header;
pub mod ids;
pub mod messages;
pub mod planted;
pub mod records;
pub mod varint;
pub mod wire;
