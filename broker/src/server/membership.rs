//! This broker among the live ones: registered at the start, and again with every new session.
//! Knows nothing of who controls.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use metadata::deadline::Deadline;
use metadata::registration::{self, RegistrationError};
use metadata::store::StoreEvent;
use metadata::znodes::broker::{BrokerRegistration, Endpoint, SecurityProtocol};
use tokio::sync::broadcast::error::RecvError;

use super::{StartError, network};
use crate::broker::Broker;
use crate::config::BrokerConfig;
use crate::consumer_protocol;
use crate::replication::session_fence::SessionFence;

/// Pause before another try, while the ensemble refuses.
const RETRY: Duration = Duration::from_millis(500);

/// Registers this broker and keeps it registered until the store is closed. Gives where other
/// brokers are told to reach it.
pub async fn join(
    broker: &Arc<Broker>,
    listeners: &[(Arc<str>, SocketAddr)],
) -> Result<Option<client::Endpoint>, StartError> {
    network::know_own_listener(broker, listeners);
    let mine = advertised(&broker.config.load(), listeners, broker.clock.now_ms());
    let told = inter_broker_endpoint(broker, &mine);
    let store = &*broker.store;
    registration::check_endpoints(store, broker.identity.broker_id, &mine).await?;
    if broker.config.load().bool("ottla.fence.on.session.loss") {
        let clock = broker.clock;
        let deadline = Deadline::new(broker.store.clone(), Arc::new(move || clock.boot_ms()));
        broker.replicas.stand_behind(SessionFence::new(deadline));
    }
    let mut events = store.subscribe();
    let mut session = store.session_id();
    let wait = store.lease().map_or(Duration::ZERO, |l| registration::other_session_wait(&l));
    let epoch = registration::register(store, broker.identity.broker_id, &mine, None, wait).await?;
    registered(broker, session, epoch);
    let broker = broker.clone();
    let tasks = broker.clone();
    tasks.tasks.spawn_until_stop(async move {
        loop {
            let fence = broker.replicas.fence();
            tokio::select! {
                event = events.recv() => match event {
                    Err(RecvError::Closed) => return,
                    // Missed events may have held a new session.
                    Ok(StoreEvent::SessionStarted { .. }) | Err(RecvError::Lagged(_)) => {}
                    Ok(_) => continue,
                },
                // A session that is heard again past its deadline need not begin with an event.
                () = tokio::time::sleep(RETRY), if fence.is_some() => {}
            }
            let fenced = fence.is_some_and(SessionFence::is_closed);
            if broker.store.session_id() != session || fenced {
                session = register_again(&broker, &mine, session, wait).await;
            }
        }
    });
    Ok(told)
}

/// `session` is at most older than the registration's: the event of a newer one is still to come.
fn registered(broker: &Broker, session: i64, epoch: i64) {
    broker.identity.registered(epoch);
    if let Some(fence) = broker.replicas.fence() {
        fence.open(session);
    }
}

/// Gives the session that this broker is registered in from now on.
async fn register_again(
    broker: &Broker,
    mine: &BrokerRegistration,
    previous: i64,
    wait: Duration,
) -> i64 {
    let id = broker.identity.broker_id;
    loop {
        let session = broker.store.session_id();
        if session == 0 {
            tokio::time::sleep(RETRY).await;
            continue;
        }
        match registration::register(&*broker.store, id, mine, Some(previous), wait).await {
            Ok(epoch) => {
                registered(broker, session, epoch);
                tracing::info!(id, epoch, "registered again");
                return session;
            }
            Err(error @ RegistrationError::IdTaken { .. }) => {
                tracing::error!(%error, "this broker is not registered any more");
            }
            Err(error) => tracing::warn!(%error, "registering again"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// The advertised listeners; a host or port left open is the bound one.
fn advertised(
    config: &BrokerConfig,
    bound: &[(Arc<str>, SocketAddr)],
    now_ms: i64,
) -> BrokerRegistration {
    let endpoints = config
        .advertised_listeners()
        .into_iter()
        .map(|endpoint| {
            let local = bound.iter().find(|(name, _)| **name == *endpoint.name);
            let port = match (endpoint.port, local) {
                (0, Some((_, address))) => address.port(),
                (port, _) => port,
            };
            let host = if endpoint.host.is_empty() { host_name() } else { endpoint.host };
            Endpoint {
                listener: endpoint.name,
                security_protocol: SecurityProtocol::Plaintext,
                host,
                port: i32::from(port),
            }
        })
        .collect();
    BrokerRegistration {
        endpoints,
        rack: config.text("broker.rack").map(str::to_owned),
        jmx_port: -1,
        timestamp_ms: now_ms,
        features: consumer_protocol::features(config),
    }
}

/// Where other brokers are told to reach this one.
fn inter_broker_endpoint(broker: &Broker, mine: &BrokerRegistration) -> Option<client::Endpoint> {
    let endpoint = mine.endpoint(&broker.config.load().inter_broker_listener())?;
    let port = u16::try_from(endpoint.port).ok()?;
    Some(client::Endpoint::new(endpoint.host.clone(), port))
}

/// What clients are told when the listener names no host.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
