//! Sends the transaction coordinator's markers to partitions' leaders, this broker included: one
//! connection to each, one request at a time. Knows nothing of transactions' states.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::{Connection, Endpoint, Options, TcpTransport, Versions};
use coordinator::shard::directory::NotHere;
use coordinator::transaction::markers::{Destination, Order, Told, request_of};
use coordinator::transaction::service::TRANSACTIONS_TOPIC;
use parking_lot::Mutex;
use protocol::api::ApiKey;
use protocol::ids::{BrokerId, TopicPartition};
use protocol::messages::write_txn_markers::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};

use crate::broker::Broker;

/// Pause before markers are sent again, and before a destination is looked for again.
const RETRY: Duration = Duration::from_millis(100);

/// Pause before a shard is told again that could not hear.
const TELL_RETRY: Duration = Duration::from_millis(50);

/// The version of `inter.broker.protocol.version` 3.9.
const VERSION: (ApiKey, i16) = (ApiKey::WriteTxnMarkers, 1);

/// One connection per broker that was sent to.
type Connections = Arc<Mutex<BTreeMap<BrokerId, Connection>>>;

/// Sends until the broker stops.
pub fn start(broker: &Arc<Broker>) {
    broker.tasks.spawn_until_stop(run(broker.clone()));
}

async fn run(broker: Arc<Broker>) {
    let connections = Connections::default();
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
            let (broker, connections) = (broker.clone(), connections.clone());
            let owner = broker.clone();
            owner.tasks.spawn_until_stop(send(broker, connections, to, orders));
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

async fn send(broker: Arc<Broker>, connections: Connections, to: BrokerId, orders: Vec<Order>) {
    let answer = exchange(&broker, &connections, to, &request_of(&orders)).await;
    if let Err(reason) = &answer {
        tracing::info!(broker = to, reason, "transaction markers");
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

async fn exchange(
    broker: &Arc<Broker>,
    connections: &Connections,
    to: BrokerId,
    request: &WriteTxnMarkersRequest,
) -> Result<WriteTxnMarkersResponse, String> {
    let config = broker.config.load_full();
    let found = broker.replicas.cluster().endpoint(to, &config.inter_broker_listener());
    let node = found.ok_or_else(|| "the broker is not alive".to_owned())?;
    let port = u16::try_from(node.port).map_err(|error| error.to_string())?;
    let endpoint = Endpoint::new(node.host, port);
    let known = connections.lock().remove(&to);
    let known = known.filter(|open| !open.is_closed() && *open.endpoint() == endpoint);
    let connection = match known {
        Some(open) => open,
        None => open(broker, &endpoint).await?,
    };
    let response = connection.call(request).await.map_err(|error| error.to_string())?;
    connections.lock().insert(to, connection);
    Ok(response)
}

async fn open(broker: &Arc<Broker>, endpoint: &Endpoint) -> Result<Connection, String> {
    let timeout_ms = broker.config.load().long("request.timeout.ms");
    let timeout = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0).max(1));
    let options = Options {
        client_id: Some(format!("broker-{}-txn-marker-sender", broker.broker_id)),
        connect_timeout: timeout,
        // The leaders wait for their followers as long as that.
        request_timeout: timeout.saturating_mul(2),
        inflight_max: 1,
        queue_max: 1,
        ..Options::default()
    };
    let versions = Versions::Pinned([VERSION].into_iter().collect());
    let opened = Connection::open(&TcpTransport, endpoint, options, versions).await;
    let (connection, driver) = opened.map_err(|error| error.to_string())?;
    broker.tasks.spawn_until_stop(driver);
    Ok(connection)
}
