//! Takes changed configurations over: those that `/config/changes` tells of, and those that this
//! broker has written itself (Kafka's `ZkConfigManager`). One task does it, so that an older state
//! never follows a newer one. Knows nothing of who changes what.

use std::collections::BTreeSet;
use std::sync::Arc;

use metadata::retry;
use metadata::store::{MetadataStore, Op, Reply, StoreError, StoreEvent};
use metadata::znodes::config::ConfigEntity;
use metadata::znodes::{self, config_change, sequence_number};
use parking_lot::Mutex;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot};

use super::entity;
use crate::broker::Broker;
use crate::order_sender;

/// Most requests that wait; whoever brings more waits.
const WAITING_MAX: usize = 1000;

/// Topics whose values are read at once.
const READ_AT_ONCE: usize = 500;

type Request = (Vec<ConfigEntity>, oneshot::Sender<()>);

/// The way to the task.
pub struct ConfigChanges {
    requests: mpsc::Sender<Request>,
    /// For the task, until it is started.
    receiver: Mutex<Option<mpsc::Receiver<Request>>>,
}

impl Default for ConfigChanges {
    fn default() -> Self {
        let (requests, receiver) = mpsc::channel(WAITING_MAX);
        ConfigChanges { requests, receiver: Mutex::new(Some(receiver)) }
    }
}

impl ConfigChanges {
    /// Reads the entities' values and puts them in force before this returns.
    pub async fn take_over(&self, entities: Vec<ConfigEntity>) {
        let (done, wait) = oneshot::channel();
        // The task is gone only when the broker stops.
        if self.requests.send((entities, done)).await.is_ok() {
            let _ = wait.await;
        }
    }
}

/// Starts the task.
pub fn start(broker: &Arc<Broker>) {
    let Some(requests) = broker.config_changes.receiver.lock().take() else { return };
    let events = broker.store.subscribe();
    let worker = Worker { broker: broker.clone(), last: -1 };
    broker.tasks.spawn_until_stop(worker.run(requests, events));
}

struct Worker {
    broker: Arc<Broker>,
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
        let store = self.broker.store.clone();
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
        let now_ms = self.broker.clock.now_ms();
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
        let topics = retry::children(&*self.broker.store, znodes::config::TOPICS_PATH, false).await;
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
            ConfigEntity::Broker(id) => *id == self.broker.identity.broker_id,
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
        let replies = retry::read_all(&*self.broker.store, entities.iter().map(read).collect());
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
            let configs = &self.broker.topic_configs;
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
            self.broker.controller.handle.unclean_election_enabled(Some(topic)).await;
        }
    }

    async fn brokers(&self) -> Result<(), StoreError> {
        let broker = &self.broker;
        let store: &dyn MetadataStore = &*broker.store;
        let [cluster, own] = entity::of_brokers(store, broker.identity.broker_id).await?;
        broker.quotas.configure(&cluster, &own);
        let (config, refused) = broker.config.load().with_dynamic(&cluster, &own);
        for error in refused {
            tracing::error!(%error, "a dynamic setting of the broker is not in force");
        }
        let config = Arc::new(config);
        let was_unclean = broker.config.load().bool("unclean.leader.election.enable");
        broker.config.store(config.clone());
        broker.topic_configs.set_broker(&config);
        broker.replicas.fetchers().resize(config.int("num.replica.fetchers"));
        let topics = broker.metadata.snapshot().topics().map(|t| t.name.to_string()).collect();
        self.reconfigure(topics).await;
        let controller = &broker.controller.handle;
        controller
            .settings_changed(order_sender::settings(&config, broker.identity.broker_id))
            .await;
        if config.bool("unclean.leader.election.enable") && !was_unclean {
            controller.unclean_election_enabled(None).await;
        }
        Ok(())
    }

    /// Throttles' rates are in no file, so a start looks for them here.
    async fn throttles(&self) -> Result<(), StoreError> {
        let store: &dyn MetadataStore = &*self.broker.store;
        let [cluster, own] = entity::of_brokers(store, self.broker.identity.broker_id).await?;
        self.broker.quotas.configure(&cluster, &own);
        Ok(())
    }

    /// Gives logs their topics' new values. A log may be busy with the disk.
    async fn reconfigure(&self, topics: Vec<String>) {
        let replicas = self.broker.replicas.clone();
        let work = move || topics.iter().for_each(|topic| replicas.reconfigure(topic));
        self.broker.tasks.blocking(work).await;
    }
}
