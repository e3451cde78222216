//! What a follower asks of one leader and what it makes of the answers: the fetch state of each
//! partition, the session that the requests form, and what is to be done with the logs. Sans-IO:
//! time is an argument; it knows nothing of connections and files.
//!
//! Whoever drives it loops: `step` says what to do next; a `Fetch` is sent and its answer given to
//! `on_response` (or `on_network_error`), which returns orders. Each order is carried out on the
//! partition's log under the leader epoch it names, and its outcome reported with `appended`,
//! `truncated`, `restarted`, `refused`, `delay` or `fail`. Reports about a state that is gone, as
//! when the partition was stopped or got another leader epoch meanwhile, change nothing.
//!
//! Source: `AbstractFetcherThread`, `RemoteLeaderEndPoint` and `FetchSessionHandler` of 3.9.2.

use std::collections::{BTreeMap, BTreeSet};

use protocol::error_code::ErrorCode;
use protocol::ids::{BrokerId, LeaderEpoch, Offset, TimestampMs, TopicPartition, Uuid};
use protocol::messages::fetch::FetchRequest;
use protocol::wire::Records;

use crate::truncation::EpochEnd;

use client_session::ClientSession;

mod answer;
pub mod client_session;
mod request;

pub use request::Surroundings;

/// A partition's first pause, unless `replica.fetch.backoff.ms` is shorter; each further one is
/// twice as long, up to that.
const FIRST_PAUSE_MS: i64 = 10;
const PAUSE_DOUBLINGS_MAX: u32 = 16;

/// What is the same in every request of a follower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowerSettings {
    pub replica_id: BrokerId,
    /// `replica.fetch.wait.max.ms`.
    pub max_wait_ms: i32,
    /// `replica.fetch.min.bytes`.
    pub min_bytes: i32,
    /// `replica.fetch.response.max.bytes`.
    pub response_bytes_max: i32,
    /// `replica.fetch.max.bytes`, of one partition.
    pub partition_bytes_max: i32,
    /// `replica.fetch.backoff.ms`: the longest pause before a partition is asked for again.
    pub backoff_ms: i64,
}

/// How a partition begins to be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Zero if the topic has none; then the whole request names topics instead.
    pub topic_id: Uuid,
    pub leader_epoch: LeaderEpoch,
    /// See `first_offset`.
    pub offset: Offset,
    /// The latest epoch in the log.
    pub last_epoch: Option<LeaderEpoch>,
    /// `Truncating` if the log goes on behind `offset`.
    pub stage: Stage,
}

/// Where a follower begins: at its log's end if the log knows epochs, because then the leader finds
/// out how far the logs agree; else at the high watermark.
pub fn first_offset(
    last_epoch: Option<LeaderEpoch>,
    log_end: Offset,
    high_watermark: Offset,
) -> Offset {
    if last_epoch.is_some() { log_end } else { high_watermark }
}

/// Which of a leader's `fetchers` connections a partition belongs to (`num.replica.fetchers`).
///
/// Source: `AbstractFetcherManager.getFetcherId`.
pub fn fetcher_id(partition: &TopicPartition, fetchers: i32) -> i32 {
    let hash = partition
        .topic
        .encode_utf16()
        .fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    let mixed = hash.wrapping_mul(31).wrapping_add(partition.partition);
    mixed.checked_abs().unwrap_or(0) % fetchers.max(1)
}

/// Where a partition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The log is to be cut at the fetch offset: it knows no epochs that say how much of the rest
    /// the leader has.
    Truncating,
    Fetching,
}

/// What is known of one followed partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchState {
    pub topic_id: Uuid,
    pub leader_epoch: LeaderEpoch,
    pub offset: Offset,
    /// Epoch of the last record before `offset`.
    pub last_epoch: Option<LeaderEpoch>,
    pub stage: Stage,
    pub delayed_until_ms: Option<TimestampMs>,
    /// Pauses in a row; each is longer.
    pub pauses: u32,
    /// High watermark of the leader minus `offset`, at least 0; `None` before the first answer.
    pub lag: Option<i64>,
}

