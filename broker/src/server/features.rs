//! The finalized features, as `/feature` shows them: watched, because ApiVersions tells their epoch
//! and because a feature that is not known here must not be finalized. Knows nothing of what
//! features do.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use metadata::retry;
use metadata::store::{Op, Reply, StoreError, StoreEvent};
use metadata::znodes::feature::{self, Features};
use tokio::sync::broadcast::error::RecvError;

use super::StartError;
use crate::broker::Broker;

/// Pause before another try to read.
const RETRY: Duration = Duration::from_millis(500);

/// Reads the features and keeps `finalized_features_epoch` up to date until the broker stops.
pub async fn watch(broker: &Arc<Broker>) -> Result<(), StartError> {
    let mut events = broker.store.subscribe();
    if let Some(feature) = refresh(broker).await? {
        return Err(StartError::ZooKeeper(not_known_here(&feature)));
    }
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
            loop {
                match refresh(&broker).await {
                    Ok(None) => break,
                    Ok(Some(feature)) => {
                        tracing::error!("{}", not_known_here(&feature));
                        break;
                    }
                    Err(error) => tracing::warn!(%error, "reading the finalized features"),
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    });
    Ok(())
}

/// Gives a finalized feature that is not known here. The watch is set first: what changes after the
/// read wakes us again.
async fn refresh(broker: &Broker) -> Result<Option<String>, StartError> {
    let path = feature::PATH.to_owned();
    let watch = Op::Exists { path: path.clone(), watch: true };
    let get = Op::Get { path, watch: false };
    let mut results = retry::read_all(&*broker.store, vec![watch, get]).await;
    let (epoch, unknown) = match results.pop().unwrap_or(Err(StoreError::Closed)) {
        Err(StoreError::NoNode(_)) => (-1, None),
        Err(error) => return Err(error.into()),
        Ok(Reply::Data { data, stat }) => known_epoch(data.as_deref(), stat.version),
        Ok(other) => return Err(StartError::ZooKeeper(format!("not a read: {other:?}"))),
    };
    broker.finalized_features_epoch.store(epoch, Ordering::Relaxed);
    Ok(unknown)
}

/// The epoch that clients are told, −1 while no features are in force, and a feature that is not
/// known here. What cannot be read says nothing (Kafka's `FinalizedFeatureChangeListener`).
fn known_epoch(data: Option<&[u8]>, version: i32) -> (i64, Option<String>) {
    match Features::decode(data) {
        Ok(features) if features.enabled => {
            (i64::from(version), features.levels.into_keys().next())
        }
        Ok(_) => (-1, None),
        Err(error) => {
            tracing::warn!(%error, "no finalized features are known");
            (-1, None)
        }
    }
}

fn not_known_here(feature: &str) -> String {
    format!("the cluster has finalized {feature:?}, which is not known here")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_kafkas_listener_takes_them() {
        let epoch = |text: &str| known_epoch(Some(text.as_bytes()), 7);
        assert_eq!(known_epoch(None, 7), (-1, None));
        for text in ["", "null", "[]", "no JSON", r#"{"features":{},"version":3,"status":1}"#] {
            assert_eq!(epoch(text), (-1, None), "{text}");
        }
        assert_eq!(epoch(r#"{"features":{},"version":2,"status":1}"#), (7, None));
        assert_eq!(epoch(r#"{"features":{},"version":1,"status":1}"#), (7, None));
        let off = r#"{"features":{"f":{"max_version_level":1}},"version":2,"status":0}"#;
        assert_eq!(epoch(off), (-1, None), "not in force");
        let on = off.replace("\"status\":0", "\"status\":1");
        assert_eq!(epoch(&on), (7, Some("f".to_owned())));
    }
}
