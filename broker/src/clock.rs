//! The only place of the broker that reads a clock. Knows nothing of what the time is for.

#![allow(clippy::disallowed_methods, reason = "this file alone reads a clock")]

use std::fmt;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The host's clocks: the wall for timestamps, the monotonic one for durations.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    source: Source,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    /// The computer's, and when it was first read.
    Computer(Instant),
    Simulated(&'static dyn Time),
}

/// The clocks of a simulated computer.
pub trait Time: fmt::Debug + Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn wall_ms(&self) -> i64;
    /// Microseconds since the computer started; never goes back.
    fn boot_us(&self) -> u64;
}

impl Clock {
    pub fn system() -> Clock {
        Clock { source: Source::Computer(Instant::now()) }
    }

    pub fn simulated(time: &'static dyn Time) -> Clock {
        Clock { source: Source::Simulated(time) }
    }

    /// Milliseconds since the Unix epoch; jumps when the host's clock is set.
    pub fn now_ms(&self) -> i64 {
        if let Source::Simulated(time) = self.source {
            return time.wall_ms();
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    /// Milliseconds since this clock was made; never goes back. For timeouts and intervals.
    pub fn monotonic_ms(&self) -> i64 {
        match self.source {
            Source::Computer(start) => {
                i64::try_from(start.elapsed().as_millis()).unwrap_or(i64::MAX)
            }
            Source::Simulated(time) => i64::try_from(time.boot_us() / 1000).unwrap_or(i64::MAX),
        }
    }

    /// Milliseconds since this clock was made, to the microsecond. For measuring.
    pub fn elapsed_ms(&self) -> f64 {
        match self.source {
            Source::Computer(start) => start.elapsed().as_secs_f64() * 1000.0,
            Source::Simulated(time) => time.boot_us() as f64 / 1000.0,
        }
    }

    /// Milliseconds since the machine started, sleep included: ZooKeeper's sessions go on
    /// meanwhile.
    pub fn boot_ms(&self) -> u64 {
        if let Source::Simulated(time) = self.source {
            return time.boot_us() / 1000;
        }
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        u64::try_from(time.tv_sec).unwrap_or(0) * 1000
            + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
    }
}
