//! Requests that wait until their partitions have reached an offset: acks=all appends for the high
//! watermark, DeleteRecords for the low watermark. Knows nothing of what is answered then.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Entries of a partition below which dead ones (of requests that timed out) are not looked for.
const SWEEP_FROM: usize = 64;

/// One waiting request: an outcome for each of its partitions.
#[derive(Debug)]
pub struct Countdown<T> {
    outcomes: Mutex<Vec<Option<T>>>,
    left: AtomicUsize,
    done: Notify,
}

impl<T: Clone> Countdown<T> {
    /// Waits for `parts` outcomes, numbered from 0.
    pub fn new(parts: usize) -> Arc<Countdown<T>> {
        Arc::new(Countdown {
            outcomes: Mutex::new(vec![None; parts]),
            left: AtomicUsize::new(parts),
            done: Notify::new(),
        })
    }

    /// Gives part `index` its outcome; only the first one counts.
    pub fn settle(&self, index: usize, outcome: T) {
        let mut outcomes = self.outcomes.lock();
        if outcomes[index].is_some() {
            return;
        }
        outcomes[index] = Some(outcome);
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_one();
        }
    }

    pub fn is_settled(&self) -> bool {
        self.left.load(Ordering::Acquire) == 0
    }

    /// The outcomes so far.
    pub fn settled(&self) -> Vec<Option<T>> {
        self.outcomes.lock().clone()
    }

    /// Every part's outcome, `None` where there is none after `patience`.
    pub async fn outcomes(&self, patience: Duration) -> Vec<Option<T>> {
        if !self.is_settled() {
            let done = tokio::time::timeout(patience, self.done.notified()).await;
            tracing::trace!(in_time = done.is_ok(), "waited for partitions");
        }
        self.settled()
    }
}

#[derive(Debug)]
struct Entry<T> {
    offset: i64,
    request: Weak<Countdown<T>>,
    index: usize,
}

/// Those who wait for one partition, by the offset they wait for.
#[derive(Debug)]
pub struct OffsetWaiters<T> {
    queue: Mutex<VecDeque<Entry<T>>>,
}

impl<T> Default for OffsetWaiters<T> {
    fn default() -> Self {
        OffsetWaiters { queue: Mutex::new(VecDeque::new()) }
    }
}

impl<T: Clone> OffsetWaiters<T> {
    /// Enters part `index` of `request`. The caller then looks at the partition once more: what it
    /// reached before this call settles nothing.
    pub fn enter(&self, offset: i64, request: &Arc<Countdown<T>>, index: usize) {
        let mut queue = self.queue.lock();
        if queue.len() >= SWEEP_FROM && queue.len() == queue.capacity() {
            // Growing is the moment to drop those who gave up waiting.
            queue.retain(|entry| entry.request.strong_count() > 0);
        }
        let at = queue.partition_point(|entry| entry.offset <= offset);
        queue.insert(at, Entry { offset, request: Arc::downgrade(request), index });
    }

    /// Settles everybody who waits for `offset` or less.
    pub fn reached(&self, offset: i64, outcome: &T) {
        let mut queue = self.queue.lock();
        while queue.front().is_some_and(|entry| entry.offset <= offset) {
            let entry = queue.pop_front().expect("there is a front");
            if let Some(request) = entry.request.upgrade() {
                request.settle(entry.index, outcome.clone());
            }
        }
    }

    /// Settles everybody.
    pub fn settle_all(&self, outcome: &T) {
        self.reached(i64::MAX, outcome);
    }

    pub fn is_empty(&self) -> bool {
        self.queue.lock().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_is_done_when_every_partition_has_got_there() {
        let (a, b) = (OffsetWaiters::default(), OffsetWaiters::default());
        let request = Countdown::new(2);
        a.enter(10, &request, 0);
        b.enter(20, &request, 1);
        a.reached(9, &"a");
        assert!(!a.is_empty());
        a.reached(15, &"a");
        assert!(a.is_empty() && !request.is_settled());
        b.settle_all(&"lost");
        let outcomes = request.outcomes(Duration::from_secs(1)).await;
        assert_eq!(outcomes, [Some("a"), Some("lost")]);
    }

    #[tokio::test(start_paused = true)]
    async fn time_runs_out() {
        let waiters = OffsetWaiters::default();
        let request = Countdown::new(2);
        waiters.enter(10, &request, 0);
        waiters.enter(5, &request, 1);
        waiters.reached(5, &1);
        assert_eq!(request.outcomes(Duration::from_millis(30)).await, [None, Some(1)]);
    }

    #[test]
    fn those_who_gave_up_do_not_pile_up() {
        let waiters = OffsetWaiters::<()>::default();
        let kept = Countdown::new(1);
        waiters.enter(0, &kept, 0);
        for offset in 0..100_000 {
            waiters.enter(offset, &Countdown::new(1), 0);
        }
        assert!(waiters.queue.lock().len() <= 2 * SWEEP_FROM);
        waiters.reached(0, &());
        assert!(kept.is_settled());
    }
}
