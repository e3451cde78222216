//! Brokers that join, leave, come back with a new epoch, or change their listeners. Knows nothing
//! of how they register.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::{BrokerId, TopicPartition};

use super::core::{Core, Halt};
use super::state::{Broker, PartitionPhase, Replica, ReplicaPhase};
use super::store_access::children;
use metadata::znodes::broker;

/// `KAFKA_STORAGE_ERROR` of the wire.
const STORAGE_ERROR: i16 = 56;

impl Core {
    /// `/brokers/ids` changed.
    pub(super) async fn on_brokers_changed(&mut self) -> Result<(), Halt> {
        let names = self.list(vec![children(broker::IDS_PATH, true)]).await?;
        let names: Vec<_> = names.into_iter().flatten().collect();
        let registered = self.read_brokers(&names).await?;
        let known = &self.cluster.brokers;
        let dead: BTreeSet<BrokerId> =
            known.keys().copied().filter(|id| !registered.contains_key(id)).collect();
        let (mut new, mut bounced) = (BTreeMap::new(), BTreeMap::new());
        for (id, broker) in registered {
            match known.get(&id) {
                None => drop(new.insert(id, broker)),
                Some(before) if before.epoch < broker.epoch => drop(bounced.insert(id, broker)),
                Some(_) => {}
            }
        }
        if new.is_empty() && bounced.is_empty() && dead.is_empty() {
            return Ok(());
        }
        let ids = |brokers: &BTreeMap<_, _>| brokers.keys().copied().collect::<Vec<_>>();
        tracing::info!(new = ?ids(&new), bounced = ?ids(&bounced), ?dead, "brokers changed");
        self.adjust_channels(&new, &bounced, &dead);
        if !new.is_empty() {
            self.distrust_returned(&new).await?;
            let ids = new.keys().copied().collect();
            self.cluster.brokers.extend(new);
            self.on_brokers_joined(ids).await?;
        }
        if !bounced.is_empty() {
            let ids: BTreeSet<_> = bounced.keys().copied().collect();
            self.cluster.brokers.retain(|id, _| !ids.contains(id));
            self.on_brokers_left(&ids).await?;
            self.cluster.brokers.extend(bounced);
            self.on_brokers_joined(ids).await?;
        }
        if !dead.is_empty() {
            self.cluster.brokers.retain(|id, _| !dead.contains(id));
            self.on_brokers_left(&dead).await?;
        }
        Ok(())
    }

    fn adjust_channels(
        &mut self,
        new: &BTreeMap<BrokerId, Broker>,
        bounced: &BTreeMap<BrokerId, Broker>,
        dead: &BTreeSet<BrokerId>,
    ) {
        use super::effect::Effect::Disconnect;
        for broker in bounced.keys().chain(dead).copied() {
            self.io.effect(Disconnect { broker });
        }
        for (id, broker) in new.iter().chain(bounced) {
            self.connect(*id, broker);
        }
    }

    async fn on_brokers_joined(&mut self, joined: BTreeSet<BrokerId>) -> Result<(), Halt> {
        self.cluster.offline_dirs.retain(|id, _| !joined.contains(id));
        let others: Vec<_> =
            self.all_brokers().into_iter().filter(|id| !joined.contains(id)).collect();
        if !others.is_empty() {
            self.send_metadata(&others, &[]);
        }
        let everything: Vec<_> = self.cluster.all_partitions().map(|(tp, _)| tp).collect();
        let to_joined: Vec<_> = joined.iter().copied().collect();
        self.send_metadata(&to_joined, &everything);
        let replicas = self.cluster.replicas_on(&joined);
        self.replicas_to(&replicas, ReplicaPhase::Online).await?;
        self.trigger_online(None).await?;
        self.resume_reassignments(Some(&joined), &BTreeSet::new()).await?;
        let queued = replicas.into_iter().map(|(tp, _)| tp.topic);
        self.retry_deletions(queued.collect()).await
    }

    async fn on_brokers_left(&mut self, left: &BTreeSet<BrokerId>) -> Result<(), Halt> {
        self.cluster.offline_dirs.retain(|id, _| !left.contains(id));
        self.cluster.shutting_down.retain(|id| !left.contains(id));
        let replicas = self.cluster.replicas_on(left);
        self.on_replicas_offline(replicas).await
    }

    /// These replicas cannot be served any more: new leaders first, then they leave the ISRs.
    pub(super) async fn on_replicas_offline(&mut self, replicas: Vec<Replica>) -> Result<(), Halt> {
        let (going, staying): (Vec<_>, Vec<_>) = replicas
            .into_iter()
            .partition(|(tp, _)| self.cluster.is_queued_for_deletion(&tp.topic));
        let leaderless = self.cluster.with_offline_leader();
        self.partitions_to(&leaderless, PartitionPhase::Offline);
        let elected = self.trigger_online(None).await?;
        self.replicas_to(&staying, ReplicaPhase::Offline).await?;
        self.fail_deletion(going).await?;
        if staying.is_empty() && elected.is_empty() {
            // Nothing else has told the others who is alive.
            let all = self.all_brokers();
            self.send_metadata(&all, &[]);
        }
        Ok(())
    }

