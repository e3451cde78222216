//! Fetches that wait for `min_bytes`: one entry in each partition they read, counted down in bytes
//! as the partition grows, so that a wake-up costs no lookup and no read. Knows nothing of logs.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// How far a fetch may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// A follower: to the log end.
    LogEnd,
    /// `read_uncommitted`: to the high watermark.
    HighWatermark,
    /// `read_committed`: to the last stable offset.
    LastStable,
}

/// The limits of a partition that moved in one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moved {
    pub log_end: bool,
    pub high_watermark: bool,
    pub last_stable: bool,
}

impl Moved {
    fn concerns(self, isolation: Isolation) -> bool {
        match isolation {
            Isolation::LogEnd => self.log_end,
            Isolation::HighWatermark => self.high_watermark,
            Isolation::LastStable => self.last_stable,
        }
    }

    pub fn any(self) -> bool {
        self.log_end || self.high_watermark || self.last_stable
    }
}

/// Growth whose size is not known: whoever waits must look for himself.
pub const UNKNOWN_BYTES: i64 = i64::MAX;

/// One waiting fetch, shared by the partitions it reads.
#[derive(Debug)]
pub struct FetchWait {
    /// Bytes that must still become readable.
    missing: AtomicI64,
    enough: Notify,
}

impl FetchWait {
    /// Waits for `missing` more bytes over all its partitions.
    pub fn new(missing: i64) -> Arc<FetchWait> {
        Arc::new(FetchWait { missing: AtomicI64::new(missing.max(1)), enough: Notify::new() })
    }

    /// Sets what is missing. To look again without losing what comes meanwhile: rearm with 1, look,
    /// rearm with what is missing; growth during the look then ends the next wait at once.
    pub fn rearm(&self, missing: i64) {
        self.missing.store(missing.max(1), Ordering::Release);
    }

    fn grew(&self, bytes: i64) {
        let before = self
            .missing
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
                (left > 0).then(|| left.saturating_sub(bytes))
            })
            .unwrap_or(0);
        if before > 0 && before <= bytes {
            self.enough.notify_one();
        }
    }

    /// Ends the wait whatever is missing.
    pub fn wake(&self) {
        self.missing.store(0, Ordering::Release);
        self.enough.notify_one();
    }

    /// Returns when enough has become readable, or when something else ended the wait.
    pub async fn woken(&self) {
        self.enough.notified().await;
    }
}

#[derive(Debug)]
struct Entry {
    wait: Arc<FetchWait>,
    isolation: Isolation,
}

/// The fetches that wait on one partition; as many as there are requests in flight at most.
#[derive(Debug, Default)]
pub struct FetchWaiters {
    slab: Mutex<Slab>,
}

#[derive(Debug, Default)]
struct Slab {
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
}

/// Where an entry stands; needed to take it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat(u32);

impl FetchWaiters {
    /// Enters `wait`. The caller then looks at the partition's limit once more: what moved before
    /// this call wakes nobody.
    pub fn enter(&self, wait: &Arc<FetchWait>, isolation: Isolation) -> Seat {
        let entry = Some(Entry { wait: wait.clone(), isolation });
        let mut slab = self.slab.lock();
        match slab.free.pop() {
            Some(seat) => {
                slab.entries[seat as usize] = entry;
                Seat(seat)
            }
            None => {
                slab.entries.push(entry);
                Seat(u32::try_from(slab.entries.len() - 1).expect("fewer requests than 2^32"))
            }
        }
    }

    pub fn leave(&self, seat: Seat) {
        let mut slab = self.slab.lock();
        slab.entries[seat.0 as usize] = None;
        slab.free.push(seat.0);
        if slab.free.len() == slab.entries.len() {
            // A partition that nobody waits for keeps no memory for it.
            *slab = Slab::default();
        }
    }

    /// Tells those whose limit moved that `bytes` more can be read.
    pub fn grew(&self, moved: Moved, bytes: i64) {
        if !moved.any() {
            return;
        }
        for entry in self.slab.lock().entries.iter().flatten() {
            if moved.concerns(entry.isolation) {
                entry.wait.grew(bytes);
            }
        }
    }

    /// The partition has another leader or is gone: everybody looks again.
    pub fn wake_all(&self) {
        for entry in self.slab.lock().entries.iter().flatten() {
            entry.wait.wake();
        }
    }

    pub fn len(&self) -> usize {
        let slab = self.slab.lock();
        slab.entries.len() - slab.free.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    const APPENDED: Moved = Moved { log_end: true, high_watermark: true, last_stable: true };

    fn is_woken(wait: &FetchWait) -> bool {
        wait.woken().now_or_never().is_some()
    }

    #[test]
    fn bytes_of_all_partitions_add_up_and_wake_once() {
        let (a, b) = (FetchWaiters::default(), FetchWaiters::default());
        let wait = FetchWait::new(100);
        let seats =
            (a.enter(&wait, Isolation::HighWatermark), b.enter(&wait, Isolation::HighWatermark));
        a.grew(APPENDED, 60);
        assert!(!is_woken(&wait));
        b.grew(APPENDED, 60);
        assert!(is_woken(&wait));
        b.grew(APPENDED, 60);
        assert!(!is_woken(&wait), "it is awake already");
        wait.rearm(50);
        a.grew(APPENDED, 50);
        assert!(is_woken(&wait));
        a.leave(seats.0);
        b.leave(seats.1);
        assert!(a.is_empty() && b.is_empty());
    }

    #[test]
    fn only_the_limit_that_one_reads_up_to_counts() {
        let limits = [Isolation::LogEnd, Isolation::HighWatermark, Isolation::LastStable];
        let table = [
            (Moved { log_end: true, ..Moved::default() }, [true, false, false]),
            (Moved { high_watermark: true, ..Moved::default() }, [false, true, false]),
            (Moved { last_stable: true, ..Moved::default() }, [false, false, true]),
            (APPENDED, [true, true, true]),
        ];
        for (moved, expected) in table {
            let waiters = FetchWaiters::default();
            let waits = limits.map(|isolation| {
                let wait = FetchWait::new(1);
                waiters.enter(&wait, isolation);
                wait
            });
            waiters.grew(moved, UNKNOWN_BYTES);
            assert_eq!(waits.map(|wait| is_woken(&wait)), expected, "{moved:?}");
        }
    }

    #[test]
    fn seats_are_used_again() {
        let waiters = FetchWaiters::default();
        let waits = [FetchWait::new(1), FetchWait::new(1), FetchWait::new(1)];
        let first = waiters.enter(&waits[0], Isolation::LogEnd);
        waiters.enter(&waits[1], Isolation::LogEnd);
        waiters.leave(first);
        assert_eq!(waiters.enter(&waits[2], Isolation::LogEnd), first);
        waiters.wake_all();
        assert_eq!(waits.each_ref().map(|wait| is_woken(wait)), [false, true, true]);
    }
}
