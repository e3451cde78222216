//! Reads on and on: which partitions, from which offsets, with or without a group. Knows nothing of
//! printing.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use futures::future::join_all;
use protocol::error_code::ErrorCode;
use protocol::ids::{BrokerId, LeaderEpoch, Offset, TimestampMs, TopicPartition, Uuid};
use tokio::time::Instant;

use super::fetcher::{FetchOptions, From, fetch};
use super::member::{Member, Timeouts};
use super::{Assignor, ConsumedRecord};
use crate::cluster::{Cluster, ClusterError, LATEST_TIMESTAMP, RETRY_BACKOFF, is_final_for_topic};
use crate::leaders::Leaders;
use crate::topic_filter::TopicFilter;
use crate::{Properties, clock};

/// `metadata.max.age.ms`: how soon a new topic or partition is seen.
const METADATA_AGE_MAX: Duration = Duration::from_secs(300);
/// Pause when there is nothing to fetch from.
const IDLE_PAUSE: Duration = Duration::from_millis(100);

/// Where one partition begins.
#[derive(Debug, Clone, Copy)]
pub enum Start {
    Offset(Offset),
    Timestamp(TimestampMs),
}

/// What to read.
pub enum Wanted {
    Partition(String, i32, Start),
    Topic(String),
    Matching(TopicFilter),
}

pub struct ReaderOptions {
    wanted: Wanted,
    group: Option<String>,
    /// Where to begin without an offset: −2 earliest, −1 latest, or nowhere.
    reset: Option<TimestampMs>,
    fetching: FetchOptions,
    timeouts: Timeouts,
    assignor: Assignor,
    instance: Option<String>,
    /// `None` without automatic commits.
    commit_every: Option<Duration>,
}

impl ReaderOptions {
    /// Everything but `auto.offset.reset` and `group.id` is read from the properties.
    pub fn new(
        wanted: Wanted,
        group: Option<String>,
        reset: Option<TimestampMs>,
        consuming: &Properties,
    ) -> Result<ReaderOptions, String> {
        let number = |key: &str, default: u64| match consuming.get(key) {
            None => Ok(default),
            Some(text) => text
                .trim()
                .parse::<u64>()
                .map_err(|_| format!("Invalid value {text} for configuration {key}")),
        };
        let automatic = consuming
            .get("enable.auto.commit")
            .is_none_or(|v| v.trim().eq_ignore_ascii_case("true"));
        let interval = number("auto.commit.interval.ms", 5_000)?;
        let committed_only = match consuming.get("isolation.level").map(|level| level.trim()) {
            Some("read_committed") => true,
            None | Some("read_uncommitted") => false,
            Some(other) => {
                return Err(format!("Invalid value {other} for configuration isolation.level"));
            }
        };
        // Kafka's default is a list of which only the first is used by a new group.
        let classes = consuming.get("partition.assignment.strategy").map(String::as_str);
        let first = classes.unwrap_or("RangeAssignor").split(',').next().unwrap_or_default();
        let assignor = Assignor::of_class(first)
            .ok_or_else(|| format!("the assignor {first} is not known here"))?;
        let small = |key: &str, default: i32| {
            number(key, default as u64).map(|n| i32::try_from(n).unwrap_or(i32::MAX))
        };
        let fetching = FetchOptions {
            wait_max_ms: small("fetch.max.wait.ms", 500)?,
            bytes_min: small("fetch.min.bytes", 1)?,
            bytes_max: small("fetch.max.bytes", 50 << 20)?,
            partition_bytes_max: small("max.partition.fetch.bytes", 1 << 20)?,
            committed_only,
        };
        Ok(ReaderOptions {
            wanted,
            commit_every: (automatic && group.is_some()).then_some(Duration::from_millis(interval)),
            group,
            reset,
            fetching,
            assignor,
            instance: consuming.get("group.instance.id").cloned(),
            timeouts: Timeouts {
                session_ms: number("session.timeout.ms", 45_000)? as i32,
                rebalance_ms: number("max.poll.interval.ms", 300_000)? as i32,
                heartbeat_ms: number("heartbeat.interval.ms", 3_000)?,
            },
        })
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Position {
    /// The next offset to fetch; unknown until it is asked for.
    fetch: Option<Offset>,
    /// The next offset to consume, which is what is committed.
    consume: Option<Offset>,
}

/// A change of what this member of a group reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebalance {
    pub at: SystemTime,
    /// Taken away, or else given.
    pub revoked: bool,
    pub partitions: Vec<TopicPartition>,
}

/// What one round brought.
pub enum Next {
    Records(Vec<ConsumedRecord>),
    Nothing,
}

pub struct Reader {
    cluster: Cluster,
    options: ReaderOptions,
    member: Option<Member>,
    positions: BTreeMap<TopicPartition, Position>,
    committed: BTreeMap<TopicPartition, Offset>,
    /// By topic.
    leaders: BTreeMap<String, Leaders>,
    topic_ids: BTreeMap<String, Uuid>,
    /// Partitions of each topic when last looked.
    counts: BTreeMap<String, usize>,
    looked_at: Option<Instant>,
    heartbeat_at: Instant,
    committed_at: Instant,
    rebalances: Vec<Rebalance>,
}

impl Reader {
    pub fn new(cluster: Cluster, options: ReaderOptions) -> Reader {
        let join = |group| {
            Member::new(group, options.timeouts, options.assignor, options.instance.clone())
        };
        let member = options.group.clone().map(join);
        Reader {
            cluster,
            member,
            options,
            positions: BTreeMap::new(),
            committed: BTreeMap::new(),
            leaders: BTreeMap::new(),
            topic_ids: BTreeMap::new(),
            counts: BTreeMap::new(),
            looked_at: None,
            heartbeat_at: Instant::now(),
            committed_at: Instant::now(),
            rebalances: Vec::new(),
        }
    }

