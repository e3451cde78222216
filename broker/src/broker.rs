//! The running broker: its parts, each made and wired once. Only `server` and `dispatch` see it
//! whole; everything else is given the parts that it needs.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use controller::run::ControllerHandle;
use metadata::store::MetadataStore;

use crate::authorizer::{Authorizer, Internal};
use crate::clock::Clock;
use crate::config::{BrokerConfig, LiveConfig};
use crate::consumer_protocol::ConsumerProtocol;
use crate::controller_channel::ControllerChannel;
use crate::controller_client::Departure;
use crate::controller_link::{self, IdleController};
use crate::dialer::Dialer;
use crate::dynamic_config::changes::ConfigChanges;
use crate::fetch::session::FetchSessions;
use crate::finalized_features::FinalizedFeatures;
use crate::groups::Groups;
use crate::groups::stored_offsets::StoredOffsets;
use crate::handlers::fetch::FetchServer;
use crate::handlers::metadata::MetadataServer;
use crate::handlers::produce::Appender;
use crate::handlers::write_txn_markers::MarkerWriter;
use crate::host::Host;
use crate::identity::Identity;
use crate::metadata_cache::MetadataCache;
use crate::metrics::RequestMetrics;
use crate::office::Office;
use crate::orders::Orders;
use crate::producer_ids::ProducerIds;
use crate::quota::Quotas;
use crate::replication::Hosting;
use crate::replication::coordinator_log::CoordinatorLog;
use crate::replication::fetcher::Following;
use crate::replication::isr_sender::IsrSender;
use crate::replication::lost_leaders::LostLeaders;
use crate::replication::manager::ReplicaManager;
use crate::replication::mover::Mover;
use crate::replication::topic_configs::TopicConfigs;
use crate::replication::upkeep::Upkeep;
use crate::tasks::Tasks;
use crate::topics::auto::AutoTopics;
use crate::transactions::Transactions;
use crate::transactions::markers::Markers;
use crate::transactions::peers::PeerAccess;
use crate::transactions::verification::Verifier;

/// All parts of a broker. Made once by `server.rs`, shared by all connections.
pub struct Broker {
    /// The configuration in force; dynamic changes swap it whole.
    pub config: Arc<LiveConfig>,
    pub clock: Clock,
    pub tasks: Arc<Tasks>,
    /// The way to other brokers.
    pub dialer: Dialer,
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
    /// Tells clients of the cluster.
    pub metadata_server: Arc<MetadataServer>,
    /// Serves fetches.
    pub fetch_server: Arc<FetchServer>,
    /// How fast listed replicas may be copied.
    pub quotas: Arc<Quotas>,
    pub auto_topics: Arc<AutoTopics>,
    /// What the controller has done here.
    pub orders: Arc<Orders>,
    /// Puts changed configurations in force.
    pub config_changes: Arc<ConfigChanges>,
    /// This broker's part in controlling the cluster.
    pub controller: IdleController,
    /// The same as requests reach it.
    pub office: Arc<Office>,
    /// The connection to the current controller.
    pub to_controller: Arc<ControllerChannel>,
    pub departure: Arc<Departure>,
    pub producer_ids: Arc<ProducerIds>,
    /// The groups whose partition of the offsets topic this broker leads.
    pub groups: Arc<Groups>,
    /// What old clients commit to the store.
    pub stored_offsets: Arc<StoredOffsets>,
    /// Whether groups may speak the new consumer protocol.
    pub consumer_protocol: Arc<ConsumerProtocol>,
    /// The transactional ids whose partition of the transactions' topic this broker leads.
    pub transactions: Arc<Transactions>,
    /// Sends this coordinator's markers.
    pub markers: Arc<Markers>,
    /// Writes markers into the partitions that this broker leads.
    pub marker_writer: Arc<MarkerWriter>,
    /// Appends what clients send.
    pub appender: Arc<Appender>,
    /// Follows other leaders.
    pub following: Arc<Following>,
    /// Moves logs between directories.
    pub mover: Arc<Mover>,
    pub upkeep: Arc<Upkeep>,
    pub isr_sender: Arc<IsrSender>,
    /// Asks whether transactions may begin in partitions.
    pub verifier: Arc<Verifier>,
    pub finalized_features: Arc<FinalizedFeatures>,
    /// Data version of the `/feature` znode; −1 until it has been read.
    pub finalized_features_epoch: Arc<AtomicI64>,
}

/// What most parts are made of.
struct Base {
    internal: Internal,
    clock: Clock,
    tasks: Arc<Tasks>,
    dialer: Dialer,
    config: Arc<LiveConfig>,
    identity: Arc<Identity>,
    store: Arc<dyn MetadataStore>,
    metadata: Arc<MetadataCache>,
    replicas: Arc<ReplicaManager>,
}

