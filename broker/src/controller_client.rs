//! What this broker asks of whoever is controller: producer ids over the long-lived channel, and
//! leave to stop over a connection of its own. Knows nothing of what the answers are for.

use std::sync::Arc;
use std::time::Duration;

use client::{CallError, Connection, Endpoint, OpenError, Options, TcpTransport, Versions};
use coordinator::controller::Role;
use coordinator::controller::event::RequestError;
use coordinator::metadata::retry;
use coordinator::metadata::store::{MetadataStore, Op, StoreError};
use coordinator::znodes::ZnodeError;
use coordinator::znodes::broker::{self, BrokerRegistration};
use protocol::api::ApiKey;
use protocol::error_code::ErrorCode;
use protocol::ids::{BrokerId, ProducerId, TopicPartition};
use protocol::messages::allocate_producer_ids::AllocateProducerIdsRequest;
use protocol::messages::controlled_shutdown::ControlledShutdownRequest;
use protocol::wire::Request;

use crate::broker::Broker;

/// How long one try to leave may take: whoever stops a broker beside a dead ensemble does not want
/// to wait for the ensemble.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the ensemble may be silent while this broker leaves, and how often it is asked.
const SILENCE_MAX: Duration = Duration::from_millis(1500);
const LOOK: Duration = Duration::from_millis(100);

/// Nobody is controller.
const NOBODY: Role = Role::Follower { controller: None };

