//! Timers as data: keys with a deadline, at most one per key. Knows no clock.

use std::collections::{BTreeMap, BTreeSet};

/// Deadlines on some clock, in milliseconds. Arming a key again moves its deadline. Holds as many
/// entries as its owner has keys; the owner bounds those.
#[derive(Debug, Clone)]
pub struct Timers<K> {
    by_time: BTreeSet<(i64, K)>,
    by_key: BTreeMap<K, i64>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { by_time: BTreeSet::new(), by_key: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Timers<K> {
    pub fn arm(&mut self, key: K, at_ms: i64) {
        if let Some(old_ms) = self.by_key.insert(key.clone(), at_ms) {
            self.by_time.remove(&(old_ms, key.clone()));
        }
        self.by_time.insert((at_ms, key));
        self.check();
    }

    pub fn cancel(&mut self, key: &K) {
        if let Some((key, at_ms)) = self.by_key.remove_entry(key) {
            self.by_time.remove(&(at_ms, key));
        }
        self.check();
    }

    /// Takes the earliest key whose deadline is not after `now_ms`.
    pub fn pop_due(&mut self, now_ms: i64) -> Option<K> {
        let (at_ms, _) = self.by_time.first()?;
        if *at_ms > now_ms {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        self.check();
        Some(key)
    }

    pub fn next_ms(&self) -> Option<i64> {
        self.by_time.first().map(|(at_ms, _)| *at_ms)
    }

    pub fn is_armed(&self, key: &K) -> bool {
        self.by_key.contains_key(key)
    }

    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    pub fn clear(&mut self) {
        self.by_key.clear();
        self.by_time.clear();
    }

    fn check(&self) {
        let (by_time, by_key) = (self.by_time.len(), self.by_key.len());
        debug_assert_eq!(by_time, by_key, "deadlines in the order of time, and keys that have one");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_deadline_and_the_earliest_is_due_first() {
        let mut timers = Timers::default();
        timers.arm("a", 30);
        timers.arm("b", 10);
        timers.arm("c", 20);
        timers.arm("b", 40);
        timers.cancel(&"c");
        timers.cancel(&"nobody");
        assert_eq!((timers.len(), timers.next_ms()), (2, Some(30)));
        assert_eq!(timers.pop_due(29), None);
        assert_eq!(timers.pop_due(40), Some("a"));
        assert_eq!(timers.pop_due(40), Some("b"));
        assert_eq!(timers.pop_due(i64::MAX), None);
        assert!(timers.is_empty() && !timers.is_armed(&"a"));
    }

    #[cfg(debug_assertions)]
    #[test]
    #[should_panic(expected = "deadlines in the order of time, and keys that have one")]
    fn a_deadline_without_a_key() {
        let mut timers = Timers::default();
        timers.by_time.insert((5, "a"));
        timers.arm("b", 7);
    }
}
