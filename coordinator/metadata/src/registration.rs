//! How a broker makes itself known: the containers every broker makes, the cluster's id, an id of
//! its own, and the ephemeral `/brokers/ids/N` whose czxid is the broker's epoch
//! (`KafkaZkClient.registerBroker`, `CheckedEphemeral`). Knows nothing of what brokers do
//! afterwards.

use std::time::Duration;

use bytes::Bytes;
use protocol::ids::BrokerId;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::retry;
use super::store::{
    ANY_VERSION, CreateMode, Lease, MetadataStore, Op, Reply, Stat, StoreError, StoreEvent,
};
use crate::znodes::broker::{self, BrokerRegistration};
use crate::znodes::{CONTAINERS, ZnodeError, cluster_id, with_parents};

/// ZooKeeper's tick, if its configuration does not say otherwise.
const TICK: Duration = Duration::from_millis(3000);
/// Tries of one step that goes on only if nobody interferes.
const TRIES_MAX: usize = 100;

/// Why a broker could not make itself known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistrationError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Znode(#[from] ZnodeError),
    #[error("broker id {id} is taken: session {owner:#x} holds its registration")]
    IdTaken { id: BrokerId, owner: i64 },
    #[error("broker {other} advertises {host}:{port} already")]
    EndpointTaken { other: BrokerId, host: String, port: i32 },
}

impl RegistrationError {
    /// Whether it may work with the next session, or the next connection.
    pub fn retriable(&self) -> bool {
        match self {
            RegistrationError::Store(error) => {
                error.retriable() || *error == StoreError::SessionExpired
            }
            _ => false,
        }
    }
}

/// How long a starting broker waits for a registration of another session to go: what that session
/// can still live, and what the server may round up to.
pub fn other_session_wait(lease: &Lease) -> Duration {
    Duration::from_millis(lease.timeout_ms) + 2 * TICK
}

/// Makes the containers that are missing: persistent, null data.
pub async fn create_containers(store: &dyn MetadataStore) -> Result<(), StoreError> {
    let mut missing: Vec<String> = Vec::new();
    for path in CONTAINERS.iter().flat_map(|path| with_parents(path)) {
        if !missing.contains(&path) {
            missing.push(path);
        }
    }
    for _ in 0..TRIES_MAX {
        let look = |path: &String| Op::Exists { path: path.clone(), watch: false };
        let there = retry::read_all(store, missing.iter().map(look).collect()).await;
        let mut there = there.into_iter();
        // What could not be read is created all the same, and its error comes from there.
        missing.retain(|_| !matches!(there.next(), Some(Ok(Reply::Exists { stat: Some(_) }))));
        let make = |path: &String| Op::Create {
            path: path.clone(),
            data: None,
            mode: CreateMode::Persistent,
        };
        let made = store.submit(missing.iter().map(make).collect()).await;
        let mut again = false;
        for result in made {
            match result {
                Ok(_) | Err(StoreError::NodeExists(_)) => {}
                Err(error) if error.retriable() => again = true,
                Err(error) => return Err(error),
            }
        }
        if !again {
            return Ok(());
        }
    }
    Err(StoreError::ConnectionLost)
}

/// The cluster's id: `proposed` if it has none yet, else what the first broker wrote.
pub async fn cluster_id(
    store: &dyn MetadataStore,
    proposed: &str,
) -> Result<String, RegistrationError> {
    if let Some((data, _)) = retry::get(store, cluster_id::PATH, false).await? {
        return Ok(cluster_id::decode(data.as_deref())?);
    }
    retry::create_recursive(store, cluster_id::PATH, Some(cluster_id::encode(proposed))).await?;
    // Whoever was first: the server that answers has that write, since ours came after it.
    match retry::get(store, cluster_id::PATH, false).await? {
        Some((data, _)) => Ok(cluster_id::decode(data.as_deref())?),
        None => Err(StoreError::NoNode(cluster_id::PATH.to_owned()).into()),
    }
}

/// A broker id that no broker had before: above `reserved_broker_max_id`
/// (`reserved.broker.max.id`, 1000), growing with each call in the cluster.
pub async fn next_broker_id(
    store: &dyn MetadataStore,
    reserved_broker_max_id: i32,
) -> Result<BrokerId, RegistrationError> {
    let path = broker::SEQUENCE_PATH;
    for _ in 0..TRIES_MAX {
        let data = Some(Bytes::new());
        let set = Op::Set { path: path.to_owned(), data, version: ANY_VERSION };
        match retry::one(store, set).await {
            Ok(Reply::Set { stat }) => {
                return Ok(stat.version.saturating_add(reserved_broker_max_id));
            }
            Ok(_) => return Err(unexpected().into()),
            Err(StoreError::NoNode(_)) => {
                retry::create_recursive(store, path, None).await?;
            }
            // If it was done after all, one id is skipped.
            Err(error) if error.retriable() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::ConnectionLost.into())
}

/// A broker that is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    pub id: BrokerId,
    /// czxid of the registration.
    pub epoch: i64,
    pub registration: BrokerRegistration,
}

