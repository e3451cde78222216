//! Becoming controller: the election, and reading the whole cluster before anything is decided.
//! Knows nothing of what happens afterwards.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::TopicPartition;

use super::core::{Core, Halt, REST_MS};
use super::effect::{Effect, Role};
use super::election::Strategy;
use super::office::is_taken_over;
use super::returned::epochs_of;
use super::state::{Broker, Partition, PartitionPhase, Replica, ReplicaPhase, Topic};
use super::store_access::{Node, children, create, get, set};
use metadata::store::{ANY_VERSION, CreateMode, Op, Reply, StoreError};
use metadata::znodes::broker::{self, BrokerRegistration};
use metadata::znodes::feature::{self, Features};
use metadata::znodes::topic::{self, TopicAssignment};
use metadata::znodes::{
    controller, controller_epoch, delete_topics, isr_change, log_dir_event, migration,
    preferred_election, reassignment,
};

/// How often an election is tried again when what it read changed under it.
const ELECTION_ATTEMPTS: usize = 16;

/// Leaderships are first looked over this long after an election.
const FIRST_REBALANCE_AFTER_MS: i64 = 5_000;

impl Core {
    /// Reads who is controller, setting the watch; resigns if it is not this broker any more, and
    /// stands for election if there is none.
    pub(super) async fn look_for_controller(&mut self) -> Result<(), Halt> {
        for _ in 0..ELECTION_ATTEMPTS {
            let path = controller::PATH.to_owned();
            let ops = vec![
                Op::Exists { path, watch: true },
                get(controller::PATH, false),
                // What stands in the way may be taken away.
                get(migration::PATH, true),
            ];
            let nodes = self.read(ops).await?;
            let [_, holder, migrated] = &nodes[..] else { unreachable!("one node for each read") };
            if let Some((data, stat)) = holder {
                let own_session = stat.ephemeral_owner == self.session_id;
                let registration = match controller::decode(data.as_deref()) {
                    Ok(registration) => registration,
                    Err(error) => {
                        self.cannot_tell_who_controls(&error, own_session);
                        return Ok(());
                    }
                };
                let mine = registration.broker_id == self.settings.broker_id && own_session;
                if mine && self.leading {
                    return Ok(());
                }
                if registration.kraft_controller_epoch.is_some_and(|epoch| epoch > 0) {
                    tracing::error!("a KRaft controller has taken over: this broker takes no part");
                }
                self.resign();
                // A node of this broker's former session is no controller: its end will wake us.
                self.controller =
                    Some(registration.broker_id).filter(|id| *id != self.settings.broker_id);
                self.io.effect(Effect::Role(Role::Follower { controller: self.controller }));
                if !mine {
                    return Ok(());
                }
                // Held by this session but not known here: the answer to the election was lost.
                return self.recover_election().await;
            }
            if self.leading || self.controller.is_some() {
                self.resign();
            }
            if migrated.as_ref().is_some_and(|(data, _)| is_taken_over(data.as_deref())) {
                return Ok(());
            }
            let resting = self.stand_again_ms.is_some() || self.retired;
            if resting || !self.settings.eligible || self.elect().await? {
                return Ok(());
            }
        }
        tracing::warn!("gave up an election after {ELECTION_ATTEMPTS} attempts");
        Ok(())
    }

