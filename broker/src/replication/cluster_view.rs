//! What partitions and their handlers must know of the cluster and the configuration around them.
//! Knows nothing of how the broker learned it.

use std::sync::Arc;

use protocol::ids::{BrokerId, LeaderEpoch, Uuid};
use storage::LogConfig;

/// A partition's leader as the cluster's metadata has it; an id of −1 is "none".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leader {
    pub id: BrokerId,
    pub epoch: LeaderEpoch,
}

/// Where a broker can be reached on one listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerEndpoint {
    pub host: String,
    pub port: i32,
    pub rack: Option<String>,
}

/// The cluster as the metadata cache has it, and topics' configurations.
pub trait ClusterView: Send + Sync + 'static {
    fn is_alive(&self, broker: BrokerId) -> bool;
    /// Whether the cluster has such a partition, here or elsewhere.
    fn has_partition(&self, topic: &str, index: i32) -> bool;
    /// `None` if no topic has that id.
    fn topic_name(&self, id: Uuid) -> Option<Arc<str>>;
    fn leader(&self, topic: &str, index: i32) -> Option<Leader>;
    /// `None` if the broker is not alive or has no such listener.
    fn endpoint(&self, broker: BrokerId, listener: &str) -> Option<BrokerEndpoint>;
    /// Where that broker serves other brokers; `None` if it is not alive or has no such listener.
    fn replication_endpoint(&self, broker: BrokerId) -> Option<client::Endpoint>;
    /// The topic's effective configuration.
    fn log_config(&self, topic: &str) -> Arc<LogConfig>;
    /// The topic's own list of throttled replicas, of that key; `None` if it has none.
    fn throttled_replicas(&self, topic: &str, key: &str) -> Option<String>;
    /// `replica.lag.time.max.ms`.
    fn max_lag_ms(&self) -> i64;
}
