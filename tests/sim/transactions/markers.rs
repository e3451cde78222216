//! Markers in the simulation: the real queues, sent as the broker's sender does, and written as the
//! handler of WriteTxnMarkers does. Knows nothing of transactions' states.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker::authorizer::Internal;
use broker::delayed::offset::Countdown;
use broker::handlers::partition_error::not_here;
use broker::handlers::produce::{ack_code, code_of};
use broker::replication::partition::{AckOutcome, AppendTerms};
use coordinator::shard::directory::NotHere;
use coordinator::transaction::markers::{Destination, request_of};
use coordinator::transaction::service::TRANSACTIONS_TOPIC;
use protocol::error_code::ErrorCode;
use protocol::ids::{BrokerId, ProducerId, TopicPartition};
use protocol::messages::write_txn_markers::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
    WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};
use protocol::records::control::EndTxnMarker;
use storage::AppendOrigin;

use crate::broker::{Asked, Broker};
use crate::context::{Context, Timer};
use crate::control::ReplyTo;
use crate::message::{CallId, Flow, Node, Packet, Request, Response};
use crate::serve::Waiter;

const RETRY_MS: u64 = 100;
const CALL_TIMEOUT_MS: u64 = 3_000;
const APPEND_TIMEOUT_MS: i64 = 2_000;
const PURPOSE: &str = "markers";

/// Markers that were appended here, or were not, and wait for the ISR.
pub struct Marked {
    pub to: ReplyTo,
    parts: Vec<(ProducerId, TopicPartition, ErrorCode)>,
    pub countdown: Arc<Countdown<AckOutcome>>,
    pub until_ms: i64,
}

impl Broker {
    /// Sends what can be sent. Whether a shard was told something.
    pub fn drive_markers(&mut self, ctx: &mut Context<'_>) -> bool {
        let now_ms = ctx.now_ms();
        let resting = &mut self.coordinating.resting;
        let rested: Vec<BrokerId> =
            resting.iter().filter(|(_, at_ms)| **at_ms <= now_ms).map(|(id, _)| *id).collect();
        resting.retain(|_, at_ms| *at_ms > now_ms);
        let told = {
            let mut queues = self.coordinating.outbox.queues.lock();
            rested.into_iter().for_each(|broker| queues.release(broker));
            queues.route(&|partition| self.destination(partition))
        };
        self.coordinating.news.extend(told);
        loop {
            let next = self.coordinating.outbox.queues.lock().take_next();
            let Some((to, orders)) = next else { break };
            let flow = Flow::Coordinator(self.flow_to(to, PURPOSE, ctx));
            let id = ctx.fresh();
            let request = Request::Markers(request_of(&orders));
            self.coordinating.sending.insert(to, (id, orders));
            ctx.send(Node::Broker(to), flow, Packet::Call { id, request });
            self.ask(id, Asked::Markers(to), CALL_TIMEOUT_MS, ctx);
        }
        let heard = self.tell_shards();
        let waits = self.coordinating.outbox.queues.lock().has_unrouted();
        if waits || !self.coordinating.news.is_empty() {
            ctx.wake_in(RETRY_MS, Timer::Coordinator);
        }
        heard
    }

    fn tell_shards(&mut self) -> bool {
        let (mut heard, mut later) = (false, Vec::new());
        for news in std::mem::take(&mut self.coordinating.news) {
            match self.coordinating.service.markers_done(news.clone()) {
                Ok(()) => heard = true,
                Err(NotHere::Stopped | NotHere::NotLeader) => {}
                Err(NotHere::Loading | NotHere::Busy) => later.push(news),
            }
        }
        self.coordinating.news = later;
        heard
    }

    fn destination(&self, partition: &TopicPartition) -> Destination {
        let cluster = self.replicas.cluster();
        let Some(leader) = cluster.leader(&partition.topic, partition.partition) else {
            let knows = cluster.has_partition(TRANSACTIONS_TOPIC, 0);
            return if knows { Destination::Gone } else { Destination::Unknown };
        };
        if cluster.is_alive(leader.id) {
            Destination::Broker(leader.id)
        } else {
            Destination::Unknown
        }
    }

