//! The features that the cluster has finalized (`/feature`, KIP-584), and what this broker knows of
//! them. Knows no request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use metadata::retry;
use metadata::store::{MetadataStore, Op, Reply, StoreError};
use metadata::znodes::feature::{self, Features};

use crate::authorizer::{Authorized, Cluster, op};

/// Pause before it is asked again whether this broker knows of a change.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The node, and the version of it that is known here.
pub struct FinalizedFeatures {
    store: Arc<dyn MetadataStore>,
    /// −1 until it has been read.
    epoch: Arc<AtomicI64>,
}

impl FinalizedFeatures {
    pub fn new(store: Arc<dyn MetadataStore>, epoch: Arc<AtomicI64>) -> FinalizedFeatures {
        FinalizedFeatures { store, epoch }
    }

    /// The features and the version of their node.
    pub async fn read(&self) -> Result<(Features, i32), String> {
        let found = retry::get(&*self.store, feature::PATH, false).await;
        match found.map_err(|error| error.to_string())? {
            None => Ok((Features::enabled(BTreeMap::new()), -1)),
            Some((data, stat)) => {
                let features = Features::decode(data.as_deref());
                Ok((features.map_err(|error| error.to_string())?, stat.version))
            }
        }
    }

    /// Writes over the version that was read, and waits until this broker knows of it.
    pub async fn write(
        &self,
        _: &Authorized<'_, op::Alter, Cluster>,
        features: &Features,
        version: i32,
        patience: Duration,
    ) -> Result<(), String> {
        let data = Some(features.encode());
        let set = Op::Set { path: feature::PATH.to_owned(), data, version };
        let reply = retry::read(&*self.store, set).await;
        let reply = reply.map_err(|error: StoreError| error.to_string())?;
        let Reply::Set { stat } = reply else { return Err(format!("not a write: {reply:?}")) };
        let known = async {
            while self.epoch.load(Ordering::Relaxed) < i64::from(stat.version) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::time::timeout(patience, known).await.map_err(|_| "not known in time".to_owned())
    }
}
