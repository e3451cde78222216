//! A simulated broker's answers to clients and followers: the real partitions, read and appended to
//! as the handlers of Produce, Fetch and ListOffsets do. Knows no frame.

use std::sync::Arc;

use broker::authorizer::Internal;
use broker::delayed::fetch::Isolation;
use broker::delayed::offset::Countdown;
use broker::fetch::plan::{self, FetchParams, Plan, Source};
use broker::fetch::wanted::{FetchContext, SessionRequest, Wanted as WantedPartition};
use broker::handlers::fetch::code_of;
use broker::handlers::partition_error::not_here;
use broker::replication::partition::{
    AckOutcome, AppendTerms, Partition, PartitionRead, ProduceError, ReadError, Reader, Room,
    Wanted,
};
use bytes::Bytes;
use protocol::error_code::ErrorCode;
use protocol::ids::{LeaderEpoch, Offset, TopicPartition, VerificationGuard};
use protocol::messages::fetch::{
    EpochEndOffset, FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData,
};
use protocol::wire::Records;
use replica::fetch_session::{FetchAnswer, FetchAsk, FetchTarget};
use replica::session_cache::SessionError;
use storage::{AppendError, AppendOrigin};

use crate::broker::Broker;
use crate::context::{Context, Timer};
use crate::control::ReplyTo;
use crate::message::{Consumed, Metadata, Packet, PartitionMetadata, Response};
use crate::transactions::Marked;

const PRODUCE_TIMEOUT_MS: i64 = 2_000;
const CONSUME_BYTES_MAX: i64 = 2_000;

/// A request that is answered later.
pub enum Waiter {
    Acks { to: ReplyTo, countdown: Arc<Countdown<AckOutcome>>, offset: Offset, until_ms: i64 },
    Fetch(Box<WaitingFetch>),
    Markers(Marked),
}

/// A follower's Fetch.
pub struct WaitingFetch {
    to: ReplyTo,
    context: FetchContext,
    /// What is read, or the code of what cannot be.
    items: Vec<(WantedPartition, Result<usize, ErrorCode>)>,
    sources: Vec<Source>,
    params: FetchParams,
    until_ms: i64,
}

