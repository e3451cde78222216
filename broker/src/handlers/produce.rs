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
//! MESSAGE_TOO_LARGE, RECORD_LIST_TOO_LARGE, UNSUPPORTED_COMPRESSION_TYPE, UNKNOWN_SERVER_ERROR
//! (bytes that no codec reads, an unknown codec, null, a batch cut within its header, no offset
//! left below 2⁶³ − 1),
//! UNSUPPORTED_FOR_MESSAGE_FORMAT, OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_PRODUCER_EPOCH,
//! INVALID_TXN_STATE (from v11 on TRANSACTION_ABORTABLE: the partition was not added to the
//! transaction), INVALID_PRODUCER_ID_MAPPING, NOT_ENOUGH_REPLICAS (also: it is not known yet
//! whether the partition is in the transaction, or a batch that must be compressed anew has no room
//! in `ottla.decompression.memory.bytes` now), NOT_ENOUGH_REPLICAS_AFTER_APPEND,
//! REQUEST_TIMED_OUT, KAFKA_STORAGE_ERROR, TOPIC_AUTHORIZATION_FAILED,
//! TRANSACTIONAL_ID_AUTHORIZATION_FAILED.
//!
//! A partition that is listed twice is appended to and answered once, the last record set; a topic
//! is answered once however often it is listed, and not at all without partitions. Before version 3
//! a record set may hold no whole message: it is taken, with base offset −1. From version 5 on a
//! refused append tells the log start, but for the errors that need no look into the log.
//!
//! Differs from Apache: topics and partitions come in the order of the request, there in that of a
//! hash table. At most 1,000 single records of a batch get a reason. Apache never answers a request
//! with a null record set. It knows no `ottla.decompression.memory.bytes`.

mod failure;
mod screen;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use protocol::error_code::ErrorCode;
use protocol::ids::VerificationGuard;
use protocol::messages::produce::{
    LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, ProduceRequest, ProduceResponse,
    TopicProduceResponse,
};
use storage::{AppendInfo, AppendOrigin};

use self::failure::Failure;
pub use self::failure::{code_of, refused};
use self::screen::{Screened, ScreenedTopic, screen};
use self::verify::{Begun, Verified};
use super::current_leader;
use super::partition_error::not_here;
use crate::authorizer::{Authorized, Authorizer, Topic, op};
use crate::clock::Clock;
use crate::delayed::offset::Countdown;
use crate::metadata_cache::MetadataCache;
use crate::replication::cluster_view::BrokerEndpoint;
use crate::replication::manager::ReplicaManager;
use crate::replication::partition::{AckOutcome, AppendTerms, Partition};
use crate::request::{Reply, RequestContext};
use crate::tasks::Tasks;
use crate::topics::name;
use crate::transactions::verification::Verifier;

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
    topics: Vec<ScreenedTopic>,
    parts: Vec<Part>,
}

/// Appends what clients send.
pub struct Appender {
    metadata: Arc<MetadataCache>,
    replicas: Arc<ReplicaManager>,
    verifier: Arc<Verifier>,
    tasks: Arc<Tasks>,
    clock: Clock,
}

pub fn handle(
    authorizer: &Authorizer,
    appender: &Arc<Appender>,
    context: &RequestContext,
    request: ProduceRequest,
) -> Reply<ProduceResponse> {
    let wait = Wait { acks: request.acks, timeout_ms: request.timeout_ms };
    let (screened, whole) = screen(authorizer, &appender.metadata.load(), context, request);
    let begun = match whole {
        Some(whole) => Err(whole),
        None => verify::begin(&appender.verifier, context.api_version, &screened),
    };
    let (open, id) = match (begun, &screened.id) {
        (Ok(Begun::Ready(verified)), _) => {
            return appender.finish(context, wait, screened, Ok(verified));
        }
        (Err(whole), _) => return appender.finish(context, wait, screened, Err(whole)),
        (Ok(Begun::Asks(open)), Some(id)) => (open, id),
        (Ok(Begun::Asks(_)), None) => unreachable!("only a transaction is asked about"),
    };
    let answer = appender.verifier.ask(id, open.about.clone());
    let (appender, context) = (appender.clone(), context.clone());
    Reply::Held(Box::pin(async move {
        let verified = open.answered(answer.await);
        appender.finish(&context, wait, screened, Ok(verified))
    }))
}

/// How long the request waits, for whom.
#[derive(Clone, Copy)]
struct Wait {
    acks: i16,
    timeout_ms: i32,
}

impl Appender {
    pub fn new(
        metadata: Arc<MetadataCache>,
        replicas: Arc<ReplicaManager>,
        verifier: Arc<Verifier>,
        tasks: Arc<Tasks>,
        clock: Clock,
    ) -> Appender {
        Appender { metadata, replicas, verifier, tasks, clock }
    }

