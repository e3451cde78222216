//! The transaction service over logs in memory: what a successor acts on, and when. No broker.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coordinator::shard::memory::MemoryPartitions;
use coordinator::shard::run::{Environment, ShardConfig};
use coordinator::shard::{Clock, Now, Producer};
use coordinator::transaction::request::{InitAnswer, InitRequest};
use coordinator::transaction::service::{Outbox, TRANSACTIONS_TOPIC, TransactionService};
use coordinator::transaction::{State, TransactionConfig, TransactionError};
use protocol::ids::TopicPartition;

struct RealClock(Instant);

impl Clock for RealClock {
    fn now(&self) -> Now {
        let now_ms = self.0.elapsed().as_millis() as i64;
        Now { wall_ms: now_ms, steady_ms: now_ms }
    }
}

/// A service that keeps its transactions in one partition of `logs`; leads nothing yet.
fn service(logs: &Arc<MemoryPartitions>) -> (TransactionService, Arc<Outbox>) {
    let environment = Environment {
        writer: logs.clone(),
        clock: Arc::new(RealClock(Instant::now())),
        config: ShardConfig { loads_committed: true, ..ShardConfig::default() },
    };
    let spawn = Arc::new(|task| {
        tokio::spawn(task);
    });
    let outbox = Arc::new(Outbox { queues: Default::default(), wake: Box::new(|| ()) });
    let config = TransactionConfig::default();
    (TransactionService::new(config, environment, spawn, 1, outbox.clone()), outbox)
}

/// The transaction's state, once the partition is loaded.
async fn state(service: &TransactionService) -> Result<State, TransactionError> {
    service.describe("x").await.map(|description| description.state)
}

async fn until_loaded(service: &TransactionService) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while state(service).await == Err(TransactionError::CoordinatorLoadInProgress) {
        assert!(Instant::now() < deadline, "the partition was not loaded in time");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Leaves a transaction behind that is decided and not ended.
async fn decide(logs: &Arc<MemoryPartitions>) {
    let (service, _) = service(logs);
    service.elected(0, 5);
    until_loaded(&service).await;
    let init = InitRequest { timeout_ms: 60_000, expected: None, fresh_id: Some(7) };
    let producer = Producer { id: 7, epoch: 0 };
    assert_eq!(service.init("x", init).await, InitAnswer::Ready(producer));
    let partitions = BTreeSet::from([TopicPartition::new("t", 0)]);
    assert_eq!(service.add_partitions("x", producer, partitions).await, Ok(()));
    assert_eq!(service.end("x", producer, true).await, Ok(()));
    service.stop();
}

/// Whoever is elected next may be without the decision as long as it is not committed.
#[tokio::test]
async fn a_decision_that_is_not_committed_is_not_acted_on() {
    let partition = TopicPartition::new(TRANSACTIONS_TOPIC, 0);
    let logs = Arc::new(MemoryPartitions::new());
    logs.lead(&partition, 5);
    decide(&logs).await;
    let records = logs.batches(&partition).len() as i64;
    logs.hold_high_watermark(&partition, Some(records - 1));
    logs.lead(&partition, 6);
    let (successor, outbox) = service(&logs);
    successor.elected(0, 6);
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!(state(&successor).await, Err(TransactionError::CoordinatorLoadInProgress));
        assert!(!outbox.queues.lock().has_unrouted(), "a marker went out");
    }
    logs.hold_high_watermark(&partition, None);
    until_loaded(&successor).await;
    assert_eq!(state(&successor).await, Ok(State::PrepareCommit));
    assert!(outbox.queues.lock().has_unrouted(), "now its markers go out");
}
