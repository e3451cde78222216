//! Topics that nobody asked for in so many words: those that a client names, and the coordinators'
//! own (Kafka's `AutoTopicCreationManager`). The broker that is asked makes them itself. Knows
//! nothing of what clients are told.

use std::collections::BTreeSet;
use std::sync::Arc;

use metadata::store::MetadataStore;
use parking_lot::Mutex;

use super::create::{self, CreateTopicError, NewTopic};
use super::name::{self, CONSUMER_OFFSETS, InvalidName, TRANSACTION_STATE};
use crate::authorizer::{Authorized, Internal, Topic, op};
use crate::config::{BrokerConfig, LiveConfig};
use crate::metadata_cache::MetadataCache;
use crate::tasks::Tasks;

/// Most topics that are being made at a time; what is above has to be asked for again.
const MAKING_MAX: usize = 10_000;

/// Makes topics as the broker's configuration has them.
pub struct AutoTopics {
    internal: Internal,
    config: Arc<LiveConfig>,
    store: Arc<dyn MetadataStore>,
    metadata: Arc<MetadataCache>,
    tasks: Arc<Tasks>,
    making: InTheMaking,
}

/// The topics that are being made right now.
#[derive(Debug, Default)]
struct InTheMaking(Mutex<BTreeSet<String>>);

/// What became of a topic that was not there.
#[derive(Debug)]
pub enum AutoCreated {
    /// Its znodes are written, by this call or by somebody else's: leaders follow.
    Written,
    /// Another request is making it.
    InTheMaking,
    InvalidName(InvalidName),
    Failed(CreateTopicError),
}

/// A name's place in the set; leaves it when dropped.
struct Place<'a> {
    all: &'a InTheMaking,
    name: &'a str,
}

impl<'a> Place<'a> {
    fn take(all: &'a InTheMaking, name: &'a str) -> Option<Place<'a>> {
        let mut names = all.0.lock();
        let free = names.len() < MAKING_MAX && names.insert(name.to_owned());
        // Not `then_some`: a place that is not taken must not be given back.
        free.then(|| Place { all, name })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.all.0.lock().remove(self.name);
    }
}

impl AutoTopics {
    pub fn new(
        internal: Internal,
        config: Arc<LiveConfig>,
        store: Arc<dyn MetadataStore>,
        metadata: Arc<MetadataCache>,
        tasks: Arc<Tasks>,
    ) -> AutoTopics {
        let making = InTheMaking::default();
        AutoTopics { internal, config, store, metadata, tasks, making }
    }

    /// Makes a topic as the broker's configuration has it; an internal topic with its own settings.
    /// Goes on to its end even if the caller is dropped.
    pub async fn create(
        self: &Arc<Self>,
        authorized: Authorized<'_, op::Create, Topic>,
    ) -> AutoCreated {
        let (topics, authorized) = (self.clone(), authorized.into_owned());
        self.tasks.to_the_end(async move { topics.make(&authorized).await }).await
    }

    async fn make(&self, authorized: &Authorized<'_, op::Create, Topic>) -> AutoCreated {
        let name = authorized.name();
        if let Err(invalid) = name::check(name) {
            return AutoCreated::InvalidName(invalid);
        }
        let Some(_place) = Place::take(&self.making, name) else {
            return AutoCreated::InTheMaking;
        };
        let config = self.config.load_full();
        let cluster = self.metadata.snapshot();
        let topic = as_configured(&config, name);
        let written = async {
            let plan = create::plan(&*self.store, &cluster, &config, authorized, topic).await?;
            create::write(&*self.store, authorized, &plan).await
        };
        match written.await {
            Ok(id) => {
                tracing::info!(topic = name, %id, "made a topic that was asked for");
                AutoCreated::Written
            }
            Err(CreateTopicError::Exists(_)) => AutoCreated::Written,
            Err(error) => {
                tracing::info!(topic = name, %error, "a topic that was asked for was not made");
                AutoCreated::Failed(error)
            }
        }
    }

    /// Makes a coordinator's topic if it is not there, beside whatever else happens:
    /// `__consumer_offsets` or `__transaction_state`. Its partitions have leaders only some time
    /// later.
    pub fn ensure_internal(self: &Arc<Self>, name: &'static str) {
        if self.metadata.load().topic(name).is_some() {
            return;
        }
        let topics = self.clone();
        self.tasks.spawn_until_stop(async move {
            // It logs what hinders it; clients ask again either way.
            topics.create(topics.internal.authorized(name)).await;
        });
    }
}

fn as_configured(config: &BrokerConfig, name: &str) -> NewTopic {
    let set = |key: &str, value: String| (key.to_owned(), Some(value));
    let (partitions, replication_factor, configs) = match name {
        CONSUMER_OFFSETS => (
            config.int("offsets.topic.num.partitions"),
            config.int("offsets.topic.replication.factor"),
            vec![
                set("cleanup.policy", "compact".to_owned()),
                set("compression.type", "producer".to_owned()),
                set("segment.bytes", config.int("offsets.topic.segment.bytes").to_string()),
            ],
        ),
        TRANSACTION_STATE => (
            config.int("transaction.state.log.num.partitions"),
            config.int("transaction.state.log.replication.factor"),
            vec![
                set("cleanup.policy", "compact".to_owned()),
                set("compression.type", "uncompressed".to_owned()),
                set("min.insync.replicas", config.int("transaction.state.log.min.isr").to_string()),
                set("segment.bytes", config.int("transaction.state.log.segment.bytes").to_string()),
                set("unclean.leader.election.enable", "false".to_owned()),
            ],
        ),
        _ => (config.int("num.partitions"), config.int("default.replication.factor"), Vec::new()),
    };
    NewTopic {
        partitions,
        // The keys that can be above an i16 cannot be meant: no cluster has so many brokers.
        replication_factor: i16::try_from(replication_factor).unwrap_or(i16::MAX),
        assignments: Vec::new(),
        configs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinators_have_topics_of_their_own_shape() {
        let config = BrokerConfig::defaults();
        let offsets = as_configured(&config, CONSUMER_OFFSETS);
        assert_eq!((offsets.partitions, offsets.replication_factor), (50, 3));
        let keys: Vec<_> = offsets.configs.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["cleanup.policy", "compression.type", "segment.bytes"]);
        let plain = as_configured(&config, "t");
        assert_eq!((plain.partitions, plain.replication_factor, plain.configs.len()), (1, 1, 0));
    }

    #[test]
    fn a_name_is_made_once_at_a_time() {
        let all = InTheMaking::default();
        let place = Place::take(&all, "t");
        assert!(place.is_some() && Place::take(&all, "t").is_none());
        assert!(Place::take(&all, "u").is_some());
        drop(place);
        assert!(Place::take(&all, "t").is_some());
    }
}
