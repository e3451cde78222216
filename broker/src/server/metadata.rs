//! The first steps of a start: reach the metadata, agree on the cluster's id, find this broker's
//! own. Knows nothing of logs and sockets.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use metadata::store::{MetadataStore, Op, Reply, StoreError};
use metadata::znodes;
use metadata::znodes::config::ConfigEntity;
use metadata::zookeeper::{Config, ConnectString};
use metadata::{embedded, registration, retry, zookeeper};

use super::StartError;
use crate::config::BrokerConfig;
use crate::dynamic_config::entity;
use crate::guard::{Guard, GuardProcess};
use crate::host::Host;
use crate::random;
use crate::replication::topic_configs::TopicConfigs;
use crate::tasks::Tasks;

/// The embedded store's file, at the root of the first log directory.
pub const EMBEDDED_FILE: &str = "ottla-metadata.redb";

/// Opens the store that the configuration names, with a session, which `guard` is told of from its
/// beginning.
pub async fn open(
    config: &BrokerConfig,
    first_log_dir: &Path,
    host: &Host,
    tasks: &Tasks,
    guard: Option<GuardProcess>,
) -> Result<(Arc<dyn MetadataStore>, Option<Guard>), StartError> {
    match config.zookeeper() {
        Some(connect) => ensemble(config, connect, host, tasks, guard).await,
        None => {
            let path = first_log_dir.join(EMBEDDED_FILE);
            let clock = host.clock;
            let wall = Arc::new(move || u64::try_from(clock.now_ms()).unwrap_or(0));
            let (store, driver) = embedded::open(&path, wall)
                .map_err(|error| StartError::DataDir(format!("{}: {error}", path.display())))?;
            tasks.spawn(driver.run());
            Ok((store, None))
        }
    }
}

async fn ensemble(
    config: &BrokerConfig,
    connect: ConnectString,
    host: &Host,
    tasks: &Tasks,
    guard: Option<GuardProcess>,
) -> Result<(Arc<dyn MetadataStore>, Option<Guard>), StartError> {
    let clock = host.clock;
    let limit_ms = u64::try_from(config.zookeeper_connection_timeout_ms()).unwrap_or(0);
    let session = Config {
        session_timeout_ms: u32::try_from(config.int("zookeeper.session.timeout.ms")).unwrap_or(0),
        in_flight_max: usize::try_from(config.int("zookeeper.max.in.flight.requests")).unwrap_or(1),
        seed: random::seed(),
        connector: host.zookeeper_connector(),
        ..Config::new(connect.clone(), Arc::new(move || clock.boot_ms()))
    };
    let (store, driver) = zookeeper::connect(session);
    let guard = guard.map(|process| Guard::keep(process, store.clone(), &connect, tasks));
    tasks.spawn(driver.run());
    let reached = retry::session(&*store, Duration::from_millis(limit_ms)).await;
    reached.ok_or_else(|| {
        StartError::ZooKeeper(format!("{connect} was not reached within {limit_ms} ms"))
    })?;
    Ok((store, guard))
}

/// `/cluster/id`, made if this is the first broker. `known` is what the data directories say: data
/// of one cluster is never served as that of another.
pub async fn cluster_id(
    store: &dyn MetadataStore,
    known: Option<&str>,
) -> Result<String, StartError> {
    let proposed = random::uuid().to_string();
    let id = registration::cluster_id(store, &proposed).await?;
    match known {
        Some(known) if known != id => Err(StartError::DataDir(format!(
            "the data belongs to cluster {known}, but the metadata is that of cluster {id}"
        ))),
        _ => Ok(id),
    }
}

/// This broker's id: the configured one, or the one in `meta.properties`, or the next of the
/// sequence above `reserved.broker.max.id`.
pub async fn broker_id(
    store: &dyn MetadataStore,
    config: &BrokerConfig,
    stored: Option<i32>,
) -> Result<i32, StartError> {
    let configured = config.int("broker.id");
    match stored {
        Some(stored) if configured >= 0 && stored != configured => Err(StartError::DataDir(
            format!("broker.id is {configured}, but the data belongs to broker {stored}"),
        )),
        Some(stored) => Ok(stored),
        None if configured >= 0 => Ok(configured),
        None => {
            let reserved = config.int("reserved.broker.max.id");
            Ok(registration::next_broker_id(store, reserved).await?)
        }
    }
}

/// `config` with what `/config/brokers` says of all brokers and of this one.
pub async fn with_dynamic(
    store: &dyn MetadataStore,
    config: BrokerConfig,
    broker_id: i32,
) -> Result<BrokerConfig, StartError> {
    let [cluster, broker] = entity::of_brokers(store, broker_id).await?;
    let (config, refused) = config.with_dynamic(&cluster, &broker);
    for error in refused {
        tracing::error!(%error, "a dynamic setting of the broker is not in force");
    }
    Ok(config)
}

/// Every topic's own configuration, as the store has it.
pub async fn topic_configs(
    store: &dyn MetadataStore,
    config: &BrokerConfig,
) -> Result<TopicConfigs, StartError> {
    let configs = TopicConfigs::new(config);
    let Some(names) = retry::children(store, znodes::config::TOPICS_PATH, false).await? else {
        return Ok(configs);
    };
    let entities: Vec<_> = names.iter().map(|name| ConfigEntity::topic(name.clone())).collect();
    let read = |entity: &ConfigEntity| Op::Get { path: entity.path(), watch: false };
    let reads = retry::read_all(store, entities.iter().map(read).collect()).await;
    for ((name, entity), read) in names.into_iter().zip(entities).zip(reads) {
        let data = match read {
            Ok(Reply::Data { data, .. }) => data,
            Err(StoreError::NoNode(_)) => continue,
            Ok(other) => return Err(StoreError::Other(format!("not a read: {other:?}")).into()),
            Err(error) => return Err(error.into()),
        };
        for error in configs.set(&name, entity::salvaged(&entity, data.as_deref())) {
            tracing::error!(topic = name, %error, "a topic's setting is not in force");
        }
    }
    Ok(configs)
}