impl Broker {
    pub fn new(
        config: BrokerConfig,
        host: &Host,
        store: Arc<dyn MetadataStore>,
        broker_id: i32,
        cluster_id: String,
        hosting: Hosting,
    ) -> Broker {
        #[allow(clippy::disallowed_methods, reason = "here a broker is put together")]
        let internal = Internal::of_this_broker();
        let Hosting { metadata, topic_configs, replicas } = hosting;
        let tasks = Arc::new(Tasks::run_by(host.runner.clone()));
        let base = Base {
            internal,
            clock: host.clock,
            dialer: Dialer::new(host.network.transport(), tasks.clone()),
            tasks,
            config: Arc::new(LiveConfig::from_pointee(config)),
            identity: Arc::new(Identity::new(broker_id, cluster_id)),
            store,
            metadata,
            replicas,
        };
        base.broker(topic_configs)
    }
}

impl Base {
    fn broker(self, topic_configs: Arc<TopicConfigs>) -> Broker {
        let now = self.config.load_full();
        let store = self.store.clone();
        let controller = controller_link::prepare(&now, self.clock, store, self.identity.broker_id);
        let to_controller = Arc::new(self.channel(controller.handle.clone()));
        let departure = self.departure(controller.handle.clone(), to_controller.clone());
        let producer_ids = self.producer_ids(to_controller.clone());
        let (groups, transactions) = self.coordinators(&now, producer_ids.clone());
        let lost_leaders = Arc::new(LostLeaders::default());
        let config_changes = Arc::new(ConfigChanges::default());
        let coordinators = (groups.clone(), transactions.clone());
        let orders = self.orders(&topic_configs, &config_changes, &lost_leaders, coordinators);
        let marker_writer = self.marker_writer(groups.clone());
        let peers = self.peers();
        let to_write = marker_writer.clone();
        let markers = Markers::new(transactions.clone(), peers.clone(), to_write, self.internal);
        let verifier =
            Verifier::new(transactions.clone(), peers, self.replicas.clone(), self.clock);
        let verifier = Arc::new(verifier);
        let quotas = Arc::new(Quotas::new(&now));
        let (auto_topics, epoch) = (Arc::new(self.auto_topics()), Arc::new(AtomicI64::new(-1)));
        let metrics = RequestMetrics::new();
        let fetch_server = self.fetch_server(&now, quotas.clone(), metrics.clone());
        Broker {
            authorizer: Arc::new(Authorizer::allow_all()),
            request_metrics: metrics,
            topic_configs,
            following: Arc::new(self.following(lost_leaders.clone(), quotas.clone())),
            mover: Arc::new(self.mover(quotas.clone())),
            upkeep: Arc::new(self.upkeep()),
            isr_sender: Arc::new(self.isr_sender(to_controller.clone())),
            fetch_server: Arc::new(fetch_server),
            quotas,
            office: Arc::new(Office::new(controller.handle.clone())),
            controller,
            to_controller,
            departure: Arc::new(departure),
            producer_ids,
            groups,
            stored_offsets: Arc::new(self.stored_offsets()),
            consumer_protocol: Arc::new(ConsumerProtocol::new(&now)),
            appender: Arc::new(self.appender(verifier.clone())),
            verifier,
            markers: Arc::new(markers),
            marker_writer,
            transactions,
            metadata_server: Arc::new(
                self.metadata_server(lost_leaders.clone(), auto_topics.clone()),
            ),
            auto_topics,
            orders: Arc::new(orders),
            config_changes,
            finalized_features: Arc::new(FinalizedFeatures::new(self.store.clone(), epoch.clone())),
            finalized_features_epoch: epoch,
            internal: self.internal,
            clock: self.clock,
            tasks: self.tasks,
            dialer: self.dialer,
            config: self.config,
            identity: self.identity,
            store: self.store,
            metadata: self.metadata,
            replicas: self.replicas,
        }
    }

    fn channel(&self, controller: ControllerHandle) -> ControllerChannel {
        ControllerChannel::new(
            self.identity.clone(),
            self.config.clone(),
            self.metadata.clone(),
            self.store.clone(),
            self.dialer.clone(),
            controller,
        )
    }

    fn departure(
        &self,
        controller: ControllerHandle,
        to_controller: Arc<ControllerChannel>,
    ) -> Departure {
        Departure::new(
            self.identity.clone(),
            self.config.clone(),
            self.metadata.clone(),
            self.store.clone(),
            self.dialer.clone(),
            controller,
            to_controller,
        )
    }

