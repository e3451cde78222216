//! Produce (key 0): appends record batches to the partitions that this broker leads.
//!
//! Versions 0 to 11: v2 append time · v3 transactions, magic 2 only · v5 log start offset · v7 zstd
//! · v8 reasons of single records · v9 flexible · v10 the leader to go to instead (KIP-951).
//!
//! Appends happen before this returns, so requests of one connection append in their order; only
//! the wait for replicas (acks=all) is a `Later`. A batch that begins a transaction in its
//! partition waits for the transaction coordinator's word first (KIP-890), and the connection's
//! next requests wait with it. With acks=0 there is no answer; an error closes the connection, so
//! that the producer looks for its leaders again. What the cluster's metadata does not have is
//! refused although it may still be led here: its topic is being deleted.
//!
//! Errors: INVALID_REQUIRED_ACKS, UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER,
//! INVALID_TOPIC_EXCEPTION (an internal topic), CORRUPT_MESSAGE, INVALID_RECORD, INVALID_TIMESTAMP,
//! MESSAGE_TOO_LARGE, RECORD_LIST_TOO_LARGE, UNSUPPORTED_COMPRESSION_TYPE,
//! UNSUPPORTED_FOR_MESSAGE_FORMAT, OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_PRODUCER_EPOCH,
//! INVALID_TXN_STATE (from v11 on TRANSACTION_ABORTABLE: the partition was not added to the
//! transaction), INVALID_PRODUCER_ID_MAPPING, NOT_ENOUGH_REPLICAS (also: it is not known yet
//! whether the partition is in the transaction), NOT_ENOUGH_REPLICAS_AFTER_APPEND,
//! REQUEST_TIMED_OUT, KAFKA_STORAGE_ERROR, TOPIC_AUTHORIZATION_FAILED,
//! TRANSACTIONAL_ID_AUTHORIZATION_FAILED.
//!
//! Differs from Apache: a partition that is listed twice is appended twice and answered twice,
//! where Kafka keeps the last entry only. An empty record set of v0 to v2 is INVALID_RECORD, where
//! Kafka takes it and appends nothing.

mod verify;

use std::sync::Arc;
use std::time::Duration;

use protocol::error_code::ErrorCode;
use protocol::ids::VerificationGuard;
use protocol::messages::produce::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse,
    ProduceRequest, ProduceResponse, TopicProduceResponse,
};
use protocol::records::batch::{BatchHeader, MAGIC_AT};
use protocol::records::codec::Codec;
use protocol::records::validate::Refusal;
use protocol::wire::Records;
use storage::{AppendError, AppendInfo, AppendOrigin};

use self::verify::{Begun, Verified};
use super::current_leader;
use crate::authorizer::{Resource, op};
use crate::broker::{Broker, Reply, RequestContext};
use crate::delayed::offset::Countdown;
use crate::replication::cluster_view::BrokerEndpoint;
use crate::replication::partition::{AckOutcome, Partition, ProduceError};
use crate::topics::name;
use crate::transactions::verification;

/// The client id of Kafka's own admin client, which alone may write to internal topics.
const ADMIN_CLIENT_ID: &str = "__admin_client";

const ACKS_NONE: i16 = 0;
const ACKS_LEADER: i16 = 1;
const ACKS_ALL: i16 = -1;

/// One partition's answer, and what it still waits for.
struct Part {
    topic: usize,
    response: PartitionProduceResponse,
    /// Appended and neither answered nor failed yet.
    pending: Option<(Arc<Partition>, AppendInfo)>,
}

/// One request's answers in the order of the request.
struct Answers {
    topics: Vec<String>,
    parts: Vec<Part>,
}

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: ProduceRequest,
) -> Reply<ProduceResponse> {
    let verified = match refuse_request(broker, context, &request) {
        Some(code) => Err(code),
        None => verify::begin(broker, context, &request),
    };
    let open = match verified {
        Ok(Begun::Ready(verified)) => return finish(broker, context, request, Ok(verified)),
        Err(code) => return finish(broker, context, request, Err(code)),
        Ok(Begun::Asks(open)) => open,
    };
    let answer = verification::ask(broker, open.question.clone());
    let (broker, context) = (broker.clone(), context.clone());
    Reply::Held(Box::pin(async move {
        let verified = open.answered(answer.await);
        finish(&broker, &context, request, Ok(verified))
    }))
}

