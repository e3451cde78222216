//! One incremental fetch session (KIP-227): which partitions a fetcher follows, what it was told of
//! each, in which order they are served next. Knows nothing of logs, of requests' bytes or of time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use protocol::ids::{LeaderEpoch, Offset, Uuid};

/// "No session": in a request with epoch 0 or −1, and in a response that made none.
pub const NO_SESSION: i32 = 0;
/// A full request that wants a session.
pub const INITIAL_EPOCH: i32 = 0;
/// A full request that wants none, and closes the one it names.
pub const FINAL_EPOCH: i32 = -1;

/// The epoch of the request that follows one of `epoch`: 1 comes after `i32::MAX`.
pub fn next_epoch(epoch: i32) -> i32 {
    match epoch {
        epoch if epoch < 0 => FINAL_EPOCH,
        i32::MAX => 1,
        epoch => epoch + 1,
    }
}

/// Whether a request of this epoch lists every partition it wants.
pub fn is_full(epoch: i32) -> bool {
    epoch == INITIAL_EPOCH || epoch == FINAL_EPOCH
}

/// A partition as a fetcher names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchTarget {
    /// Zero before version 13.
    pub topic_id: Uuid,
    /// Empty while the topic id is unknown here.
    pub topic: Arc<str>,
    pub partition: i32,
}

/// What a fetcher asks of one partition; −1 stands for an unknown epoch or offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchAsk {
    pub fetch_offset: Offset,
    pub current_leader_epoch: LeaderEpoch,
    pub last_fetched_epoch: LeaderEpoch,
    /// The follower's own; −1 from a consumer.
    pub log_start: Offset,
    pub max_bytes: i32,
}

/// What one partition's response says, as far as a session must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FetchAnswer {
    pub high_watermark: Offset,
    pub log_start: Offset,
    pub has_records: bool,
    pub is_error: bool,
    /// A preferred read replica or a diverging epoch: always told.
    pub is_redirect: bool,
}

/// What the fetcher was told last; −1 is never equal to a real offset.
#[derive(Debug, Clone, Copy)]
struct Told {
    high_watermark: Offset,
    log_start: Offset,
}

const NOTHING_TOLD: Told = Told { high_watermark: -1, log_start: -1 };

impl Told {
    /// Whether `answer` says anything new, which is noted.
    fn note(&mut self, answer: &FetchAnswer) -> bool {
        let news = answer.has_records
            || answer.is_error
            || answer.is_redirect
            || self.high_watermark != answer.high_watermark
            || self.log_start != answer.log_start;
        self.log_start = answer.log_start;
        // After an error or a redirection the next good answer must be told, changed or not.
        let forget = answer.is_error || answer.is_redirect;
        self.high_watermark = if forget { -1 } else { answer.high_watermark };
        news
    }
}

const NONE: u32 = u32::MAX;

#[derive(Debug, Clone)]
struct Slot {
    target: FetchTarget,
    ask: FetchAsk,
    told: Told,
    before: u32,
    after: u32,
}

/// A session's partitions. Places are reused: one stays valid until its partition is forgotten.
#[derive(Debug, Clone)]
pub struct FetchSession {
    pub id: i32,
    /// The epoch that the next request must have.
    pub epoch: i32,
    /// Followers' sessions outlive consumers' when slots are short.
    pub privileged: bool,
    pub uses_topic_ids: bool,
    slots: Vec<Slot>,
    free: Vec<u32>,
    first: u32,
    last: u32,
    by_id: HashMap<(Uuid, i32), u32>,
    by_name: HashMap<Arc<str>, BTreeMap<i32, u32>>,
}

/// Where a partition stands in its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(u32);