impl Broker {
    pub fn produce(
        &mut self,
        tp: &TopicPartition,
        acks: i16,
        records: &[u8],
        guard: Option<VerificationGuard>,
        to: ReplyTo,
        ctx: &mut Context<'_>,
    ) {
        let answer = |result, ctx: &mut Context<'_>| {
            let response = Response::Produced(result);
            ctx.send(to.node, to.flow, Packet::Answer { id: to.id, response });
        };
        let partition = match self.known(&tp.topic, tp.partition) {
            Ok(partition) => partition,
            Err(code) => return answer(Err(code), ctx),
        };
        let now_ms = ctx.now_ms();
        let (origin, acks_all) = (AppendOrigin::Client, acks == -1);
        let terms = AppendTerms { origin, acks_all, leader_epoch: None, guard };
        let proof = Internal::of_this_broker().authorized(&tp.topic);
        let appended = partition.append(&proof, records, terms, now_ms);
        let info = match appended {
            Ok(info) => info,
            Err(ProduceError::NotLeader) => {
                return answer(Err(ErrorCode::NOT_LEADER_OR_FOLLOWER), ctx);
            }
            Err(ProduceError::NotEnoughReplicas) => {
                return answer(Err(ErrorCode::NOT_ENOUGH_REPLICAS), ctx);
            }
            Err(ProduceError::Append(error)) => return answer(Err(append_code(&error)), ctx),
        };
        if acks != -1 {
            return answer(Ok(info.first_offset), ctx);
        }
        let countdown = Countdown::new(1);
        partition.await_acks(info.last_offset + 1, &countdown, 0);
        let until_ms = now_ms + PRODUCE_TIMEOUT_MS;
        self.waiters.push(Waiter::Acks { to, countdown, offset: info.first_offset, until_ms });
        ctx.wake_at(until_ms as u64, Timer::Waiters);
    }

    /// A partition that the cluster's metadata has and that is hosted here.
    fn known(&self, topic: &str, index: i32) -> Result<Arc<Partition>, ErrorCode> {
        match self.metadata.load().partition(topic, index) {
            Some(_) => self.replicas.find(topic, index).map_err(not_here),
            None => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        }
    }

    pub fn consume(
        &mut self,
        tp: &TopicPartition,
        offset: Offset,
        leader_epoch: LeaderEpoch,
        isolation: Isolation,
        ctx: &mut Context<'_>,
    ) -> Result<Consumed, ErrorCode> {
        let partition = self.known(&tp.topic, tp.partition)?;
        let ask = FetchAsk {
            fetch_offset: offset,
            current_leader_epoch: leader_epoch,
            last_fetched_epoch: -1,
            log_start: -1,
            max_bytes: i32::MAX,
        };
        let reader = Reader { follower: None, isolation, leader_only: true, throttled: false };
        let room = Room { bytes: CONSUME_BYTES_MAX, at_least_one: true, may_cut: false };
        let proof = Internal::of_this_broker().authorized(&tp.topic);
        let read = partition.read(&proof, &ask, &reader, &room, false, ctx.now_ms());
        let read = read.map_err(|error| code_of(&error))?;
        let records = bytes_of(&read);
        Ok(Consumed { records, aborted: read.aborted.unwrap_or_default() })
    }

    pub fn find_offset(
        &mut self,
        tp: &TopicPartition,
        leader_epoch: LeaderEpoch,
        earliest: bool,
    ) -> Result<Offset, ErrorCode> {
        let partition = self.replicas.find(&tp.topic, tp.partition).map_err(not_here)?;
        let wanted = if earliest { Wanted::Earliest } else { Wanted::Latest };
        let proof = Internal::of_this_broker().authorized(&tp.topic);
        let found = partition.find_offset(&proof, wanted, Isolation::LogEnd, leader_epoch, true);
        match found.map_err(|error| code_of(&error))? {
            Some(found) => Ok(found.offset),
            None => Err(ErrorCode::UNKNOWN_SERVER_ERROR),
        }
    }

    pub fn describe_cluster(&self) -> Metadata {
        let snapshot = self.metadata.snapshot();
        let mut partitions: Vec<PartitionMetadata> = snapshot
            .topics()
            .flat_map(|topic| {
                topic.partitions.values().map(|p| PartitionMetadata {
                    tp: TopicPartition::new(topic.name.to_string(), p.index),
                    topic_id: topic.id,
                    leader: p.leader,
                    leader_epoch: p.leader_epoch,
                })
            })
            .collect();
        // The cache is a hash map.
        partitions.sort_by(|a, b| a.tp.cmp(&b.tp));
        Metadata { partitions }
    }

    /// A follower's Fetch, with its session.
    pub fn fetch(&mut self, request: &FetchRequest, to: ReplyTo, ctx: &mut Context<'_>) {
        let state = &request.replica_state;
        let params = FetchParams {
            reader: Reader {
                follower: Some((state.replica_id, state.replica_epoch)),
                isolation: Isolation::LogEnd,
                leader_only: true,
                throttled: false,
            },
            min_bytes: u64::try_from(request.min_bytes).unwrap_or(0),
            max_bytes: i64::from(request.max_bytes),
            hard_limit: false,
            max_wait_ms: request.max_wait_ms,
            nearby: None,
        };
        let (context, wanted) = match self.open_session(request) {
            Ok(opened) => opened,
            Err(error) => {
                let error_code = match error {
                    SessionError::NotFound => ErrorCode::FETCH_SESSION_ID_NOT_FOUND,
                    SessionError::InvalidEpoch => ErrorCode::INVALID_FETCH_SESSION_EPOCH,
                    SessionError::TopicId => ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR,
                };
                let response = FetchResponse { error_code: error_code.0, ..Default::default() };
                let response = Response::Fetch(Box::new(response));
                return ctx.send(to.node, to.flow, Packet::Answer { id: to.id, response });
            }
        };
        let (items, sources) = self.resolve(wanted);
        let until_ms = ctx.now_ms() + i64::from(request.max_wait_ms);
        let waiting = WaitingFetch { to, context, items, sources, params, until_ms };
        let plan = plan::look(&waiting.sources, &waiting.params, true, ctx.now_ms());
        if waiting.may_answer(&plan, ctx.now_ms()) {
            waiting.answer(plan, ctx);
        } else {
            ctx.wake_at(until_ms as u64, Timer::Waiters);
            self.waiters.push(Waiter::Fetch(Box::new(waiting)));
        }
    }

    fn open_session(
        &self,
        request: &FetchRequest,
    ) -> Result<(FetchContext, Vec<WantedPartition>), SessionError> {
        let cluster = self.replicas.cluster();
        let mut asked = Vec::new();
        for topic in &request.topics {
            let name = cluster.topic_name(topic.topic_id).unwrap_or_else(|| Arc::from(""));
            for p in &topic.partitions {
                let target = FetchTarget {
                    topic_id: topic.topic_id,
                    topic: name.clone(),
                    partition: p.partition,
                };
                let ask = FetchAsk {
                    fetch_offset: p.fetch_offset,
                    current_leader_epoch: p.current_leader_epoch,
                    last_fetched_epoch: p.last_fetched_epoch,
                    log_start: p.log_start_offset,
                    max_bytes: p.partition_max_bytes,
                };
                asked.push((target, ask));
            }
        }
        let forgotten: Vec<_> = request
            .forgotten_topics_data
            .iter()
            .flat_map(|topic| {
                topic.partitions.iter().map(|index| (topic.topic_id, topic.topic.as_str(), *index))
            })
            .collect();
        let session = SessionRequest {
            id: request.session_id,
            epoch: request.session_epoch,
            uses_topic_ids: true,
            is_follower: true,
        };
        self.fetch_sessions.open(session, asked, &forgotten, |id| cluster.topic_name(id))
    }

    fn resolve(
        &self,
        wanted: Vec<WantedPartition>,
    ) -> (Vec<(WantedPartition, Result<usize, ErrorCode>)>, Vec<Source>) {
        let (mut items, mut sources) = (Vec::new(), Vec::new());
        for item in wanted {
            let FetchTarget { topic_id, topic, partition } = &item.target;
            let standing = if topic.is_empty() {
                Err(ErrorCode::UNKNOWN_TOPIC_ID)
            } else {
                match self.known(topic, *partition) {
                    Ok(found) if !found.is_consistent_with(*topic_id) => {
                        Err(ErrorCode::INCONSISTENT_TOPIC_ID)
                    }
                    Ok(found) => {
                        let proof = Internal::of_this_broker().authorized(topic);
                        let (authorized, ask) = (proof.into_owned(), item.ask);
                        sources.push(Source { authorized, partition: found, ask });
                        Ok(sources.len() - 1)
                    }
                    Err(code) => Err(code),
                }
            };
            items.push((item, standing));
        }
        (items, sources)
    }

    /// Answers every waiting request that can be answered now.
    pub fn settle_waiters(&mut self, ctx: &mut Context<'_>) {
        let now_ms = ctx.now_ms();
        let mut next_ms = None;
        for waiter in std::mem::take(&mut self.waiters) {
            let until_ms = match &waiter {
                Waiter::Acks { until_ms, .. } => *until_ms,
                Waiter::Fetch(fetch) => fetch.until_ms,
                Waiter::Markers(marked) => marked.until_ms,
            };
            match waiter {
                Waiter::Acks { to, ref countdown, offset, until_ms } => {
                    let result = match countdown.settled()[0] {
                        Some(AckOutcome::Replicated) => Ok(offset),
                        Some(AckOutcome::NotEnoughReplicas) => {
                            Err(ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND)
                        }
                        Some(AckOutcome::NotLeader) => Err(ErrorCode::NOT_LEADER_OR_FOLLOWER),
                        None if now_ms >= until_ms => Err(ErrorCode::REQUEST_TIMED_OUT),
                        None => {
                            self.waiters.push(waiter);
                            next_ms = Some(next_ms.map_or(until_ms, |n: i64| n.min(until_ms)));
                            continue;
                        }
                    };
                    let response = Response::Produced(result);
                    ctx.send(to.node, to.flow, Packet::Answer { id: to.id, response });
                }
                Waiter::Markers(marked) => {
                    if marked.countdown.is_settled() || now_ms >= until_ms {
                        marked.answer(ctx);
                    } else {
                        self.waiters.push(Waiter::Markers(marked));
                        next_ms = Some(next_ms.map_or(until_ms, |n: i64| n.min(until_ms)));
                    }
                }
                Waiter::Fetch(fetch) => {
                    let plan = plan::look(&fetch.sources, &fetch.params, false, now_ms);
                    if fetch.may_answer(&plan, now_ms) {
                        fetch.answer(plan, ctx);
                    } else {
                        self.waiters.push(Waiter::Fetch(fetch));
                        next_ms = Some(next_ms.map_or(until_ms, |n: i64| n.min(until_ms)));
                    }
                }
            }
        }
        if let Some(next_ms) = next_ms {
            ctx.wake_at(next_ms as u64, Timer::Waiters);
        }
    }
}

