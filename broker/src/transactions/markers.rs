//! Sends the transaction coordinator's markers to partitions' leaders, over one connection to each,
//! one request at a time; what this broker leads it writes without one. Knows nothing of
//! transactions' states.

use std::sync::Arc;
use std::time::Duration;

use client::Versions;
use coordinator::shard::directory::NotHere;
use coordinator::transaction::markers::{Destination, Order, Told, request_of};
use coordinator::transaction::service::TRANSACTIONS_TOPIC;
use protocol::api::ApiKey;
use protocol::ids::{BrokerId, TopicPartition};

use super::peers::Peers;
use crate::authorizer::CLUSTER;
use crate::broker::Broker;
use crate::handlers::write_txn_markers;

/// Pause before markers are sent again, and before a destination is looked for again.
const RETRY: Duration = Duration::from_millis(100);

/// Pause before a shard is told again that could not hear.
const TELL_RETRY: Duration = Duration::from_millis(50);

/// The version of `inter.broker.protocol.version` 3.9.
const VERSION: (ApiKey, i16) = (ApiKey::WriteTxnMarkers, 1);

/// Sends until the broker stops.
pub fn start(broker: &Arc<Broker>) {
    broker.tasks.spawn_until_stop(run(broker.clone()));
}

async fn run(broker: Arc<Broker>) {
    let versions = Versions::Pinned([VERSION].into_iter().collect());
    // Whoever answers may itself wait as long as once, for its followers.
    let peers = Peers::new("txn-marker-sender", versions, 2);
    loop {
        let (told, waiting) = {
            let mut queues = broker.transactions.outbox.queues.lock();
            let told = queues.route(&|partition| destination(&broker, partition));
            (told, queues.has_unrouted())
        };
        if !told.is_empty() {
            broker.tasks.spawn_until_stop(tell(broker.clone(), told));
        }
        loop {
            let next = broker.transactions.outbox.queues.lock().take_next();
            let Some((to, orders)) = next else { break };
            let sending = send(broker.clone(), peers.clone(), to, orders);
            broker.tasks.spawn_until_stop(sending);
        }
        let work = &broker.transactions.work;
        if waiting {
            // A leader may be elected any time.
            let _ = tokio::time::timeout(RETRY, work.notified()).await;
        } else {
            work.notified().await;
        }
    }
}

fn destination(broker: &Broker, partition: &TopicPartition) -> Destination {
    let cluster = broker.replicas.cluster();
    let Some(leader) = cluster.leader(&partition.topic, partition.partition) else {
        // A broker that knows nothing yet does not know what was deleted either.
        let knows = cluster.has_partition(TRANSACTIONS_TOPIC, 0);
        return if knows { Destination::Gone } else { Destination::Unknown };
    };
    let listener = broker.config.load().inter_broker_listener();
    match cluster.endpoint(leader.id, &listener) {
        Some(_) => Destination::Broker(leader.id),
        None => Destination::Unknown,
    }
}

async fn send(broker: Arc<Broker>, peers: Arc<Peers>, to: BrokerId, orders: Vec<Order>) {
    let request = request_of(&orders);
    let answer = if to == broker.identity.broker_id {
        let authorized = broker.internal.authorized(CLUSTER);
        Ok(write_txn_markers::write(&broker, authorized, request).await)
    } else {
        peers.call(&broker, to, &request, VERSION.1).await
    };
    if let Err(error) = &answer {
        tracing::info!(broker = to, %error, "transaction markers were not answered");
    }
    let (told, again) =
        broker.transactions.outbox.queues.lock().answered(orders, answer.as_ref().ok());
    tell(broker.clone(), told).await;
    if again {
        tokio::time::sleep(RETRY).await;
    }
    broker.transactions.outbox.queues.lock().release(to);
    broker.transactions.work.notify_one();
}

/// Tells shards what became of their markers, again until they hear or have gone.
async fn tell(broker: Arc<Broker>, told: Vec<Told>) {
    for news in told {
        loop {
            match broker.transactions.service.markers_done(news.clone()) {
                Ok(()) | Err(NotHere::Stopped | NotHere::NotLeader) => break,
                Err(NotHere::Loading | NotHere::Busy) => tokio::time::sleep(TELL_RETRY).await,
            }
        }
    }
}
