//! The finalized features, as `/feature` shows them: watched, because ApiVersions tells their epoch
//! and because a feature that is not known here must not be finalized. Knows nothing of what
//! features do.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use coordinator::metadata::retry;
use coordinator::metadata::store::{Op, Reply, StoreError, StoreEvent};
use coordinator::znodes::feature::{self, Features};
use tokio::sync::broadcast::error::RecvError;

use super::StartError;
use crate::broker::Broker;

/// Pause before another try to read.
const RETRY: Duration = Duration::from_millis(500);

/// Reads the features and keeps `finalized_features_epoch` up to date until the broker stops.
pub async fn watch(broker: &Arc<Broker>) -> Result<(), StartError> {
    let mut events = broker.store.subscribe();
    refresh(broker).await?;
    let tasks = broker.tasks.clone();
    let broker = broker.clone();
    tasks.spawn_until_stop(async move {
        loop {
            match events.recv().await {
                Ok(StoreEvent::Changed { path, .. }) if path == feature::PATH => {}
                // The watch went with the session, or its event was lost.
                Ok(StoreEvent::SessionStarted { .. }) | Err(RecvError::Lagged(_)) => {}
                Ok(_) => continue,
                Err(RecvError::Closed) => return,
            }
            while let Err(error) = refresh(&broker).await {
                tracing::warn!(%error, "reading the finalized features");
                tokio::time::sleep(RETRY).await;
            }
        }
    });
    Ok(())
}

/// The watch is set first: what changes after the read wakes us again.
async fn refresh(broker: &Broker) -> Result<(), StartError> {
    let path = feature::PATH.to_owned();
    let watch = Op::Exists { path: path.clone(), watch: true };
    let get = Op::Get { path, watch: false };
    let mut results = retry::read_all(&*broker.store, vec![watch, get]).await;
    let epoch = match results.pop().unwrap_or(Err(StoreError::Closed)) {
        Err(StoreError::NoNode(_)) => -1,
        Err(error) => return Err(error.into()),
        Ok(Reply::Data { data, stat }) => {
            let features = Features::decode(data.as_deref());
            let features = features.map_err(|e| StartError::ZooKeeper(e.to_string()))?;
            if let Some(unknown) = features.levels.keys().next() {
                let reason =
                    format!("the cluster has finalized {unknown:?}, which is not known here");
                return Err(StartError::ZooKeeper(reason));
            }
            i64::from(stat.version)
        }
        Ok(other) => return Err(StartError::ZooKeeper(format!("not a read: {other:?}"))),
    };
    broker.finalized_features_epoch.store(epoch, Ordering::Relaxed);
    Ok(())
}
