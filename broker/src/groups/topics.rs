//! The metadata cache as groups of the new consumer protocol see it: topics, their partitions and
//! the racks of those. Knows nothing of groups.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coordinator::group::consumer::topics::{TopicInfo, TopicView, Topics};
use coordinator::group::service::OFFSETS_TOPIC;
use protocol::ids::Uuid;

use crate::metadata_cache::{MetadataCache, Snapshot, TopicMetadata};

/// What is known now.
pub fn view(metadata: &MetadataCache) -> Topics {
    Topics(metadata.snapshot())
}

impl TopicView for Snapshot {
    fn version(&self) -> u64 {
        self.version
    }

    /// A coordinator's own topic is there: the controller tells a new broker of everything first.
    fn is_complete(&self) -> bool {
        self.topic(OFFSETS_TOPIC).is_some()
    }

    fn topic(&self, name: &str) -> Option<TopicInfo> {
        let topic = self.topic(name).filter(|topic| !topic.id.is_zero())?;
        let racks: BTreeMap<i32, BTreeSet<String>> = racks(self, topic);
        let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        Some(TopicInfo { id: topic.id, partitions, racks })
    }

    fn name(&self, id: Uuid) -> Option<Arc<str>> {
        self.topic_by_id(id).map(|topic| topic.name.clone())
    }

    fn id(&self, name: &str) -> Option<Uuid> {
        Some(self.topic(name)?.id).filter(|id| !id.is_zero())
    }

    fn matching(&self, wanted: &dyn Fn(&str) -> bool) -> BTreeSet<String> {
        self.topics().map(|topic| topic.name.to_string()).filter(|name| wanted(name)).collect()
    }
}

/// Where the replicas of each partition are, as far as their brokers say.
fn racks(snapshot: &Snapshot, topic: &TopicMetadata) -> BTreeMap<i32, BTreeSet<String>> {
    let rack = |broker: &i32| snapshot.brokers.get(broker)?.rack.clone();
    topic
        .partitions
        .values()
        .map(|partition| (partition.index, partition.replicas.iter().filter_map(rack).collect()))
        .filter(|(_, racks): &(i32, BTreeSet<String>)| !racks.is_empty())
        .collect()
}
