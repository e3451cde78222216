//! Whether the new consumer protocol (KIP-848) is served. Apache's group coordinator beside
//! ZooKeeper drops its records, so a group would be lost with the next coordinator: it is served
//! only while every registered broker is one of ours that serves it. Those say so in their
//! registration, as supporting the feature [`FEATURE`] (KIP-584): an Apache broker reads the
//! features that others support but looks only at finalized ones, of which this never is one. A
//! broker that does not serve it registers as Apache's do. Knows nothing of groups.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use metadata::retry;
use metadata::store::{MetadataStore, Op, Reply, StoreError, StoreEvent};
use metadata::znodes::broker::{self as znode, BrokerRegistration};
use protocol::ids::BrokerId;
use tokio::sync::broadcast::error::RecvError;

use crate::config::BrokerConfig;
use crate::tasks::Tasks;

/// What a broker that serves such groups says in its registration.
pub const FEATURE: &str = "ottla.consumer.groups";

/// The versions of their records that it keeps.
const VERSIONS: (i16, i16) = (1, 1);

/// Pause before another try to read.
const RETRY: Duration = Duration::from_millis(500);

/// What this broker supports, for its registration.
pub fn features(config: &BrokerConfig) -> BTreeMap<String, (i16, i16)> {
    is_enabled(config).then(|| (FEATURE.to_owned(), VERSIONS)).into_iter().collect()
}

fn is_enabled(config: &BrokerConfig) -> bool {
    let protocols = config.list("group.coordinator.rebalance.protocols");
    protocols.iter().any(|name| name.eq_ignore_ascii_case("consumer"))
}

/// Why the protocol is not served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotServed {
    #[error("group.coordinator.rebalance.protocols does not list consumer")]
    Off,
    #[error("which brokers are registered is not known yet")]
    NotKnownYet,
    #[error(
        "brokers {0:?} are registered that do not serve the groups of the consumer protocol; it is \
         served only while every broker of the cluster does"
    )]
    Others(BTreeSet<BrokerId>),
}

/// What is known of it now.
#[derive(Debug)]
pub struct ConsumerProtocol {
    /// Whether the configuration asks for it.
    pub enabled: bool,
    served: ArcSwap<Result<(), NotServed>>,
}

impl ConsumerProtocol {
    pub fn new(config: &BrokerConfig) -> ConsumerProtocol {
        let enabled = is_enabled(config);
        let served = Err(if enabled { NotServed::NotKnownYet } else { NotServed::Off });
        ConsumerProtocol { enabled, served: ArcSwap::from_pointee(served) }
    }

    pub fn check(&self) -> Result<(), NotServed> {
        (**self.served.load()).clone()
    }

    /// These registered brokers do not serve it.
    pub fn others(&self, others: BTreeSet<BrokerId>) {
        let served = if others.is_empty() { Ok(()) } else { Err(NotServed::Others(others)) };
        if *self.served.swap(Arc::new(served.clone())) != served {
            match &served {
                Ok(()) => tracing::info!("the consumer protocol of groups is served"),
                Err(why) => tracing::warn!(%why, "the consumer protocol of groups is not served"),
            }
        }
    }
}

/// Looks at the registrations, and again whenever they change, until the broker stops.
pub fn watch(protocol: &Arc<ConsumerProtocol>, store: &Arc<dyn MetadataStore>, tasks: &Tasks) {
    if !protocol.enabled {
        return;
    }
    let mut events = store.subscribe();
    let (protocol, store) = (protocol.clone(), store.clone());
    tasks.spawn_until_stop(async move {
        loop {
            match others(&*store).await {
                Ok(others) => protocol.others(others),
                Err(error) => {
                    tracing::warn!(%error, "reading the registered brokers");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            }
            loop {
                match events.recv().await {
                    Ok(StoreEvent::Changed { path, .. }) if path == znode::IDS_PATH => break,
                    Ok(StoreEvent::SessionStarted { .. }) | Err(RecvError::Lagged(_)) => break,
                    Ok(_) => {}
                    Err(RecvError::Closed) => return,
                }
            }
        }
    });
}

/// The registered brokers that do not serve it.
async fn others(store: &dyn MetadataStore) -> Result<BTreeSet<BrokerId>, StoreError> {
    let children = Op::Children { path: znode::IDS_PATH.to_owned(), watch: true };
    let ids: Vec<BrokerId> = match retry::read(store, children).await? {
        Reply::Children { names, .. } => {
            names.iter().filter_map(|name| name.parse().ok()).collect()
        }
        _ => Vec::new(),
    };
    let get = |id: &BrokerId| Op::Get { path: znode::path(*id), watch: false };
    let read = retry::read_all(store, ids.iter().map(get).collect()).await;
    let mut others = BTreeSet::new();
    for (id, reply) in ids.into_iter().zip(read) {
        match reply {
            Ok(Reply::Data { data, .. }) => {
                let registration = BrokerRegistration::decode(id, data.as_deref());
                if !registration.is_ok_and(|of| of.features.get(FEATURE) == Some(&VERSIONS)) {
                    others.insert(id);
                }
            }
            // It went meanwhile: the watch tells.
            Err(StoreError::NoNode(_)) => {}
            Err(error) => return Err(error),
            Ok(_) => {
                others.insert(id);
            }
        }
    }
    Ok(others)
}
