//! A new topic: what it would be, whether it may be, and its znodes (Kafka's `ZkAdminManager` and
//! `AdminZkClient`). Knows nothing of how the controller takes notice.

use std::collections::{BTreeMap, BTreeSet};

use metadata::retry;
use metadata::store::{CreateMode, MetadataStore, Op, StoreError};
use metadata::znodes::config::{ConfigEntity, ConfigValues};
use metadata::znodes::topic::{self, ReplicaAssignment, TopicAssignment};
use metadata::znodes::{ZnodeError, delete_topics};
use protocol::ids::{BrokerId, Uuid};
use storage::LogConfig;
use storage::config::{ConfigError, topic_key};

use super::name::{self, InvalidName};
use crate::authorizer::{Authorized, Topic, op};
use crate::config::BrokerConfig;
use crate::dynamic_config::entity::{self, EntityConfigError};
use crate::metadata_cache::Snapshot;
use crate::random;
use crate::replication::topic_configs;
use replica::assignment::{self, AssignError, Candidate, Start};

/// "The broker's default", in a request.
const DEFAULT: i32 = -1;

/// Tries of a write that lost its connection.
const TRIES_MAX: usize = 20;

/// A topic that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewTopic {
    /// −1: `num.partitions`, or as many as `assignments`.
    pub partitions: i32,
    /// −1: `default.replication.factor`, or as `assignments` say.
    pub replication_factor: i16,
    /// Replicas per partition; empty: the broker chooses.
    pub assignments: Vec<(i32, Vec<BrokerId>)>,
    /// Own values; `None` is a null, which is refused.
    pub configs: Vec<(String, Option<String>)>,
}

/// A topic that may be made as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedTopic {
    pub name: String,
    pub replicas: BTreeMap<i32, Vec<BrokerId>>,
    pub configs: ConfigValues,
}