/// Appends, and answers once it may. The error is why nothing of the request may be appended.
fn finish(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: ProduceRequest,
    verified: Result<Verified, ErrorCode>,
) -> Reply<ProduceResponse> {
    let (acks, timeout_ms) = (request.acks, request.timeout_ms);
    let mut answers = append_all(broker, context, request, &verified);
    // `flush.messages` and `flush.ms`: on disk before it is acknowledged or seen.
    let flushes = answers.parts.iter().any(|part| part.flush_due());
    if !flushes {
        match acks {
            ACKS_NONE => return answer_nobody(&answers),
            ACKS_ALL => {}
            _ => return Reply::Now(respond(broker, context, answers)),
        }
        let countdown = await_replicas(&answers);
        if countdown.is_settled() {
            settle(broker, &mut answers, countdown.settled());
            return Reply::Now(respond(broker, context, answers));
        }
        let (broker, context) = (broker.clone(), context.clone());
        return Reply::later(async move {
            settle(&broker, &mut answers, countdown.outcomes(patience(timeout_ms)).await);
            respond(&broker, &context, answers)
        });
    }
    let flushed = flush(broker, &answers);
    let (broker, context) = (broker.clone(), context.clone());
    let finish = async move {
        for (part, failed) in flushed.await.unwrap_or_default() {
            if failed {
                answers.parts[part].fail(ErrorCode::KAFKA_STORAGE_ERROR);
            }
        }
        if acks == ACKS_ALL {
            let countdown = await_replicas(&answers);
            settle(&broker, &mut answers, countdown.outcomes(patience(timeout_ms)).await);
        }
        respond(&broker, &context, answers)
    };
    if acks == ACKS_NONE { Reply::Nothing } else { Reply::later(finish) }
}

fn patience(timeout_ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0))
}