impl FetchSession {
    /// Without partitions; its first request was the full one that made it.
    pub fn new(privileged: bool, uses_topic_ids: bool) -> FetchSession {
        FetchSession {
            id: NO_SESSION,
            epoch: next_epoch(INITIAL_EPOCH),
            privileged,
            uses_topic_ids,
            slots: Vec::new(),
            free: Vec::new(),
            first: NONE,
            last: NONE,
            by_id: HashMap::new(),
            by_name: HashMap::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a partition at the end, or changes what is asked of one that is there.
    pub fn ask(&mut self, target: FetchTarget, ask: FetchAsk) -> Place {
        if let Some(at) = self.find(&target) {
            let slot = &mut self.slots[at as usize];
            slot.ask = ask;
            slot.target.topic = target.topic;
            return Place(at);
        }
        let slot = Slot { target, ask, told: NOTHING_TOLD, before: NONE, after: NONE };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                u32::try_from(self.slots.len() - 1).expect("a frame holds fewer than 2^32")
            }
        };
        self.index(at, true);
        self.append(at);
        Place(at)
    }

    /// Takes a partition out; one that is not there is no error.
    pub fn forget(&mut self, topic_id: Uuid, topic: &str, partition: i32) {
        let at = match self.uses_topic_ids {
            true => self.by_id.get(&(topic_id, partition)).copied(),
            false => self.by_name.get(topic).and_then(|map| map.get(&partition).copied()),
        };
        if let Some(at) = at {
            self.index(at, false);
            self.unlink(at);
            self.free.push(at);
        }
    }

    /// Every partition, the one served first at the front.
    pub fn iter(&self) -> impl Iterator<Item = (Place, &FetchTarget, &FetchAsk)> {
        let mut at = self.first;
        std::iter::from_fn(move || {
            let slot = self.slots.get(at as usize)?;
            let place = Place(at);
            at = slot.after;
            Some((place, &slot.target, &slot.ask))
        })
    }

    /// Names a topic whose id was unknown when it was asked for.
    pub fn name_topic(&mut self, place: Place, topic: Arc<str>) {
        self.slots[place.0 as usize].target.topic = topic;
    }

    /// Notes what is about to be answered: whether it must be told at all. A partition that gave
    /// records goes to the end, so that those behind it have their turn.
    pub fn answer(&mut self, place: Place, answer: &FetchAnswer) -> bool {
        let news = self.slots[place.0 as usize].told.note(answer);
        if answer.has_records && self.last != place.0 {
            self.unlink(place.0);
            self.append(place.0);
        }
        news
    }

    fn find(&self, target: &FetchTarget) -> Option<u32> {
        match self.uses_topic_ids {
            true => self.by_id.get(&(target.topic_id, target.partition)).copied(),
            false => self.by_name.get(&*target.topic)?.get(&target.partition).copied(),
        }
    }

    fn index(&mut self, at: u32, present: bool) {
        let FetchTarget { topic_id, topic, partition } = &self.slots[at as usize].target;
        match (self.uses_topic_ids, present) {
            (true, true) => {
                self.by_id.insert((*topic_id, *partition), at);
            }
            (true, false) => {
                self.by_id.remove(&(*topic_id, *partition));
            }
            (false, true) => {
                self.by_name.entry(topic.clone()).or_default().insert(*partition, at);
            }
            (false, false) => {
                if let Some(map) = self.by_name.get_mut(topic) {
                    map.remove(partition);
                    if map.is_empty() {
                        self.by_name.remove(topic);
                    }
                }
            }
        }
    }

    fn append(&mut self, at: u32) {
        let slot = &mut self.slots[at as usize];
        (slot.before, slot.after) = (self.last, NONE);
        match self.slots.get_mut(self.last as usize) {
            Some(last) => last.after = at,
            None => self.first = at,
        }
        self.last = at;
    }