/// Why there will be no such topic. The texts are Kafka's.
#[derive(Debug, thiserror::Error)]
pub enum CreateTopicError {
    #[error("Topic '{0}' already exists.")]
    Exists(String),
    #[error("Topic '{0}' is marked for deletion.")]
    MarkedForDeletion(String),
    #[error(transparent)]
    InvalidName(#[from] InvalidName),
    #[error("Topic '{name}' collides with existing topics: {others}")]
    Collides { name: String, others: String },
    #[error("{0}")]
    InvalidRequest(String),
    #[error(transparent)]
    Assign(#[from] AssignError),
    #[error("{0}")]
    InvalidAssignment(String),
    #[error("Unknown topic config name: {0}")]
    UnknownConfig(String),
    #[error("Null value not supported for topic configs: {0}")]
    NullConfigs(String),
    #[error(transparent)]
    InvalidConfig(#[from] ConfigError),
    #[error(transparent)]
    Config(#[from] EntityConfigError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Znode(#[from] ZnodeError),
}

/// What the topic would be. Changes nothing.
pub async fn plan(
    store: &dyn MetadataStore,
    cluster: &Snapshot,
    config: &BrokerConfig,
    authorized: &Authorized<'_, op::Create, Topic>,
    topic: NewTopic,
) -> Result<PlannedTopic, CreateTopicError> {
    let name = authorized.name().to_owned();
    if cluster.topic(&name).is_some() {
        return Err(CreateTopicError::Exists(name));
    }
    let configs = own_values(&topic)?;
    let replicas = replicas(cluster, config, &topic)?;
    name::check(&name)?;
    check_names(store, &name).await?;
    check_replicas(&replicas)?;
    check_values(&topic_configs::broker_defaults(config), &configs)?;
    Ok(PlannedTopic { name, replicas, configs })
}

fn own_values(topic: &NewTopic) -> Result<ConfigValues, CreateTopicError> {
    let nulls: Vec<&str> =
        topic.configs.iter().filter(|(_, v)| v.is_none()).map(|(key, _)| key.as_str()).collect();
    if !nulls.is_empty() {
        return Err(CreateTopicError::NullConfigs(nulls.join(",")));
    }
    let values = topic.configs.iter();
    Ok(values.filter_map(|(key, value)| Some((key.clone(), value.clone()?))).collect())
}

fn replicas(
    cluster: &Snapshot,
    config: &BrokerConfig,
    topic: &NewTopic,
) -> Result<BTreeMap<i32, Vec<BrokerId>>, CreateTopicError> {
    let counted = topic.partitions != DEFAULT || i32::from(topic.replication_factor) != DEFAULT;
    if !topic.assignments.is_empty() {
        if counted {
            let text = "Both numPartitions or replicationFactor and replicasAssignments were set. \
                        Both cannot be used at the same time.";
            return Err(CreateTopicError::InvalidRequest(text.to_owned()));
        }
        return Ok(topic.assignments.iter().cloned().collect());
    }
    let or_default = |given: i32, key: &str| if given == DEFAULT { config.int(key) } else { given };
    let partitions = or_default(topic.partitions, "num.partitions");
    let factor = or_default(topic.replication_factor.into(), "default.replication.factor");
    let candidates: Vec<Candidate> = candidates(cluster);
    let start = Start::random(random::seed(), candidates.len());
    Ok(assignment::assign(&candidates, partitions, factor, start, 0)?)
}

/// Every live broker, by rising id.
pub fn candidates(cluster: &Snapshot) -> Vec<Candidate> {
    cluster.brokers.values().map(|b| Candidate { id: b.id, rack: b.rack.clone() }).collect()
}

/// No topic of this name, none that is being deleted, none whose metrics would get mixed up.
async fn check_names(store: &dyn MetadataStore, topic: &str) -> Result<(), CreateTopicError> {
    let (mark, node) = (delete_topics::path(topic), topic::path(topic));
    let (marked, exists) =
        futures::try_join!(retry::exists(store, &mark, false), retry::exists(store, &node, false))?;
    if marked.is_some() {
        return Err(CreateTopicError::MarkedForDeletion(topic.to_owned()));
    }
    if exists.is_some() {
        return Err(CreateTopicError::Exists(topic.to_owned()));
    }
    if !name::may_collide(topic) {
        return Ok(());
    }
    let all = retry::children(store, topic::TOPICS_PATH, false).await?.unwrap_or_default();
    let others: Vec<String> = all.into_iter().filter(|other| name::collide(other, topic)).collect();
    if others.is_empty() {
        return Ok(());
    }
    let (name, others) = (topic.to_owned(), others.join(", "));
    Err(CreateTopicError::Collides { name, others })
}

fn check_replicas(replicas: &BTreeMap<i32, Vec<BrokerId>>) -> Result<(), CreateTopicError> {
    let refuse = |text: String| Err(CreateTopicError::InvalidAssignment(text));
    let sizes: BTreeSet<usize> = replicas.values().map(Vec::len).collect();
    if sizes.len() != 1 {
        return refuse("All partitions should have the same number of replicas".to_owned());
    }
    for list in replicas.values() {
        if list.iter().collect::<BTreeSet<_>>().len() != list.len() {
            return refuse(format!("Duplicate replica assignment found: {replicas:?}"));
        }
    }
    if !replicas.keys().copied().eq(0..replicas.len() as i32) {
        let text = "partitions should be a consecutive 0-based integer sequence";
        return refuse(text.to_owned());
    }
    Ok(())
}

/// Are these values that a topic can have, over the broker's `defaults`?
pub fn check_values(defaults: &LogConfig, configs: &ConfigValues) -> Result<(), CreateTopicError> {
    if let Some(unknown) = configs.keys().find(|key| topic_key(key).is_none()) {
        return Err(CreateTopicError::UnknownConfig(unknown.clone()));
    }
    let values = configs.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    defaults.with(values)?;
    Ok(())
}

/// Writes the znodes that make the controller take notice, at once if neither is there: each write
/// costs the ensemble a sync. Gives the topic's new id.
pub async fn write(
    store: &dyn MetadataStore,
    authorized: &Authorized<'_, op::Create, Topic>,
    topic: &PlannedTopic,
) -> Result<Uuid, CreateTopicError> {
    assert_eq!(authorized.name(), topic.name, "the proof is of another topic");
    let entity = ConfigEntity::topic(&topic.name);
    let id = random::uuid();
    let settled = |list: &Vec<BrokerId>| ReplicaAssignment::settled(list.clone());
    let partitions = topic.replicas.iter().map(|(index, list)| (*index, settled(list))).collect();
    let data = TopicAssignment { topic_id: Some(id), partitions }.encode();
    let path = topic::path(&topic.name);
    let mode = CreateMode::Persistent;
    let create = || Op::Create { path: path.clone(), data: Some(data.clone()), mode };
    if entity::create_with(store, &entity, &topic.configs, create()).await? {
        return Ok(id);
    }
    if retry::exists(store, &path, false).await?.is_none() {
        // Values are there already: of a topic that is gone, or set ahead of this one.
        entity::write(store, &entity, &topic.configs).await?;
    }
    for _ in 0..TRIES_MAX {
        match retry::one(store, create()).await {
            Ok(_) => return Ok(id),
            Err(StoreError::NodeExists(_)) => break,
            // It may have been done: the next try shows it.
            Err(error) if error.retriable() => {}
            Err(error) => return Err(error.into()),
        }
    }
    match retry::get(store, &path, false).await? {
        // No other writer has this id.
        Some((Some(found), _)) if found == data => Ok(id),
        _ => Err(CreateTopicError::Exists(topic.name.clone())),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use metadata::embedded;
    use metadata::znodes::{config, controller};

    use super::*;
    use crate::authorizer::Internal;

    struct Znodes {
        store: std::sync::Arc<dyn MetadataStore>,
        _dir: tempfile::TempDir,
    }

    impl Znodes {
        /// Those of a cluster without topics, and `more`.
        async fn with(more: &[&str]) -> Znodes {
            let dir = tempfile::tempdir().expect("a directory");
            let path = dir.path().join("metadata.redb");
            let clock = std::sync::Arc::new(|| 1000);
            let (store, driver) = embedded::open(&path, clock).expect("a new journal");
            tokio::spawn(driver.run());
            let znodes = Znodes { store, _dir: dir };
            znodes.make(controller::PATH, controller::encode(1, 1000)).await;
            for path in [topic::TOPICS_PATH, config::TOPICS_PATH].iter().chain(more) {
                znodes.make(path, Bytes::from_static(b"former")).await;
            }
            znodes
        }

        async fn make(&self, path: &str, data: Bytes) {
            let made = retry::create_recursive(&*self.store, path, Some(data)).await;
            assert_eq!(made, Ok(true), "{path}");
        }

        /// A node's transaction and data.
        async fn get(&self, path: &str) -> Option<(i64, Bytes)> {
            let node = retry::get(&*self.store, path, false).await.expect("an answer");
            node.map(|(data, stat)| (stat.mzxid, data.unwrap_or_default()))
        }

        async fn write(&self) -> Result<Uuid, CreateTopicError> {
            let plan = PlannedTopic {
                name: "t".into(),
                replicas: BTreeMap::from([(0, vec![1])]),
                configs: values(),
            };
            write(&*self.store, &Internal::of_this_broker().authorized("t"), &plan).await
        }
    }

    fn values() -> ConfigValues {
        ConfigValues::from([("retention.ms".to_owned(), "7".to_owned())])
    }

    #[tokio::test]
    async fn a_topic_is_made_in_one_write_or_beside_what_another_left() {
        let entity = ConfigEntity::topic("t");
        let (values_at, topic_at) = (entity.path(), topic::path("t"));
        for left in [&[][..], &[&*values_at]] {
            let znodes = Znodes::with(left).await;
            let id = znodes.write().await.expect("nothing is against it");
            let (of_values, found) = znodes.get(&values_at).await.expect("values");
            assert_eq!(config::decode(&entity, Some(&found)).expect("readable"), values());
            let (of_topic, data) = znodes.get(&topic_at).await.expect("a topic");
            let assignment = TopicAssignment::decode("t", Some(&data)).expect("readable");
            assert_eq!(assignment.topic_id, Some(id));
            assert_eq!(of_values == of_topic, left.is_empty(), "{of_values} and {of_topic}");
        }
    }

    #[tokio::test]
    async fn the_values_of_a_topic_that_is_there_stay() {
        let (values_at, topic_at) = (ConfigEntity::topic("t").path(), topic::path("t"));
        for left in [&[&*topic_at][..], &[&*values_at, &*topic_at]] {
            let znodes = Znodes::with(left).await;
            let refused = znodes.write().await.expect_err("there is one");
            assert!(matches!(refused, CreateTopicError::Exists(_)), "{refused}");
            let found = znodes.get(&values_at).await.map(|(_, data)| data);
            assert_eq!(found, left.contains(&&*values_at).then(|| Bytes::from_static(b"former")));
        }
    }

    fn new_topic() -> NewTopic {
        NewTopic { partitions: -1, replication_factor: -1, ..NewTopic::default() }
    }

    #[test]
    fn counts_and_lists_exclude_each_other() {
        let cluster = Snapshot::default();
        let config = BrokerConfig::defaults();
        let given = |partitions: i32, list: Vec<(i32, Vec<BrokerId>)>| {
            let topic = NewTopic { partitions, assignments: list, ..new_topic() };
            replicas(&cluster, &config, &topic)
        };
        let list = vec![(0, vec![1, 2])];
        assert_eq!(given(-1, list.clone()).expect("legal"), BTreeMap::from([(0, vec![1, 2])]));
        assert!(matches!(given(1, list), Err(CreateTopicError::InvalidRequest(_))));
        let none = given(0, vec![]).expect_err("no partitions");
        assert!(matches!(none, CreateTopicError::Assign(AssignError::NoPartitions)));
        let nowhere = given(1, vec![]).expect_err("no brokers");
        let too_many = AssignError::TooManyReplicas { wanted: 1, available: 0 };
        assert!(matches!(nowhere, CreateTopicError::Assign(error) if error == too_many));
    }

    #[test]
    fn lists_are_checked() {
        let check = |lists: &[(i32, &[BrokerId])]| {
            let all = lists.iter().map(|(index, list)| (*index, list.to_vec())).collect();
            check_replicas(&all).map_err(|error| error.to_string())
        };
        assert_eq!(check(&[(0, &[1, 2]), (1, &[2, 1])]), Ok(()));
        let same = "All partitions should have the same number of replicas".to_owned();
        assert_eq!(check(&[(0, &[1, 2]), (1, &[2])]), Err(same));
        assert!(check(&[(0, &[1, 1])]).is_err());
        let gap = "partitions should be a consecutive 0-based integer sequence".to_owned();
        assert_eq!(check(&[(0, &[1]), (2, &[1])]), Err(gap));
    }

    #[test]
    fn values_are_checked() {
        let check = |key: &str, value: &str| {
            let values = ConfigValues::from([(key.to_owned(), value.to_owned())]);
            check_values(&LogConfig::default(), &values).map_err(|error| error.to_string())
        };
        assert_eq!(check("retention.ms", "1"), Ok(()));
        assert_eq!(check("no.such", "1"), Err("Unknown topic config name: no.such".to_owned()));
        assert!(check("retention.ms", "soon").is_err());
        let mut topic = new_topic();
        topic.configs = vec![("retention.ms".into(), None)];
        assert_eq!(
            own_values(&topic).expect_err("a null").to_string(),
            "Null value not supported for topic configs: retention.ms"
        );
    }
}