impl WaitingFetch {
    fn may_answer(&self, plan: &Plan, now_ms: i64) -> bool {
        now_ms >= self.until_ms
            || self.sources.is_empty()
            || self.items.iter().any(|(_, standing)| standing.is_err())
            || plan.is_enough(&self.params)
    }

    fn answer(self, plan: Plan, ctx: &mut Context<'_>) {
        let mut reads: Vec<Option<Result<PartitionRead, ReadError>>> =
            plan.reads.into_iter().map(Some).collect();
        let answers: Vec<(&WantedPartition, PartitionData)> = self
            .items
            .iter()
            .map(|(wanted, standing)| {
                let index = wanted.target.partition;
                let data = match standing {
                    Err(code) => failed(index, *code),
                    Ok(source) => match reads[*source].take().expect("each is answered once") {
                        Ok(read) => data_of(index, &read),
                        Err(error) => failed(index, code_of(&error)),
                    },
                };
                (wanted, data)
            })
            .collect();
        let told: Vec<_> = answers.iter().map(|(wanted, data)| (*wanted, told_of(data))).collect();
        let (session_id, named) = self.context.answer(&told, ctx.now_ms());
        let mut response = FetchResponse { session_id, ..Default::default() };
        for ((wanted, data), named) in answers.into_iter().zip(named) {
            if !named {
                continue;
            }
            let topic_id = wanted.target.topic_id;
            match response.responses.last_mut() {
                Some(topic) if topic.topic_id == topic_id => topic.partitions.push(data),
                _ => response.responses.push(FetchableTopicResponse {
                    topic: wanted.target.topic.to_string(),
                    topic_id,
                    partitions: vec![data],
                }),
            }
        }
        let response = Response::Fetch(Box::new(response));
        ctx.send(self.to.node, self.to.flow, Packet::Answer { id: self.to.id, response });
    }
}

