//! This broker among the live ones: registered at the start, and again with every new session.
//! Knows nothing of who controls.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use coordinator::metadata::registration::{self, RegistrationError};
use coordinator::metadata::store::StoreEvent;
use coordinator::znodes::broker::{BrokerRegistration, Endpoint, SecurityProtocol};
use tokio::sync::broadcast::error::RecvError;

use super::StartError;
use crate::broker::Broker;
use crate::config::BrokerConfig;

/// Pause before another try, while the ensemble refuses.
const RETRY: Duration = Duration::from_millis(500);

/// Registers this broker and keeps it registered until the store is closed.
pub async fn join(
    broker: &Arc<Broker>,
    listeners: &[(Arc<str>, SocketAddr)],
) -> Result<(), StartError> {
    let mine = advertised(&broker.config.load(), listeners, broker.clock.now_ms());
    let store = &*broker.store;
    registration::check_endpoints(store, broker.broker_id, &mine).await?;
    let mut events = store.subscribe();
    let mut session = store.session_id();
    let wait = store.lease().map_or(Duration::ZERO, |l| registration::other_session_wait(&l));
    let epoch = registration::register(store, broker.broker_id, &mine, None, wait).await?;
    broker.broker_epoch.store(epoch, Ordering::Release);
    let broker = broker.clone();
    let tasks = broker.clone();
    tasks.tasks.spawn_until_stop(async move {
        loop {
            match events.recv().await {
                Ok(StoreEvent::SessionStarted { session_id }) if session_id != session => {
                    register_again(&broker, &mine, session, wait).await;
                    session = broker.store.session_id();
                }
                // Missed events may have held a new session.
                Err(RecvError::Lagged(_)) if broker.store.session_id() != session => {
                    register_again(&broker, &mine, session, wait).await;
                    session = broker.store.session_id();
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    });
    Ok(())
}

async fn register_again(broker: &Broker, mine: &BrokerRegistration, previous: i64, wait: Duration) {
    let id = broker.broker_id;
    loop {
        match registration::register(&*broker.store, id, mine, Some(previous), wait).await {
            Ok(epoch) => {
                broker.broker_epoch.store(epoch, Ordering::Release);
                tracing::info!(id, epoch, "registered again in a new session");
                return;
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
        features: Default::default(),
    }
}

/// What clients are told when the listener names no host.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
