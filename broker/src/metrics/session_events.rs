//! The ZooKeeper session's ups and downs, as Kafka counts them
//! (`kafka.server:type=SessionExpireListener`). Knows nothing of what they mean.

use metadata::store::{MetadataStore, StoreEvent};
use metrics::counter;
use tokio::sync::broadcast::error::RecvError;

use crate::tasks::Tasks;

const CONNECTS: &str = "kafka_server_sessionexpirelistener_zookeepersyncconnects_total";
const DISCONNECTS: &str = "kafka_server_sessionexpirelistener_zookeeperdisconnects_total";
const EXPIRES: &str = "kafka_server_sessionexpirelistener_zookeeperexpires_total";

/// Counts until the broker stops.
pub fn count(store: &dyn MetadataStore, tasks: &Tasks) {
    let mut events = store.subscribe();
    let [connects, disconnects, expires] =
        [counter!(CONNECTS), counter!(DISCONNECTS), counter!(EXPIRES)];
    // That of the start was before anybody listened.
    connects.increment(1);
    tasks.spawn_until_stop(async move {
        loop {
            match events.recv().await {
                Ok(StoreEvent::SessionStarted { .. } | StoreEvent::Reconnected) => {
                    connects.increment(1);
                }
                Ok(StoreEvent::Disconnected) => disconnects.increment(1),
                Ok(StoreEvent::SessionExpired) => expires.increment(1),
                Ok(StoreEvent::Changed { .. }) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    });
}
