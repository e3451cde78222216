//! The transaction coordinator in this broker: its settings, its log, what the controller's orders
//! mean to it, and the only way to it. Knows nothing of requests.
//!
//! A proof leads to a transactional id:
//!
//! ```
//! use broker::authorizer::{Authorized, TransactionalId, op};
//! use broker::transactions::Transactions;
//! use coordinator::shard::Producer;
//!
//! fn abort(all: &Transactions, id: &Authorized<'_, op::Write, TransactionalId>, of: Producer) {
//!     drop(all.end(id, of, false));
//! }
//! ```
//!
//! and without one none is reached:
//!
//! ```compile_fail,E0616
//! use broker::transactions::Transactions;
//! use coordinator::shard::Producer;
//!
//! fn abort(all: &Transactions, of: Producer) {
//!     drop(all.service.end("x", of, false));
//! }
//! ```

pub mod markers;
pub mod peers;
pub mod verification;

use std::sync::Arc;

use coordinator::shard::Producer;
use coordinator::shard::directory::Spawn;
use coordinator::shard::run::{Environment, ShardConfig};
use coordinator::shard::writer::PartitionWriter;
use coordinator::transaction::TransactionConfig;
use coordinator::transaction::TransactionError;
use coordinator::transaction::request::{
    Description, Filter, InitAnswer, InitRequest, Listing, Verified,
};
use coordinator::transaction::service::{Outbox, TRANSACTIONS_TOPIC, TransactionService};
use metadata::retry;
use metadata::store::{MetadataStore, StoreError};
use metadata::znodes::topic;
use protocol::ids::TopicPartition;
use tokio::sync::Notify;

use crate::authorizer::{
    Authorized, AuthorizedPartitions, Cluster, On, Requester, Topic, TransactionalId, op,
};
use crate::clock::Clock;
use crate::config::BrokerConfig;
use crate::groups::{BrokerClock, clamped, int};
use crate::producer_ids::ProducerIds;
use crate::replication::manager::{Obeyed, StopOrder};
use crate::tasks::Tasks;

/// The coordinator and its markers on their way.
pub struct Transactions {
    service: TransactionService,
    producer_ids: Arc<ProducerIds>,
    outbox: Arc<Outbox>,
    /// Markers wait to be sent.
    work: Arc<Notify>,
}

impl Transactions {
    /// The coordinator as configured; it leads nothing until `took_roles` says so.
    pub fn new(
        config: &BrokerConfig,
        clock: Clock,
        tasks: &Arc<Tasks>,
        writer: Arc<dyn PartitionWriter>,
        producer_ids: Arc<ProducerIds>,
    ) -> Transactions {
        let tasks = tasks.clone();
        let spawn: Spawn = Arc::new(move |task| tasks.spawn_until_stop(task));
        let environment = Environment {
            writer,
            clock: Arc::new(BrokerClock(clock)),
            config: ShardConfig {
                // Kafka waits as long as the transaction may last, its client not longer than this.
                append_timeout_ms: clamped(config.long("request.timeout.ms")),
                load_bytes: clamped(config.long("transaction.state.log.load.buffer.size")) as usize,
                loads_committed: true,
                ..ShardConfig::default()
            },
        };
        let work = Arc::new(Notify::new());
        let wake = work.clone();
        let outbox = Arc::new(Outbox {
            queues: Default::default(),
            wake: Box::new(move || wake.notify_one()),
        });
        let partitions = int(config.long("transaction.state.log.num.partitions"));
        let settings = settings(config);
        let service =
            TransactionService::new(settings, environment, spawn, partitions, outbox.clone());
        Transactions { service, producer_ids, outbox, work }
    }

    /// The partition of the transactions' topic that the id belongs to.
    pub fn partition_for<Op: On<TransactionalId>>(
        &self,
        id: &Authorized<'_, Op, TransactionalId>,
    ) -> i32 {
        self.service.partition_for(id.name())
    }

    /// Gives a producer its id and epoch; fetches an id where one is needed.
    pub async fn init(
        &self,
        id: &Authorized<'_, op::Write, TransactionalId>,
        request: InitRequest,
    ) -> InitAnswer {
        match self.service.init(id.name(), request.clone()).await {
            InitAnswer::NeedsId => {}
            answer => return answer,
        }
        let Some(fresh) = self.producer_ids.for_transactions(id).await else {
            return InitAnswer::Refused(TransactionError::CoordinatorLoadInProgress);
        };
        let request = InitRequest { fresh_id: Some(fresh), ..request };
        self.service.init(id.name(), request).await
    }

