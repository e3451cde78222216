//! The running broker: its parts, each made and wired once. Only `server` and `dispatch` see it
//! whole; everything else is given the parts that it needs.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use coordinator::metadata::store::MetadataStore;

use crate::authorizer::{Authorizer, Internal};
use crate::clock::Clock;
use crate::config::{BrokerConfig, LiveConfig};
use crate::consumer_protocol::ConsumerProtocol;
use crate::controller_channel::ControllerChannel;
use crate::controller_link::{self, IdleController};
use crate::dynamic_config::changes::ConfigChanges;
use crate::fetch::session::FetchSessions;
use crate::groups::Groups;
use crate::groups::stored_offsets::StoredOffsets;
use crate::identity::Identity;
use crate::metadata_cache::MetadataCache;
use crate::metrics::RequestMetrics;
use crate::producer_ids::ProducerIds;
use crate::quota::Quotas;
use crate::replication::Hosting;
use crate::replication::coordinator_log::CoordinatorLog;
use crate::replication::lost_leaders::LostLeaders;
use crate::replication::manager::ReplicaManager;
use crate::replication::topic_configs::TopicConfigs;
use crate::tasks::Tasks;
use crate::topics::auto::AutoTopics;
use crate::transactions::Transactions;

/// All parts of a broker. Made once by `server.rs`, shared by all connections.
pub struct Broker {
    /// The configuration in force; dynamic changes swap it whole.
    pub config: Arc<LiveConfig>,
    pub clock: Clock,
    pub tasks: Arc<Tasks>,
    pub authorizer: Arc<Authorizer>,
    /// What the broker may do on its own account.
    pub internal: Internal,
    pub identity: Arc<Identity>,
    /// The tree that the cluster's metadata lives in.
    pub store: Arc<dyn MetadataStore>,
    pub request_metrics: Arc<RequestMetrics>,
    /// What the controller said of brokers and topics.
    pub metadata: Arc<MetadataCache>,
    /// Topics' effective configurations.
    pub topic_configs: Arc<TopicConfigs>,
    /// The partitions that this broker hosts.
    pub replicas: Arc<ReplicaManager>,
    pub lost_leaders: Arc<LostLeaders>,
    pub fetch_sessions: Arc<FetchSessions>,
    /// How fast listed replicas may be copied.
    pub quotas: Arc<Quotas>,
    pub auto_topics: Arc<AutoTopics>,
    /// Puts changed configurations in force.
    pub config_changes: Arc<ConfigChanges>,
    /// This broker's part in controlling the cluster.
    pub controller: IdleController,
    /// The connection to whoever controls.
    pub to_controller: Arc<ControllerChannel>,
    pub producer_ids: Arc<ProducerIds>,
    /// The groups whose partition of the offsets topic this broker leads.
    pub groups: Arc<Groups>,
    /// What old clients commit to the store.
    pub stored_offsets: Arc<StoredOffsets>,
    /// Whether groups may speak the new consumer protocol.
    pub consumer_protocol: Arc<ConsumerProtocol>,
    /// The transactional ids whose partition of the transactions' topic this broker leads.
    pub transactions: Arc<Transactions>,
    /// Data version of the `/feature` znode; −1 until it has been read.
    pub finalized_features_epoch: Arc<AtomicI64>,
}

impl Broker {
    pub fn new(
        config: BrokerConfig,
        clock: Clock,
        store: Arc<dyn MetadataStore>,
        broker_id: i32,
        cluster_id: String,
        hosting: Hosting,
    ) -> Broker {
        let Hosting { metadata, topic_configs, replicas } = hosting;
        let internal = Internal::of_this_broker();
        let quotas = Quotas::new(&config);
        let controller = controller_link::prepare(&config, clock, store.clone(), broker_id);
        let slots = config.long("max.incremental.fetch.session.cache.slots");
        let tasks = Arc::new(Tasks::new());
        let log = CoordinatorLog::new(replicas.clone(), tasks.clone(), clock);
        let log = Arc::new(log);
        let groups = Groups::new(&config, clock, &tasks, log.clone(), metadata.clone());
        let transactions = Transactions::new(&config, clock, &tasks, log);
        let consumer_protocol = ConsumerProtocol::new(&config);
        let config = Arc::new(LiveConfig::from_pointee(config));
        let auto_topics = AutoTopics::new(
            internal,
            config.clone(),
            store.clone(),
            metadata.clone(),
            tasks.clone(),
        );
        Broker {
            clock,
            tasks,
            authorizer: Arc::new(Authorizer::allow_all()),
            internal,
            identity: Arc::new(Identity::new(broker_id, cluster_id)),
            request_metrics: RequestMetrics::new(),
            metadata: metadata.clone(),
            topic_configs,
            replicas,
            lost_leaders: Arc::default(),
            fetch_sessions: FetchSessions::new(usize::try_from(slots).unwrap_or(0)),
            quotas: Arc::new(quotas),
            controller,
            to_controller: Arc::default(),
            producer_ids: Arc::default(),
            groups: Arc::new(groups),
            stored_offsets: Arc::new(StoredOffsets::new(
                config.clone(),
                store.clone(),
                metadata.clone(),
            )),
            consumer_protocol: Arc::new(consumer_protocol),
            transactions: Arc::new(transactions),
            auto_topics: Arc::new(auto_topics),
            config_changes: Arc::default(),
            finalized_features_epoch: Arc::new(AtomicI64::new(-1)),
            config,
            store,
        }
    }
}
