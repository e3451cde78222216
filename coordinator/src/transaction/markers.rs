//! Markers on their way to partitions' leaders: a queue per broker, one request at a time to each,
//! and what their answers mean (Kafka's `TransactionMarkerChannelManager`). Sans-IO: knows no
//! connection, and is told who leads what.

use std::collections::{BTreeMap, BTreeSet};

use protocol::error_code::ErrorCode;
use protocol::ids::{BrokerId, LeaderEpoch, ProducerId, TopicPartition};
use protocol::messages::write_txn_markers::{
    WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};

use super::request::{MarkersDone, SendMarkers};

/// Most orders in one request; the others wait for its answer.
const ORDERS_MAX: usize = 10_000;

/// Markers of one transaction that travel together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Of `__transaction_state`: whose shard wants to hear of it.
    pub shard: i32,
    pub coordinator_epoch: LeaderEpoch,
    pub markers: SendMarkers,
}

/// Where a partition's markers are to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    Broker(BrokerId),
    /// Nobody leads it, or its leader cannot be reached: to be looked at again.
    Unknown,
    /// The partition was deleted.
    Gone,
}

/// A shard's news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub shard: i32,
    pub done: MarkersDone,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Order>,
    in_flight: bool,
}

/// All markers that are not written yet: at most one order per transactional id and broker.
#[derive(Debug, Default)]
pub struct MarkerQueues {
    brokers: BTreeMap<BrokerId, Queue>,
    /// Without a destination yet, or again.
    unrouted: Vec<Order>,
    /// Orders of earlier epochs than this are void, by shard.
    valid_from: BTreeMap<i32, LeaderEpoch>,
}

impl MarkerQueues {
    /// Takes an order; `route` gives it its destination.
    pub fn accept(&mut self, order: Order) {
        if self.is_valid(&order) {
            self.unrouted.push(order);
        }
    }

    /// What this broker decided as leader of the partition of `__transaction_state` before this
    /// epoch is void, or all of it if the epoch is not known: it was another's to finish.
    pub fn forget(&mut self, shard: i32, epoch: Option<LeaderEpoch>) {
        if let Some(epoch) = epoch {
            let known = self.valid_from.entry(shard).or_insert(epoch);
            *known = (*known).max(epoch);
        }
        let stays = |order: &Order| {
            order.shard != shard || epoch.is_some_and(|epoch| order.coordinator_epoch >= epoch)
        };
        self.unrouted.retain(stays);
        for queue in self.brokers.values_mut() {
            queue.waiting.retain(stays);
        }
    }

    fn is_valid(&self, order: &Order) -> bool {
        let from = self.valid_from.get(&order.shard);
        from.is_none_or(|from| order.coordinator_epoch >= *from)
    }

    /// Whether something waits for a destination.
    pub fn has_unrouted(&self) -> bool {
        !self.unrouted.is_empty()
    }

    /// Orders that wait for a destination.
    pub fn unrouted(&self) -> usize {
        self.unrouted.len()
    }

    /// Sorts what has no destination into the brokers' queues. Partitions that are gone count as
    /// done.
    pub fn route(&mut self, resolve: &dyn Fn(&TopicPartition) -> Destination) -> Vec<Told> {
        let mut told = Vec::new();
        for order in std::mem::take(&mut self.unrouted) {
            let mut parts: BTreeMap<Option<BrokerId>, BTreeSet<TopicPartition>> = BTreeMap::new();
            let mut gone = Vec::new();
            for partition in &order.markers.partitions {
                let to = match resolve(partition) {
                    Destination::Broker(broker) => Some(broker),
                    Destination::Unknown => None,
                    Destination::Gone => {
                        gone.push(partition.clone());
                        continue;
                    }
                };
                parts.entry(to).or_default().insert(partition.clone());
            }
            if !gone.is_empty() {
                told.push(order.told(gone));
            }
            for (to, partitions) in parts {
                let part = order.part(partitions);
                match to {
                    Some(broker) => self.brokers.entry(broker).or_default().waiting.push(part),
                    None => self.unrouted.push(part),
                }
            }
        }
        told
    }

    /// The next broker to send to, and what; nothing else goes there until `release`.
    pub fn take_next(&mut self) -> Option<(BrokerId, Vec<Order>)> {
        let mut queues = self.brokers.iter_mut();
        let (broker, queue) =
            queues.find(|(_, queue)| !queue.in_flight && !queue.waiting.is_empty())?;
        queue.in_flight = true;
        let count = queue.waiting.len().min(ORDERS_MAX);
        Some((*broker, queue.waiting.drain(..count).collect()))
    }

