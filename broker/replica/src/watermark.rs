//! How far a partition is replicated: what the leader knows of each follower, and the high and low
//! watermarks that follow. Knows nothing of elections or logs.

use protocol::ids::{Offset, TimestampMs};

/// Where the local log begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogOffsets {
    /// First offset that may be read.
    pub start: Offset,
    /// The offset that the next record gets.
    pub end: Offset,
    /// Consumers read below it.
    pub high_watermark: Offset,
}

/// What one follower's Fetch says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowerFetch {
    /// What it asks for, which is its log end offset.
    pub offset: Offset,
    /// Its log start offset.
    pub log_start: Offset,
    /// The leader's log end offset when the fetch was read.
    pub leader_end: Offset,
    /// −1 if the version does not say.
    pub broker_epoch: i64,
}

/// What the leader knows of one follower; −1 stands for an unknown offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowerProgress {
    pub log_start: Offset,
    pub log_end: Offset,
    /// The leader's log end offset at the latest fetch.
    last_fetch_leader_end: Offset,
    last_fetch_ms: TimestampMs,
    /// The latest time at which the follower had all that the leader had.
    last_caught_up_ms: TimestampMs,
    pub broker_epoch: i64,
}

impl Default for FollowerProgress {
    fn default() -> Self {
        FollowerProgress {
            log_start: -1,
            log_end: -1,
            last_fetch_leader_end: 0,
            last_fetch_ms: 0,
            last_caught_up_ms: 0,
            broker_epoch: -1,
        }
    }
}

impl FollowerProgress {
    /// Starts a leader epoch. A leader of the former epoch keeps the offsets it knows; a follower
    /// outside the ISR counts as never caught up, so that it does not hold back the watermark.
    pub fn reset(
        &mut self,
        now_ms: TimestampMs,
        leader_end: Offset,
        was_leader: bool,
        in_isr: bool,
    ) {
        let since = if in_isr { now_ms } else { 0 };
        if !was_leader {
            *self = FollowerProgress { last_fetch_leader_end: -1, ..FollowerProgress::default() };
        } else {
            self.last_fetch_leader_end = leader_end;
            self.last_fetch_ms = since;
        }
        self.last_caught_up_ms = since;
    }

    /// Notes a fetch at `now_ms`. A follower that has now what the leader had at its former fetch
    /// was caught up at that time, even if the leader has moved on since.
    pub fn fetched(&mut self, fetch: &FollowerFetch, now_ms: TimestampMs) {
        if fetch.offset >= fetch.leader_end {
            self.last_caught_up_ms = self.last_caught_up_ms.max(now_ms);
        } else if fetch.offset >= self.last_fetch_leader_end {
            self.last_caught_up_ms = self.last_caught_up_ms.max(self.last_fetch_ms);
        }
        self.log_start = fetch.log_start;
        self.log_end = fetch.offset;
        self.last_fetch_leader_end = self.last_fetch_leader_end.max(fetch.leader_end);
        self.last_fetch_ms = now_ms;
        self.broker_epoch = fetch.broker_epoch;
    }

    /// Counts as never caught up until its next fetch: it holds back the high watermark no more
    /// unless it is in the ISR.
    pub fn await_no_more(&mut self) {
        self.last_caught_up_ms = 0;
    }

    /// 0 if it never had all.
    pub fn last_caught_up_ms(&self) -> TimestampMs {
        self.last_caught_up_ms
    }

    /// `max_lag_ms` is `replica.lag.time.max.ms`.
    pub fn is_caught_up(&self, leader_end: Offset, now_ms: TimestampMs, max_lag_ms: i64) -> bool {
        self.log_end == leader_end || now_ms.saturating_sub(self.last_caught_up_ms) <= max_lag_ms
    }
}

/// The high watermark that `log` may move to: the least log end of the leader and of every
/// `holding` follower, if that is beyond the present one. It never goes back.
pub fn high_watermark<'a>(
    log: &LogOffsets,
    holding: impl Iterator<Item = &'a FollowerProgress>,
) -> Option<Offset> {
    let least = holding.map(|follower| follower.log_end).fold(log.end, Offset::min);
    (least > log.high_watermark).then_some(least)
}

/// The least log start of the leader and of every `alive` follower: deleted records are gone
/// everywhere below it. A follower that has not fetched yet holds it at −1.
pub fn low_watermark<'a>(
    log_start: Offset,
    alive: impl Iterator<Item = &'a FollowerProgress>,
) -> Offset {
    alive.map(|follower| follower.log_start).fold(log_start, Offset::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(offset: Offset, leader_end: Offset) -> FollowerFetch {
        FollowerFetch { offset, log_start: 0, leader_end, broker_epoch: -1 }
    }

    #[test]
    fn caught_up_is_judged_by_what_the_leader_had_then() {
        // (time, fetch offset, leader end) ... -> caught up at time 1000 with a lag of 100?
        type Case<'a> = (&'a [(i64, i64, i64)], bool);
        let table: [Case<'_>; 5] = [
            (&[(950, 10, 10)], true),
            (&[(800, 10, 10)], false),
            // Always one fetch behind, yet at 980 it had what the leader had at 950.
            (&[(950, 5, 10), (980, 10, 20)], true),
            // At 980 it lacks some of what the leader had at 950.
            (&[(950, 5, 10), (980, 9, 20)], false),
            // It has everything, however long ago it asked.
            (&[(10, 30, 30)], true),
        ];
        for (fetches, expected) in table {
            let mut follower = FollowerProgress::default();
            follower.reset(0, 0, false, false);
            for (at, offset, leader_end) in fetches {
                follower.fetched(&fetch(*offset, *leader_end), *at);
            }
            assert_eq!(follower.is_caught_up(30, 1000, 100), expected, "{fetches:?}");
        }
    }

    #[test]
    fn a_new_epoch_forgets_offsets_only_after_a_change_of_leader() {
        let mut follower = FollowerProgress::default();
        follower.fetched(&fetch(10, 10), 50);
        let mut kept = follower.clone();
        kept.reset(100, 12, true, true);
        assert_eq!(kept.log_end, 10);
        assert!(kept.is_caught_up(12, 150, 100));
        follower.reset(100, 12, false, false);
        assert_eq!((follower.log_end, follower.log_start), (-1, -1));
        assert!(!follower.is_caught_up(12, 150, 100));
    }

    #[test]
    fn watermarks() {
        let at = |log_end, log_start| FollowerProgress {
            log_end,
            log_start,
            ..FollowerProgress::default()
        };
        let log = LogOffsets { start: 3, end: 20, high_watermark: 10 };
        let table: [(&[i64], Option<i64>); 5] = [
            (&[], Some(20)),
            (&[15, 18], Some(15)),
            (&[10, 20], None),
            (&[-1], None),
            (&[25], Some(20)),
        ];
        for (ends, expected) in table {
            let followers: Vec<_> = ends.iter().map(|end| at(*end, 0)).collect();
            assert_eq!(high_watermark(&log, followers.iter()), expected, "{ends:?}");
        }
        assert_eq!(low_watermark(3, [at(0, 5), at(0, 2)].iter()), 2);
        assert_eq!(low_watermark(3, [at(0, -1)].iter()), -1);
        assert_eq!(low_watermark(3, [].iter()), 3);
    }
}