    /// An event was left half done: what is in memory but was not acted upon is acted upon now.
    pub(super) async fn catch_up(&mut self) -> Result<(), Halt> {
        let everything: Vec<_> = self.cluster.all_partitions().map(|(tp, _)| tp).collect();
        let all = self.all_brokers();
        self.send_metadata(&all, &everything);
        let (mut gone, mut back) = (Vec::new(), Vec::new());
        for replica in self.cluster.all_replicas() {
            let (tp, broker) = &replica;
            let serves = self.cluster.is_online_or_stopping(*broker, tp);
            let going = self.cluster.is_queued_for_deletion(&tp.topic);
            match self.cluster.replica_phase(&replica) {
                ReplicaPhase::New | ReplicaPhase::Online if !serves => gone.push(replica),
                ReplicaPhase::DeletionStarted if !serves && going => gone.push(replica),
                ReplicaPhase::NonExistent if !going => {
                    self.replicas_to(std::slice::from_ref(&replica), ReplicaPhase::New).await?;
                    if serves { &mut back } else { &mut gone }.push(replica);
                }
                ReplicaPhase::Offline | ReplicaPhase::DeletionIneligible if serves && !going => {
                    back.push(replica);
                }
                _ => {}
            }
        }
        let unborn: Vec<_> = everything.iter().filter(|tp| self.is_unborn(tp)).cloned().collect();
        self.partitions_to(&unborn, PartitionPhase::New);
        self.on_replicas_offline(gone).await?;
        self.replicas_to(&back, ReplicaPhase::Online).await?;
        self.trigger_online(None).await?;
        let waiting = self.being_reassigned();
        self.complete_reassignments(waiting).await
    }

    /// It was read, and then nothing came of it.
    fn is_unborn(&self, tp: &TopicPartition) -> bool {
        let phase = self.cluster.partition(tp).map(|p| p.phase);
        phase == Some(PartitionPhase::NonExistent)
            && !self.cluster.is_queued_for_deletion(&tp.topic)
    }

    /// `/brokers/ids/N` changed: other listeners perhaps.
    pub(super) async fn on_broker_modified(&mut self, id: BrokerId) -> Result<(), Halt> {
        let found = self.read_brokers(&[id.to_string()]).await?.remove(&id);
        let (Some(found), Some(known)) = (found, self.cluster.brokers.get_mut(&id)) else {
            return Ok(());
        };
        // A new life is told by the list of brokers.
        let same = known.registration.endpoints == found.registration.endpoints
            && known.registration.features == found.registration.features;
        if found.epoch != known.epoch || same {
            return Ok(());
        }
        let listener = &self.settings.inter_broker_listener;
        let moved = known.registration.endpoint(listener) != found.registration.endpoint(listener);
        known.registration = found.registration;
        let all = self.all_brokers();
        self.send_metadata(&all, &[]);
        if moved { self.on_broker_moved(id).await } else { Ok(()) }
    }

    /// Its peers reach it elsewhere now. What waits for the former address is void, so it is told
    /// everything anew; Apache's controller would go on with the former address.
    async fn on_broker_moved(&mut self, id: BrokerId) -> Result<(), Halt> {
        tracing::info!(broker = id, "its listener for other brokers has changed");
        self.io.effect(super::effect::Effect::Disconnect { broker: id });
        if let Some(broker) = self.cluster.brokers.get(&id).cloned() {
            self.connect(id, &broker);
        }
        let everything: Vec<_> = self.cluster.all_partitions().map(|(tp, _)| tp).collect();
        self.send_metadata(&[id], &everything);
        let replicas = self.cluster.replicas_on(&BTreeSet::from([id]));
        self.replicas_to(&replicas, ReplicaPhase::Online).await?;
        let started = |r: &Replica| self.cluster.replica_phase(r) == ReplicaPhase::DeletionStarted;
        let deleting: Vec<_> = replicas.into_iter().filter(started).collect();
        let topics = deleting.iter().map(|(tp, _)| tp.topic.clone()).collect();
        self.fail_deletion(deleting).await?;
        self.retry_deletions(topics).await
    }

    /// A broker said for each partition whether its directory works.
    pub(super) async fn on_leader_and_isr_answer(
        &mut self,
        broker: BrokerId,
        error: i16,
        partitions: Vec<(TopicPartition, i16)>,
    ) -> Result<(), Halt> {
        if error != 0 {
            tracing::error!(broker, error, "LeaderAndIsr refused");
            return Ok(());
        }
        let offline = self.cluster.offline_dirs.entry(broker).or_default();
        let mut newly_offline = Vec::new();
        for (tp, error) in partitions {
            match error {
                STORAGE_ERROR if offline.insert(tp.clone()) => newly_offline.push((tp, broker)),
                0 => drop(offline.remove(&tp)),
                _ => {}
            }
        }
        match newly_offline.is_empty() {
            true => Ok(()),
            false => self.on_replicas_offline(newly_offline).await,
        }
    }
}
