//! Topics on their way out: stopped everywhere, deleted everywhere, then removed from the tree; and
//! held up while a replica cannot be reached. Knows nothing of who marked them.

use std::collections::BTreeSet;

use protocol::ids::{BrokerId, TopicPartition};

use super::core::{Core, Halt};
use super::state::{PartitionPhase, Replica, ReplicaPhase};
use super::store_access::children;
use metadata::znodes::config::ConfigEntity;
use metadata::znodes::{delete_topics, topic};

impl Core {
    /// `/admin/delete_topics` changed.
    pub(super) async fn on_deletions_changed(&mut self) -> Result<(), Halt> {
        let marked = self.list(vec![children(delete_topics::PATH, true)]).await?;
        let marked = marked.into_iter().flatten();
        // Which replicas a topic has whose node cannot be read is not known: its mark waits.
        let (known, unknown): (Vec<_>, Vec<_>) =
            marked.partition(|topic| self.cluster.is_topic(topic));
        self.unmark_deletions(&unknown).await?;
        if !self.settings.delete_topic_enable {
            return self.unmark_deletions(&known).await;
        }
        for name in known {
            self.queue_deletion(&name);
        }
        self.resume_deletions().await
    }

    /// A marked topic is deleted, or lives on until its reassignments are through: they need
    /// leaders, which a topic on its way out gets no more.
    pub(super) fn queue_deletion(&mut self, name: &str) {
        let reassigned = self.is_being_reassigned(name);
        if let Some(topic) = self.cluster.topics.get_mut(name) {
            topic.deletion_waits = reassigned;
            topic.queued_for_deletion = !reassigned;
        }
    }

    /// A reassignment is through: perhaps its topic was marked meanwhile.
    pub(super) async fn delete_if_marked(&mut self, name: &str) -> Result<(), Halt> {
        if self.cluster.topics.get(name).is_some_and(|topic| topic.deletion_waits) {
            self.queue_deletion(name);
            self.resume_deletions().await?;
        }
        Ok(())
    }

    /// A broker answered a StopReplica that deletes.
    pub(super) async fn on_replicas_deleted(
        &mut self,
        broker: BrokerId,
        error: i16,
        deleted: Vec<(TopicPartition, i16)>,
    ) -> Result<(), Halt> {
        let queued = deleted
            .into_iter()
            .filter(|(tp, _)| self.cluster.is_queued_for_deletion(&tp.topic))
            .map(|(tp, of_partition)| ((tp, broker), error == 0 && of_partition == 0));
        let (done, failed): (Vec<_>, Vec<_>) = queued.partition(|(_, ok)| *ok);
        let replicas = |list: Vec<(Replica, bool)>| list.into_iter().map(|(r, _)| r).collect();
        self.fail_deletion(replicas(failed)).await?;
        let done: Vec<Replica> = replicas(done);
        if done.is_empty() {
            return Ok(());
        }
        self.replicas_to(&done, ReplicaPhase::DeletionSuccessful).await?;
        self.resume_deletions().await
    }

    /// These replicas cannot be deleted now; their topics wait.
    pub(super) async fn fail_deletion(&mut self, replicas: Vec<Replica>) -> Result<(), Halt> {
        let queued = |(tp, _): &Replica| self.cluster.is_queued_for_deletion(&tp.topic);
        let replicas: Vec<_> = replicas.into_iter().filter(queued).collect();
        if replicas.is_empty() {
            return Ok(());
        }
        self.replicas_to(&replicas, ReplicaPhase::DeletionIneligible).await?;
        for (tp, _) in &replicas {
            if let Some(topic) = self.cluster.topics.get_mut(&tp.topic) {
                topic.ineligible_for_deletion = true;
            }
        }
        self.resume_deletions().await
    }

    /// What held these topics up may be gone.
    pub(super) async fn retry_deletions(&mut self, topics: BTreeSet<String>) -> Result<(), Halt> {
        let mut any = false;
        for name in topics {
            if let Some(topic) = self.cluster.topics.get_mut(&name)
                && topic.queued_for_deletion
            {
                topic.ineligible_for_deletion = false;
                any = true;
            }
        }
        if any { self.resume_deletions().await } else { Ok(()) }
    }