    /// Appends, and answers once it may. The error is why nothing of the request may be appended.
    fn finish(
        self: &Arc<Self>,
        context: &RequestContext,
        Wait { acks, timeout_ms }: Wait,
        screened: Screened,
        verified: Result<Verified, Failure>,
    ) -> Reply<ProduceResponse> {
        let mut answers = self.append_all(context, acks, screened, &verified);
        // `flush.messages` and `flush.ms`: on disk before it is acknowledged or seen.
        let flushes = answers.parts.iter().any(|part| part.flush_due());
        if !flushes {
            match acks {
                ACKS_NONE => return answer_nobody(&answers),
                ACKS_ALL => {}
                _ => return Reply::Now(respond(&self.replicas, context, answers)),
            }
            let countdown = await_replicas(&answers);
            if countdown.is_settled() {
                settle(&self.replicas, &mut answers, countdown.settled());
                return Reply::Now(respond(&self.replicas, context, answers));
            }
            let (replicas, context) = (self.replicas.clone(), context.clone());
            return Reply::later(async move {
                settle(&replicas, &mut answers, countdown.outcomes(patience(timeout_ms)).await);
                respond(&replicas, &context, answers)
            });
        }
        let flushed = self.flush(&answers);
        let (replicas, context) = (self.replicas.clone(), context.clone());
        let finish = async move {
            for (part, failed) in flushed.await.unwrap_or_default() {
                if failed {
                    answers.parts[part].fail();
                }
            }
            if acks == ACKS_ALL {
                let countdown = await_replicas(&answers);
                settle(&replicas, &mut answers, countdown.outcomes(patience(timeout_ms)).await);
            }
            respond(&replicas, &context, answers)
        };
        if acks == ACKS_NONE { Reply::Nothing } else { Reply::later(finish) }
    }

    /// Appends everything that may be appended. The frame's bytes are in the logs afterwards: they
    /// are not kept while replicas are waited for.
    fn append_all(
        &self,
        context: &RequestContext,
        acks: i16,
        screened: Screened,
        verified: &Result<Verified, Failure>,
    ) -> Answers {
        let acks_legal = [ACKS_NONE, ACKS_LEADER, ACKS_ALL].contains(&acks);
        let mut parts = Vec::with_capacity(screened.entries.len());
        for entry in &screened.entries {
            let outcome = match (verified, &screened.topics[entry.topic]) {
                (Err(whole), _) => Err(whole.clone()),
                (Ok(_), Err(_)) => Err(Failure::code(ErrorCode::TOPIC_AUTHORIZATION_FAILED)),
                (Ok(_), _) if entry.records.is_none() => Err(Failure::code(ErrorCode::NONE)),
                (Ok(verified), Ok(topic)) => {
                    verified.guard(topic.name(), entry.index).and_then(|guard| {
                        if !acks_legal {
                            return Err(Failure::code(ErrorCode::INVALID_REQUIRED_ACKS));
                        }
                        let (index, acks_all) = (entry.index, acks == ACKS_ALL);
                        let to = Target { topic, index, acks_all, guard };
                        self.append(context, &to, entry.set())
                    })
                }
            };
            let outcome = match (&entry.refused, verified) {
                (Some(refused), Ok(_)) => Err(refused.clone()),
                _ => outcome,
            };
            parts.push(Part::new(entry.topic, entry.index, outcome));
        }
        Answers { topics: screened.topics, parts }
    }

    fn append(
        &self,
        context: &RequestContext,
        to: &Target<'_>,
        set: &[u8],
    ) -> Result<(Arc<Partition>, AppendInfo), Failure> {
        let topic = to.topic.name();
        if name::is_internal(topic) && context.client_id() != ADMIN_CLIENT_ID {
            return Err(Failure::code(ErrorCode::INVALID_TOPIC_EXCEPTION));
        }
        let partition =
            self.replicas.find(topic, to.index).map_err(|error| Failure::code(not_here(error)))?;
        let now_ms = self.clock.now_ms();
        partition.arriving(context.arrived_ms);
        let terms = AppendTerms {
            origin: AppendOrigin::Client,
            acks_all: to.acks_all,
            leader_epoch: None,
            guard: to.guard,
        };
        match partition.append(to.topic, set, terms, now_ms) {
            Ok(info) => {
                if info.rolled {
                    self.replicas.note_work();
                }
                Ok((partition, info))
            }
            Err(error) => Err(Failure::of_append(&self.replicas, &partition, &error)),
        }
    }