    /// One try. `false`: something changed meanwhile, look again.
    async fn elect(&mut self) -> Result<bool, Halt> {
        let Some((epoch, version)) = self.read_epoch().await? else {
            let initial = controller_epoch::encode(controller_epoch::INITIAL);
            self.submit(vec![create(controller_epoch::PATH, Some(initial))]).await?;
            return Ok(false);
        };
        let next = epoch + 1;
        let node = Op::Create {
            path: controller::PATH.to_owned(),
            data: Some(controller::encode(self.settings.broker_id, self.io.now_ms())),
            mode: CreateMode::Ephemeral,
        };
        let bump = set(controller_epoch::PATH, controller_epoch::encode(next), version);
        let result = self.submit(vec![Op::Multi(vec![node, bump])]).await?.pop();
        match result.expect("one result for one operation") {
            Ok(Reply::Multi(replies)) => {
                let [_, Reply::Set { stat }] = replies[..] else {
                    return Err(StoreError::Other("an election without a version".into()).into());
                };
                self.take_office(next, stat.version).await?;
                Ok(true)
            }
            Err(StoreError::Multi { error, .. })
                if matches!(*error, StoreError::NodeExists(_) | StoreError::BadVersion(_)) =>
            {
                Ok(false)
            }
            Err(error) => Err(error.into()),
            Ok(other) => Err(StoreError::Other(format!("not a multi: {other:?}")).into()),
        }
    }

    /// The node is this session's, so the epoch that stands now is the one that it was won with.
    async fn recover_election(&mut self) -> Result<(), Halt> {
        match self.read_epoch().await? {
            Some((epoch, version)) => self.take_office(epoch, version).await,
            None => Ok(()),
        }
    }

    async fn read_epoch(&mut self) -> Result<Option<(i32, i32)>, Halt> {
        let node = self.read(vec![get(controller_epoch::PATH, false)]).await?.pop().flatten();
        let Some((data, stat)) = node else { return Ok(None) };
        match controller_epoch::decode(data.as_deref()) {
            Ok(epoch) => Ok(Some((epoch, stat.version))),
            Err(error) => {
                // Nobody can be elected before it is mended, which is not to go unseen.
                self.read(vec![get(controller_epoch::PATH, true)]).await?;
                Err(error.into())
            }
        }
    }

    /// On any error but being overtaken the office is given back, so that somebody else may try.
    async fn take_office(&mut self, epoch: i32, epoch_version: i32) -> Result<(), Halt> {
        self.cluster.epoch = epoch;
        self.cluster.epoch_version = epoch_version;
        self.leading = true;
        self.controller = Some(self.settings.broker_id);
        tracing::info!(epoch, "elected as controller");
        match self.fail_over().await {
            Ok(()) => Ok(()),
            Err(halt @ (Halt::Moved | Halt::SessionOver)) => Err(halt),
            Err(error) => {
                tracing::error!(%error, "cannot become controller: the office is given back");
                self.stand_again_ms = Some(self.io.now_ms() + REST_MS);
                self.give_office_back().await
            }
        }
    }

    async fn fail_over(&mut self) -> Result<(), Halt> {
        self.load_cluster().await?;
        let all = self.all_brokers();
        self.send_metadata(&all, &[]);
        let partitions: Vec<_> = self.cluster.all_partitions().map(|(tp, _)| tp).collect();
        self.start_replicas(self.cluster.all_replicas()).await?;
        self.start_partitions(&partitions).await?;
        self.io.effect(Effect::Role(Role::Controller { epoch: self.cluster.epoch }));
        let begun = self.on_reassignment_node().await?;
        self.resume_reassignments(None, &begun).await?;
        self.resume_deletions().await?;
        self.on_preferred_election_node().await?;
        self.next_rebalance_ms = Some(self.io.now_ms() + FIRST_REBALANCE_AFTER_MS);
        Ok(())
    }

