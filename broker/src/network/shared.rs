//! What all connections share: memory, what the system offers, limits. Knows nothing of requests.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::memory::MemoryPool;
use super::residency::Residency;

/// What all connections share.
#[derive(Debug)]
pub struct Shared {
    pub memory: Arc<MemoryPool>,
    /// What answers in memory take until they are sent (`ottla.response.memory.bytes`, 128 MiB).
    /// While it is used up a connection has one answer at most, and whoever does not read it is
    /// closed after `frame_timeout`.
    pub answers: Arc<MemoryPool>,
    pub residency: Residency,
    /// Reads of cold file ranges that may run at a time.
    pub cold_reads: Arc<Semaphore>,
    pub settings: Settings,
}

#[derive(Debug, Clone)]
pub struct Settings {
    /// `socket.request.max.bytes`.
    pub frame_bytes_max: usize,
    /// `ottla.connection.inflight.max`.
    pub inflight_max: usize,
    /// `connections.max.idle.ms`; `None` is for ever.
    pub idle: Option<Duration>,
    /// `ottla.frame.timeout.ms`: in this time a begun frame must be complete or `PROGRESS_BYTES`
    /// further.
    pub frame_timeout: Duration,
}
