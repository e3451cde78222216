//! The running broker as its handlers see it: shared parts, and the shape of a request and its
//! reply. Knows nothing of sockets and frames.

use std::net::SocketAddr;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use client::Endpoint;
use coordinator::group::service::GroupService;
use futures::future::BoxFuture;
use metadata::store::MetadataStore;
use protocol::ids::BrokerId;

use crate::authorizer::Authorizer;
use crate::clock::Clock;
use crate::config::BrokerConfig;
use crate::consumer_protocol::ConsumerProtocol;
use crate::controller_channel::ControllerChannel;
use crate::controller_link::{self, IdleController};
use crate::dynamic_config::changes::ConfigChanges;
use crate::fetch::session::FetchSessions;
use crate::groups;
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
use crate::topics::auto::TopicsInTheMaking;
use crate::transactions::Transactions;

/// What every handler may reach. Made once by `server.rs`, shared by all connections.
pub struct Broker {
    /// The configuration in force; dynamic changes swap it whole.
    pub config: ArcSwap<BrokerConfig>,
    pub clock: Clock,
    pub tasks: Arc<Tasks>,
    pub authorizer: Authorizer,
    pub broker_id: i32,
    pub cluster_id: String,
    /// The tree that the cluster's metadata lives in.
    pub store: Arc<dyn MetadataStore>,
    /// czxid of this broker's registration; −1 until it is registered. Changes with the session.
    pub broker_epoch: AtomicI64,
    pub request_metrics: Arc<RequestMetrics>,
    /// What the controller said of brokers and topics.
    pub metadata: Arc<MetadataCache>,
    /// Topics' effective configurations.
    pub topic_configs: Arc<TopicConfigs>,
    /// The partitions that this broker hosts.
    pub replicas: Arc<ReplicaManager>,
    pub lost_leaders: LostLeaders,
    pub fetch_sessions: Arc<FetchSessions>,
    /// How fast listed replicas may be copied.
    pub quotas: Quotas,
    pub topics_in_the_making: TopicsInTheMaking,
    /// Puts changed configurations in force.
    pub config_changes: ConfigChanges,
    /// Where this broker's own listener for brokers is bound, for its requests to itself: the
    /// address that it advertises may lead back to it from outside only. Set once it is bound.
    pub own_listener: OnceLock<Endpoint>,
    /// This broker's part in controlling the cluster.
    pub controller: IdleController,
    /// The connection to whoever controls.
    pub to_controller: ControllerChannel,
    pub producer_ids: ProducerIds,
    /// The groups whose partition of the offsets topic this broker leads.
    pub groups: GroupService,
    /// Whether groups may speak the new consumer protocol.
    pub consumer_protocol: ConsumerProtocol,
    /// The transactional ids whose partition of the transactions' topic this broker leads.
    pub transactions: Transactions,
    /// Data version of the `/feature` znode; −1 until it has been read.
    pub finalized_features_epoch: AtomicI64,
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
        let quotas = Quotas::new(&config);
        let controller = controller_link::prepare(&config, clock, store.clone(), broker_id);
        let slots = config.long("max.incremental.fetch.session.cache.slots");
        let tasks = Arc::new(Tasks::new());
        let log = CoordinatorLog::new(hosting.replicas.clone(), tasks.clone(), clock);
        let log = Arc::new(log);
        let groups = groups::service(&config, clock, &tasks, log.clone());
        let transactions = Transactions::new(&config, clock, &tasks, log);
        let consumer_protocol = ConsumerProtocol::new(&config);
        Broker {
            config: ArcSwap::from_pointee(config),
            clock,
            tasks,
            authorizer: Authorizer::allow_all(),
            broker_id,
            cluster_id,
            store,
            broker_epoch: AtomicI64::new(-1),
            request_metrics: RequestMetrics::new(),
            metadata: hosting.metadata,
            topic_configs: hosting.topic_configs,
            replicas: hosting.replicas,
            lost_leaders: LostLeaders::default(),
            fetch_sessions: FetchSessions::new(usize::try_from(slots).unwrap_or(0)),
            quotas,
            own_listener: OnceLock::new(),
            controller,
            to_controller: ControllerChannel::default(),
            producer_ids: ProducerIds::default(),
            groups,
            consumer_protocol,
            transactions,
            topics_in_the_making: TopicsInTheMaking::default(),
            config_changes: ConfigChanges::default(),
            finalized_features_epoch: AtomicI64::new(-1),
        }
    }

    /// Where broker `id` is reached without what it advertises: only this one itself.
    pub fn own_endpoint(&self, id: BrokerId) -> Option<Endpoint> {
        self.own_listener.get().filter(|_| id == self.broker_id).cloned()
    }
}

/// What the requests of one connection have in common.
#[derive(Debug)]
pub struct ConnectionContext {
    /// Unique in this process, and in Kafka's shape: `local:port-remote:port-index`.
    pub id: String,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    /// Name of the listener that accepted it, as in `listeners`.
    pub listener: Arc<str>,
    /// `User:ANONYMOUS` on a PLAINTEXT listener.
    pub principal: Arc<str>,
}

/// One request's circumstances. Cheap to clone, so that a waiting reply can keep it.
#[derive(Debug, Clone)]
pub struct RequestContext {
    pub connection: Arc<ConnectionContext>,
    pub api_key: i16,
    pub api_version: i16,
    pub correlation_id: i32,
    pub client_id: Option<Arc<str>>,
    /// When its last byte was read, on the clock's `elapsed_ms`.
    pub arrived_ms: f64,
}

impl RequestContext {
    /// The client id as Kafka's handlers see it: empty when the client sent none.
    pub fn client_id(&self) -> &str {
        self.client_id.as_deref().unwrap_or("")
    }

    /// The peer's address as Kafka prints it in group descriptions: `/127.0.0.1`.
    pub fn client_host(&self) -> String {
        format!("/{}", self.connection.peer.ip())
    }
}

/// What a handler gives back.
pub enum Reply<R> {
    /// The answer.
    Now(R),
    /// The answer comes later. Everything that must happen in request order was done before this
    /// was returned. The future is dropped when the peer goes, so work that must be finished
    /// belongs in `broker.tasks`, with this future waiting for its result.
    Later(BoxFuture<'static, R>),
    /// As `Later`, but no other request of the connection starts before: what is still to be done
    /// has its place in their order. Ends in any kind of reply.
    Held(BoxFuture<'static, Reply<R>>),
    /// No answer, by protocol (Produce with acks=0).
    Nothing,
    /// The connection must be closed; the reason goes to the log.
    Close(String),
}

impl<R: Send + 'static> Reply<R> {
    /// Shorthand for `Reply::Later(Box::pin(future))`.
    pub fn later(future: impl Future<Output = R> + Send + 'static) -> Reply<R> {
        Reply::Later(Box::pin(future))
    }
}