    /// A broker's answer; `None` if there was none. What is to be tried again waits for a
    /// destination; also says whether there is such.
    pub fn answered(
        &mut self,
        sent: Vec<Order>,
        response: Option<&WriteTxnMarkersResponse>,
    ) -> (Vec<Told>, bool) {
        let codes: Codes = response.map(codes_of).unwrap_or_default();
        let (mut told, mut again) = (Vec::new(), false);
        for order in sent {
            let (mut done, mut retried, mut void) = (Vec::new(), BTreeSet::new(), false);
            for partition in &order.markers.partitions {
                let code = codes.get(&(order.markers.producer.id, partition.clone())).copied();
                match code.map_or(Verdict::Again, |code| judge(code, &order, partition)) {
                    Verdict::Done => done.push(partition.clone()),
                    Verdict::Again => drop(retried.insert(partition.clone())),
                    Verdict::Void => void = true,
                }
            }
            // Another may have ended that transaction meanwhile, and its producer begun the next.
            if !self.is_valid(&order) {
                continue;
            }
            if !done.is_empty() {
                told.push(order.told(done));
            }
            if !void && !retried.is_empty() {
                again = true;
                self.unrouted.push(order.part(retried));
            }
        }
        (told, again)
    }

    /// The broker may be sent to again.
    pub fn release(&mut self, broker: BrokerId) {
        if let Some(queue) = self.brokers.get_mut(&broker) {
            queue.in_flight = false;
            if queue.waiting.is_empty() {
                self.brokers.remove(&broker);
            }
        }
    }
}

impl Order {
    fn part(&self, partitions: BTreeSet<TopicPartition>) -> Order {
        let markers = SendMarkers { partitions, ..self.markers.clone() };
        Order { markers, ..self.clone() }
    }

    fn told(&self, partitions: Vec<TopicPartition>) -> Told {
        let (id, producer) = (self.markers.id.clone(), self.markers.producer);
        Told { shard: self.shard, done: MarkersDone { id, producer, partitions } }
    }
}

/// The request that carries these orders.
pub fn request_of(orders: &[Order]) -> WriteTxnMarkersRequest {
    let marker = |order: &Order| {
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for partition in &order.markers.partitions {
            topics.entry(&partition.topic).or_default().push(partition.partition);
        }
        WritableTxnMarker {
            producer_id: order.markers.producer.id,
            producer_epoch: order.markers.producer.epoch,
            transaction_result: order.markers.commit,
            topics: topics
                .into_iter()
                .map(|(name, partition_indexes)| WritableTxnMarkerTopic {
                    name: name.to_owned(),
                    partition_indexes,
                })
                .collect(),
            coordinator_epoch: order.coordinator_epoch,
        }
    };
    WriteTxnMarkersRequest { markers: orders.iter().map(marker).collect() }
}

type Codes = BTreeMap<(ProducerId, TopicPartition), ErrorCode>;

fn codes_of(response: &WriteTxnMarkersResponse) -> Codes {
    let mut codes = Codes::new();
    for marker in &response.markers {
        for topic in &marker.topics {
            for result in &topic.partitions {
                let partition = TopicPartition::new(topic.name.clone(), result.partition_index);
                codes.insert((marker.producer_id, partition), ErrorCode(result.error_code));
            }
        }
    }
    codes
}

enum Verdict {
    Done,
    Again,
    /// Somebody else coordinates, or fenced the producer: the transaction is not ours to end.
    Void,
}

