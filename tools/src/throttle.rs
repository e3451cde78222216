//! Holds a loop to so many rounds a second. Knows nothing of what a round is; see Kafka's
//! `ThroughputThrottler`.

use std::time::{Duration, Instant};

/// Shorter pauses are saved up.
const PAUSE_MIN: Duration = Duration::from_millis(2);

pub struct Throttle {
    /// Rounds a second; negative is no limit, 0 is none at all.
    target: f64,
    start: Instant,
    owed: Duration,
}

impl Throttle {
    pub fn new(target: f64, start: Instant) -> Throttle {
        Throttle { target, start, owed: Duration::ZERO }
    }

    /// How long to pause after `done` rounds, if at all.
    pub fn pause(&mut self, done: u64, now: Instant) -> Option<Duration> {
        if self.target < 0.0 {
            return None;
        }
        let elapsed = now.duration_since(self.start).as_secs_f64();
        if elapsed <= 0.0 || done as f64 / elapsed <= self.target {
            return None;
        }
        if self.target == 0.0 {
            return Some(Duration::MAX);
        }
        self.owed += Duration::from_secs_f64((1.0 / self.target).min(1e9));
        (self.owed >= PAUSE_MIN).then(|| std::mem::take(&mut self.owed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_follow_the_target() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        assert_eq!(Throttle::new(-1.0, start).pause(1_000_000, after(1)), None);
        assert_eq!(Throttle::new(0.0, start).pause(1, after(1)), Some(Duration::MAX));
        let mut throttle = Throttle::new(1000.0, start);
        assert_eq!(throttle.pause(1, after(1)), None, "not faster than it may be");
        assert_eq!(throttle.pause(2, after(1)), None, "one millisecond is saved up");
        assert_eq!(throttle.pause(3, after(1)), Some(Duration::from_millis(2)));
    }
}
