//! Topics that nobody asked for in so many words: those that a client names, and the coordinators'
//! own (Kafka's `AutoTopicCreationManager`). The broker that is asked makes them itself. Knows
//! nothing of what clients are told.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::create::{self, CreateTopicError, NewTopic};
use super::name::{self, CONSUMER_OFFSETS, InvalidName, TRANSACTION_STATE};
use crate::authorizer::{Authorized, op};
use crate::broker::Broker;
use crate::config::BrokerConfig;

/// Most topics that are being made at a time; what is above has to be asked for again.
const MAKING_MAX: usize = 10_000;

/// The topics that are being made right now.
#[derive(Debug, Default)]
pub struct TopicsInTheMaking(Mutex<BTreeSet<String>>);

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
    all: &'a TopicsInTheMaking,
    name: &'a str,
}

impl<'a> Place<'a> {
    fn take(all: &'a TopicsInTheMaking, name: &'a str) -> Option<Place<'a>> {
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

/// Makes `name` as the broker's configuration has it; an internal topic with its own settings. Goes
/// on to its end even if the caller is dropped.
pub async fn create(
    broker: &Arc<Broker>,
    authorized: Authorized<op::Create>,
    name: String,
) -> AutoCreated {
    let (broker, tasks) = (broker.clone(), broker.clone());
    tasks.tasks.to_the_end(async move { make(&broker, authorized, &name).await }).await
}

async fn make(broker: &Broker, authorized: Authorized<op::Create>, name: &str) -> AutoCreated {
    if let Err(invalid) = name::check(name) {
        return AutoCreated::InvalidName(invalid);
    }
    let Some(_place) = Place::take(&broker.topics_in_the_making, name) else {
        return AutoCreated::InTheMaking;
    };
    let config = broker.config.load_full();
    let cluster = broker.metadata.snapshot();
    let topic = as_configured(&config, name);
    let written = async {
        let plan = create::plan(&*broker.store, &cluster, &config, topic).await?;
        create::write(&*broker.store, authorized, &plan).await
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

/// Makes a coordinator's topic if it is not there: `__consumer_offsets` or `__transaction_state`.
/// Its partitions have leaders only some time later.
pub async fn ensure_internal_topic(broker: &Arc<Broker>, name: &str) -> AutoCreated {
    if broker.metadata.snapshot().topic(name).is_some() {
        return AutoCreated::Written;
    }
    let authorized = broker.authorizer.internal::<op::Create>();
    create(broker, authorized, name.to_owned()).await
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
        name: name.to_owned(),
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
        let all = TopicsInTheMaking::default();
        let place = Place::take(&all, "t");
        assert!(place.is_some() && Place::take(&all, "t").is_none());
        assert!(Place::take(&all, "u").is_some());
        drop(place);
        assert!(Place::take(&all, "t").is_some());
    }
}
