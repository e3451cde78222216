//! The transaction coordinator of one broker: finds the shard of a transactional id and asks it.
//! Knows no sockets, no wire versions and no error codes.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use parking_lot::Mutex;
use protocol::ids::{LeaderEpoch, TopicPartition};

use super::markers::{MarkerQueues, Order, Told};
use super::request::{
    Answer, Description, Filter, InitAnswer, InitRequest, Listing, Request, SendMarkers, Verified,
};
use super::{TransactionConfig, TransactionError, TransactionShard};
use crate::group::service::partition_for;
use crate::shard::Producer;
use crate::shard::directory::{NotHere, ShardDirectory, Spawn};
use crate::shard::run::Environment;

/// The topic that transactions are stored in.
pub const TRANSACTIONS_TOPIC: &str = "__transaction_state";

/// Markers on their way, shared with whoever sends them; `wake` is called when there are new ones.
pub struct Outbox {
    pub queues: Mutex<MarkerQueues>,
    pub wake: Box<dyn Fn() + Send + Sync>,
}

/// Answers transactions' requests, each from the one shard that holds the id. A request is handed
/// to the shard in the call, so requests keep the order of the calls; only the answer is awaited.
pub struct TransactionService {
    directory: ShardDirectory<TransactionShard>,
    partition_count: AtomicI32,
    outbox: Arc<Outbox>,
}

impl TransactionService {
    /// `partition_count`: of the topic if it exists, else what it will be created with.
    pub fn new(
        config: TransactionConfig,
        environment: Environment,
        spawn: Spawn,
        partition_count: i32,
        outbox: Arc<Outbox>,
    ) -> TransactionService {
        let new_shard = move || TransactionShard::new(config.clone());
        let out = outbox.clone();
        let send = move |shard: i32, coordinator_epoch: LeaderEpoch, markers: SendMarkers| {
            out.queues.lock().accept(Order { shard, coordinator_epoch, markers });
            (out.wake)();
        };
        TransactionService {
            directory: ShardDirectory::new(
                TRANSACTIONS_TOPIC,
                environment,
                spawn,
                new_shard,
                Arc::new(send),
            ),
            partition_count: AtomicI32::new(partition_count),
            outbox,
        }
    }

    /// The topic turned out to have another number of partitions. Only before the first election:
    /// ids do not move.
    pub fn set_partition_count(&self, partition_count: i32) {
        self.partition_count.store(partition_count, Ordering::Release);
    }

    pub fn partition_for(&self, id: &str) -> i32 {
        partition_for(id, self.partition_count.load(Ordering::Acquire))
    }

    /// This broker leads the partition of the topic from now on.
    pub fn elected(&self, partition: i32, leader_epoch: LeaderEpoch) {
        if self.directory.elected(partition, leader_epoch) {
            // Another may have coordinated meanwhile.
            self.outbox.queues.lock().forget(partition, Some(leader_epoch));
        }
    }

    /// It does not lead it any more; `None` if the partition went without an epoch.
    pub fn resigned(&self, partition: i32, leader_epoch: Option<LeaderEpoch>) {
        self.directory.resigned(partition, leader_epoch);
        self.outbox.queues.lock().forget(partition, leader_epoch);
    }

    /// Ends all shards; every later request finds the coordinator not available.
    pub fn stop(&self) {
        self.directory.stop();
    }

    pub fn init(
        &self,
        id: &str,
        init: InitRequest,
    ) -> impl Future<Output = InitAnswer> + Send + use<> {
        let answer = self.ask(id, Request::Init { id: id.to_owned(), init });
        async move {
            match answer.await {
                Ok(Answer::Init(answer)) => answer,
                other => InitAnswer::Refused(refusal(other)),
            }
        }
    }

    pub fn add_partitions(
        &self,
        id: &str,
        producer: Producer,
        partitions: BTreeSet<TopicPartition>,
    ) -> impl Future<Output = Result<(), TransactionError>> + Send + use<> {
        let answer = self.ask(id, Request::Add { id: id.to_owned(), producer, partitions });
        async move {
            match answer.await {
                Ok(Answer::Add(result)) => result,
                other => Err(refusal(other)),
            }
        }
    }

    /// Whether the partitions are in the transaction.
    pub fn verify(
        &self,
        id: &str,
        producer: Producer,
        partitions: Vec<TopicPartition>,
    ) -> impl Future<Output = Verified> + Send + use<> {
        let asked = partitions.clone();
        let answer = self.ask(id, Request::Verify { id: id.to_owned(), producer, partitions });
        async move {
            match answer.await {
                Ok(Answer::Verify(verified)) => verified,
                other => {
                    let error = refusal(other);
                    asked.into_iter().map(|partition| (partition, Some(error))).collect()
                }
            }
        }
    }

    pub fn end(
        &self,
        id: &str,
        producer: Producer,
        commit: bool,
    ) -> impl Future<Output = Result<(), TransactionError>> + Send + use<> {
        let answer = self.ask(id, Request::End { id: id.to_owned(), producer, commit });
        async move {
            match answer.await {
                Ok(Answer::End(result)) => result,
                other => Err(refusal(other)),
            }
        }
    }

    pub fn describe(
        &self,
        id: &str,
    ) -> impl Future<Output = Result<Description, TransactionError>> + Send + use<> {
        let answer = self.ask(id, Request::Describe { id: id.to_owned() });
        async move {
            match answer.await {
                Ok(Answer::Describe(result)) => result,
                other => Err(refusal(other)),
            }
        }
    }

    /// All ids of this broker that pass; an error while one partition is still being loaded.
    pub fn list(
        &self,
        filter: Filter,
    ) -> impl Future<Output = Result<Vec<Listing>, TransactionError>> + Send + use<> {
        let asked = self.directory.ask_all(|| Request::List { filter: filter.clone() });
        async move {
            let (answers, loading) = asked.map_err(not_here)?;
            if loading {
                return Err(TransactionError::CoordinatorLoadInProgress);
            }
            let mut found = Vec::new();
            for answer in answers {
                // A shard that went meanwhile has no ids here.
                if let Ok(Answer::List(more)) = answer.await {
                    found.extend(more);
                }
            }
            Ok(found)
        }
    }

    /// Markers are written, or need not be. To be called again after an error that passes: nobody
    /// else would end the transaction.
    pub fn markers_done(&self, told: Told) -> Result<(), NotHere> {
        self.directory.ask(told.shard, Request::MarkersDone(told.done)).map(drop)
    }

    fn ask(
        &self,
        id: &str,
        request: Request,
    ) -> impl Future<Output = Result<Answer, TransactionError>> + Send + use<> {
        let asked = if id.is_empty() {
            Err(TransactionError::InvalidRequest)
        } else {
            self.directory.ask(self.partition_for(id), request).map_err(not_here)
        };
        async move { asked?.await.map_err(|_| TransactionError::NotCoordinator) }
    }
}

fn not_here(reason: NotHere) -> TransactionError {
    match reason {
        NotHere::Stopped | NotHere::Busy => TransactionError::CoordinatorNotAvailable,
        NotHere::Loading => TransactionError::CoordinatorLoadInProgress,
        NotHere::NotLeader => TransactionError::NotCoordinator,
    }
}

fn refusal(answer: Result<Answer, TransactionError>) -> TransactionError {
    match answer {
        Err(error) => error,
        Ok(other) => unreachable!("a shard answers in kind, not with {other:?}"),
    }
}