    /// Sets every watch that an active controller has, and reads the cluster.
    async fn load_cluster(&mut self) -> Result<(), Halt> {
        let lists = [
            broker::IDS_PATH,
            topic::TOPICS_PATH,
            delete_topics::PATH,
            log_dir_event::PATH,
            isr_change::PATH,
        ];
        let lists = self.list(lists.map(|path| children(path, true)).to_vec()).await?;
        let [brokers, topics, deletions, dir_events, isr_events] = &lists[..] else {
            unreachable!("one list for each read")
        };
        let exists = |path: &str| Op::Exists { path: path.to_owned(), watch: true };
        let nodes = self
            .read(vec![
                get(feature::PATH, false),
                exists(preferred_election::PATH),
                exists(reassignment::PATH),
            ])
            .await?;
        self.enable_features(&nodes[0]).await?;
        // What they would have told is about to be read anyway.
        let stale = dir_events.iter().map(|name| log_dir_event::path(name));
        let stale = stale.chain(isr_events.iter().map(|name| isr_change::path(name)));
        self.delete_nodes(stale.collect()).await?;
        for (id, broker) in self.read_brokers(brokers).await? {
            self.connect(id, &broker);
            self.cluster.brokers.insert(id, broker);
        }
        self.load_topics(topics).await?;
        let all: Vec<_> = self.cluster.all_partitions().map(|(tp, _)| tp).collect();
        // Nobody has been told anything yet: with the first word everybody learns what changed.
        self.load_states(&all, &epochs_of(&self.cluster.brokers)).await?;
        self.load_deletions(deletions).await
    }

    async fn enable_features(&mut self, node: &Node) -> Result<(), Halt> {
        let op = match node {
            None => create(feature::PATH, Some(Features::enabled(BTreeMap::new()).encode())),
            Some((data, _)) => match Features::decode(data.as_deref()).map(|f| f.renewed()) {
                Ok(Some(renewed)) => set(feature::PATH, renewed.encode(), ANY_VERSION),
                Ok(None) => return Ok(()),
                Err(error) => {
                    // No feature matters to this controller; Apache's would never be elected.
                    tracing::warn!(%error, "no finalized features are known");
                    return Ok(());
                }
            },
        };
        match self.submit(vec![op]).await?.pop() {
            Some(Err(StoreError::NodeExists(_))) | Some(Ok(_)) | None => Ok(()),
            Some(Err(error)) => Err(error.into()),
        }
    }

    /// Registrations with their epochs, watched; what is gone again or unreadable is left out.
    pub(super) async fn read_brokers(
        &mut self,
        names: &[String],
    ) -> Result<BTreeMap<i32, Broker>, Halt> {
        let ids: Vec<i32> = names.iter().filter_map(|name| name.parse().ok()).collect();
        let ops = ids.iter().map(|id| get(broker::path(*id), true)).collect();
        let mut brokers = BTreeMap::new();
        for (id, node) in ids.into_iter().zip(self.read(ops).await?) {
            let Some((data, stat)) = node else { continue };
            match BrokerRegistration::decode(id, data.as_deref()) {
                Ok(registration) => {
                    brokers.insert(id, Broker { epoch: stat.czxid, registration });
                }
                Err(error) => {
                    // Whoever scribbled on it, the broker is as alive as it was.
                    let known = self.cluster.brokers.get(&id).filter(|b| b.epoch == stat.czxid);
                    let kept = known.is_some();
                    tracing::warn!(%error, kept, "a broker's registration is not heeded");
                    brokers.extend(known.map(|broker| (id, broker.clone())));
                }
            }
        }
        Ok(brokers)
    }

    /// Reads topics, watched, and gives an id to those that have none. Returns what was read.
    pub(super) async fn load_topics(&mut self, names: &[String]) -> Result<Vec<String>, Halt> {
        let ops = names.iter().map(|name| get(topic::path(name), true)).collect();
        let mut loaded = Vec::new();
        let mut named = Vec::new();
        for (name, node) in names.iter().zip(self.read(ops).await?) {
            let was_unreadable = self.cluster.unreadable.remove(name);
            let Some((data, _)) = node else { continue };
            let mut assignment = match TopicAssignment::decode(name, data.as_deref()) {
                Ok(assignment) => assignment,
                Err(error) => {
                    if !was_unreadable {
                        tracing::warn!(%error, "a topic is left out until this node is mended");
                    }
                    self.cluster.unreadable.insert(name.clone());
                    continue;
                }
            };
            if assignment.topic_id.is_none() {
                assignment.topic_id = Some(self.random_topic_id());
                named.push(vec![set(topic::path(name), assignment.encode(), ANY_VERSION)]);
            }
            let partitions = assignment
                .partitions
                .into_iter()
                .map(|(p, assignment)| (p, Partition { assignment, ..Partition::default() }));
            let topic = Topic {
                id: assignment.topic_id.expect("just given"),
                partitions: partitions.collect(),
                ..Topic::default()
            };
            self.cluster.topics.insert(name.clone(), topic);
            loaded.push(name.clone());
        }
        for result in self.fenced(named).await? {
            result?;
        }
        Ok(loaded)
    }

