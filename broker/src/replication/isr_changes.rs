//! The ISR on its way through this broker: who lags is looked for, logs are synced before an ISR
//! becomes thin, and changes go to the controller until it answers. Knows no rule of who is in
//! sync: that is `replica`'s.

use std::collections::BTreeMap;
use std::sync::Arc;

use metrics::{Counter, counter};
use parking_lot::Mutex;
use protocol::ids::{BrokerId, TimestampMs, TopicPartition, Uuid};
use protocol::messages::alter_partition::{AlterPartitionRequest, AlterPartitionResponse};
use replica::alter_partition::{AlterPartitionQueue, IsrUpdate};
use replica::isr::{IsrChange, IsrOutcome};
use storage::StorageError;
use tokio::sync::Notify;

use crate::replication::partition::Partition;

/// What waits for a disk and what waits for the controller. Bounded by the partitions that this
/// broker leads: each has at most one change under way, and waits for at most one sync.
#[derive(Debug)]
pub struct IsrChanges {
    pub(super) queue: Mutex<AlterPartitionQueue>,
    pub(super) submitted: Notify,
    /// Partitions whose logs are to be made durable, and what may be asked for then.
    to_sync: Mutex<BTreeMap<TopicPartition, Option<IsrUpdate>>>,
    pub(super) sync_wanted: Notify,
    counters: Counters,
}

struct Counters {
    shrinks: Counter,
    expands: Counter,
    failed: Counter,
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Counters")
    }
}

impl Default for IsrChanges {
    fn default() -> IsrChanges {
        IsrChanges {
            queue: Mutex::default(),
            submitted: Notify::new(),
            to_sync: Mutex::default(),
            sync_wanted: Notify::new(),
            counters: Counters {
                shrinks: counter!("kafka_server_replicamanager_isrshrinks_total"),
                expands: counter!("kafka_server_replicamanager_isrexpands_total"),
                failed: counter!("kafka_server_replicamanager_failedisrupdates_total"),
            },
        }
    }
}

impl IsrChanges {
    /// Sends a change to the controller, again and again until it is answered.
    pub fn submit(&self, partition: TopicPartition, topic_id: Option<Uuid>, change: IsrChange) {
        let topic_id = topic_id.unwrap_or(Uuid::ZERO);
        self.queue.lock().submit(partition, IsrUpdate { topic_id, change });
        self.submitted.notify_one();
    }

    /// The same after everything in the partition's log is on disk. If it cannot be, the log
    /// directory has failed and nothing is sent.
    pub fn sync_and_submit(
        &self,
        partition: TopicPartition,
        topic_id: Option<Uuid>,
        change: IsrChange,
    ) {
        let topic_id = topic_id.unwrap_or(Uuid::ZERO);
        self.to_sync.lock().insert(partition, Some(IsrUpdate { topic_id, change }));
        self.sync_wanted.notify_one();
    }

    /// Has the partition's log synced at once.
    pub fn sync(&self, partition: TopicPartition) {
        self.to_sync.lock().entry(partition).or_default();
        self.sync_wanted.notify_one();
    }

    /// Syncs every log that waits for it, and submits what waited for the sync. Gives the failures:
    /// nothing is submitted for those. Blocks on the disk.
    pub fn sync_waiting(
        &self,
        find: impl Fn(&TopicPartition) -> Option<Arc<Partition>>,
        now_ms: TimestampMs,
    ) -> Vec<(TopicPartition, StorageError)> {
        let orders = std::mem::take(&mut *self.to_sync.lock());
        let found = orders.into_iter().filter_map(|(name, then)| Some((find(&name)?, name, then)));
        let found: Vec<_> = found.collect();
        // The disk gets all of it at once.
        found
            .iter()
            .filter_map(|(partition, ..)| partition.log())
            .for_each(|log| log.begin_flush());
        let mut failed = Vec::new();
        for (partition, name, then) in found {
            let Some(log) = partition.log() else { continue };
            if let Err(error) = log.flush(now_ms) {
                failed.push((name, error));
                continue;
            }
            partition.synced(now_ms);
            if let Some(update) = then {
                self.queue.lock().submit(name, update);
                self.submitted.notify_one();
            }
        }
        failed
    }

    /// Partitions whose change waits for the controller or is with it.
    pub fn with_controller(&self) -> usize {
        self.queue.lock().len()
    }

    /// Whether nothing waits for the controller or for its answer.
    pub fn is_empty(&self) -> bool {
        self.queue.lock().is_empty()
    }

    /// See [`AlterPartitionQueue::next_request`].
    pub fn next_request(
        &self,
        broker_id: BrokerId,
        broker_epoch: i64,
        version_max: i16,
    ) -> Option<(AlterPartitionRequest, i16)> {
        self.queue.lock().next_request(broker_id, broker_epoch, version_max)
    }

    /// The request was not answered: what it held waits again.
    pub fn unanswered(&self) {
        self.queue.lock().unanswered();
    }

    /// Takes the controller's answer; `find` finds partitions here. Whether the controller is to be
    /// asked again after a while.
    pub fn settle(
        &self,
        find: impl Fn(&TopicPartition) -> Option<Arc<Partition>>,
        response: &AlterPartitionResponse,
        now_ms: TimestampMs,
    ) -> bool {
        // All of a request that is refused as a whole waits again.
        let Ok(answers) = self.queue.lock().answered(response) else { return true };
        let mut again = false;
        for (name, update, answer) in answers {
            let Some(partition) = find(&name) else { continue };
            let outcome = partition.isr_answered(&update.change, &answer, now_ms);
            if outcome == IsrOutcome::Resend {
                again = true;
                self.submit(name, Some(update.topic_id), update.change);
            }
        }
        // Kafka sends these again at once, and a controller that refuses them is asked without
        // pause.
        again
    }

    /// Counts what became of a change from an ISR of `before` members to one of `after`.
    pub fn count(&self, outcome: IsrOutcome, before: usize, after: usize) {
        match outcome {
            IsrOutcome::Committed if after > before => self.counters.expands.increment(1),
            IsrOutcome::Committed if after < before => self.counters.shrinks.increment(1),
            IsrOutcome::Committed | IsrOutcome::Ignored => {}
            _ => self.counters.failed.increment(1),
        }
    }
}