    fn producer_ids(&self, to_controller: Arc<ControllerChannel>) -> Arc<ProducerIds> {
        let (identity, tasks) = (self.identity.clone(), self.tasks.clone());
        Arc::new(ProducerIds::new(identity, to_controller, tasks))
    }

    fn coordinators(
        &self,
        now: &BrokerConfig,
        producer_ids: Arc<ProducerIds>,
    ) -> (Arc<Groups>, Arc<Transactions>) {
        let (clock, tasks) = (self.clock, &self.tasks);
        let log = CoordinatorLog::new(self.replicas.clone(), tasks.clone(), clock, self.internal);
        let log = Arc::new(log);
        let groups = Groups::new(now, clock, tasks, log.clone(), self.metadata.clone());
        let transactions = Transactions::new(now, clock, tasks, log, producer_ids);
        (Arc::new(groups), Arc::new(transactions))
    }

    fn orders(
        &self,
        topic_configs: &Arc<TopicConfigs>,
        config_changes: &Arc<ConfigChanges>,
        lost_leaders: &Arc<LostLeaders>,
        (groups, transactions): (Arc<Groups>, Arc<Transactions>),
    ) -> Orders {
        Orders {
            clock: self.clock,
            identity: self.identity.clone(),
            metadata: self.metadata.clone(),
            topic_configs: topic_configs.clone(),
            config_changes: config_changes.clone(),
            replicas: self.replicas.clone(),
            lost_leaders: lost_leaders.clone(),
            groups,
            transactions,
        }
    }

    fn marker_writer(&self, groups: Arc<Groups>) -> Arc<MarkerWriter> {
        let (replicas, config) = (self.replicas.clone(), self.config.clone());
        Arc::new(MarkerWriter::new(replicas, groups, config, self.clock))
    }

    fn peers(&self) -> PeerAccess {
        PeerAccess {
            config: self.config.clone(),
            identity: self.identity.clone(),
            metadata: self.metadata.clone(),
            tasks: self.tasks.clone(),
            dialer: self.dialer.clone(),
        }
    }

    fn appender(&self, verifier: Arc<Verifier>) -> Appender {
        let (metadata, replicas) = (self.metadata.clone(), self.replicas.clone());
        Appender::new(metadata, replicas, verifier, self.tasks.clone(), self.clock)
    }

    fn fetch_server(
        &self,
        now: &BrokerConfig,
        quotas: Arc<Quotas>,
        metrics: Arc<RequestMetrics>,
    ) -> FetchServer {
        let slots = now.long("max.incremental.fetch.session.cache.slots");
        FetchServer {
            config: self.config.clone(),
            clock: self.clock,
            tasks: self.tasks.clone(),
            metadata: self.metadata.clone(),
            replicas: self.replicas.clone(),
            sessions: FetchSessions::new(usize::try_from(slots).unwrap_or(0)),
            quotas,
            metrics,
        }
    }

    fn following(&self, lost_leaders: Arc<LostLeaders>, quotas: Arc<Quotas>) -> Following {
        Following {
            config: self.config.clone(),
            clock: self.clock,
            tasks: self.tasks.clone(),
            dialer: self.dialer.clone(),
            identity: self.identity.clone(),
            replicas: self.replicas.clone(),
            lost_leaders,
            quotas,
        }
    }

    fn mover(&self, quotas: Arc<Quotas>) -> Mover {
        Mover {
            config: self.config.clone(),
            clock: self.clock,
            tasks: self.tasks.clone(),
            replicas: self.replicas.clone(),
            quotas,
        }
    }

    fn upkeep(&self) -> Upkeep {
        Upkeep {
            config: self.config.clone(),
            clock: self.clock,
            tasks: self.tasks.clone(),
            replicas: self.replicas.clone(),
        }
    }

    fn isr_sender(&self, to_controller: Arc<ControllerChannel>) -> IsrSender {
        IsrSender {
            clock: self.clock,
            tasks: self.tasks.clone(),
            identity: self.identity.clone(),
            replicas: self.replicas.clone(),
            to_controller,
        }
    }

    fn metadata_server(
        &self,
        lost_leaders: Arc<LostLeaders>,
        auto_topics: Arc<AutoTopics>,
    ) -> MetadataServer {
        MetadataServer {
            config: self.config.clone(),
            clock: self.clock,
            identity: self.identity.clone(),
            metadata: self.metadata.clone(),
            lost_leaders,
            auto_topics,
        }
    }

    fn auto_topics(&self) -> AutoTopics {
        AutoTopics::new(
            self.internal,
            self.config.clone(),
            self.store.clone(),
            self.metadata.clone(),
            self.tasks.clone(),
        )
    }

    fn stored_offsets(&self) -> StoredOffsets {
        StoredOffsets::new(self.config.clone(), self.store.clone(), self.metadata.clone())
    }
}
