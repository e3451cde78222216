//! Reading and writing the configuration znode of a topic or of brokers, as Kafka's `KafkaZkClient`
//! does. Knows nothing of which keys there are.

use metadata::retry;
use metadata::store::{CreateMode, MetadataStore, Op, Reply, StoreError};
use metadata::znodes::config::{ConfigEntity, ConfigValues};
use metadata::znodes::{self, ZnodeError, config_change, controller};
use protocol::ids::BrokerId;

/// Tries of a write that lost its connection, or a race with another writer.
const TRIES_MAX: usize = 20;

/// Why a configuration was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum EntityConfigError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Znode(#[from] ZnodeError),
    /// Writing is safe only while nobody takes the cluster over to KRaft.
    #[error("there is no controller that keeps its metadata in ZooKeeper")]
    NoController,
    #[error("another writer was always faster")]
    Contended,
}

/// The entity's own values; none if it has no node.
pub async fn read(
    store: &dyn MetadataStore,
    entity: &ConfigEntity,
) -> Result<ConfigValues, EntityConfigError> {
    match retry::get(store, &entity.path(), false).await? {
        Some((data, _)) => Ok(znodes::config::decode(entity, data.as_deref())?),
        None => Ok(ConfigValues::new()),
    }
}

/// The values for all brokers, and those of one, for who must go on whatever the nodes hold: what
/// can be made of them counts, and what is wrong with them is logged.
pub async fn of_brokers(
    store: &dyn MetadataStore,
    broker: BrokerId,
) -> Result<[ConfigValues; 2], StoreError> {
    let mut both = [const { ConfigValues::new() }; 2];
    let entities = [ConfigEntity::BrokerDefault, ConfigEntity::Broker(broker)];
    for (entity, values) in entities.iter().zip(&mut both) {
        if let Some((data, _)) = retry::get(store, &entity.path(), false).await? {
            *values = salvaged(entity, data.as_deref());
        }
    }
    Ok(both)
}

/// As `of_brokers`, of any node that was read already.
pub fn salvaged(entity: &ConfigEntity, data: Option<&[u8]>) -> ConfigValues {
    let (values, fault) = znodes::config::salvage(entity, data);
    if let Some(fault) = fault {
        let used = values.len();
        tracing::warn!(%fault, used, "a configuration is not as Kafka writes it");
    }
    values
}

/// What a read of the entity's node says. A node that holds no configuration is logged, and says
/// that there are no values.
pub fn values_of(
    entity: &ConfigEntity,
    reply: Result<Reply, StoreError>,
) -> Result<ConfigValues, EntityConfigError> {
    match reply {
        Ok(Reply::Data { data, .. }) => {
            znodes::config::decode(entity, data.as_deref())?;
            Ok(salvaged(entity, data.as_deref()))
        }
        Ok(other) => Err(StoreError::Other(format!("a reply of another kind: {other:?}")).into()),
        Err(StoreError::NoNode(_)) => Ok(ConfigValues::new()),
        Err(error) => Err(error.into()),
    }
}

/// Replaces the entity's values, tells nobody. For an entity that is being made.
pub async fn write(
    store: &dyn MetadataStore,
    entity: &ConfigEntity,
    values: &ConfigValues,
) -> Result<(), EntityConfigError> {
    let data = Some(znodes::config::encode(values));
    let path = entity.path();
    for _ in 0..TRIES_MAX {
        let version = controller_version(store).await?;
        let check = Op::Check { path: controller::PATH.to_owned(), version };
        let set = Op::Set { path: path.clone(), data: data.clone(), version: -1 };
        match retry::one(store, Op::Multi(vec![check, set])).await {
            Ok(_) => return Ok(()),
            Err(StoreError::Multi { index: 1, error })
                if matches!(*error, StoreError::NoNode(_)) =>
            {
                if retry::create_recursive(store, &path, data.clone()).await? {
                    return Ok(());
                }
            }
            // The controller changed meanwhile.
            Err(StoreError::Multi { index: 0, .. }) => {}
            // The same values again do no harm.
            Err(error) if error.retriable() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(EntityConfigError::Contended)
}

/// Makes the entity's node and with it what `other` makes, both or none, in one write. `false`:
/// not done, as far as is known; one of them may be there, or somebody else controls now.
pub async fn create_with(
    store: &dyn MetadataStore,
    entity: &ConfigEntity,
    values: &ConfigValues,
    other: Op,
) -> Result<bool, EntityConfigError> {
    let version = controller_version(store).await?;
    let check = Op::Check { path: controller::PATH.to_owned(), version };
    let data = Some(znodes::config::encode(values));
    let create = Op::Create { path: entity.path(), data, mode: CreateMode::Persistent };
    match retry::one(store, Op::Multi(vec![check, create, other])).await {
        Ok(_) => Ok(true),
        Err(StoreError::Multi { .. }) => Ok(false),
        Err(error) if error.retriable() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Replaces the entity's values and notifies every broker through `/config/changes`.
pub async fn change(
    store: &dyn MetadataStore,
    entity: &ConfigEntity,
    values: &ConfigValues,
) -> Result<(), EntityConfigError> {
    write(store, entity, values).await?;
    for _ in 0..TRIES_MAX {
        let notification = Op::Create {
            path: config_change::path_to_create(),
            data: Some(config_change::encode(entity)),
            mode: CreateMode::PersistentSequential,
        };
        match retry::one(store, notification).await {
            Ok(_) => return Ok(()),
            // Two notifications of one change do no harm.
            Err(error) if error.retriable() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(EntityConfigError::Contended)
}

async fn controller_version(store: &dyn MetadataStore) -> Result<i32, EntityConfigError> {
    let read = Op::Get { path: controller::PATH.to_owned(), watch: false };
    match retry::read(store, read).await {
        Ok(Reply::Data { data, stat }) => {
            let registration = controller::decode(data.as_deref())?;
            if registration.kraft_controller_epoch.is_none_or(|epoch| epoch > 0) {
                return Err(EntityConfigError::NoController);
            }
            Ok(stat.version)
        }
        Err(StoreError::NoNode(_)) => Err(EntityConfigError::NoController),
        Ok(other) => Err(StoreError::Other(format!("a reply of another kind: {other:?}")).into()),
        Err(error) => Err(error.into()),
    }
}