impl FetchState {
    /// Pauses from now on. The first pauses are short: after an election the followers often hear
    /// of it before the leader does, and until they are back no acks=all write is answered.
    fn pause(&mut self, backoff_ms: i64, now_ms: TimestampMs) {
        let pause_ms = FIRST_PAUSE_MS.saturating_mul(1 << self.pauses.min(PAUSE_DOUBLINGS_MAX));
        self.pauses = self.pauses.saturating_add(1);
        self.delayed_until_ms = Some(now_ms.saturating_add(pause_ms.min(backoff_ms)));
    }

    fn is_delayed(&self, now_ms: TimestampMs) -> bool {
        self.delayed_until_ms.is_some_and(|until| now_ms < until)
    }

    fn is_ready(&self, now_ms: TimestampMs) -> bool {
        self.stage == Stage::Fetching && !self.is_delayed(now_ms)
    }

    /// It has all that the leader has committed; such a one is not throttled.
    pub fn is_in_sync(&self) -> bool {
        self.lag.is_some_and(|lag| lag <= 0)
    }
}

/// What the session has of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    topic_id: Uuid,
    leader_epoch: LeaderEpoch,
    offset: Offset,
    last_epoch: LeaderEpoch,
    log_start: Offset,
}

#[derive(Debug)]
struct Entry {
    partition: TopicPartition,
    state: FetchState,
    /// `None`: it is not in the session.
    asked: Option<Asked>,
}

/// The partitions that one connection fetches from one leader.
#[derive(Debug)]
pub struct Follower {
    settings: FollowerSettings,
    /// By turn: whoever has just been given records comes last.
    entries: BTreeMap<u64, Entry>,
    turns: BTreeMap<TopicPartition, u64>,
    turn: u64,
    /// In the session, but not followed any more or not ready.
    gone: BTreeMap<TopicPartition, Asked>,
    session: ClientSession,
    /// Of the topics in the session that have an id.
    names: BTreeMap<Uuid, String>,
    /// The request under way, or the session, names topics by id.
    by_id: bool,
    /// Answers in a row that were of no use.
    faults: u32,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Cut a log at `offset` and report `truncated`.
    Truncate { partition: TopicPartition, leader_epoch: LeaderEpoch, offset: Offset },
    /// Send `request` in `version`.
    Fetch { request: Box<FetchRequest>, version: i16 },
    /// Nothing, until that time or until something changes.
    Wait { until_ms: Option<TimestampMs> },
}

/// What to do with one partition's log.
#[derive(Debug, Clone)]
pub enum Order {
    /// Append `records` at `offset`, which must be the log's end, leaving out batches of a later
    /// epoch; then take over the high watermark, within the log, and raise the log start. Report
    /// `appended`.
    Append { offset: Offset, records: Records, high_watermark: Offset, log_start: Offset },
    /// The logs diverge: cut where `truncation_point` says, and report `truncated`.
    Diverged { leader: EpochEnd, offset: Offset },
    /// The offset is not in the leader's log: ask with ListOffsets and do as `after_latest` and
    /// `after_earliest` say. Report `restarted` or `refused`.
    OutOfRange,
    /// Nothing: it is asked for again after a pause.
    Delayed(ErrorCode),
    /// Nothing: it is followed no more until the controller orders it anew.
    Failed,
}

/// An order for one partition, good as long as it is followed in that leader epoch.
#[derive(Debug, Clone)]
pub struct PartitionOrder {
    pub partition: TopicPartition,
    pub leader_epoch: LeaderEpoch,
    pub order: Order,
}

/// Why a whole answer was of no use; the next request begins a new session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionFault {
    #[error("the leader answered {0:?}")]
    Refused(ErrorCode),
    /// A partition that was not asked for, or one missing from a full answer.
    #[error("the answer does not fit the request")]
    Mismatch,
    /// A leader over its quota answers nothing at first.
    #[error("the leader throttles")]
    Throttled,
}

