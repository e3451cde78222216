//! The bounded store of fetch sessions and who must go when it is full (KIP-227). A session is lent
//! out while a request uses it. Knows nothing of requests' contents; ids and time are arguments.

use std::collections::{BTreeSet, HashMap};

use protocol::ids::TimestampMs;

use crate::fetch_session::{FetchSession, NO_SESSION, next_epoch};

/// Default of `max.incremental.fetch.session.cache.slots`.
pub const SLOTS_DEFAULT: usize = 1000;
/// A session that was used or made less than this ago is safe from its like, in milliseconds.
pub const EVICTION_AGE_MS: i64 = 120_000;
/// How often a taken id is drawn again before the fetcher goes without a session.
const DRAWS_MAX: usize = 64;

/// Why a request cannot go on with the session it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    #[error("no such fetch session")]
    NotFound,
    /// Also said while another request uses the session.
    #[error("the fetch session is at another epoch")]
    InvalidEpoch,
    #[error("the fetch session names topics the other way")]
    TopicId,
}

#[derive(Debug)]
struct Entry {
    /// `None` while a request uses it.
    session: Option<FetchSession>,
    privileged: bool,
    /// Partitions when it was last given back.
    size: usize,
    created_ms: TimestampMs,
    used_ms: TimestampMs,
}

/// Order of eviction: consumers before followers, small before large.
type Rank = (bool, usize, i32);

/// Sessions by id, at most `slots` of them.
#[derive(Debug)]
pub struct SessionCache {
    slots: usize,
    entries: HashMap<i32, Entry>,
    by_use: BTreeSet<(TimestampMs, i32)>,
    /// Those that make way for anybody: old enough.
    for_all: BTreeSet<Rank>,
    /// Those that make way for a follower: old enough, or a consumer's.
    for_privileged: BTreeSet<Rank>,
    evictions: u64,
    partitions: usize,
}