fn judge(code: ErrorCode, order: &Order, partition: &TopicPartition) -> Verdict {
    let id = &order.markers.id;
    match code {
        // Nothing transactional can be in a log whose format has no transactions.
        ErrorCode::NONE
        | ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT
        | ErrorCode::UNSUPPORTED_VERSION => Verdict::Done,
        ErrorCode::INVALID_PRODUCER_EPOCH | ErrorCode::TRANSACTION_COORDINATOR_FENCED => {
            tracing::info!(transactional_id = %id, %partition, ?code, "a marker was refused");
            Verdict::Void
        }
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        | ErrorCode::NOT_LEADER_OR_FOLLOWER
        | ErrorCode::NOT_ENOUGH_REPLICAS
        | ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND
        | ErrorCode::REQUEST_TIMED_OUT
        | ErrorCode::KAFKA_STORAGE_ERROR => {
            tracing::debug!(transactional_id = %id, %partition, ?code, "a marker again");
            Verdict::Again
        }
        code => {
            tracing::error!(transactional_id = %id, %partition, ?code,
                "a marker was refused for no known reason");
            Verdict::Again
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::Producer;
    use protocol::messages::write_txn_markers::{
        WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
    };

    fn order(shard: i32, id: &str, producer: i64, partitions: &[i32]) -> Order {
        let partitions = partitions.iter().map(|p| TopicPartition::new("t", *p)).collect();
        let producer = Producer { id: producer, epoch: 0 };
        let markers = SendMarkers { id: id.into(), producer, commit: true, partitions };
        Order { shard, coordinator_epoch: 3, markers }
    }

    /// Partition 0 to 9 on broker 1, to 19 on broker 2, to 29 unknown, others gone.
    fn resolve(partition: &TopicPartition) -> Destination {
        match partition.partition {
            0..10 => Destination::Broker(1),
            10..20 => Destination::Broker(2),
            20..30 => Destination::Unknown,
            _ => Destination::Gone,
        }
    }

    fn answer(producer: i64, codes: &[(i32, ErrorCode)]) -> WriteTxnMarkersResponse {
        let partitions = codes
            .iter()
            .map(|(index, code)| WritableTxnMarkerPartitionResult {
                partition_index: *index,
                error_code: code.0,
            })
            .collect();
        let topics = vec![WritableTxnMarkerTopicResult { name: "t".to_owned(), partitions }];
        let markers = vec![WritableTxnMarkerResult { producer_id: producer, topics }];
        WriteTxnMarkersResponse { markers }
    }

    fn indexes(told: &[Told]) -> Vec<i32> {
        told.iter().flat_map(|told| told.done.partitions.iter().map(|p| p.partition)).collect()
    }

    #[test]
    fn markers_go_to_leaders_one_request_at_a_time() {
        let mut queues = MarkerQueues::default();
        queues.accept(order(0, "a", 7, &[1, 2, 11, 25, 31]));
        assert_eq!(indexes(&queues.route(&resolve)), [31], "deleted ones count as done");
        assert!(queues.has_unrouted());
        let (broker, first) = queues.take_next().unwrap();
        assert_eq!((broker, request_of(&first).markers.len()), (1, 1));
        assert_eq!(request_of(&first).markers[0].topics[0].partition_indexes, [1, 2]);
        assert_eq!(queues.take_next().unwrap().0, 2);
        queues.accept(order(0, "b", 8, &[3]));
        queues.route(&resolve);
        assert_eq!(queues.take_next(), None, "both have one in flight");
        let response = answer(7, &[(1, ErrorCode::NONE), (2, ErrorCode::NOT_LEADER_OR_FOLLOWER)]);
        let (told, again) = queues.answered(first, Some(&response));
        assert_eq!((indexes(&told), again), (vec![1], true));
        queues.release(1);
        queues.route(&resolve);
        let (_, next) = queues.take_next().unwrap();
        let ids: Vec<_> = next.iter().map(|order| &*order.markers.id).collect();
        assert_eq!(ids, ["b", "a"]);
        let (told, again) = queues.answered(next, None);
        assert_eq!((told.len(), again), (0, true), "a lost connection loses nothing");
    }

    #[test]
    fn what_another_decides_is_not_tried_again() {
        let mut queues = MarkerQueues::default();
        for code in [ErrorCode::INVALID_PRODUCER_EPOCH, ErrorCode::TRANSACTION_COORDINATOR_FENCED] {
            let response = answer(7, &[(1, code), (2, ErrorCode::REQUEST_TIMED_OUT)]);
            let sent = vec![order(0, "a", 7, &[1, 2])];
            assert_eq!(queues.answered(sent, Some(&response)), (vec![], false));
        }
        queues.accept(order(0, "a", 7, &[1]));
        queues.accept(order(1, "b", 8, &[1]));
        queues.forget(0, Some(4));
        queues.route(&resolve);
        let (_, sent) = queues.take_next().unwrap();
        assert_eq!(sent.len(), 1, "the other shard's goes on");
        assert!(!queues.answered(vec![order(0, "a", 7, &[1])], None).1, "its time is over");
        let late = answer(7, &[(1, ErrorCode::NONE)]);
        let (told, _) = queues.answered(vec![order(0, "a", 7, &[1])], Some(&late));
        assert_eq!(told, [], "perhaps a later transaction of the producer is being ended");
        queues.accept(Order { coordinator_epoch: 4, ..order(0, "a", 7, &[1]) });
        assert!(queues.has_unrouted(), "elected anew");
    }
}
