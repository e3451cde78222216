//! The only place of the broker that reads a clock. Knows nothing of what the time is for.

#![allow(clippy::disallowed_methods, reason = "this file alone reads a clock")]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The host's clocks: the wall for timestamps, the monotonic one for durations.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    pub fn system() -> Clock {
        Clock { started: Instant::now() }
    }

    /// Milliseconds since the Unix epoch; jumps when the host's clock is set.
    pub fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    /// Milliseconds since this clock was made; never goes back. For timeouts and intervals.
    pub fn monotonic_ms(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// Milliseconds since this clock was made, to the microsecond. For measuring.
    pub fn elapsed_ms(&self) -> f64 {
        self.started.elapsed().as_secs_f64() * 1000.0
    }

    /// Milliseconds since the machine started, sleep included: ZooKeeper's sessions go on
    /// meanwhile.
    pub fn boot_ms(&self) -> u64 {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        u64::try_from(time.tv_sec).unwrap_or(0) * 1000
            + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
    }
}
