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

use super::Transactions;
use super::peers::{PeerAccess, Peers};
use crate::authorizer::{CLUSTER, Internal};
use crate::handlers::write_txn_markers::MarkerWriter;

/// Pause before markers are sent again, and before a destination is looked for again.
const RETRY: Duration = Duration::from_millis(100);

/// Pause before a shard is told again that could not hear.
const TELL_RETRY: Duration = Duration::from_millis(50);

/// The version of `inter.broker.protocol.version` 3.9.
const VERSION: (ApiKey, i16) = (ApiKey::WriteTxnMarkers, 1);

/// Sends markers, the queues of which the coordinator fills.
pub struct Markers {
    transactions: Arc<Transactions>,
    access: PeerAccess,
    peers: Arc<Peers>,
    /// For what this broker leads.
    writer: Arc<MarkerWriter>,
    internal: Internal,
}

impl Markers {
    pub fn new(
        transactions: Arc<Transactions>,
        access: PeerAccess,
        writer: Arc<MarkerWriter>,
        internal: Internal,
    ) -> Markers {
        let versions = Versions::Pinned([VERSION].into_iter().collect());
        // Whoever answers may itself wait as long as once, for its followers.
        let peers = Peers::new(access.clone(), "txn-marker-sender", versions, 2);
        Markers { transactions, access, peers, writer, internal }
    }

    /// Sends until the broker stops.
    pub fn start(self: &Arc<Self>) {
        let markers = self.clone();
        self.access.tasks.spawn_until_stop(async move { markers.run().await });
    }

    async fn run(self: Arc<Self>) {
        let queues = &self.transactions.outbox.queues;
        loop {
            let (told, waiting) = {
                let mut queues = queues.lock();
                let told = queues.route(&|partition| self.destination(partition));
                (told, queues.has_unrouted())
            };
            if !told.is_empty() {
                let markers = self.clone();
                self.access.tasks.spawn_until_stop(async move { markers.tell(told).await });
            }
            loop {
                let next = queues.lock().take_next();
                let Some((to, orders)) = next else { break };
                let markers = self.clone();
                self.access.tasks.spawn_until_stop(async move { markers.send(to, orders).await });
            }
            let work = &self.transactions.work;
            if waiting {
                // A leader may be elected any time.
                let _ = tokio::time::timeout(RETRY, work.notified()).await;
            } else {
                work.notified().await;
            }
        }
    }

    fn destination(&self, partition: &TopicPartition) -> Destination {
        let cluster = self.access.metadata.load();
        let Some(known) = cluster.partition(&partition.topic, partition.partition) else {
            // A broker that knows nothing yet does not know what was deleted either.
            let knows = cluster.partition(TRANSACTIONS_TOPIC, 0).is_some();
            return if knows { Destination::Gone } else { Destination::Unknown };
        };
        let listener = self.access.config.load().inter_broker_listener();
        match cluster.listener(known.leader, &listener) {
            Some(_) => Destination::Broker(known.leader),
            None => Destination::Unknown,
        }
    }

    async fn send(&self, to: BrokerId, orders: Vec<Order>) {
        let request = request_of(&orders);
        let answer = if to == self.access.identity.broker_id {
            let authorized = self.internal.authorized(CLUSTER);
            Ok(self.writer.write(authorized, request).await)
        } else {
            self.peers.call(to, &request, VERSION.1).await
        };
        if let Err(error) = &answer {
            tracing::info!(broker = to, %error, "transaction markers were not answered");
        }
        let queues = &self.transactions.outbox.queues;
        let (told, again) = queues.lock().answered(orders, answer.as_ref().ok());
        self.tell(told).await;
        if again {
            tokio::time::sleep(RETRY).await;
        }
        queues.lock().release(to);
        self.transactions.work.notify_one();
    }

    /// Tells shards what became of their markers, again until they hear or have gone.
    async fn tell(&self, told: Vec<Told>) {
        for news in told {
            loop {
                match self.transactions.service.markers_done(news.clone()) {
                    Ok(()) | Err(NotHere::Stopped | NotHere::NotLeader) => break,
                    Err(NotHere::Loading | NotHere::Busy) => tokio::time::sleep(TELL_RETRY).await,
                }
            }
        }
    }
}