/// Every live broker by id, ascending. Registrations that make no sense are left out, with a
/// warning.
pub async fn registered(store: &dyn MetadataStore) -> Result<Vec<Registered>, StoreError> {
    let names = retry::children(store, broker::IDS_PATH, false).await?.unwrap_or_default();
    let mut ids: Vec<BrokerId> = names.iter().filter_map(|name| name.parse().ok()).collect();
    ids.sort_unstable();
    let reads = ids.iter().map(|id| Op::Get { path: broker::path(*id), watch: false });
    let mut found = Vec::new();
    for (&id, result) in ids.iter().zip(retry::read_all(store, reads.collect()).await) {
        match result {
            Ok(Reply::Data { data, stat }) => {
                match BrokerRegistration::decode(id, data.as_deref()) {
                    Ok(registration) => {
                        found.push(Registered { id, epoch: stat.czxid, registration });
                    }
                    Err(error) => tracing::warn!(%error, "a broker's registration is left out"),
                }
            }
            Ok(_) | Err(StoreError::NoNode(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Refuses endpoints that another live broker advertises. For a broker's start, before `register`.
pub async fn check_endpoints(
    store: &dyn MetadataStore,
    id: BrokerId,
    registration: &BrokerRegistration,
) -> Result<(), RegistrationError> {
    for other in registered(store).await?.into_iter().filter(|other| other.id != id) {
        for mine in &registration.endpoints {
            let theirs = &other.registration.endpoints;
            if theirs.iter().any(|their| their.host == mine.host && their.port == mine.port) {
                return Err(RegistrationError::EndpointTaken {
                    other: other.id,
                    host: mine.host.clone(),
                    port: mine.port,
                });
            }
        }
    }
    Ok(())
}

/// Registers broker `id` in the session in force and gives its epoch. A node of `previous_session`
/// (of this same process) is replaced; one of another session is waited for, at most `wait`
/// (`other_session_wait` at a start), then it is `IdTaken`. After `SessionExpired` the caller tries
/// again in its next session.
pub async fn register(
    store: &dyn MetadataStore,
    id: BrokerId,
    registration: &BrokerRegistration,
    previous_session: Option<i64>,
    wait: Duration,
) -> Result<i64, RegistrationError> {
    let mut events = store.subscribe();
    let give_up = tokio::time::sleep(wait);
    tokio::pin!(give_up);
    let path = broker::path(id);
    let mut said = false;
    loop {
        let session = match store.session_id() {
            0 => return Err(StoreError::SessionExpired.into()),
            session => session,
        };
        if let Some(epoch) = create(store, session, &path, registration.encode()).await? {
            return Ok(epoch);
        }
        let Some(stat) = holder(store, &path).await? else { continue };
        let owner = stat.ephemeral_owner;
        if owner == session {
            // An earlier try of ours was done though its answer was lost.
            return refresh(store, session, &path, registration.encode()).await;
        }
        if previous_session == Some(owner) {
            tracing::info!(%id, owner, "replacing the registration of our previous session");
            let delete = Op::Delete { path: path.clone(), version: ANY_VERSION };
            match submit_one(store, session, delete).await {
                Ok(_) | Err(StoreError::NoNode(_) | StoreError::ConnectionLost) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        if !said {
            said = true;
            let wait_s = wait.as_secs();
            tracing::warn!(%id, owner, wait_s, "this id is registered by another session: waiting");
        }
        tokio::select! {
            biased;
            () = &mut give_up => return Err(RegistrationError::IdTaken { id, owner }),
            () = change(&mut events, &path) => {}
        }
    }
}

/// Writes a changed registration (its listeners, say); the epoch stays.
pub async fn update(
    store: &dyn MetadataStore,
    id: BrokerId,
    registration: &BrokerRegistration,
) -> Result<i64, RegistrationError> {
    refresh(store, store.session_id(), &broker::path(id), registration.encode()).await
}

/// As Kafka does: created empty, then filled, in one transaction; its first visible version is 1.
/// `None`: somebody's node is there, maybe our own.
async fn create(
    store: &dyn MetadataStore,
    session: i64,
    path: &str,
    data: Bytes,
) -> Result<Option<i64>, StoreError> {
    let path = path.to_owned();
    let both = Op::Multi(vec![
        Op::Create { path: path.clone(), data: None, mode: CreateMode::Ephemeral },
        Op::Set { path, data: Some(data), version: 0 },
    ]);
    match submit_one(store, session, both).await {
        Ok(Reply::Multi(replies)) => match replies.last() {
            Some(Reply::Set { stat }) => Ok(Some(stat.czxid)),
            _ => Err(unexpected()),
        },
        Ok(_) => Err(unexpected()),
        // It may have been done: the node tells.
        Err(StoreError::ConnectionLost) => Ok(None),
        Err(StoreError::Multi { error, .. }) if matches!(*error, StoreError::NodeExists(_)) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The node as it is now, on whatever server we reached; watched until it changes.
async fn holder(store: &dyn MetadataStore, path: &str) -> Result<Option<Stat>, StoreError> {
    retry::read(store, Op::Sync { path: path.to_owned() }).await?;
    retry::exists(store, path, true).await
}

async fn refresh(
    store: &dyn MetadataStore,
    session: i64,
    path: &str,
    data: Bytes,
) -> Result<i64, RegistrationError> {
    for _ in 0..TRIES_MAX {
        let path = path.to_owned();
        let set = Op::Set { path, data: Some(data.clone()), version: ANY_VERSION };
        match submit_one(store, session, set).await {
            Ok(Reply::Set { stat }) => return Ok(stat.czxid),
            Ok(_) => return Err(unexpected().into()),
            Err(error) if error.retriable() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::ConnectionLost.into())
}

async fn submit_one(store: &dyn MetadataStore, session: i64, op: Op) -> Result<Reply, StoreError> {
    store.submit_in(session, vec![op]).await.pop().unwrap_or(Err(StoreError::Closed))
}

fn unexpected() -> StoreError {
    StoreError::Other("a reply of another kind".to_owned())
}

/// Until the node may be another: its watch fired, or watches were lost.
async fn change(events: &mut Receiver<StoreEvent>, path: &str) {
    loop {
        match events.recv().await {
            Ok(StoreEvent::Changed { path: changed, .. }) if changed == path => return,
            Ok(StoreEvent::SessionStarted { .. } | StoreEvent::SessionExpired) => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_) | RecvError::Closed) => return,
        }
    }
}