fn append_code(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::OutOfOrderSequence { .. } => ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
        AppendError::InvalidProducerEpoch { .. } => ErrorCode::INVALID_PRODUCER_EPOCH,
        AppendError::InvalidTxnState { .. } => ErrorCode::INVALID_TXN_STATE,
        AppendError::Disk(_) | AppendError::Failed(_) => ErrorCode::KAFKA_STORAGE_ERROR,
        other => panic!("a client sends what is in order: {other}"),
    }
}

fn bytes_of(read: &PartitionRead) -> Bytes {
    let slices = read.records.as_ref().map_or(&[][..], |records| &records.slices);
    let read = |slice: &storage::LogSlice| slice.read().expect("a slice stays readable");
    Bytes::from(slices.iter().flat_map(read).collect::<Vec<u8>>())
}

fn data_of(partition_index: i32, read: &PartitionRead) -> PartitionData {
    let (epoch, end_offset) = read.diverging.unwrap_or((-1, -1));
    PartitionData {
        partition_index,
        high_watermark: read.high_watermark,
        last_stable_offset: read.last_stable,
        log_start_offset: read.log_start,
        diverging_epoch: EpochEndOffset { epoch, end_offset },
        records: Some(Records::Bytes(bytes_of(read))),
        ..Default::default()
    }
}

fn failed(partition_index: i32, code: ErrorCode) -> PartitionData {
    PartitionData {
        partition_index,
        error_code: code.0,
        high_watermark: -1,
        records: Some(Records::default()),
        ..Default::default()
    }
}

fn told_of(data: &PartitionData) -> FetchAnswer {
    FetchAnswer {
        high_watermark: data.high_watermark,
        log_start: data.log_start_offset,
        has_records: data.records.as_ref().is_some_and(|records| !records.is_empty()),
        is_error: data.error_code != 0,
        is_redirect: data.diverging_epoch.epoch >= 0,
    }
}
