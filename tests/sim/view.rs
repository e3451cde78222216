//! What a simulated broker's partitions see of the cluster: the real metadata cache, and one
//! configuration for all topics.

use std::sync::Arc;

use broker::metadata_cache::MetadataCache;
use broker::replication::cluster_view::{BrokerEndpoint, ClusterView, Leader};
use protocol::ids::{BrokerId, Uuid};
use storage::LogConfig;

pub struct View {
    pub metadata: Arc<MetadataCache>,
    pub log: Arc<LogConfig>,
    pub max_lag_ms: i64,
}

impl ClusterView for View {
    fn is_alive(&self, broker: BrokerId) -> bool {
        self.metadata.load().is_alive(broker)
    }

    fn has_partition(&self, topic: &str, index: i32) -> bool {
        self.metadata.load().partition(topic, index).is_some()
    }

    fn topic_name(&self, id: Uuid) -> Option<Arc<str>> {
        self.metadata.load().topic_by_id(id).map(|topic| topic.name.clone())
    }

    fn leader(&self, topic: &str, index: i32) -> Option<Leader> {
        let metadata = self.metadata.load();
        let partition = metadata.partition(topic, index)?;
        Some(Leader { id: partition.leader, epoch: partition.leader_epoch })
    }

    fn endpoint(&self, _broker: BrokerId, _listener: &str) -> Option<BrokerEndpoint> {
        None
    }

    fn replication_endpoint(&self, broker: BrokerId) -> Option<client::Endpoint> {
        self.is_alive(broker).then(|| client::Endpoint::new(format!("b{broker}"), 9092))
    }

    fn log_config(&self, _topic: &str) -> Arc<LogConfig> {
        self.log.clone()
    }

    fn throttled_replicas(&self, _topic: &str, _key: &str) -> Option<String> {
        None
    }

    fn max_lag_ms(&self) -> i64 {
        self.max_lag_ms
    }
}