    /// The rebalances since the last call.
    pub fn take_rebalances(&mut self) -> Vec<Rebalance> {
        std::mem::take(&mut self.rebalances)
    }

    /// One round: metadata and membership if they are due, then one fetch from every leader.
    pub async fn next(&mut self) -> Result<Next, String> {
        // What the last round gave has been printed by now.
        for position in self.positions.values_mut() {
            position.consume = position.fetch;
        }
        self.round().await.map_err(|e| e.to_string())
    }

    /// Waits until it is known where every partition begins, of a reader without a group.
    pub async fn find_all_positions(&mut self) -> Result<(), String> {
        let started = Instant::now();
        loop {
            let found = async {
                self.look().await?;
                self.find_positions().await
            };
            found.await.map_err(|e| e.to_string())?;
            let known = |position: &Position| position.fetch.is_some();
            if !self.positions.is_empty() && self.positions.values().all(known) {
                return Ok(());
            }
            if started.elapsed() > crate::cluster::API_TIMEOUT {
                return Err("the topic's partitions have no leaders".to_owned());
            }
            tokio::time::sleep(IDLE_PAUSE).await;
        }
    }

    /// The record has been printed.
    pub fn consumed(&mut self, record: &ConsumedRecord) {
        let partition = TopicPartition::new(&*record.topic, record.partition);
        if let Some(position) = self.positions.get_mut(&partition) {
            position.consume = Some(record.offset + 1);
        }
    }

