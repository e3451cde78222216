//! Whose transactions a leader is asking the coordinator about before it lets them begin in its
//! partition (KIP-890, Kafka's `VerificationStateEntry`). Knows nothing of how one asks.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};

use protocol::ids::{ProducerEpoch, ProducerId, TimestampMs, VerificationGuard};

/// Producers that are asked about at a time in one partition; the oldest question is given up for
/// a newer one. Kafka has no such bound.
const ENTRIES_MAX: usize = 10_000;

/// A guard that nobody in this process was given before: a log that is opened anew does not take
/// an answer to a question of the log before.
pub(crate) fn fresh_guard() -> VerificationGuard {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    VerificationGuard::new(NEXT.fetch_add(1, Ordering::Relaxed))
}

#[derive(Debug, Clone)]
struct Entry {
    guard: VerificationGuard,
    since_ms: TimestampMs,
    epoch: ProducerEpoch,
    /// Of all batches of the epoch that were to begin the transaction.
    lowest_sequence: i32,
}

/// The questions of one partition, by producer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verifications {
    entries: HashMap<ProducerId, Entry>,
    /// Guards grow, so the first is the oldest.
    by_age: BTreeMap<VerificationGuard, ProducerId>,
}

impl Verifications {
    /// The guard of the question about this producer: that which is open, or else `fresh`, which no
    /// other question had.
    pub fn begin(
        &mut self,
        producer_id: ProducerId,
        epoch: ProducerEpoch,
        sequence: i32,
        fresh: VerificationGuard,
        now_ms: TimestampMs,
    ) -> VerificationGuard {
        if !self.entries.contains_key(&producer_id) {
            if self.entries.len() >= ENTRIES_MAX
                && let Some((_, oldest)) = self.by_age.pop_first()
            {
                self.entries.remove(&oldest);
            }
            self.by_age.insert(fresh, producer_id);
        }
        let entry = self.entries.entry(producer_id).or_insert(Entry {
            guard: fresh,
            since_ms: now_ms,
            epoch,
            lowest_sequence: sequence,
        });
        if epoch > entry.epoch {
            (entry.epoch, entry.lowest_sequence) = (epoch, sequence);
        } else if epoch == entry.epoch {
            entry.lowest_sequence = entry.lowest_sequence.min(sequence);
        }
        entry.guard
    }

    /// Whether this is the guard of the producer's open question.
    pub fn is_current(&self, producer_id: ProducerId, guard: VerificationGuard) -> bool {
        self.entries.get(&producer_id).is_some_and(|entry| entry.guard == guard)
    }

    /// The first of the batches that wait for the answer.
    pub fn lowest_sequence(&self, producer_id: ProducerId) -> Option<i32> {
        self.entries.get(&producer_id).map(|entry| entry.lowest_sequence)
    }

    /// The transaction began here, or ended: whatever is answered now comes too late.
    pub fn end(&mut self, producer_id: ProducerId) {
        if let Some(entry) = self.entries.remove(&producer_id) {
            self.by_age.remove(&entry.guard);
        }
    }

    /// Gives up what was asked at least `age_ms` ago.
    pub fn remove_older(&mut self, now_ms: TimestampMs, age_ms: i64) {
        while let Some((_, producer_id)) = self.by_age.first_key_value() {
            let producer_id = *producer_id;
            let since_ms = self.entries.get(&producer_id).map_or(i64::MIN, |entry| entry.since_ms);
            if now_ms.saturating_sub(since_ms) < age_ms {
                return;
            }
            self.by_age.pop_first();
            self.entries.remove(&producer_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ProducerId = 7;

    fn guard(number: u64) -> VerificationGuard {
        VerificationGuard::new(number)
    }

    #[test]
    fn one_question_has_one_guard_until_it_ends() {
        let mut all = Verifications::default();
        assert_eq!(all.begin(A, 0, 5, guard(1), 0), guard(1));
        assert_eq!(all.begin(A, 0, 9, guard(2), 0), guard(1), "the same question");
        assert_eq!(all.lowest_sequence(A), Some(5));
        all.begin(A, 0, 3, guard(3), 0);
        assert_eq!(all.lowest_sequence(A), Some(3));
        all.begin(A, 1, 4, guard(4), 0);
        assert_eq!(all.lowest_sequence(A), Some(4), "another epoch counts anew");
        all.begin(A, 0, 0, guard(5), 0);
        assert_eq!(all.lowest_sequence(A), Some(4), "an earlier epoch does not count");
        assert!(all.is_current(A, guard(1)) && !all.is_current(A, guard(4)));
        all.end(A);
        assert!(!all.is_current(A, guard(1)));
        assert_eq!(all.begin(A, 1, 0, guard(6), 0), guard(6));
        assert!(!all.is_current(A, guard(1)), "an answer from before the end");
        assert!(!all.is_current(A, VerificationGuard::NONE));
    }

    #[test]
    fn questions_are_given_up_by_age_and_by_number() {
        let mut all = Verifications::default();
        for id in 0..=ENTRIES_MAX as i64 {
            all.begin(id, 0, 0, guard(id as u64 + 1), id);
        }
        assert_eq!((all.entries.len(), all.by_age.len()), (ENTRIES_MAX, ENTRIES_MAX));
        assert_eq!((all.lowest_sequence(0), all.lowest_sequence(1)), (None, Some(0)));
        all.remove_older(110, 100);
        assert_eq!((all.lowest_sequence(10), all.lowest_sequence(11)), (None, Some(0)));
        assert_eq!(all.entries.len(), all.by_age.len());
    }
}
