//! The only place of this crate that reads the host's clock. Knows nothing of what the time is for.

#![allow(clippy::disallowed_methods, reason = "this file alone reads a clock")]

use std::time::{SystemTime, UNIX_EPOCH};

use protocol::ids::TimestampMs;

/// The wall's time.
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// Milliseconds since 1970.
pub fn now_ms() -> TimestampMs {
    now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}