/// Appends everything that may be appended. The frame's bytes are in the logs afterwards: they are
/// not kept while replicas are waited for.
fn append_all(
    broker: &Broker,
    context: &RequestContext,
    request: ProduceRequest,
    verified: &Result<Verified, ErrorCode>,
) -> Answers {
    let acks_all = request.acks == ACKS_ALL;
    let mut answers = Answers { topics: Vec::new(), parts: Vec::new() };
    let cluster = broker.metadata.load();
    for topic in request.topic_data {
        let verified = match (verified, refuse_topic(broker, context, &topic.name)) {
            (Err(code), _) => Err(*code),
            (Ok(_), Some(code)) => Err(code),
            (Ok(verified), None) => Ok(verified),
        };
        let known = cluster.topic(&topic.name);
        for data in &topic.partition_data {
            let outcome = verified.map_err(Failure::code).and_then(|verified| {
                if known.is_none_or(|known| !known.partitions.contains_key(&data.index)) {
                    return Err(Failure::code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
                }
                let guard = verified.guard(&topic.name, data.index)?;
                let to = Target { topic: &topic.name, index: data.index, acks_all, guard };
                append(broker, context, &to, &data.records)
            });
            answers.parts.push(Part::new(answers.topics.len(), data.index, outcome));
        }
        answers.topics.push(topic.name);
    }
    answers
}

/// Why nothing of the request may be appended, if so.
fn refuse_request(
    broker: &Broker,
    context: &RequestContext,
    request: &ProduceRequest,
) -> Option<ErrorCode> {
    if ![ACKS_NONE, ACKS_LEADER, ACKS_ALL].contains(&request.acks) {
        return Some(ErrorCode::INVALID_REQUIRED_ACKS);
    }
    let mut batches = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
    if !batches.any(|data| verify::transactional(data).is_some()) {
        return None;
    }
    let may = request.transactional_id.as_deref().is_some_and(|id| {
        let resource = Resource::TransactionalId(id);
        broker.authorizer.authorize::<op::Write>(context, resource).is_ok()
    });
    (!may).then_some(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
}

fn refuse_topic(broker: &Broker, context: &RequestContext, topic: &str) -> Option<ErrorCode> {
    let allowed = broker.authorizer.authorize::<op::Write>(context, Resource::Topic(topic));
    allowed.err().map(|_| ErrorCode::TOPIC_AUTHORIZATION_FAILED)
}

/// Why a partition was not appended to, with what the response says about it.
struct Failure {
    code: ErrorCode,
    log_start: i64,
    message: Option<String>,
    records: Vec<BatchIndexAndErrorMessage>,
}

impl Failure {
    fn code(code: ErrorCode) -> Failure {
        Failure { code, log_start: -1, message: None, records: Vec::new() }
    }
}

/// Where one record set goes, and how.
struct Target<'a> {
    topic: &'a str,
    index: i32,
    acks_all: bool,
    guard: Option<VerificationGuard>,
}

fn append(
    broker: &Broker,
    context: &RequestContext,
    to: &Target<'_>,
    records: &Option<Records>,
) -> Result<(Arc<Partition>, AppendInfo), Failure> {
    let partition = broker.replicas.find(to.topic, to.index).map_err(Failure::code)?;
    let set = records.as_ref().and_then(Records::bytes).map_or(&[][..], |bytes| bytes);
    check_format(context.api_version, set).map_err(Failure::code)?;
    if name::is_internal(to.topic) && context.client_id() != ADMIN_CLIENT_ID {
        return Err(Failure::code(ErrorCode::INVALID_TOPIC_EXCEPTION));
    }
    let now_ms = broker.clock.now_ms();
    partition.arriving(context.arrived_ms);
    let origin = AppendOrigin::Client;
    match partition.append(set, origin, to.acks_all, None, to.guard, now_ms) {
        Ok(info) => {
            if info.rolled {
                broker.replicas.note_work();
            }
            Ok((partition, info))
        }
        Err(error) => Err(failure(broker, &partition, error)),
    }
}

/// What a version may carry: before 3 anything that the log can convert, from 3 one magic-2 batch.
fn check_format(version: i16, set: &[u8]) -> Result<(), ErrorCode> {
    if version < 3 {
        return Ok(());
    }
    if set.get(MAGIC_AT) != Some(&2) {
        return Err(ErrorCode::INVALID_RECORD);
    }
    let header = BatchHeader::parse(set).map_err(|_| ErrorCode::CORRUPT_MESSAGE)?;
    if version < 7 && header.codec() == Codec::Zstd.id() {
        return Err(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE);
    }
    Ok(())
}

fn failure(broker: &Broker, partition: &Partition, error: ProduceError) -> Failure {
    let code = refused(broker, partition, &error);
    let ProduceError::Append(AppendError::Invalid(invalid)) = &error else {
        return Failure::code(code);
    };
    let records: Vec<_> = invalid
        .rejections()
        .iter()
        .map(|record| BatchIndexAndErrorMessage {
            batch_index: record.index,
            batch_index_error_message: Some(record.message.clone()),
        })
        .collect();
    let message = (!records.is_empty()).then(|| invalid.to_string());
    Failure { code, log_start: partition.log_start(), message, records }
}

/// Notes a refused append; gives its error code.
pub fn refused(broker: &Broker, partition: &Partition, error: &ProduceError) -> ErrorCode {
    tracing::debug!(?partition, %error, "records were not appended");
    if let ProduceError::Append(AppendError::Disk(disk)) = error
        && !disk.is_full()
    {
        broker.replicas.disk_failed(&partition.name(), disk);
    }
    code_of(error)
}

/// The error code of a refused append.
pub fn code_of(error: &ProduceError) -> ErrorCode {
    let error = match error {
        ProduceError::NotLeader => return ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ProduceError::NotEnoughReplicas => return ErrorCode::NOT_ENOUGH_REPLICAS,
        ProduceError::Append(error) => error,
    };
    match error {
        AppendError::Corrupt(_) => ErrorCode::CORRUPT_MESSAGE,
        AppendError::Invalid(invalid) => match invalid.refusal() {
            Refusal::InvalidRecord => ErrorCode::INVALID_RECORD,
            Refusal::InvalidTimestamp => ErrorCode::INVALID_TIMESTAMP,
            Refusal::CorruptMessage => ErrorCode::CORRUPT_MESSAGE,
            Refusal::UnsupportedCompressionType => ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
            Refusal::MessageTooLarge => ErrorCode::MESSAGE_TOO_LARGE,
        },
        AppendError::BaseOffset(_) => ErrorCode::INVALID_RECORD,
        AppendError::MessageTooLarge { .. } => ErrorCode::MESSAGE_TOO_LARGE,
        AppendError::RecordListTooLarge { .. } => ErrorCode::RECORD_LIST_TOO_LARGE,
        AppendError::OutOfOrderSequence { .. } => ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
        AppendError::InvalidProducerEpoch { .. } => ErrorCode::INVALID_PRODUCER_EPOCH,
        AppendError::InvalidTxnState { .. } => ErrorCode::INVALID_TXN_STATE,
        AppendError::CoordinatorFenced { .. } => ErrorCode::TRANSACTION_COORDINATOR_FENCED,
        AppendError::UnexpectedOffset { .. } => ErrorCode::UNKNOWN_SERVER_ERROR,
        AppendError::Disk(_) | AppendError::Failed(_) => ErrorCode::KAFKA_STORAGE_ERROR,
    }
}

impl Part {
    fn new(
        topic: usize,
        index: i32,
        outcome: Result<(Arc<Partition>, AppendInfo), Failure>,
    ) -> Part {
        let mut response = PartitionProduceResponse { index, ..Default::default() };
        match outcome {
            Ok((partition, info)) => {
                response.base_offset = info.first_offset;
                response.log_append_time_ms = info.log_append_time_ms;
                response.log_start_offset = info.log_start_offset;
                Part { topic, response, pending: Some((partition, info)) }
            }
            Err(failure) => {
                response.error_code = failure.code.0;
                response.base_offset = -1;
                response.log_start_offset = failure.log_start;
                response.error_message = failure.message;
                response.record_errors = failure.records;
                Part { topic, response, pending: None }
            }
        }
    }

    fn flush_due(&self) -> bool {
        self.pending.as_ref().is_some_and(|(_, info)| info.flush_due)
    }

    fn fail(&mut self, code: ErrorCode) {
        self.pending = None;
        self.response.error_code = code.0;
        self.response.base_offset = -1;
        self.response.log_append_time_ms = -1;
        self.response.log_start_offset = -1;
    }
}

/// Syncs the logs that ask for it. It is done even if the peer goes: others wait to see the
/// records.
fn flush(
    broker: &Arc<Broker>,
    answers: &Answers,
) -> tokio::sync::oneshot::Receiver<Vec<(usize, bool)>> {
    let (done, flushed) = tokio::sync::oneshot::channel();
    let due: Vec<_> = answers
        .parts
        .iter()
        .enumerate()
        .filter(|(_, part)| part.flush_due())
        .filter_map(|(at, part)| {
            part.pending.clone().map(|(partition, info)| (at, partition, info))
        })
        .collect();
    let owner = broker.clone();
    broker.tasks.spawn(async move {
        let now_ms = owner.clock.now_ms();
        let work = move || {
            due.into_iter()
                .map(|(at, partition, info)| {
                    let shown = partition.flush_and_show(&info, AppendOrigin::Client, now_ms);
                    (at, shown.is_err())
                })
                .collect()
        };
        // Nobody listens any more if the peer went.
        let _ = done.send(owner.tasks.blocking(work).await);
    });
    flushed
}

/// Waits, for every append, until all in-sync replicas have it; a failed part is settled already.
fn await_replicas(answers: &Answers) -> Arc<Countdown<AckOutcome>> {
    let countdown = Countdown::new(answers.parts.len());
    for (at, part) in answers.parts.iter().enumerate() {
        match &part.pending {
            Some((partition, info)) => {
                partition.await_acks(info.last_offset + 1, &countdown, at);
            }
            None => countdown.settle(at, AckOutcome::Replicated),
        }
    }
    countdown
}

fn settle(broker: &Broker, answers: &mut Answers, outcomes: Vec<Option<AckOutcome>>) {
    for (part, outcome) in answers.parts.iter_mut().zip(outcomes) {
        let Some((partition, _)) = &part.pending else { continue };
        let code = ack_code(broker, partition, outcome);
        if !code.is_ok() {
            part.fail(code);
        }
    }
}

/// What a wait for replicas means to whoever appended; `None`: it was not long enough. A partition
/// that went meanwhile gets the code of one that is not here: it was deleted, or lives elsewhere.
pub fn ack_code(broker: &Broker, partition: &Partition, outcome: Option<AckOutcome>) -> ErrorCode {
    match outcome {
        Some(AckOutcome::Replicated) => ErrorCode::NONE,
        Some(AckOutcome::NotEnoughReplicas) => ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        Some(AckOutcome::NotLeader) => {
            let found = broker.replicas.find(partition.topic(), partition.index());
            found.err().unwrap_or(ErrorCode::NOT_LEADER_OR_FOLLOWER)
        }
        None => ErrorCode::REQUEST_TIMED_OUT,
    }
}

/// acks=0: an error closes the connection, which is all that such a producer can notice.
fn answer_nobody(answers: &Answers) -> Reply<ProduceResponse> {
    let failed = answers.parts.iter().find(|part| part.response.error_code != 0);
    match failed {
        None => Reply::Nothing,
        Some(part) => {
            let code = ErrorCode(part.response.error_code);
            let (topic, index) = (&answers.topics[part.topic], part.response.index);
            Reply::Close(format!("acks=0 and {topic}-{index} failed: {}", code.message()))
        }
    }
}

fn respond(broker: &Broker, context: &RequestContext, answers: Answers) -> ProduceResponse {
    let mut response = ProduceResponse {
        responses: answers
            .topics
            .into_iter()
            .map(|name| TopicProduceResponse { name, partition_responses: Vec::new() })
            .collect(),
        ..Default::default()
    };
    for mut part in answers.parts {
        let topic = &mut response.responses[part.topic];
        if context.api_version >= 10
            && part.response.error_code == ErrorCode::NOT_LEADER_OR_FOLLOWER.0
            && let Some((leader, node)) =
                current_leader::find(broker, context, &topic.name, part.response.index)
        {
            part.response.current_leader =
                LeaderIdAndEpoch { leader_id: leader.id, leader_epoch: leader.epoch };
            let endpoints = &mut response.node_endpoints;
            if let Some(BrokerEndpoint { host, port, rack }) = node
                && !endpoints.iter().any(|known| known.node_id == leader.id)
            {
                endpoints.push(NodeEndpoint { node_id: leader.id, host, port, rack });
            }
        }
        topic.partition_responses.push(part.response);
    }
    response
}
