//! Puts together what hosting partitions takes: logs, the cluster's metadata, topics'
//! configurations. Knows nothing of sockets.

use std::sync::Arc;

use protocol::ids::{BrokerId, Uuid};
use storage::LogConfig;
use storage::log_manager::LogManager;

use super::cluster_view::{BrokerEndpoint, ClusterView, Leader};
use super::manager::ReplicaManager;
use super::topic_configs::TopicConfigs;
use crate::config::BrokerConfig;
use crate::metadata_cache::MetadataCache;

/// The parts of a broker that host partitions.
pub struct Hosting {
    pub metadata: Arc<MetadataCache>,
    pub topic_configs: Arc<TopicConfigs>,
    pub replicas: Arc<ReplicaManager>,
}

impl Hosting {
    pub fn new(
        broker_id: BrokerId,
        config: &BrokerConfig,
        topic_configs: Arc<TopicConfigs>,
        logs: LogManager,
    ) -> Hosting {
        let metadata = Arc::new(MetadataCache::default());
        let cluster = Arc::new(Cluster {
            metadata: metadata.clone(),
            topic_configs: topic_configs.clone(),
            max_lag_ms: config.long("replica.lag.time.max.ms"),
            inter_broker_listener: config.inter_broker_listener(),
        });
        let replicas = Arc::new(ReplicaManager::new(broker_id, Arc::new(logs), cluster));
        Hosting { metadata, topic_configs, replicas }
    }
}

/// The cluster as the metadata cache has it.
struct Cluster {
    metadata: Arc<MetadataCache>,
    topic_configs: Arc<TopicConfigs>,
    max_lag_ms: i64,
    inter_broker_listener: String,
}

impl ClusterView for Cluster {
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

    fn endpoint(&self, broker: BrokerId, listener: &str) -> Option<BrokerEndpoint> {
        let metadata = self.metadata.load();
        let broker = metadata.brokers.get(&broker)?;
        let listener = broker.listener(listener)?;
        let (host, port, rack) = (listener.host.clone(), listener.port, broker.rack.clone());
        Some(BrokerEndpoint { host, port, rack })
    }

    fn replication_endpoint(&self, broker: BrokerId) -> Option<client::Endpoint> {
        let found = self.endpoint(broker, &self.inter_broker_listener)?;
        Some(client::Endpoint::new(found.host, u16::try_from(found.port).ok()?))
    }

    fn log_config(&self, topic: &str) -> Arc<LogConfig> {
        self.topic_configs.of(topic)
    }

    fn throttled_replicas(&self, topic: &str, key: &str) -> Option<String> {
        self.topic_configs.own(topic, key)
    }

    fn max_lag_ms(&self) -> i64 {
        self.max_lag_ms
    }
}
