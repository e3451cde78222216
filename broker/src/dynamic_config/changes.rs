//! Takes changed configurations over: those that `/config/changes` tells of, and those that this
//! broker has written itself (Kafka's `ZkConfigManager`). One task does it, so that an older state
//! never follows a newer one. Knows nothing of who changes what.

use std::collections::BTreeSet;
use std::sync::Arc;

use controller::run::ControllerHandle;
use metadata::retry;
use metadata::store::{MetadataStore, Op, Reply, StoreError, StoreEvent};
use metadata::znodes::config::ConfigEntity;
use metadata::znodes::{self, config_change, sequence_number};
use parking_lot::Mutex;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot};

use super::entity;
use crate::clock::Clock;
use crate::config::LiveConfig;
use crate::identity::Identity;
use crate::metadata_cache::MetadataCache;
use crate::order_sender;
use crate::quota::Quotas;
use crate::replication::manager::ReplicaManager;
use crate::replication::topic_configs::TopicConfigs;
use crate::tasks::Tasks;

/// Most requests that wait; whoever brings more waits.
const WAITING_MAX: usize = 1000;

/// Topics whose values are read at once.
const READ_AT_ONCE: usize = 500;

type Request = (Vec<ConfigEntity>, oneshot::Sender<()>);

/// The way to the task.
pub struct ConfigChanges {
    requests: mpsc::Sender<Request>,
    /// For the task, until it is started.
    idle: Mutex<Option<(mpsc::Receiver<Request>, Affected)>>,
}

/// What the values come from and what they change.
pub struct Affected {
    pub clock: Clock,
    pub tasks: Arc<Tasks>,
    pub store: Arc<dyn MetadataStore>,
    pub identity: Arc<Identity>,
    pub config: Arc<LiveConfig>,
    pub topic_configs: Arc<TopicConfigs>,
    pub metadata: Arc<MetadataCache>,
    pub replicas: Arc<ReplicaManager>,
    pub quotas: Arc<Quotas>,
    pub controller: ControllerHandle,
}

impl ConfigChanges {
    /// Nothing is taken over before `start`.
    pub fn new(affected: Affected) -> ConfigChanges {
        let (requests, receiver) = mpsc::channel(WAITING_MAX);
        ConfigChanges { requests, idle: Mutex::new(Some((receiver, affected))) }
    }

    /// Starts the task. To be called once.
    pub fn start(&self) {
        let Some((requests, affected)) = self.idle.lock().take() else { return };
        let (events, tasks) = (affected.store.subscribe(), affected.tasks.clone());
        let worker = Worker { affected, last: -1 };
        tasks.spawn_until_stop(worker.run(requests, events));
    }

    /// Reads the entities' values and puts them in force before this returns.
    pub async fn take_over(&self, entities: Vec<ConfigEntity>) {
        let (done, wait) = oneshot::channel();
        // The task is gone only when the broker stops.
        if self.requests.send((entities, done)).await.is_ok() {
            let _ = wait.await;
        }
    }
}

struct Worker {
    affected: Affected,
    /// Number of the newest notification that was taken over; −1 before the first.
    last: i64,
}

