//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// Looks every 20 ms until `probe` gives something; panics with `what` after `limit`.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, probe: impl FnMut() -> Option<T>) -> T {
    match try_until(limit, probe) {
        Ok(found) => found,
        Err(limit) => panic!("waited {limit:?} in vain for {what}"),
    }
}

/// As `until`; gives the limit back where it was reached.
pub fn try_until<T>(limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Result<T, Duration> {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return Ok(found);
        }
        if start.elapsed() >= limit {
            return Err(limit);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// As `until`, for a plain condition.
#[track_caller]
pub fn until_true(what: &str, limit: Duration, mut probe: impl FnMut() -> bool) {
    until(what, limit, || probe().then_some(()));
}
