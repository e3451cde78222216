//! Sockets: who may connect, frames in, answers out. Knows nothing of what the frames say.

pub mod connection;
pub mod listener;
pub mod memory;
pub mod outbox;
pub mod payload;
pub mod residency;
pub mod shared;
pub mod socket;
pub mod throttle;