    /// Takes every marked topic as far as it can go now.
    pub(super) async fn resume_deletions(&mut self) -> Result<(), Halt> {
        if !self.settings.delete_topic_enable {
            return Ok(());
        }
        let queued = self.cluster.topics.iter().filter(|(_, t)| t.queued_for_deletion);
        let queued: Vec<String> = queued.map(|(name, _)| name.clone()).collect();
        let (mut retry, mut start) = (Vec::new(), Vec::new());
        for name in queued {
            let replicas = self.cluster.replicas_of(&self.cluster.partitions_of(&name));
            let any = |phase| replicas.iter().any(|r| self.cluster.replica_phase(r) == phase);
            let all_gone = replicas
                .iter()
                .all(|r| self.cluster.replica_phase(r) == ReplicaPhase::DeletionSuccessful);
            let in_progress = any(ReplicaPhase::DeletionStarted);
            if all_gone {
                self.remove_topic(&name).await?;
                continue;
            }
            if !in_progress {
                retry.extend(self.cluster.replicas_in(&name, ReplicaPhase::DeletionIneligible));
            }
            let ineligible =
                self.cluster.topics.get(&name).is_some_and(|t| t.ineligible_for_deletion);
            if !in_progress && !ineligible {
                start.push(name);
            }
        }
        if !retry.is_empty() {
            self.replicas_to(&retry, ReplicaPhase::Offline).await?;
        }
        if !start.is_empty() {
            self.start_deletion(&start).await?;
        }
        Ok(())
    }

    async fn start_deletion(&mut self, topics: &[String]) -> Result<(), Halt> {
        tracing::info!(?topics, "deleting topics");
        let mut all = Vec::new();
        for name in topics {
            let tps = self.cluster.partitions_of(name);
            if self.cluster.topics.get(name).is_some_and(|t| !t.deletion_started) {
                self.partitions_to(&tps, PartitionPhase::Offline);
                self.partitions_to(&tps, PartitionPhase::NonExistent);
            }
            if let Some(topic) = self.cluster.topics.get_mut(name) {
                topic.deletion_started = true;
            }
            all.extend(tps);
        }
        let brokers = self.all_brokers();
        self.send_metadata(&brokers, &all);
        let replicas = self.cluster.replicas_of(&all);
        let online = |(tp, broker): &Replica| self.cluster.is_online(*broker, tp);
        let (alive, dead): (Vec<_>, Vec<_>) = replicas.into_iter().partition(online);
        let alive: Vec<_> = alive
            .into_iter()
            .filter(|r| self.cluster.replica_phase(r) != ReplicaPhase::DeletionSuccessful)
            .collect();
        self.replicas_to(&dead, ReplicaPhase::DeletionIneligible).await?;
        self.replicas_to(&alive, ReplicaPhase::Offline).await?;
        self.replicas_to(&alive, ReplicaPhase::DeletionStarted).await?;
        for (tp, _) in dead {
            if let Some(topic) = self.cluster.topics.get_mut(&tp.topic) {
                topic.ineligible_for_deletion = true;
            }
        }
        Ok(())
    }

    /// Every replica is gone: so are the nodes, the mark last, since it is what a next controller
    /// would go on from.
    async fn remove_topic(&mut self, name: &str) -> Result<(), Halt> {
        let replicas = self.cluster.replicas_in(name, ReplicaPhase::DeletionSuccessful);
        self.replicas_to(&replicas, ReplicaPhase::NonExistent).await?;
        self.delete_tree(topic::path(name)).await?;
        self.delete_nodes(vec![ConfigEntity::topic(name).path()]).await?;
        self.unmark_deletions(&[name.to_owned()]).await?;
        self.cluster.topics.remove(name);
        tracing::info!(topic = name, "deleted");
        Ok(())
    }

    /// Whether a new controller must leave the topic be for now.
    pub(super) fn deletion_must_wait(&self, topic: &str) -> bool {
        let replicas = self.cluster.replicas_of(&self.cluster.partitions_of(topic));
        replicas.iter().any(|(tp, broker)| !self.cluster.is_online(*broker, tp))
    }

    fn is_being_reassigned(&self, topic: &str) -> bool {
        let topic = self.cluster.topics.get(topic);
        topic.is_some_and(|t| t.partitions.values().any(|p| p.assignment.is_being_reassigned()))
    }
}