    pub fn markers_answered(
        &mut self,
        to: BrokerId,
        id: CallId,
        response: Option<&WriteTxnMarkersResponse>,
        ctx: &mut Context<'_>,
    ) {
        if self.coordinating.sending.get(&to).is_none_or(|(asked, _)| *asked != id) {
            return;
        }
        let Some((_, orders)) = self.coordinating.sending.remove(&to) else { return };
        if response.is_none() {
            self.hang_up(to, PURPOSE);
        }
        let mut queues = self.coordinating.outbox.queues.lock();
        let (told, again) = queues.answered(orders, response);
        if again {
            let at_ms = ctx.now_ms() + RETRY_MS as i64;
            self.coordinating.resting.insert(to, at_ms);
            ctx.wake_in(RETRY_MS, Timer::Coordinator);
        } else {
            queues.release(to);
        }
        drop(queues);
        self.coordinating.news.extend(told);
    }

    /// As the handler does.
    pub fn write_markers(
        &mut self,
        request: WriteTxnMarkersRequest,
        to: ReplyTo,
        ctx: &mut Context<'_>,
    ) {
        let now_ms = ctx.now_ms();
        let (mut parts, mut pending) = (Vec::new(), Vec::new());
        for marker in request.markers {
            let end = EndTxnMarker {
                committed: marker.transaction_result,
                coordinator_epoch: marker.coordinator_epoch,
            };
            let (producer_id, epoch) = (marker.producer_id, marker.producer_epoch);
            let batch = end.batch(0, now_ms, -1, producer_id, epoch).expect("a small marker");
            for topic in marker.topics {
                for index in topic.partition_indexes {
                    let found = self.replicas.find(&topic.name, index).map_err(not_here);
                    let appended = found.and_then(|partition| {
                        let origin = AppendOrigin::Coordinator;
                        let terms =
                            AppendTerms { origin, acks_all: true, leader_epoch: None, guard: None };
                        let proof = Internal::of_this_broker().authorized(partition.topic());
                        let info = partition.append(&proof, &batch, terms, now_ms);
                        let info = info.map_err(|error| code_of(&error))?;
                        Ok((partition, info.last_offset + 1))
                    });
                    let code = appended.as_ref().err().copied().unwrap_or(ErrorCode::NONE);
                    parts.push((producer_id, TopicPartition::new(&*topic.name, index), code));
                    pending.push(appended.ok());
                }
            }
        }
        let countdown = Countdown::new(parts.len());
        for (at, pending) in pending.into_iter().enumerate() {
            match pending {
                Some((partition, end)) => partition.await_acks(end, &countdown, at),
                None => countdown.settle(at, AckOutcome::Replicated),
            }
        }
        let until_ms = now_ms + APPEND_TIMEOUT_MS;
        self.waiters.push(Waiter::Markers(Marked { to, parts, countdown, until_ms }));
        ctx.wake_at(until_ms as u64, Timer::Waiters);
    }
}

impl Marked {
    pub fn answer(self, ctx: &mut Context<'_>) {
        let mut results: BTreeMap<ProducerId, BTreeMap<String, BTreeMap<i32, i16>>> =
            BTreeMap::new();
        for ((producer_id, tp, code), outcome) in
            self.parts.into_iter().zip(self.countdown.settled())
        {
            let code = if code.is_ok() { ack_code(outcome) } else { code };
            let topics = results.entry(producer_id).or_default();
            topics.entry(tp.topic).or_default().insert(tp.partition, code.0);
        }
        let partition = |(partition_index, error_code)| WritableTxnMarkerPartitionResult {
            partition_index,
            error_code,
        };
        let topic = |(name, codes): (String, BTreeMap<i32, i16>)| WritableTxnMarkerTopicResult {
            name,
            partitions: codes.into_iter().map(partition).collect(),
        };
        let markers = results.into_iter().map(|(producer_id, topics)| WritableTxnMarkerResult {
            producer_id,
            topics: topics.into_iter().map(topic).collect(),
        });
        let response = Response::Marked(WriteTxnMarkersResponse { markers: markers.collect() });
        let to = self.to;
        ctx.send(to.node, to.flow, Packet::Answer { id: to.id, response });
    }
}