impl Follower {
    pub fn new(settings: FollowerSettings) -> Follower {
        Follower {
            settings,
            entries: BTreeMap::new(),
            turns: BTreeMap::new(),
            turn: 0,
            gone: BTreeMap::new(),
            session: ClientSession::default(),
            names: BTreeMap::new(),
            by_id: true,
            faults: 0,
        }
    }

    /// Settings for the next requests.
    pub fn set_settings(&mut self, settings: FollowerSettings) {
        self.settings = settings;
    }

    /// Follows a partition from now on. One that is followed in the same leader epoch already goes
    /// on as it is.
    pub fn follow(&mut self, partition: TopicPartition, start: Start) {
        if let Some(entry) = self.entry(&partition)
            && entry.state.leader_epoch == start.leader_epoch
        {
            return;
        }
        let asked = match self.remove(&partition) {
            Some(entry) => entry.asked,
            None => self.gone.remove(&partition),
        };
        let state = FetchState {
            topic_id: start.topic_id,
            leader_epoch: start.leader_epoch,
            offset: start.offset,
            last_epoch: start.last_epoch,
            stage: start.stage,
            delayed_until_ms: None,
            pauses: 0,
            lag: None,
        };
        self.push(Entry { partition, state, asked });
    }

    /// Follows a partition no more; gives its state if it was followed.
    pub fn stop(&mut self, partition: &TopicPartition) -> Option<FetchState> {
        let entry = self.remove(partition)?;
        if let Some(asked) = entry.asked {
            self.gone.insert(entry.partition, asked);
        }
        Some(entry.state)
    }

    /// The topic got an id.
    pub fn set_topic_id(&mut self, partition: &TopicPartition, topic_id: Uuid) {
        if let Some(entry) = self.entry_mut(partition) {
            entry.state.topic_id = topic_id;
        }
    }

    pub fn state(&self, partition: &TopicPartition) -> Option<&FetchState> {
        Some(&self.entry(partition)?.state)
    }

    /// Every followed partition, in the order of their turns.
    pub fn partitions(&self) -> impl Iterator<Item = (&TopicPartition, &FetchState)> {
        self.entries.values().map(|entry| (&entry.partition, &entry.state))
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The largest lag of any partition; 0 if none is known.
    pub fn max_lag(&self) -> i64 {
        self.entries.values().filter_map(|entry| entry.state.lag).max().unwrap_or(0)
    }

    fn entry(&self, partition: &TopicPartition) -> Option<&Entry> {
        self.entries.get(self.turns.get(partition)?)
    }

    fn entry_mut(&mut self, partition: &TopicPartition) -> Option<&mut Entry> {
        self.entries.get_mut(self.turns.get(partition)?)
    }

    /// The entry, if the partition is still followed in that epoch.
    fn current(
        &mut self,
        partition: &TopicPartition,
        leader_epoch: LeaderEpoch,
    ) -> Option<&mut Entry> {
        self.entry_mut(partition).filter(|entry| entry.state.leader_epoch == leader_epoch)
    }

    fn remove(&mut self, partition: &TopicPartition) -> Option<Entry> {
        self.entries.remove(&self.turns.remove(partition)?)
    }

    fn push(&mut self, entry: Entry) {
        self.turn += 1;
        self.turns.insert(entry.partition.clone(), self.turn);
        self.entries.insert(self.turn, entry);
    }

    fn move_to_end(&mut self, partition: &TopicPartition) {
        if let Some(entry) = self.remove(partition) {
            self.push(entry);
        }
    }

    /// Whether an answer may speak of this partition.
    fn is_in_session(&self, partition: &TopicPartition) -> bool {
        self.gone.contains_key(partition)
            || self.entry(partition).is_some_and(|entry| entry.asked.is_some())
    }

    /// Every partition of the session.
    fn session_partitions(&self) -> BTreeSet<&TopicPartition> {
        let followed = self.entries.values().filter(|entry| entry.asked.is_some());
        self.gone.keys().chain(followed.map(|entry| &entry.partition)).collect()
    }
}

#[cfg(test)]
mod tests;
