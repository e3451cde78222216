//! Building the next request: what of the session has changed. Knows nothing of answers.

use std::collections::BTreeMap;

use protocol::ids::{Offset, TimestampMs, TopicPartition, Uuid};
use protocol::messages::fetch::{
    FetchPartition, FetchRequest, FetchTopic, ForgottenTopic, ReplicaState,
};

use super::{Asked, FetchState, Follower, Stage, Step};

/// The version of `inter.broker.protocol.version` 3.9.
const VERSION: i16 = 17;
/// The last one that names topics: for those that have no id.
const VERSION_WITHOUT_IDS: i16 = 12;

/// What the driver knows of the partitions at the moment.
pub trait Surroundings {
    /// `None`: the log is not there, for instance because its directory failed.
    fn log_start(&self, partition: &TopicPartition) -> Option<Offset>;
    /// Nothing is to be fetched for it now, over a quota (`follower.replication.throttled.*`). Not
    /// asked for a replica that is in sync.
    fn is_throttled(&self, partition: &TopicPartition) -> bool;
}

impl Follower {
    /// What to do next. `broker_epoch` is that of this broker's registration.
    pub fn step(
        &mut self,
        broker_epoch: i64,
        surroundings: &dyn Surroundings,
        now_ms: TimestampMs,
    ) -> Step {
        let truncating = self.entries.values().find(|entry| {
            entry.state.stage == Stage::Truncating && !entry.state.is_delayed(now_ms)
        });
        if let Some(entry) = truncating {
            return Step::Truncate {
                partition: entry.partition.clone(),
                leader_epoch: entry.state.leader_epoch,
                offset: entry.state.offset,
            };
        }
        let wanted = self.wanted(surroundings, now_ms);
        if wanted.is_empty() && self.session_is_empty() {
            let delays = self.entries.values().filter_map(|entry| entry.state.delayed_until_ms);
            let until_ms = delays.min().or((!self.is_empty()).then_some(now_ms));
            // Whoever is throttled is looked at again after a while.
            let until_ms = until_ms.map(|until| match until <= now_ms {
                true => now_ms.saturating_add(self.settings.backoff_ms),
                false => until,
            });
            return Step::Wait { until_ms };
        }
        let with_ids = wanted.values().all(|asked| !asked.topic_id.is_zero());
        if with_ids != self.by_id {
            // A session is of one kind.
            self.session.restart();
            self.by_id = with_ids;
        }
        let mut request = Box::new(self.request(wanted, broker_epoch));
        request.max_wait_ms = self.max_wait_ms(now_ms);
        Step::Fetch { request, version: if with_ids { VERSION } else { VERSION_WITHOUT_IDS } }
    }

    /// Whether there is something to do for a partition that the last request does not ask for in
    /// its leader epoch.
    pub fn leaves_out(&self, now_ms: TimestampMs) -> bool {
        self.entries.values().any(|entry| {
            let asked = entry.asked.as_ref().map(|asked| asked.leader_epoch);
            !entry.state.is_delayed(now_ms) && asked != Some(entry.state.leader_epoch)
        })
    }

    fn session_is_empty(&self) -> bool {
        self.session.is_full()
            || (self.gone.is_empty() && self.entries.values().all(|entry| entry.asked.is_none()))
    }

    /// By turn, what every partition that is ready asks for. One without a log waits.
    fn wanted(
        &mut self,
        surroundings: &dyn Surroundings,
        now_ms: TimestampMs,
    ) -> BTreeMap<u64, Asked> {
        let backoff_ms = self.settings.backoff_ms;
        let mut wanted = BTreeMap::new();
        for (turn, entry) in &mut self.entries {
            let state = &mut entry.state;
            if !state.is_ready(now_ms) {
                continue;
            }
            if !state.is_in_sync() && surroundings.is_throttled(&entry.partition) {
                continue;
            }
            match surroundings.log_start(&entry.partition) {
                Some(log_start) => drop(wanted.insert(*turn, asked(state, log_start))),
                None => state.pause(backoff_ms, now_ms),
            }
        }
        wanted
    }

    /// The answer is not to keep a partition waiting whose pause ends before.
    fn max_wait_ms(&self, now_ms: TimestampMs) -> i32 {
        let delayed = self.entries.values().filter(|entry| entry.state.is_delayed(now_ms));
        let next_ms = delayed.filter_map(|entry| entry.state.delayed_until_ms).min();
        let pause_ms = next_ms.map_or(i64::MAX, |until_ms| until_ms - now_ms);
        i32::try_from(pause_ms).unwrap_or(i32::MAX).min(self.settings.max_wait_ms)
    }

