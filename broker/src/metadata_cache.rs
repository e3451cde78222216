//! What the controller last said of brokers, topics and their leaders (UpdateMetadata). Readers
//! take a snapshot without waiting. Knows nothing of who asks.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use metadata::znodes::partition_state::NO_LEADER;
use parking_lot::Mutex;
use protocol::ids::{BrokerId, LeaderEpoch, Uuid};
use protocol::messages::update_metadata::{
    UpdateMetadataPartitionState, UpdateMetadataRequest, UpdateMetadataTopicState,
};
use tokio::sync::watch;

/// A partition's leader while its topic is being deleted: it is taken out of the cache.
const LEADER_DURING_DELETE: BrokerId = -2;

/// One listener of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    pub name: String,
    pub host: String,
    pub port: i32,
    /// 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    pub security_protocol: i16,
}

/// A live broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveBroker {
    pub id: BrokerId,
    pub listeners: Vec<Listener>,
    pub rack: Option<String>,
}

impl LiveBroker {
    pub fn listener(&self, name: &str) -> Option<&Listener> {
        self.listeners.iter().find(|listener| listener.name == name)
    }
}

/// A partition as the controller has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionMetadata {
    pub index: i32,
    /// −1: there is none.
    pub leader: BrokerId,
    pub leader_epoch: LeaderEpoch,
    pub isr: Vec<BrokerId>,
    pub replicas: Vec<BrokerId>,
    pub offline_replicas: Vec<BrokerId>,
}

/// A topic with at least one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicMetadata {
    pub name: Arc<str>,
    /// Zero for a topic without an id.
    pub id: Uuid,
    pub partitions: BTreeMap<i32, PartitionMetadata>,
}

/// One consistent view of the cluster.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// `None` until the first update.
    pub controller_id: Option<BrokerId>,
    /// Of the controller that the last update came from; 0 until then.
    pub controller_epoch: i32,
    pub brokers: BTreeMap<BrokerId, LiveBroker>,
    /// How many updates made it.
    pub version: u64,
    topics: HashMap<Arc<str>, Arc<TopicMetadata>>,
    ids: HashMap<Uuid, Arc<str>>,
}

impl Snapshot {
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicMetadata>> {
        self.topics.get(name)
    }

    pub fn topic_by_id(&self, id: Uuid) -> Option<&Arc<TopicMetadata>> {
        self.topics.get(self.ids.get(&id)?)
    }

    /// In no order.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicMetadata>> {
        self.topics.values()
    }

    pub fn partition(&self, topic: &str, index: i32) -> Option<&PartitionMetadata> {
        self.topics.get(topic)?.partitions.get(&index)
    }

    /// Whether the topic is there with `count` partitions or more, each with a leader.
    pub fn has_leaders(&self, topic: &str, count: usize) -> bool {
        self.topic(topic).is_some_and(|topic| {
            topic.partitions.len() >= count
                && topic.partitions.values().all(|partition| partition.leader >= 0)
        })
    }

    /// `None` if the broker is not alive or has no such listener.
    pub fn listener(&self, broker: BrokerId, name: &str) -> Option<&Listener> {
        self.brokers.get(&broker)?.listener(name)
    }

    pub fn is_alive(&self, broker: BrokerId) -> bool {
        self.brokers.contains_key(&broker)
    }

    /// Whether the controller is about to name a leader after that broker: others are in sync.
    pub fn needs_leader_after(&self, gone: BrokerId) -> bool {
        let mut partitions = self.topics.values().flat_map(|topic| topic.partitions.values());
        partitions.any(|partition| {
            (partition.leader == gone || partition.leader == NO_LEADER)
                && partition.isr.iter().any(|id| *id != gone && self.is_alive(*id))
        })
    }

    fn take(&mut self, update: &UpdateMetadataTopicState) {
        let name = update.topic_name.as_str();
        let known = self.topics.get(name).cloned();
        let mut topic = match known {
            // Also with another id, or none: a deleted topic's partitions were taken out one by
            // one, so these are the same topic's, whose znode was rewritten.
            Some(known) => TopicMetadata { id: update.topic_id, ..(*known).clone() },
            None => TopicMetadata {
                name: Arc::from(name),
                id: update.topic_id,
                partitions: BTreeMap::new(),
            },
        };
        for partition in &update.partition_states {
            match partition.leader {
                LEADER_DURING_DELETE => topic.partitions.remove(&partition.partition_index),
                _ => topic.partitions.insert(partition.partition_index, metadata_of(partition)),
            };
        }
        if let Some(former) = self.topics.remove(name) {
            self.ids.remove(&former.id);
        }
        if !topic.partitions.is_empty() {
            if !topic.id.is_zero() {
                self.ids.insert(topic.id, topic.name.clone());
            }
            self.topics.insert(topic.name.clone(), Arc::new(topic));
        }
    }
}