    fn unlink(&mut self, at: u32) {
        let (before, after) = {
            let slot = &self.slots[at as usize];
            (slot.before, slot.after)
        };
        match self.slots.get_mut(before as usize) {
            Some(slot) => slot.after = after,
            None => self.first = after,
        }
        match self.slots.get_mut(after as usize) {
            Some(slot) => slot.before = before,
            None => self.last = before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(topic: &str, partition: i32) -> FetchTarget {
        FetchTarget { topic_id: Uuid::ZERO, topic: topic.into(), partition }
    }

    fn ask(fetch_offset: Offset) -> FetchAsk {
        FetchAsk {
            fetch_offset,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
            log_start: -1,
            max_bytes: 1 << 20,
        }
    }

    fn order(session: &FetchSession) -> Vec<String> {
        session
            .iter()
            .map(|(_, target, ask)| {
                format!("{}-{}@{}", target.topic, target.partition, ask.fetch_offset)
            })
            .collect()
    }

    const DATA: FetchAnswer = FetchAnswer {
        high_watermark: 9,
        log_start: 0,
        has_records: true,
        is_error: false,
        is_redirect: false,
    };

    #[test]
    fn epochs_wrap_past_the_full_ones() {
        let table = [(0, 1), (1, 2), (i32::MAX, 1), (-1, -1)];
        for (epoch, next) in table {
            assert_eq!(next_epoch(epoch), next);
        }
        assert!(is_full(0) && is_full(-1) && !is_full(1));
    }

    #[test]
    fn partitions_come_go_and_rotate() {
        let mut session = FetchSession::new(false, false);
        let a = session.ask(target("a", 0), ask(1));
        let b = session.ask(target("a", 1), ask(2));
        let c = session.ask(target("b", 0), ask(3));
        assert_eq!(order(&session), ["a-0@1", "a-1@2", "b-0@3"]);
        session.answer(a, &DATA);
        assert_eq!(order(&session), ["a-1@2", "b-0@3", "a-0@1"]);
        session.answer(c, &DATA);
        assert_eq!(order(&session), ["a-1@2", "a-0@1", "b-0@3"]);
        session.answer(c, &DATA);
        assert_eq!(order(&session), ["a-1@2", "a-0@1", "b-0@3"]);
        session.answer(b, &FetchAnswer { has_records: false, ..DATA });
        assert_eq!(session.ask(target("a", 1), ask(7)), b, "it keeps its place");
        assert_eq!(order(&session), ["a-1@7", "a-0@1", "b-0@3"]);
        session.forget(Uuid::ZERO, "a", 0);
        session.forget(Uuid::ZERO, "a", 0);
        session.forget(Uuid::ZERO, "nowhere", 0);
        assert_eq!(order(&session), ["a-1@7", "b-0@3"]);
        session.ask(target("c", 5), ask(0));
        assert_eq!(order(&session), ["a-1@7", "b-0@3", "c-5@0"]);
        for (topic, partition) in [("a", 1), ("b", 0), ("c", 5)] {
            session.forget(Uuid::ZERO, topic, partition);
        }
        assert!(session.is_empty() && session.iter().next().is_none());
        session.ask(target("d", 0), ask(0));
        assert_eq!(order(&session), ["d-0@0"]);
    }

    #[test]
    fn a_session_with_ids_tells_a_recreated_topic_apart() {
        let mut session = FetchSession::new(false, true);
        let old = FetchTarget { topic_id: Uuid([1; 16]), ..target("t", 0) };
        let new = FetchTarget { topic_id: Uuid([2; 16]), ..target("t", 0) };
        session.ask(old, ask(5));
        session.ask(new, ask(0));
        session.forget(Uuid([1; 16]), "", 0);
        assert_eq!(order(&session), ["t-0@0"]);
    }

    #[test]
    fn only_news_is_told() {
        let same = FetchAnswer { has_records: false, ..DATA };
        let error = FetchAnswer { is_error: true, ..same };
        // Answers in turn, and whether each is told.
        let table: [&[(FetchAnswer, bool)]; 4] = [
            &[(same, true), (same, false), (DATA, true), (same, false)],
            &[(same, true), (FetchAnswer { high_watermark: 8, ..same }, true)],
            &[(same, true), (FetchAnswer { log_start: 1, ..same }, true)],
            &[(same, true), (error, true), (error, true), (same, true), (same, false)],
        ];
        for answers in table {
            let mut session = FetchSession::new(false, false);
            let place = session.ask(target("t", 0), ask(0));
            for (turn, (answer, told)) in answers.iter().enumerate() {
                assert_eq!(session.answer(place, answer), *told, "turn {turn} of {answers:?}");
            }
        }
    }
}