/// How long a controller that is about to stop waits for another to take the office, if there are
/// others: an election takes milliseconds.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the controller gave no answer, or not the one that was hoped for.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("there is no controller")]
    NoController,
    #[error("controller {0} is not registered with a listener for other brokers")]
    Unreachable(BrokerId),
    #[error(transparent)]
    Refused(#[from] RequestError),
    #[error("the controller answered {0:?}")]
    Code(ErrorCode),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Znode(#[from] ZnodeError),
}

/// The next block of producer ids: the first and how many there are.
pub async fn allocate_producer_ids(broker: &Broker) -> Result<(ProducerId, i32), AskError> {
    let broker_epoch = broker.identity.broker_epoch();
    let controller = broker.to_controller.connect(broker).await?;
    let version = controller.version_of::<AllocateProducerIdsRequest>()?;
    let request = AllocateProducerIdsRequest { broker_id: broker.identity.broker_id, broker_epoch };
    let response = controller.call(broker, &request, version).await?;
    match ErrorCode(response.error_code) {
        ErrorCode::NONE => Ok((response.producer_id_start, response.producer_id_len)),
        code => {
            if code == ErrorCode::NOT_CONTROLLER {
                broker.to_controller.forget(&controller);
            }
            Err(AskError::Code(code))
        }
    }
}

/// Asks once for leave to stop; gives the partitions that this broker still leads though others
/// have replicas of them.
async fn controlled_shutdown(broker: &Broker) -> Result<Vec<TopicPartition>, AskError> {
    let broker_epoch = broker.identity.broker_epoch();
    let broker_id = broker.identity.broker_id;
    let Some(controller) = other_controller(broker)? else {
        let own = &broker.controller.handle;
        return Ok(own.controlled_shutdown(broker_id, broker_epoch).await?);
    };
    let request = ControlledShutdownRequest { broker_id, broker_epoch };
    let response = call(broker, controller, &request, (ApiKey::ControlledShutdown, 3)).await?;
    match ErrorCode(response.error_code) {
        ErrorCode::NONE => Ok(response
            .remaining_partitions
            .into_iter()
            .map(|p| TopicPartition::new(p.topic_name, p.partition_index))
            .collect()),
        code => Err(AskError::Code(code)),
    }
}

/// Leaves the cluster in order before the broker stops. False if ZooKeeper does not answer: then no
/// leadership can move, whoever controls.
pub async fn leave(broker: &Arc<Broker>) -> bool {
    tokio::select! {
        () = hand_leaderships_over(broker) => true,
        () = silence(&*broker.store) => {
            tracing::warn!("ZooKeeper does not answer: stopping without moving leaderships");
            false
        }
    }
}

/// Returns once the store has not answered for `SILENCE_MAX`.
async fn silence(store: &dyn MetadataStore) {
    let read = || retry::one(store, Op::Exists { path: "/".to_owned(), watch: false });
    while let Ok(answer) = tokio::time::timeout(SILENCE_MAX, read()).await {
        if answer == Err(StoreError::Closed) {
            return;
        }
        // One that was lost with its connection is followed by one that waits for another.
        tokio::time::sleep(LOOK).await;
    }
}

/// Moves this broker's leaderships to others before it stops, as long as `controlled.shutdown.*`
/// allows. Serving goes on meanwhile. A controller gives its office up first and then asks its
/// successor, who knows from then on that this broker goes, and outlives the requests that tell
/// everybody. (Apache's keeps the office to the end of its stop.)
async fn hand_leaderships_over(broker: &Arc<Broker>) {
    let config = broker.config.load_full();
    if !config.bool("controlled.shutdown.enable") {
        return;
    }
    if broker.controller.handle.is_controller() && broker.metadata.load().brokers.len() > 1 {
        hand_over(broker).await;
    }
    let pause = config.long("controlled.shutdown.retry.backoff.ms");
    let pause = Duration::from_millis(u64::try_from(pause).unwrap_or(0));
    for attempt in 1..=config.int("controlled.shutdown.max.retries") {
        let asked = controller_or_none(broker).await;
        let tried = tokio::time::timeout(LEAVE_TIMEOUT, controlled_shutdown(broker)).await;
        let Ok(answer) = tried else {
            tracing::warn!("no answer about the controlled shutdown");
            return;
        };
        match answer {
            Ok(remaining) if remaining.is_empty() => return,
            Ok(remaining) => {
                tracing::warn!(attempt, partitions = remaining.len(), "nobody took them over yet");
            }
            Err(AskError::NoController) => {
                tracing::warn!("no controller to hand leaderships over to");
                return;
            }
            Err(error) => tracing::warn!(attempt, %error, "controlled shutdown"),
        }
        // Another controller can be asked at once.
        let mut role = broker.controller.handle.role();
        let other = role.wait_for(|now| *now != asked && *now != NOBODY);
        let _ = tokio::time::timeout(pause, other).await;
    }
    tracing::warn!("stopping although leaderships were not moved");
}

/// Who controls, once somebody does: between two controllers there is nobody for a moment. Without
/// a session nobody is waited for.
async fn controller_or_none(broker: &Broker) -> Role {
    let handle = &broker.controller.handle;
    let mut role = handle.role();
    if handle.may_command() {
        let _ = tokio::time::timeout(HAND_OVER_TIMEOUT, role.wait_for(|r| *r != NOBODY)).await;
    }
    *role.borrow()
}

/// Until another is controller; if nobody is there to be, this broker is it again.
async fn hand_over(broker: &Broker) {
    let handle = &broker.controller.handle;
    let mut role = handle.role();
    let retire = async {
        handle.retire().await;
        // Fails only if the sender is gone, which the broker holds.
        let _ = role.wait_for(|role| matches!(role, Role::Follower { controller: Some(_) })).await;
    };
    if tokio::time::timeout(HAND_OVER_TIMEOUT, retire).await.is_ok() || *role.borrow() != NOBODY {
        return;
    }
    tracing::warn!("nobody else takes the controller's office");
    let stand = async {
        handle.stand_again().await;
        let _ = role.wait_for(|role| *role != NOBODY).await;
    };
    let _ = tokio::time::timeout(HAND_OVER_TIMEOUT, stand).await;
}

/// `None`: this very broker is the controller.
fn other_controller(broker: &Broker) -> Result<Option<BrokerId>, AskError> {
    match *broker.controller.handle.role().borrow() {
        Role::Controller { .. } => Ok(None),
        Role::Follower { controller: Some(id) } => Ok(Some(id)),
        Role::Follower { controller: None } => Err(AskError::NoController),
    }
}

async fn call<R: Request>(
    broker: &Broker,
    controller: BrokerId,
    request: &R,
    version: (ApiKey, i16),
) -> Result<R::Response, AskError> {
    let endpoint = endpoint_of(broker, controller).await?;
    let timeout = timeout(broker);
    let options = Options {
        client_id: Some(broker.identity.broker_id.to_string()),
        connect_timeout: timeout,
        request_timeout: timeout,
        ..Options::default()
    };
    let versions = Versions::Pinned([version].into_iter().collect());
    let (connection, driver) =
        Connection::open(&TcpTransport, &endpoint, options, versions).await?;
    let answer = async {
        let response = connection.call(request).await;
        connection.close();
        response
    };
    let (response, ()) = futures::join!(answer, driver);
    Ok(response?)
}

/// Where another broker listens for its like: as the controller says, else as it registered itself.
pub async fn endpoint_of(broker: &Broker, id: BrokerId) -> Result<Endpoint, AskError> {
    if let Some(own) = broker.identity.own_endpoint(id) {
        return Ok(own);
    }
    let name = broker.config.load().inter_broker_listener();
    let told = broker.metadata.load().listener(id, &name).map(|l| (l.host.clone(), l.port));
    let (host, port) = match told {
        Some(told) => told,
        None => {
            let node = retry::get(&*broker.store, &broker::path(id), false).await?;
            let (data, _) = node.ok_or(AskError::Unreachable(id))?;
            let registration = BrokerRegistration::decode(id, data.as_deref())?;
            let endpoint = registration.endpoint(&name).ok_or(AskError::Unreachable(id))?;
            (endpoint.host.clone(), endpoint.port)
        }
    };
    let port = u16::try_from(port).map_err(|_| AskError::Unreachable(id))?;
    Ok(Endpoint::new(host, port))
}

/// `request.timeout.ms`.
pub fn timeout(broker: &Broker) -> Duration {
    let timeout_ms = broker.config.load().long("request.timeout.ms");
    Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0))
}
