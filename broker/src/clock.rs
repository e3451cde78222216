//! The only place of the broker that reads a clock. Knows nothing of what the time is for.

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

    /// A point on the monotonic clock.
    pub fn instant(&self) -> Instant {
        Instant::now()
    }
}
