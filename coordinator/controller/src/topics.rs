//! New topics and more partitions, as the store shows them: whoever wrote them, the controller
//! learns of them here. Knows nothing of who may create topics.

use std::collections::BTreeSet;

use protocol::ids::TopicPartition;

use super::core::{Core, Halt};
use super::election::Strategy;
use super::returned::epochs_of;
use super::state::{Partition, PartitionPhase, ReplicaPhase};
use super::store_access::{children, get, set};
use metadata::store::ANY_VERSION;
use metadata::znodes::topic::{self, TopicAssignment};

impl Core {
    /// `/brokers/topics` changed.
    pub(super) async fn on_topics_changed(&mut self) -> Result<(), Halt> {
        let names = self.list(vec![children(topic::TOPICS_PATH, true)]).await?;
        let names: BTreeSet<String> = names.into_iter().flatten().collect();
        self.cluster.topics.retain(|name, _| names.contains(name));
        self.cluster.unreadable.retain(|name| names.contains(name));
        let known = &self.cluster.topics;
        let new = names.into_iter().filter(|name| !known.contains_key(name));
        let (mended, new): (Vec<_>, Vec<_>) =
            new.partition(|name| self.cluster.unreadable.contains(name));
        let loaded = self.load_topics(&new).await?;
        let tps: Vec<_> = loaded.iter().flat_map(|name| self.cluster.partitions_of(name)).collect();
        self.on_new_partitions(&tps).await?;
        self.on_topics_mended(&mended).await
    }

    /// The nodes of these topics could not be read so far. If they can be now, their partitions go
    /// on from the states that they have.
    async fn on_topics_mended(&mut self, names: &[String]) -> Result<(), Halt> {
        let loaded = self.load_topics(names).await?;
        if loaded.is_empty() {
            return Ok(());
        }
        tracing::info!(topics = ?loaded, "their nodes can be read again");
        let tps: Vec<_> = loaded.iter().flat_map(|name| self.cluster.partitions_of(name)).collect();
        let read = self.load_states(&tps, &epochs_of(&self.cluster.brokers)).await;
        if read.is_err() {
            // Without their states they would pass for new ones.
            self.cluster.topics.retain(|name, _| !loaded.contains(name));
            self.cluster.unreadable.extend(loaded);
            return read.map(drop);
        }
        self.start_replicas(self.cluster.replicas_of(&tps)).await?;
        self.start_partitions(&tps).await?;
        let mut others: BTreeSet<_> = self.being_reassigned().into_iter().collect();
        others.retain(|tp| !loaded.contains(&tp.topic));
        self.resume_reassignments(None, &others).await?;
        self.on_deletions_changed().await
    }

    /// A topic's node as this controller would write it; `None` if it knows no such topic.
    pub(super) fn known_assignment(&self, name: &str) -> Option<TopicAssignment> {
        let known = self.cluster.topics.get(name)?;
        let partitions = known.partitions.iter().map(|(p, state)| (*p, state.assignment.clone()));
        Some(TopicAssignment { topic_id: Some(known.id), partitions: partitions.collect() })
    }

    /// `/brokers/topics/T` changed: more partitions perhaps. Other replicas for known partitions
    /// are no way to reassign them and are left alone.
    pub(super) async fn on_topic_modified(&mut self, name: &str) -> Result<(), Halt> {
        if self.cluster.unreadable.contains(name) {
            return self.on_topics_mended(&[name.to_owned()]).await;
        }
        let node = self.read(vec![get(topic::path(name), true)]).await?.pop().flatten();
        let Some((data, _)) = node else { return Ok(()) };
        let found = match TopicAssignment::decode(name, data.as_deref()) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "a change of a topic is not heeded");
                return Ok(());
            }
        };
        let Some(known) = self.cluster.topics.get_mut(name) else { return Ok(()) };
        let mut new = found.partitions.clone();
        new.retain(|partition, _| !known.partitions.contains_key(partition));
        if new.is_empty() {
            return Ok(());
        }
        if known.queued_for_deletion || known.deletion_waits {
            tracing::warn!(topic = name, "a topic that is being deleted cannot grow: undone");
            let before = self.known_assignment(name).expect("just found");
            let op = set(topic::path(name), before.encode(), ANY_VERSION);
            for result in self.fenced(vec![vec![op]]).await? {
                result?;
            }
            return Ok(());
        }
        let tps: Vec<_> = new.keys().map(|p| TopicPartition::new(name, *p)).collect();
        for (partition, assignment) in new {
            known.partitions.insert(partition, Partition { assignment, ..Partition::default() });
        }
        self.on_new_partitions(&tps).await
    }

    /// For a healthy topic brokers get one LeaderAndIsr and one UpdateMetadata each.
    async fn on_new_partitions(&mut self, tps: &[TopicPartition]) -> Result<(), Halt> {
        if tps.is_empty() {
            return Ok(());
        }
        self.partitions_to(tps, PartitionPhase::New);
        let replicas = self.cluster.replicas_of(tps);
        self.replicas_to(&replicas, ReplicaPhase::New).await?;
        self.partitions_online(tps, Strategy::Offline { allow_unclean: false }).await?;
        self.replicas_to(&replicas, ReplicaPhase::Online).await
    }
}