impl SessionCache {
    /// `slots` 0 keeps none: every fetch is a full one.
    pub fn new(slots: usize) -> SessionCache {
        SessionCache {
            slots,
            entries: HashMap::new(),
            by_use: BTreeSet::new(),
            for_all: BTreeSet::new(),
            for_privileged: BTreeSet::new(),
            evictions: 0,
            partitions: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Partitions over all sessions.
    pub fn partitions(&self) -> usize {
        self.partitions
    }

    /// Sessions that had to make way since the start.
    pub fn evictions(&self) -> u64 {
        self.evictions
    }

    /// Lends the session out to a request of `epoch`; its own epoch is then the next one.
    pub fn lend(
        &mut self,
        id: i32,
        epoch: i32,
        uses_topic_ids: bool,
    ) -> Result<FetchSession, SessionError> {
        let entry = self.entries.get_mut(&id).ok_or(SessionError::NotFound)?;
        let session = entry.session.as_ref().ok_or(SessionError::InvalidEpoch)?;
        if session.epoch != epoch {
            return Err(SessionError::InvalidEpoch);
        }
        if session.uses_topic_ids != uses_topic_ids {
            return Err(SessionError::TopicId);
        }
        let mut session = entry.session.take().expect("it was there a moment ago");
        session.epoch = next_epoch(session.epoch);
        Ok(session)
    }

    /// Takes a lent session back, unless it was removed meanwhile. An empty one is removed.
    pub fn give_back(&mut self, session: FetchSession, now_ms: TimestampMs) {
        let (id, size) = (session.id, session.len());
        if self.entries.get(&id).is_none_or(|entry| entry.session.is_some()) {
            return;
        }
        if size == 0 {
            self.remove(id);
            return;
        }
        self.unlist(id);
        let entry = self.entries.get_mut(&id).expect("it was there a moment ago");
        entry.session = Some(session);
        entry.size = size;
        entry.used_ms = now_ms;
        self.list(id, now_ms);
    }

    /// Keeps a new session under an id from `draw`, if a slot is or can be made free.
    /// `NO_SESSION` if not.
    pub fn keep(
        &mut self,
        mut session: FetchSession,
        now_ms: TimestampMs,
        draw: &mut dyn FnMut() -> i32,
    ) -> i32 {
        let (privileged, size) = (session.privileged, session.len());
        if self.entries.len() >= self.slots && !self.evict((privileged, size, 0), now_ms) {
            return NO_SESSION;
        }
        let free = |id: &i32| *id > NO_SESSION && !self.entries.contains_key(id);
        let Some(id) = (0..DRAWS_MAX).map(|_| draw()).find(free) else { return NO_SESSION };
        session.id = id;
        let entry =
            Entry { session: Some(session), privileged, size, created_ms: now_ms, used_ms: now_ms };
        self.entries.insert(id, entry);
        self.list(id, now_ms);
        id
    }

    /// Ends a session, lent or not. Whether it was there.
    pub fn remove(&mut self, id: i32) -> bool {
        if !self.entries.contains_key(&id) {
            return false;
        }
        self.unlist(id);
        self.entries.remove(&id).is_some()
    }

    fn evict(&mut self, newcomer: Rank, now_ms: TimestampMs) -> bool {
        let Some((used_ms, oldest)) = self.by_use.first().copied() else { return false };
        let victim = if now_ms - used_ms > EVICTION_AGE_MS {
            oldest
        } else {
            let ranks = if newcomer.0 { &self.for_privileged } else { &self.for_all };
            match ranks.first() {
                Some(least) if newcomer >= *least => least.2,
                _ => return false,
            }
        };
        self.evictions += 1;
        self.remove(victim)
    }

    fn list(&mut self, id: i32, now_ms: TimestampMs) {
        let entry = &self.entries[&id];
        let rank = (entry.privileged, entry.size, id);
        let old = now_ms - entry.created_ms > EVICTION_AGE_MS;
        self.by_use.insert((entry.used_ms, id));
        self.partitions += entry.size;
        if old {
            self.for_all.insert(rank);
        }
        if old || !entry.privileged {
            self.for_privileged.insert(rank);
        }
    }

    fn unlist(&mut self, id: i32) {
        let entry = &self.entries[&id];
        let rank = (entry.privileged, entry.size, id);
        self.by_use.remove(&(entry.used_ms, id));
        self.partitions -= entry.size;
        self.for_all.remove(&rank);
        self.for_privileged.remove(&rank);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch_session::{FetchAsk, FetchTarget};
    use protocol::ids::Uuid;

    fn session(privileged: bool, partitions: i32) -> FetchSession {
        let mut session = FetchSession::new(privileged, false);
        for partition in 0..partitions {
            session.ask(
                FetchTarget { topic_id: Uuid::ZERO, topic: "t".into(), partition },
                FetchAsk {
                    fetch_offset: 0,
                    current_leader_epoch: -1,
                    last_fetched_epoch: -1,
                    log_start: -1,
                    max_bytes: 1,
                },
            );
        }
        session
    }

    fn from(start: i32) -> impl FnMut() -> i32 {
        let mut next = start - 1;
        move || {
            next += 1;
            next
        }
    }

    #[test]
    fn a_session_goes_from_request_to_request() {
        let mut cache = SessionCache::new(2);
        // 0 and the taken 5 are drawn again.
        assert_eq!(cache.keep(session(false, 1), 0, &mut from(5)), 5);
        assert_eq!(cache.keep(session(false, 2), 0, &mut from(-2)), 1);
        assert_eq!(cache.partitions(), 3);
        assert_eq!(cache.lend(9, 1, false).err(), Some(SessionError::NotFound));
        assert_eq!(cache.lend(5, 2, false).err(), Some(SessionError::InvalidEpoch));
        assert_eq!(cache.lend(5, 1, true).err(), Some(SessionError::TopicId));
        let lent = cache.lend(5, 1, false).expect("it is there");
        assert_eq!(lent.epoch, 2);
        assert_eq!(cache.lend(5, 2, false).err(), Some(SessionError::InvalidEpoch), "in use");
        cache.give_back(lent, 10);
        let mut lent = cache.lend(5, 2, false).expect("it came back");
        lent.forget(Uuid::ZERO, "t", 0);
        cache.give_back(lent, 10);
        assert_eq!((cache.len(), cache.partitions()), (1, 2), "an empty one goes");
    }

    #[test]
    fn a_session_removed_while_lent_does_not_come_back() {
        let mut cache = SessionCache::new(2);
        cache.keep(session(false, 1), 0, &mut from(5));
        let lent = cache.lend(5, 1, false).expect("it is there");
        assert!(cache.remove(5) && !cache.remove(5));
        cache.keep(session(false, 3), 0, &mut from(5));
        cache.give_back(lent, 10);
        assert_eq!(cache.lend(5, 1, false).expect("the other one").len(), 3);
    }

    #[test]
    fn who_makes_way() {
        const OLD: i64 = EVICTION_AGE_MS + 1;
        // (privileged, size, last use) of two sessions made at 0; newcomer at OLD; who goes?
        type Held = (bool, i32, i64);
        type Case = (Held, Held, (bool, i32), Option<i32>);
        let table: [Case; 6] = [
            // Unused for long: goes whoever comes.
            ((true, 9, 0), (false, 1, OLD), (false, 1), Some(1)),
            // In use but old: the smallest makes way for a larger one.
            ((false, 5, OLD), (false, 3, OLD), (false, 4), Some(2)),
            ((false, 5, OLD), (false, 3, OLD), (false, 3), None),
            // A follower's session only for another follower's.
            ((true, 1, OLD), (true, 2, OLD), (false, 9), None),
            ((true, 1, OLD), (true, 2, OLD), (true, 2), Some(1)),
            ((true, 9, OLD), (false, 8, OLD), (true, 1), Some(2)),
        ];
        for (first, second, newcomer, victim) in table {
            let mut cache = SessionCache::new(2);
            for (id, (privileged, size, used_ms)) in [(1, first), (2, second)] {
                cache.keep(session(privileged, size), 0, &mut from(id));
                if used_ms > 0 {
                    let lent = cache.lend(id, 1, false).expect("it is there");
                    cache.give_back(lent, used_ms);
                }
            }
            let kept = cache.keep(session(newcomer.0, newcomer.1), OLD, &mut from(10));
            let case = format!("{first:?} {second:?} {newcomer:?}");
            assert_eq!(kept != NO_SESSION, victim.is_some(), "{case}");
            for id in [1, 2] {
                assert_eq!(!cache.remove(id), victim == Some(id), "{id} of {case}");
            }
        }
    }

    #[test]
    fn a_young_session_is_safe_from_consumers() {
        let mut cache = SessionCache::new(1);
        cache.keep(session(false, 1), 0, &mut from(1));
        assert_eq!(cache.keep(session(false, 9), 10, &mut from(2)), NO_SESSION);
        assert_eq!(cache.keep(session(true, 1), 10, &mut from(2)), 2, "but not from followers");
        assert_eq!(cache.evictions(), 1);
        assert_eq!(SessionCache::new(0).keep(session(true, 1), 0, &mut from(1)), NO_SESSION);
    }
}