    fn request(&mut self, mut wanted: BTreeMap<u64, Asked>, broker_epoch: i64) -> FetchRequest {
        let full = self.session.is_full();
        let mut topics = Topics::default();
        let mut forgotten = Forgotten::default();
        if full {
            self.gone.clear();
        }
        for (partition, asked) in std::mem::take(&mut self.gone) {
            forgotten.push(&partition, asked.topic_id);
        }
        for (turn, entry) in &mut self.entries {
            let known = if full { None } else { entry.asked.take() };
            let Some(next) = wanted.remove(turn) else {
                if let Some(known) = known {
                    forgotten.push(&entry.partition, known.topic_id);
                }
                entry.asked = None;
                continue;
            };
            if let Some(known) = &known
                && known.topic_id != next.topic_id
                && !known.topic_id.is_zero()
                && !next.topic_id.is_zero()
            {
                // The session knows partitions by id: this is another one.
                forgotten.push(&entry.partition, known.topic_id);
            }
            if known.as_ref() != Some(&next) {
                topics.push(&entry.partition, &next, self.settings.partition_bytes_max);
            }
            entry.asked = Some(next);
        }
        self.remember_names(full || !forgotten.0.is_empty(), &topics.0);
        let (session_id, session_epoch) = self.session.id_and_epoch();
        let replica_id = self.settings.replica_id;
        let mut request = FetchRequest {
            min_bytes: self.settings.min_bytes,
            max_bytes: self.settings.response_bytes_max,
            session_id,
            session_epoch,
            topics: topics.0,
            forgotten_topics_data: forgotten.0,
            ..FetchRequest::default()
        };
        if self.by_id {
            request.replica_state = ReplicaState { replica_id, replica_epoch: broker_epoch };
        } else {
            request.replica_id = replica_id;
        }
        request
    }

    /// Answers name topics by id.
    fn remember_names(&mut self, anew: bool, changed: &[FetchTopic]) {
        if anew {
            self.names.clear();
            for entry in self.entries.values().filter(|entry| entry.asked.is_some()) {
                let (id, name) = (entry.state.topic_id, &entry.partition.topic);
                self.names.entry(id).or_insert_with(|| name.clone());
            }
        }
        for topic in changed {
            self.names.entry(topic.topic_id).or_insert_with(|| topic.topic.clone());
        }
    }
}

fn asked(state: &FetchState, log_start: Offset) -> Asked {
    Asked {
        topic_id: state.topic_id,
        leader_epoch: state.leader_epoch,
        offset: state.offset,
        last_epoch: state.last_epoch.unwrap_or(-1),
        log_start,
    }
}

/// Consecutive partitions of a topic stand together, and the order of partitions is kept.
#[derive(Default)]
struct Topics(Vec<FetchTopic>);

impl Topics {
    fn push(&mut self, partition: &TopicPartition, asked: &Asked, bytes_max: i32) {
        let entry = FetchPartition {
            partition: partition.partition,
            current_leader_epoch: asked.leader_epoch,
            fetch_offset: asked.offset,
            last_fetched_epoch: asked.last_epoch,
            log_start_offset: asked.log_start,
            partition_max_bytes: bytes_max,
            replica_directory_id: Uuid::ZERO,
        };
        match self.0.last_mut() {
            Some(topic) if topic.topic == partition.topic => topic.partitions.push(entry),
            _ => self.0.push(FetchTopic {
                topic: partition.topic.clone(),
                topic_id: asked.topic_id,
                partitions: vec![entry],
            }),
        }
    }
}

#[derive(Default)]
struct Forgotten(Vec<ForgottenTopic>);

impl Forgotten {
    fn push(&mut self, partition: &TopicPartition, topic_id: Uuid) {
        let same =
            |last: &&mut ForgottenTopic| last.topic == partition.topic && last.topic_id == topic_id;
        match self.0.last_mut().filter(same) {
            Some(topic) => topic.partitions.push(partition.partition),
            None => self.0.push(ForgottenTopic {
                topic: partition.topic.clone(),
                topic_id,
                partitions: vec![partition.partition],
            }),
        }
    }
}