    /// Commits these offsets for the group, as its member.
    pub async fn commit_these(
        &mut self,
        offsets: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<(), ClusterError> {
        let Some(member) = &self.member else { return Ok(()) };
        let (group, id) = (&member.group, &member.member_id);
        self.cluster.commit_offsets(group, member.generation, id, offsets).await
    }

    /// Commits and leaves the group.
    pub async fn close(&mut self) {
        if self.options.commit_every.is_some() {
            let _ = self.commit().await;
        }
        if !self.positions.is_empty() {
            self.revoke();
        }
        if let Some(member) = &mut self.member {
            member.leave(&self.cluster).await;
        }
    }

    async fn round(&mut self) -> Result<Next, ClusterError> {
        // A partition without a leader has one soon.
        let is_whole = self.positions.keys().all(|partition| self.leader(partition).is_some());
        let age_max = if is_whole { METADATA_AGE_MAX } else { RETRY_BACKOFF };
        if self.looked_at.is_none_or(|at| at.elapsed() >= age_max) {
            self.look().await?;
        }
        self.keep_membership().await?;
        self.find_positions().await?;
        let mut by_leader: BTreeMap<BrokerId, BTreeMap<TopicPartition, From>> = BTreeMap::new();
        for (partition, position) in &self.positions {
            if let (Some((leader, leader_epoch)), Some(offset)) =
                (self.leader(partition), position.fetch)
            {
                let from = From { offset, leader_epoch };
                by_leader.entry(leader).or_default().insert(partition.clone(), from);
            }
        }
        if by_leader.is_empty() {
            tokio::time::sleep(IDLE_PAUSE).await;
            if self.positions.is_empty() && self.member.is_none() {
                self.looked_at = None;
            }
            return Ok(Next::Nothing);
        }
        let (ids, how) = (&self.topic_ids, self.options.fetching);
        let calls = by_leader
            .iter()
            .map(|(leader, positions)| fetch(&self.cluster, *leader, positions, ids, how));
        let mut records = Vec::new();
        for answer in join_all(calls).await {
            match answer {
                Ok(partitions) => {
                    for (partition, fetched) in partitions {
                        let fetched = fetched.map_err(ClusterError::Unreadable)?;
                        match fetched {
                            Ok((found, next)) => {
                                records.extend(found);
                                if let Some(position) = self.positions.get_mut(&partition) {
                                    position.fetch = Some(next);
                                }
                            }
                            Err(code) => self.partition_failed(&partition, code)?,
                        }
                    }
                }
                // The broker went away: look for the new leaders.
                Err(_) => {
                    self.looked_at = None;
                    tokio::time::sleep(IDLE_PAUSE).await;
                }
            }
        }
        Ok(if records.is_empty() { Next::Nothing } else { Next::Records(records) })
    }

    /// Who leads a partition, and in which epoch.
    fn leader(&self, partition: &TopicPartition) -> Option<(BrokerId, LeaderEpoch)> {
        self.leaders.get(&partition.topic)?.in_epoch(partition.partition)
    }

    fn partition_failed(
        &mut self,
        partition: &TopicPartition,
        code: ErrorCode,
    ) -> Result<(), ClusterError> {
        if code == ErrorCode::OFFSET_OUT_OF_RANGE {
            if let Some(position) = self.positions.get_mut(partition) {
                *position = Position::default();
            }
            self.committed.remove(partition);
            return Ok(());
        }
        if !code.retriable() {
            return Err(ClusterError::Code { code, message: None });
        }
        self.looked_at = None;
        Ok(())
    }

    /// Asks for topics, their partitions and leaders.
    async fn look(&mut self) -> Result<(), ClusterError> {
        let named = match &self.options.wanted {
            Wanted::Partition(topic, ..) | Wanted::Topic(topic) => Some(vec![topic.clone()]),
            Wanted::Matching(_) => None,
        };
        let create = named.is_some();
        let metadata = self.cluster.metadata_creating(named.as_deref(), create).await?;
        let mut counts = BTreeMap::new();
        for topic in metadata.topics {
            let name = topic.name.clone().unwrap_or_default();
            let wanted = match &self.options.wanted {
                Wanted::Matching(filter) => filter.allows(&name, true),
                _ => true,
            };
            let code = ErrorCode(topic.error_code);
            if wanted && is_final_for_topic(code) {
                return Err(ClusterError::Code { code, message: None });
            }
            if !wanted || !code.is_ok() {
                continue;
            }
            self.topic_ids.insert(name.clone(), topic.topic_id);
            counts.insert(name.clone(), topic.partitions.len());
            self.leaders.entry(name).or_default().learn(Leaders::of(&topic));
        }
        self.leaders.retain(|name, _| counts.contains_key(name));
        if counts != self.counts {
            self.counts = counts;
            self.partitions_changed();
        }
        self.looked_at = Some(Instant::now());
        Ok(())
    }

    fn partitions_changed(&mut self) {
        if let Some(member) = &mut self.member {
            // Others learn of it from the leader's rebalance.
            if member.is_leader || !member.is_joined() {
                member.generation = -1;
            }
            return;
        }
        if let Wanted::Partition(topic, partition, start) = &self.options.wanted {
            let key = TopicPartition::new(topic.clone(), *partition);
            self.positions.entry(key).or_insert_with(|| match start {
                Start::Offset(offset) => Position { fetch: Some(*offset), consume: Some(*offset) },
                Start::Timestamp(_) => Position::default(),
            });
            return;
        }
        for (topic, count) in &self.counts {
            for partition in 0..*count as i32 {
                let key = TopicPartition::new(topic.clone(), partition);
                self.positions.entry(key).or_default();
            }
        }
    }

    /// Joins if that is due, tells the coordinator that we live, commits now and then.
    async fn keep_membership(&mut self) -> Result<(), ClusterError> {
        let Some(member) = &mut self.member else { return Ok(()) };
        let mut join = !member.is_joined();
        let interval = Duration::from_millis(self.options.timeouts.heartbeat_ms);
        if !join && self.heartbeat_at.elapsed() >= interval {
            join = !member.heartbeat(&self.cluster).await?;
            self.heartbeat_at = Instant::now();
        }
        if join {
            if self.options.commit_every.is_some() {
                let _ = self.commit().await;
            }
            if self.member.as_ref().is_some_and(|member| !member.member_id.is_empty())
                || !self.positions.is_empty()
            {
                self.revoke();
            }
            let topics: Vec<String> = match &self.options.wanted {
                Wanted::Topic(topic) | Wanted::Partition(topic, ..) => vec![topic.clone()],
                Wanted::Matching(_) => self.counts.keys().cloned().collect(),
            };
            let member = self.member.as_mut().expect("looked at above");
            let mine = member.join(&self.cluster, &topics).await?;
            self.heartbeat_at = Instant::now();
            let group = member.group.clone();
            let partitions = mine.clone();
            let rebalance = Rebalance { at: clock::now(), revoked: false, partitions };
            self.rebalances.push(rebalance);
            self.committed = self.cluster.committed_offsets(&group).await?;
            self.positions = mine
                .into_iter()
                .map(|partition| {
                    let offset = self.committed.get(&partition).copied();
                    (partition, Position { fetch: offset, consume: offset })
                })
                .collect();
            if self.positions.keys().any(|partition| self.leader(partition).is_none()) {
                self.look().await?;
            }
        }
        match self.options.commit_every {
            Some(every) if self.committed_at.elapsed() >= every => self.commit().await,
            _ => Ok(()),
        }
    }

    fn revoke(&mut self) {
        let partitions = std::mem::take(&mut self.positions).into_keys().collect();
        self.rebalances.push(Rebalance { at: clock::now(), revoked: true, partitions });
    }

    /// Commits what was consumed since the last commit. A rebalance under way is no failure: the
    /// next heartbeat sees it.
    async fn commit(&mut self) -> Result<(), ClusterError> {
        self.committed_at = Instant::now();
        let Some(member) = self.member.as_ref().filter(|m| m.is_joined()) else { return Ok(()) };
        let mut offsets = BTreeMap::new();
        for (partition, position) in &self.positions {
            if let Some(offset) = position.consume
                && self.committed.get(partition) != Some(&offset)
            {
                offsets.insert(partition.clone(), offset);
            }
        }
        if offsets.is_empty() {
            return Ok(());
        }
        let (group, id) = (&member.group, &member.member_id);
        let done = self.cluster.commit_offsets(group, member.generation, id, &offsets).await;
        match done {
            Ok(()) => {
                self.committed.extend(offsets);
                Ok(())
            }
            Err(error)
                if error.code().is_some_and(|code| {
                    [
                        ErrorCode::REBALANCE_IN_PROGRESS,
                        ErrorCode::ILLEGAL_GENERATION,
                        ErrorCode::UNKNOWN_MEMBER_ID,
                    ]
                    .contains(&code)
                }) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Asks where partitions without an offset begin.
    async fn find_positions(&mut self) -> Result<(), ClusterError> {
        let start = match &self.options.wanted {
            Wanted::Partition(_, _, Start::Timestamp(at)) => Some(*at),
            _ => self.options.reset,
        };
        let missing: BTreeMap<TopicPartition, TimestampMs> = self
            .positions
            .iter()
            .filter(|(key, position)| position.fetch.is_none() && self.leader(key).is_some())
            .map(|(key, _)| (key.clone(), start.unwrap_or(LATEST_TIMESTAMP)))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        if start.is_none() {
            let all: Vec<String> = missing.keys().map(TopicPartition::to_string).collect();
            return Err(ClusterError::Unreadable(format!(
                "Undefined offset with no reset policy for partitions: [{}]",
                all.join(", ")
            )));
        }
        for (partition, answer) in self.cluster.list_offsets(&missing).await? {
            match answer {
                Ok(offset) => {
                    let position = Position { fetch: Some(offset), consume: Some(offset) };
                    self.positions.insert(partition, position);
                }
                Err(code) => self.partition_failed(&partition, code)?,
            }
        }
        Ok(())
    }
}