impl Worker {
    async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        mut events: tokio::sync::broadcast::Receiver<StoreEvent>,
    ) {
        if let Err(error) = self.throttles().await {
            tracing::error!(%error, "replication throttles are not known");
        }
        self.scan().await;
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Ok(StoreEvent::Changed { path, .. }) if path == config_change::CHANGES_PATH => {
                        self.scan().await;
                    }
                    // Watches of an earlier session are gone, and of what was missed even the
                    // notification may have been removed.
                    Ok(StoreEvent::SessionStarted { .. }) | Err(RecvError::Lagged(_)) => {
                        self.scan().await;
                        self.take_over_all().await;
                    }
                    Ok(_) => {}
                    Err(RecvError::Closed) => return,
                },
                Some((entities, done)) = requests.recv() => {
                    self.take_over(entities).await;
                    let _ = done.send(());
                }
            }
        }
    }

    /// Takes over what the notifications name that are new, and removes old ones.
    async fn scan(&mut self) {
        if let Err(error) = self.try_scan().await {
            // The next session starts with a scan.
            tracing::warn!(%error, "changes of the configuration could not be read");
        }
    }

    async fn try_scan(&mut self) -> Result<(), StoreError> {
        let store = self.affected.store.clone();
        let names = retry::children(&*store, config_change::CHANGES_PATH, true).await?;
        let mut found: Vec<(i64, String)> = names
            .unwrap_or_default()
            .into_iter()
            .filter_map(|name| Some((sequence_number(&name, config_change::PREFIX)?, name)))
            .collect();
        found.sort();
        let read =
            |(_, name): &(i64, String)| Op::Get { path: config_change::path(name), watch: false };
        let reads = retry::read_all(&*store, found.iter().map(read).collect()).await;
        let now_ms = self.affected.clock.now_ms();
        let (mut changed, mut expired) = (BTreeSet::new(), Vec::new());
        let mut outcome = Ok(());
        for ((number, name), reply) in found.into_iter().zip(reads) {
            let (data, stat) = match reply {
                Ok(Reply::Data { data, stat }) => (data, stat),
                // Another broker removed it: it was old.
                Err(StoreError::NoNode(_)) => continue,
                Ok(other) => {
                    let text = format!("a reply of another kind: {other:?}");
                    outcome = Err(StoreError::Other(text));
                    break;
                }
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            };
            if number > self.last {
                match config_change::decode(&name, data.as_deref()) {
                    Ok(entity) => drop(changed.insert(entity)),
                    Err(error) => tracing::warn!(%error, "a notification is skipped"),
                }
                self.last = number;
            }
            if now_ms.saturating_sub(stat.ctime_ms) > config_change::EXPIRY_MS {
                expired.push(Op::Delete { path: config_change::path(&name), version: -1 });
            }
        }
        // However often somebody was named, what stands now is read once.
        self.take_over(changed.into_iter().collect()).await;
        if !expired.is_empty() {
            // Whoever is first removes it; what fails is tried again with the next scan.
            store.submit(expired).await;
        }
        outcome
    }

    /// Takes over every topic's values and the brokers', notified of or not.
    async fn take_over_all(&self) {
        let topics =
            retry::children(&*self.affected.store, znodes::config::TOPICS_PATH, false).await;
        let topics = match topics {
            Ok(topics) => topics.unwrap_or_default(),
            // The next session starts with it again.
            Err(error) => return tracing::warn!(%error, "topics' settings could not be read"),
        };
        let topics = topics.into_iter().map(ConfigEntity::topic);
        self.take_over([ConfigEntity::BrokerDefault].into_iter().chain(topics).collect()).await;
    }

    async fn take_over(&self, entities: Vec<ConfigEntity>) {
        let is_topic = |entity: &ConfigEntity| matches!(entity, ConfigEntity::Topic(_));
        let (topics, others): (Vec<_>, Vec<_>) = entities.into_iter().partition(is_topic);
        let ours = |entity: &ConfigEntity| match entity {
            ConfigEntity::Broker(id) => *id == self.affected.identity.broker_id,
            // Quotas are not enforced.
            entity => *entity == ConfigEntity::BrokerDefault,
        };
        if others.iter().any(ours)
            && let Err(error) = self.brokers().await
        {
            tracing::error!(%error, "a changed configuration of brokers is not in force");
        }
        for some in topics.chunks(READ_AT_ONCE) {
            self.topics(some).await;
        }
    }

    async fn topics(&self, entities: &[ConfigEntity]) {
        let read = |entity: &ConfigEntity| Op::Get { path: entity.path(), watch: false };
        let replies = retry::read_all(&*self.affected.store, entities.iter().map(read).collect());
        let (mut changed, mut unclean) = (Vec::new(), Vec::new());
        for (entity, reply) in entities.iter().zip(replies.await) {
            let ConfigEntity::Topic(topic) = entity else { continue };
            let own = match entity::values_of(entity, reply) {
                Ok(own) => own,
                Err(error) => {
                    tracing::error!(%entity, %error, "a changed configuration is not in force");
                    continue;
                }
            };
            let configs = &self.affected.topic_configs;
            let was_unclean = configs.of(topic).unclean_leader_election_enable;
            for error in configs.set(topic, own) {
                tracing::error!(topic, %error, "a topic's setting is not in force");
            }
            changed.push(topic.clone());
            if configs.of(topic).unclean_leader_election_enable && !was_unclean {
                unclean.push(topic.clone());
            }
        }
        self.reconfigure(changed).await;
        for topic in unclean {
            self.affected.controller.unclean_election_enabled(Some(topic)).await;
        }
    }

    async fn brokers(&self) -> Result<(), StoreError> {
        let affected = &self.affected;
        let (store, broker_id) = (&*affected.store, affected.identity.broker_id);
        let [cluster, own] = entity::of_brokers(store, broker_id).await?;
        affected.quotas.configure(&cluster, &own);
        let (config, refused) = affected.config.load().with_dynamic(&cluster, &own);
        for error in refused {
            tracing::error!(%error, "a dynamic setting of the broker is not in force");
        }
        let config = Arc::new(config);
        let was_unclean = affected.config.load().bool("unclean.leader.election.enable");
        affected.config.store(config.clone());
        affected.topic_configs.set_broker(&config);
        affected.replicas.fetchers().resize(config.int("num.replica.fetchers"));
        let topics = affected.metadata.snapshot().topics().map(|t| t.name.to_string()).collect();
        self.reconfigure(topics).await;
        let controller = &affected.controller;
        controller.settings_changed(order_sender::settings(&config, broker_id)).await;
        if config.bool("unclean.leader.election.enable") && !was_unclean {
            controller.unclean_election_enabled(None).await;
        }
        Ok(())
    }

    /// Throttles' rates are in no file, so a start looks for them here.
    async fn throttles(&self) -> Result<(), StoreError> {
        let store: &dyn MetadataStore = &*self.affected.store;
        let [cluster, own] = entity::of_brokers(store, self.affected.identity.broker_id).await?;
        self.affected.quotas.configure(&cluster, &own);
        Ok(())
    }

    /// Gives logs their topics' new values. A log may be busy with the disk.
    async fn reconfigure(&self, topics: Vec<String>) {
        let replicas = self.affected.replicas.clone();
        let work = move || topics.iter().for_each(|topic| replicas.reconfigure(topic));
        self.affected.tasks.blocking(work).await;
    }
}
