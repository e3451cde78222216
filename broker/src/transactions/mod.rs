//! The transaction coordinator in this broker: its settings, its log, and what the controller's
//! orders mean to it. Knows nothing of requests.

pub mod markers;
mod peers;
pub mod verification;

use std::sync::Arc;

use coordinator::metadata::retry;
use coordinator::metadata::store::{MetadataStore, StoreError};
use coordinator::shard::directory::Spawn;
use coordinator::shard::run::{Environment, ShardConfig};
use coordinator::shard::writer::PartitionWriter;
use coordinator::transaction::TransactionConfig;
use coordinator::transaction::TransactionError;
use coordinator::transaction::request::{InitAnswer, InitRequest};
use coordinator::transaction::service::{Outbox, TRANSACTIONS_TOPIC, TransactionService};
use coordinator::znodes::topic;
use tokio::sync::Notify;
use verification::Verifier;

use crate::authorizer::{Authorized, On, TransactionalId};
use crate::broker::Broker;
use crate::clock::Clock;
use crate::config::BrokerConfig;
use crate::groups::{BrokerClock, clamped, int};
use crate::producer_ids;
use crate::replication::manager::{Obeyed, StopOrder};
use crate::tasks::Tasks;

/// The coordinator and its markers on their way.
pub struct Transactions {
    pub service: TransactionService,
    outbox: Arc<Outbox>,
    /// Markers wait to be sent.
    work: Arc<Notify>,
    verifier: Verifier,
}

impl Transactions {
    /// The coordinator as configured; it leads nothing until `took_roles` says so.
    pub fn new(
        config: &BrokerConfig,
        clock: Clock,
        tasks: &Arc<Tasks>,
        writer: Arc<dyn PartitionWriter>,
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
        Transactions { service, outbox, work, verifier: Verifier::default() }
    }

    /// The partition of the transactions' topic that the id belongs to.
    pub fn partition_for<Op: On<TransactionalId>>(
        &self,
        id: &Authorized<'_, Op, TransactionalId>,
    ) -> i32 {
        self.service.partition_for(id.name())
    }

    /// Transactions whose markers wait for a leader that is known.
    pub fn without_destination(&self) -> usize {
        self.outbox.queues.lock().unrouted()
    }

    /// What a LeaderAndIsr made of the topic's partitions here.
    pub fn took_roles(&self, obeyed: &Obeyed) {
        let ours = |topic: &str| topic == TRANSACTIONS_TOPIC;
        for (partition, epoch) in obeyed.leaders.iter().filter(|(tp, _)| ours(&tp.topic)) {
            self.service.elected(partition.partition, *epoch);
        }
        for (partition, epoch) in obeyed.followers.iter().filter(|(tp, _)| ours(&tp.topic)) {
            self.service.resigned(partition.partition, Some(*epoch));
        }
    }

    /// A StopReplica took this partition away.
    pub fn stopped(&self, order: &StopOrder) {
        if order.topic == TRANSACTIONS_TOPIC {
            let epoch = Some(order.leader_epoch).filter(|epoch| *epoch >= 0);
            self.service.resigned(order.index, epoch);
        }
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

/// The topic decides where transactional ids belong. If it exists already its own number of
/// partitions holds, whatever the configuration says now.
pub async fn learn_partition_count(
    transactions: &Transactions,
    store: &dyn MetadataStore,
) -> Result<(), StoreError> {
    let Some((data, _)) = retry::get(store, &topic::path(TRANSACTIONS_TOPIC), false).await? else {
        return Ok(());
    };
    match topic::TopicAssignment::decode(TRANSACTIONS_TOPIC, data.as_deref()) {
        Ok(znode) if znode.partitions.is_empty() => {}
        Ok(znode) => {
            transactions.service.set_partition_count(int(znode.partitions.len() as i64));
        }
        Err(error) => tracing::warn!(%error, "the transactions' topic cannot be read"),
    }
    Ok(())
}

/// Asks the coordinator, and fetches an id where it needs one.
pub async fn init(broker: &Arc<Broker>, id: &str, request: InitRequest) -> InitAnswer {
    let service = &broker.transactions.service;
    match service.init(id, request.clone()).await {
        InitAnswer::NeedsId => {}
        answer => return answer,
    }
    let Some(fresh) = producer_ids::next(broker).await else {
        return InitAnswer::Refused(TransactionError::CoordinatorLoadInProgress);
    };
    service.init(id, InitRequest { fresh_id: Some(fresh), ..request }).await
}