    pub fn add_partitions(
        &self,
        id: &Authorized<'_, op::Write, TransactionalId>,
        producer: Producer,
        partitions: AuthorizedPartitions<op::Write, ()>,
    ) -> impl Future<Output = Result<(), TransactionError>> + Send + use<> {
        let partitions = partitions.into_partitions().into_iter().collect();
        self.service.add_partitions(id.name(), producer, partitions)
    }

    /// Whether the partitions are in the transaction.
    pub fn verify(
        &self,
        id: &Authorized<'_, op::Write, TransactionalId>,
        producer: Producer,
        partitions: Vec<TopicPartition>,
    ) -> impl Future<Output = Verified> + Send + use<> {
        self.service.verify(id.name(), producer, partitions)
    }

    pub fn end(
        &self,
        id: &Authorized<'_, op::Write, TransactionalId>,
        producer: Producer,
        commit: bool,
    ) -> impl Future<Output = Result<(), TransactionError>> + Send + use<> {
        self.service.end(id.name(), producer, commit)
    }

    /// With the partitions whose topics `requester` may describe.
    pub fn describe(
        &self,
        id: &Authorized<'_, op::Describe, TransactionalId>,
        requester: Requester,
    ) -> impl Future<Output = Result<Description, TransactionError>> + Send + use<> {
        let describing = self.service.describe(id.name());
        async move {
            let mut found = describing.await?;
            let visible = |topic: &str| requester.authorize::<op::Describe, Topic>(topic).is_ok();
            found.partitions.retain(|partition| visible(&partition.topic));
            Ok(found)
        }
    }

    /// All ids of this broker that pass and that `requester` may describe; an error while one
    /// partition is still being loaded.
    pub fn list(
        &self,
        filter: Filter,
        requester: Requester,
    ) -> impl Future<Output = Result<Vec<Listing>, TransactionError>> + Send + use<> {
        let listing = self.service.list(filter);
        async move {
            let mut found = listing.await?;
            let visible =
                |id: &str| requester.authorize::<op::Describe, TransactionalId>(id).is_ok();
            found.retain(|listing| visible(&listing.id));
            Ok(found)
        }
    }

    /// Transactions whose markers wait for a leader that is known.
    pub fn without_destination(&self) -> usize {
        self.outbox.queues.lock().unrouted()
    }

    /// What a LeaderAndIsr made of the topic's partitions here.
    pub fn took_roles(&self, _: &Authorized<'_, op::ClusterAction, Cluster>, obeyed: &Obeyed) {
        let ours = |topic: &str| topic == TRANSACTIONS_TOPIC;
        for (partition, epoch) in obeyed.leaders.iter().filter(|(tp, _)| ours(&tp.topic)) {
            self.service.elected(partition.partition, *epoch);
        }
        for (partition, epoch) in obeyed.followers.iter().filter(|(tp, _)| ours(&tp.topic)) {
            self.service.resigned(partition.partition, Some(*epoch));
        }
    }

    /// A StopReplica took this partition away.
    pub fn stopped(&self, _: &Authorized<'_, op::ClusterAction, Cluster>, order: &StopOrder) {
        if order.topic == TRANSACTIONS_TOPIC {
            let epoch = Some(order.leader_epoch).filter(|epoch| *epoch >= 0);
            self.service.resigned(order.index, epoch);
        }
    }

    /// The topic decides where transactional ids belong. If it exists already its own number of
    /// partitions holds, whatever the configuration says now.
    pub async fn learn_partition_count(&self, store: &dyn MetadataStore) -> Result<(), StoreError> {
        let found = retry::get(store, &topic::path(TRANSACTIONS_TOPIC), false).await?;
        let Some((data, _)) = found else { return Ok(()) };
        match topic::TopicAssignment::decode(TRANSACTIONS_TOPIC, data.as_deref()) {
            Ok(znode) if znode.partitions.is_empty() => {}
            Ok(znode) => self.service.set_partition_count(int(znode.partitions.len() as i64)),
            Err(error) => tracing::warn!(%error, "the transactions' topic cannot be read"),
        }
        Ok(())
    }

    /// Ends all shards; every later request finds the coordinator not available.
    pub fn stop(&self) {
        self.service.stop();
    }
}

fn settings(config: &BrokerConfig) -> TransactionConfig {
    TransactionConfig {
        max_timeout_ms: int(config.long("transaction.max.timeout.ms")),
        abort_interval_ms: config
            .long("transaction.abort.timed.out.transaction.cleanup.interval.ms"),
        id_expiration_ms: config.long("transactional.id.expiration.ms"),
        expiration_interval_ms: config
            .long("transaction.remove.expired.transaction.cleanup.interval.ms"),
        ..TransactionConfig::default()
    }
}