    /// Syncs the logs that ask for it. It is done even if the peer goes: others wait to see the
    /// records.
    fn flush(
        self: &Arc<Self>,
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
        let owner = self.clone();
        self.tasks.spawn(async move {
            let now_ms = owner.clock.now_ms();
            let replicas = owner.replicas.clone();
            let work = move || {
                due.into_iter()
                    .map(|(at, partition, info)| {
                        let shown = partition.flush_and_show(&info, AppendOrigin::Client, now_ms);
                        if let Err(error) = &shown {
                            replicas.upkeep_failed(&partition.name(), error);
                        }
                        (at, shown.is_err())
                    })
                    .collect()
            };
            // Nobody listens any more if the peer went.
            let _ = done.send(owner.tasks.blocking(work).await);
        });
        flushed
    }
}

fn patience(timeout_ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0))
}

/// Where one record set goes, and how.
struct Target<'a> {
    topic: &'a Authorized<'static, op::Write, Topic>,
    index: i32,
    acks_all: bool,
    guard: Option<VerificationGuard>,
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

    /// The records did not reach the disk.
    fn fail(&mut self) {
        self.pending = None;
        self.response.error_code = ErrorCode::KAFKA_STORAGE_ERROR.0;
        self.response.base_offset = -1;
        self.response.log_append_time_ms = -1;
        self.response.log_start_offset = -1;
    }
}

/// Waits, for every append, until all in-sync replicas have it; a failed part is settled already.
fn await_replicas(answers: &Answers) -> Arc<Countdown<AckOutcome>> {
    let countdown = Countdown::new(answers.parts.len());
    for (at, part) in answers.parts.iter().enumerate() {
        match &part.pending {
            Some((partition, info)) => {
                partition.await_acks(info.last_offset.saturating_add(1), &countdown, at);
            }
            None => countdown.settle(at, AckOutcome::Replicated),
        }
    }
    countdown
}

fn settle(replicas: &ReplicaManager, answers: &mut Answers, outcomes: Vec<Option<AckOutcome>>) {
    for (part, outcome) in answers.parts.iter_mut().zip(outcomes) {
        // The offsets stay: the records are in the log.
        if let Some((partition, _)) = part.pending.take() {
            part.response.error_code = ack_code_of(replicas, &partition, outcome).0;
        }
    }
}

/// What a wait for replicas means to whoever appended; `None`: it was not long enough.
pub fn ack_code(outcome: Option<AckOutcome>) -> ErrorCode {
    match outcome {
        Some(AckOutcome::Replicated) => ErrorCode::NONE,
        Some(AckOutcome::NotEnoughReplicas) => ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        Some(AckOutcome::NotLeader) => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        None => ErrorCode::REQUEST_TIMED_OUT,
    }
}

/// The same for one partition: one that went meanwhile gets the code of one that is not here,
/// because it was deleted or lives elsewhere.
pub fn ack_code_of(
    replicas: &ReplicaManager,
    partition: &Partition,
    outcome: Option<AckOutcome>,
) -> ErrorCode {
    match ack_code(outcome) {
        ErrorCode::NOT_LEADER_OR_FOLLOWER => {
            let found = replicas.find(partition.topic(), partition.index());
            found.err().map_or(ErrorCode::NOT_LEADER_OR_FOLLOWER, not_here)
        }
        code => code,
    }
}

/// acks=0: an error closes the connection, which is all that such a producer can notice.
fn answer_nobody(answers: &Answers) -> Reply<ProduceResponse> {
    let failed = answers.parts.iter().find(|part| part.response.error_code != 0);
    match failed {
        None => Reply::Nothing,
        Some(part) => {
            let code = ErrorCode(part.response.error_code);
            let topic = &answers.topics[part.topic];
            let topic = topic.as_ref().map_or_else(String::as_str, |topic| topic.name());
            let index = part.response.index;
            Reply::Close(format!("acks=0 and {topic}-{index} failed: {}", code.message()))
        }
    }
}

fn respond(
    replicas: &ReplicaManager,
    context: &RequestContext,
    answers: Answers,
) -> ProduceResponse {
    let name = |topic: ScreenedTopic| topic.map_or_else(|name| name, Authorized::into_name);
    let mut response = ProduceResponse {
        responses: answers
            .topics
            .into_iter()
            .map(|topic| TopicProduceResponse {
                name: name(topic),
                // Most requests have one partition of a topic.
                partition_responses: Vec::with_capacity(1),
            })
            .collect(),
        ..Default::default()
    };
    for mut part in answers.parts {
        let topic = &mut response.responses[part.topic];
        if context.api_version >= 10
            && part.response.error_code == ErrorCode::NOT_LEADER_OR_FOLLOWER.0
            && let Some((leader, node)) =
                current_leader::find(replicas, context, &topic.name, part.response.index)
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

#[cfg(test)]
mod tests;