    async fn load_deletions(&mut self, names: &[String]) -> Result<(), Halt> {
        if !self.settings.delete_topic_enable {
            return self.unmark_deletions(names).await;
        }
        let unknown = names.iter().filter(|name| !self.cluster.is_topic(name));
        let unknown: Vec<String> = unknown.cloned().collect();
        self.unmark_deletions(&unknown).await?;
        for name in names {
            let waits = self.deletion_must_wait(name);
            self.queue_deletion(name);
            if let Some(topic) = self.cluster.topics.get_mut(name) {
                topic.ineligible_for_deletion = waits && topic.queued_for_deletion;
            }
        }
        Ok(())
    }

    /// Replicas that were there before this controller knew of them.
    pub(super) async fn start_replicas(&mut self, replicas: Vec<Replica>) -> Result<(), Halt> {
        let (mut online, mut offline) = (Vec::new(), Vec::new());
        for replica in replicas {
            let (tp, broker) = &replica;
            if self.cluster.is_online_or_stopping(*broker, tp) {
                self.cluster.set_replica_phase(&replica, ReplicaPhase::Online);
                online.push(replica);
            } else {
                self.cluster.set_replica_phase(&replica, ReplicaPhase::DeletionIneligible);
                offline.push(replica);
            }
        }
        self.replicas_to(&online, ReplicaPhase::Online).await?;
        self.replicas_to(&offline, ReplicaPhase::Offline).await
    }

    /// As `start_replicas`, for partitions whose states were read.
    pub(super) async fn start_partitions(&mut self, tps: &[TopicPartition]) -> Result<(), Halt> {
        for tp in tps {
            let leader = self.cluster.leadership(tp).map(|l| l.state.leader);
            let phase = match leader {
                None => PartitionPhase::New,
                Some(leader) if self.cluster.is_online(leader, tp) => PartitionPhase::Online,
                Some(_) => PartitionPhase::Offline,
            };
            if let Some(partition) = self.cluster.partition_mut(tp) {
                partition.phase = phase;
            }
        }
        self.trigger_online(None).await.map(drop)
    }

    /// Tries to find leaders for all partitions (or one topic's) that have none. Returns those that
    /// now have one.
    pub(super) async fn trigger_online(
        &mut self,
        topic: Option<&str>,
    ) -> Result<BTreeSet<TopicPartition>, Halt> {
        let waiting: Vec<_> = self
            .cluster
            .all_partitions()
            .filter(|(tp, p)| {
                matches!(p.phase, PartitionPhase::New | PartitionPhase::Offline)
                    && topic.is_none_or(|topic| topic == tp.topic)
                    && !self.cluster.is_queued_for_deletion(&tp.topic)
            })
            .map(|(tp, _)| tp)
            .collect();
        let strategy = Strategy::Offline { allow_unclean: false };
        let elected = self.partitions_online(&waiting, strategy).await?;
        // With the new ISRs some may be where they were to go.
        self.complete_reassignments(elected.iter().cloned()).await?;
        Ok(elected)
    }

    pub(super) fn connect(&mut self, id: i32, broker: &Broker) {
        match broker.registration.endpoint(&self.settings.inter_broker_listener) {
            Some(endpoint) => {
                let endpoint = endpoint.clone();
                self.io.effect(Effect::Connect { broker: id, endpoint });
            }
            None => tracing::error!(
                broker = id,
                listener = self.settings.inter_broker_listener,
                "broker has no listener for its peers: it will be told nothing"
            ),
        }
    }
}