fn metadata_of(state: &UpdateMetadataPartitionState) -> PartitionMetadata {
    PartitionMetadata {
        index: state.partition_index,
        leader: state.leader,
        leader_epoch: state.leader_epoch,
        isr: state.isr.clone(),
        replicas: state.replicas.clone(),
        offline_replicas: state.offline_replicas.clone(),
    }
}

/// The snapshot in force.
#[derive(Debug, Default)]
pub struct MetadataCache {
    current: ArcSwap<Snapshot>,
    /// One update at a time.
    updating: Mutex<()>,
    /// How many updates there were.
    updates: watch::Sender<u64>,
}

impl MetadataCache {
    pub fn load(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// For use across an await.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Takes an update over: the brokers as a whole, the topics that it names. The caller has
    /// checked the epochs. Gives the names of topics that are new here.
    pub fn apply(&self, update: &UpdateMetadataRequest) -> Vec<String> {
        let _one = self.updating.lock();
        let before = self.current.load_full();
        let mut next = (*before).clone();
        next.controller_id = (update.controller_id >= 0).then_some(update.controller_id);
        next.controller_epoch = update.controller_epoch;
        next.version += 1;
        next.brokers = update
            .live_brokers
            .iter()
            .map(|broker| {
                let listeners = broker
                    .endpoints
                    .iter()
                    .map(|endpoint| Listener {
                        name: endpoint.listener.clone(),
                        host: endpoint.host.clone(),
                        port: endpoint.port,
                        security_protocol: endpoint.security_protocol,
                    })
                    .collect();
                let rack = broker.rack.clone();
                (broker.id, LiveBroker { id: broker.id, listeners, rack })
            })
            .collect();
        let is_new = |topic: &&UpdateMetadataTopicState| next.topic(&topic.topic_name).is_none();
        let new: Vec<_> = update
            .topic_states
            .iter()
            .filter(is_new)
            .map(|topic| topic.topic_name.clone())
            .collect();
        for topic in &update.topic_states {
            next.take(topic);
        }
        next.check(&before, update.topic_states.iter().map(|topic| topic.topic_name.as_str()));
        self.current.store(Arc::new(next));
        self.updates.send_modify(|count| *count += 1);
        new
    }

    /// Waits until `condition` holds, looking again after each update.
    pub async fn wait_until(&self, mut condition: impl FnMut(&Snapshot) -> bool) {
        let mut updates = self.updates.subscribe();
        loop {
            updates.borrow_and_update();
            if condition(&self.current.load()) {
                return;
            }
            // The sender lives as long as `self`.
            let _ = updates.changed().await;
        }
    }
}

mod check;

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str, id: u8, leaders: &[(i32, BrokerId)]) -> UpdateMetadataTopicState {
        UpdateMetadataTopicState {
            topic_name: name.into(),
            topic_id: Uuid([id; 16]),
            partition_states: leaders
                .iter()
                .map(|(partition_index, leader)| UpdateMetadataPartitionState {
                    partition_index: *partition_index,
                    leader: *leader,
                    ..Default::default()
                })
                .collect(),
        }
    }

    fn apply(cache: &MetadataCache, topics: Vec<UpdateMetadataTopicState>) -> Vec<String> {
        let update =
            UpdateMetadataRequest { controller_id: 1, topic_states: topics, ..Default::default() };
        cache.apply(&update)
    }

    fn leaders(cache: &MetadataCache, name: &str) -> Vec<(i32, BrokerId)> {
        let snapshot = cache.snapshot();
        let partitions = snapshot.topic(name).map(|topic| topic.partitions.clone());
        partitions.unwrap_or_default().into_values().map(|p| (p.index, p.leader)).collect()
    }

    #[test]
    fn updates_name_what_changed_and_leave_the_rest() {
        let cache = MetadataCache::default();
        assert_eq!(apply(&cache, vec![topic("a", 1, &[(0, 1), (1, 2)])]), ["a"]);
        assert_eq!(apply(&cache, vec![topic("a", 1, &[(1, 1)]), topic("b", 2, &[(0, 1)])]), ["b"]);
        assert_eq!(leaders(&cache, "a"), [(0, 1), (1, 1)]);
        assert_eq!(leaders(&cache, "b"), [(0, 1)]);
        let snapshot = cache.snapshot();
        let by_id = snapshot.topic_by_id(Uuid([2; 16])).expect("b is known");
        assert_eq!(&*by_id.name, "b");
    }

    #[test]
    fn a_deleted_topic_goes_with_its_last_partition_and_an_id_may_change() {
        let cache = MetadataCache::default();
        apply(&cache, vec![topic("a", 1, &[(0, 1), (1, 1)])]);
        apply(&cache, vec![topic("a", 1, &[(0, LEADER_DURING_DELETE)])]);
        assert_eq!(leaders(&cache, "a"), [(1, 1)]);
        apply(&cache, vec![topic("a", 1, &[(1, LEADER_DURING_DELETE)])]);
        assert!(cache.snapshot().topic_by_id(Uuid([1; 16])).is_none());
        apply(&cache, vec![topic("a", 1, &[(0, 1), (1, 1)])]);
        // As in Apache's cache, the id is the topic's: it changes for all partitions.
        apply(&cache, vec![topic("a", 9, &[(0, 3)])]);
        assert_eq!(leaders(&cache, "a"), [(0, 3), (1, 1)]);
        assert_eq!(
            cache.snapshot().topic_by_id(Uuid([9; 16])).map(|t| t.partitions.len()),
            Some(2)
        );
        assert!(cache.snapshot().topic_by_id(Uuid([1; 16])).is_none());
    }

    #[test]
    fn an_update_without_an_id_takes_it_away_and_nothing_else() {
        let cache = MetadataCache::default();
        apply(&cache, vec![topic("a", 1, &[(0, 1), (1, 1)])]);
        apply(&cache, vec![topic("a", 0, &[(0, 2)])]);
        let snapshot = cache.snapshot();
        assert!(snapshot.topic_by_id(Uuid([1; 16])).is_none());
        assert!(snapshot.topic_by_id(Uuid::ZERO).is_none());
        assert!(snapshot.topic("a").expect("it is still there").id.is_zero());
        assert_eq!(leaders(&cache, "a"), [(0, 2), (1, 1)]);
        apply(&cache, vec![topic("a", 1, &[(0, 2)])]);
        assert_eq!(cache.snapshot().topic_by_id(Uuid([1; 16])).map(|t| t.id.0[0]), Some(1));
    }

    #[tokio::test]
    async fn waiting_ends_with_the_update_that_brings_it() {
        let cache = Arc::new(MetadataCache::default());
        let waiting = {
            let cache = cache.clone();
            tokio::spawn(async move { cache.wait_until(|all| all.has_leaders("a", 2)).await })
        };
        apply(&cache, vec![topic("a", 1, &[(0, 1)])]);
        apply(&cache, vec![topic("a", 1, &[(1, -1)])]);
        assert!(!cache.snapshot().has_leaders("a", 2));
        apply(&cache, vec![topic("a", 1, &[(1, 3)])]);
        waiting.await.expect("it ends");
    }

    #[test]
    fn brokers_are_replaced_as_a_whole() {
        let cache = MetadataCache::default();
        let with = |ids: &[i32]| UpdateMetadataRequest {
            controller_id: 2,
            live_brokers: ids
                .iter()
                .map(|id| protocol::messages::update_metadata::UpdateMetadataBroker {
                    id: *id,
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        };
        cache.apply(&with(&[1, 2]));
        cache.apply(&with(&[2, 3]));
        let snapshot = cache.snapshot();
        assert_eq!(snapshot.brokers.keys().copied().collect::<Vec<_>>(), [2, 3]);
        assert!(!snapshot.is_alive(1) && snapshot.controller_id == Some(2));
    }
}
