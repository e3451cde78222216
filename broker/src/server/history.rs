//! What this broker has seen of the metadata's history: a ZooKeeper that was restored from an old
//! snapshot would give epochs out for a second time, under which replicas could not tell old
//! leaders from new ones. Knows nothing of what the epochs are for.

use std::path::PathBuf;
use std::sync::Arc;

use metadata::retry;
use metadata::store::{MetadataStore, Op};
use metadata::znodes::controller_epoch;
use storage::disk::Disk;
use storage::metadata_mark::{METADATA_MARK_FILE, MetadataMark};

use super::StartError;
use crate::broker::Broker;

/// Refuses metadata that is older than what this broker has seen before. To be called before
/// anything is written to it.
pub async fn check(store: &dyn MetadataStore, seen: MetadataMark) -> Result<(), StartError> {
    // A server that lags behind the others is no old snapshot.
    retry::read(store, Op::Sync { path: "/".to_owned() }).await?;
    let epoch = match retry::get(store, controller_epoch::PATH, false).await? {
        Some((data, _)) => controller_epoch::decode(data.as_deref()).unwrap_or_else(|error| {
            // Nothing is given out for a second time: nobody is elected while it is so.
            tracing::warn!(%error, "the history of controllers cannot be told from it");
            seen.controller_epoch
        }),
        None => 0,
    };
    let zxid = store.lease().map_or(0, |lease| lease.last_zxid);
    let older = |what: &str, now: String, before: String| {
        StartError::DataDir(format!(
            "the metadata is older than what this broker has seen: {what} is {now}, it was \
             {before}. If ZooKeeper was restored from a snapshot on purpose, remove \
             {METADATA_MARK_FILE} from every log directory"
        ))
    };
    if epoch < seen.controller_epoch {
        let (now, before) = (epoch.to_string(), seen.controller_epoch.to_string());
        return Err(older("the controller epoch", now, before));
    }
    if zxid < seen.czxid {
        let (now, before) = (format!("{zxid:#x}"), format!("{:#x}", seen.czxid));
        return Err(older("the newest transaction", now, before));
    }
    Ok(())
}

/// Notes every higher epoch in every log directory, until the broker stops.
pub fn keep(broker: &Arc<Broker>, disk: Arc<dyn Disk>, dirs: Vec<PathBuf>, seen: MetadataMark) {
    let owner = broker.clone();
    broker.tasks.spawn_until_stop(async move {
        let mut noted = seen;
        loop {
            let mut now = noted;
            // Every registration is followed by an update from the controller.
            let higher = owner.metadata.wait_until(|cluster| {
                let controller_epoch = cluster.controller_epoch;
                let czxid = owner.identity.broker_epoch();
                now = noted.max(MetadataMark { czxid, controller_epoch });
                now != noted
            });
            higher.await;
            noted = now;
            let (broker, disk, dirs) = (owner.clone(), disk.clone(), dirs.clone());
            owner.tasks.blocking(move || write(&broker, &*disk, &dirs, now)).await;
        }
    });
}

fn write(broker: &Broker, disk: &dyn Disk, dirs: &[PathBuf], mark: MetadataMark) {
    let offline = |dir: &PathBuf| {
        broker.replicas.logs().dirs().iter().any(|d| d.path() == dir && d.is_offline())
    };
    for dir in dirs.iter().filter(|dir| !offline(dir)) {
        if let Err(error) = mark.write(disk, dir) {
            tracing::error!(dir = %dir.display(), %error, "the metadata's mark was not written");
        }
    }
}
