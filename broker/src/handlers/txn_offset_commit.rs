//! TxnOffsetCommit (key 28): stores what a group has read as part of a transaction.
//!
//! Versions 0 to 4: v2 leader epoch · v3 flexible, group membership (KIP-447) · v4 may answer
//! TRANSACTION_ABORTABLE. The offsets count when the transaction's commit marker is written into
//! the group's partition of `__consumer_offsets`.
//!
//! Errors, all per partition: TRANSACTIONAL_ID_AUTHORIZATION_FAILED, GROUP_AUTHORIZATION_FAILED,
//! TOPIC_AUTHORIZATION_FAILED, UNKNOWN_TOPIC_OR_PARTITION, INVALID_GROUP_ID,
//! COORDINATOR_NOT_AVAILABLE, COORDINATOR_LOAD_IN_PROGRESS (from v2 on), NOT_COORDINATOR,
//! UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION, OFFSET_METADATA_TOO_LARGE,
//! INVALID_COMMIT_OFFSET_SIZE, INVALID_PRODUCER_EPOCH, INVALID_PRODUCER_ID_MAPPING,
//! INVALID_TXN_STATE (from v4 on TRANSACTION_ABORTABLE: the group was not added to the
//! transaction), CONCURRENT_TRANSACTIONS, REQUEST_TIMED_OUT.
//!
//! A partition that is listed twice is committed as its last entry says and answered once; one that
//! is not known is answered as often as it is listed.
//!
//! Differs from Apache: topics and partitions come in the order of the request; there those that
//! cannot be committed come first.

use std::sync::Arc;

use coordinator::group::request::{Caller, OffsetCommit};
use coordinator::group::service::OFFSETS_TOPIC;
use coordinator::shard::Producer;
use coordinator::transaction::verification::Question;
use futures::future::BoxFuture;
use protocol::error_code::ErrorCode;
use protocol::ids::{TimestampMs, TopicPartition, VerificationGuard};
use protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};

use super::asked_offsets::AskedOffsets;
use super::distinct::DistinctPartitions;
use super::group_error;
use crate::authorizer::{Authorized, AuthorizedPartitions, Group, Topic, TransactionalId, op};
use crate::broker::Broker;
use crate::groups::CommitHeader;
use crate::request::{Reply, RequestContext};
use crate::transactions::verification;

/// From here on producers know TRANSACTION_ABORTABLE.
const ABORTABLE_FROM: i16 = 4;
/// What a commit has instead of a sequence.
const NO_SEQUENCE: i32 = -1;
/// From here on producers know what to do while the coordinator loads.
const LOADING_FROM: i16 = 2;

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: TxnOffsetCommitRequest,
) -> Reply<TxnOffsetCommitResponse> {
    let authorizer = &broker.authorizer;
    if authorizer
        .authorize::<op::Write, TransactionalId>(context, &request.transactional_id)
        .is_err()
    {
        let denied = ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
        return Reply::Now(refuse_all(&request, denied));
    }
    let Ok(group) = authorizer.authorize::<op::Read, Group>(context, &request.group_id) else {
        return Reply::Now(refuse_all(&request, ErrorCode::GROUP_AUTHORIZATION_FAILED));
    };
    let mut asked = AskedOffsets::default();
    let offsets = sort_out(broker, context, &request, &mut asked);
    if offsets.is_empty() {
        return Reply::Now(respond(asked, ErrorCode::NONE));
    }
    let version = context.api_version;
    let told = move |code: ErrorCode| match code {
        ErrorCode::COORDINATOR_LOAD_IN_PROGRESS if version < LOADING_FROM => {
            ErrorCode::COORDINATOR_NOT_AVAILABLE
        }
        code => code,
    };
    if let Err(error) = broker.groups.check(&group) {
        return Reply::Now(respond(asked, told(group_error::code(error))));
    }
    let verifying = verify(broker, &group, context, &request);
    let (broker, group) = (broker.clone(), group.into_owned());
    Reply::later(async move {
        let guard = match verifying.await {
            Ok(guard) => guard,
            Err(code) => return respond(asked, told(code)),
        };
        let header = CommitHeader {
            caller: Caller {
                member_id: request.member_id,
                instance_id: request.group_instance_id,
                generation: request.generation_id,
            },
            producer: Some(Producer { id: request.producer_id, epoch: request.producer_epoch }),
            guard,
            knows_epochs: false,
        };
        for (partition, error) in broker.groups.commit(&group, header, offsets).await {
            let code = error.map_or(ErrorCode::NONE, group_error::code);
            asked.set(partition, told(code));
        }
        respond(asked, ErrorCode::NONE)
    })
}

/// What lets the commit into the group's partition of the offsets topic, or why it may not go
/// there.
fn verify(
    broker: &Broker,
    group: &Authorized<'_, op::Read, Group>,
    context: &RequestContext,
    request: &TxnOffsetCommitRequest,
) -> BoxFuture<'static, Result<Option<VerificationGuard>, ErrorCode>> {
    if !verification::is_enabled(broker) {
        return Box::pin(std::future::ready(Ok(None)));
    }
    let index = broker.groups.partition_for(group);
    let now_ms = broker.clock.now_ms();
    let producer = (request.producer_id, request.producer_epoch);
    let begun = broker.replicas.find(OFFSETS_TOPIC, index).ok().and_then(|partition| {
        partition.begin_verification(producer, NO_SEQUENCE, now_ms).ok().flatten()
    });
    // Open already, or not here, which the group coordinator says better.
    let Some(guard) = begun else {
        return Box::pin(std::future::ready(Ok(Some(VerificationGuard::NONE))));
    };
    let question = Question {
        id: request.transactional_id.clone(),
        producer: Producer { id: request.producer_id, epoch: request.producer_epoch },
        partitions: vec![TopicPartition::new(OFFSETS_TOPIC, index)],
        knows_abortable: context.api_version >= ABORTABLE_FROM,
    };
    let answer = verification::ask(broker, question);
    Box::pin(async move {
        match answer.await.first() {
            None => Ok(Some(guard)),
            Some((_, code)) => Err(of_coordinator(*code)),
        }
    })
}

/// What old clients try again: there it is known what to do about a coordinator.
fn of_coordinator(code: ErrorCode) -> ErrorCode {
    match code {
        // Without looking for another one.
        ErrorCode::NETWORK_EXCEPTION => ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
        // The transaction coordinator has not heard of the offsets' topic yet.
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => ErrorCode::COORDINATOR_NOT_AVAILABLE,
        code => code,
    }
}

/// The partitions that exist and that the caller may read, with their last entries; the others get
/// their error.
fn sort_out(
    broker: &Broker,
    context: &RequestContext,
    request: &TxnOffsetCommitRequest,
    asked: &mut AskedOffsets,
) -> AuthorizedPartitions<op::Read, OffsetCommit> {
    let now_ms = broker.clock.now_ms();
    let mut distinct = DistinctPartitions::default();
    for topic in &request.topics {
        let leave = broker.authorizer.authorize::<op::Read, Topic>(context, &topic.name);
        if leave.is_err() || broker.metadata.load().topic(&topic.name).is_none() {
            asked.name(&topic.name);
        }
        for partition in &topic.partitions {
            let index = partition.partition_index;
            let Ok(leave) = &leave else {
                asked.refuse(&topic.name, index, ErrorCode::TOPIC_AUTHORIZATION_FAILED);
                continue;
            };
            if !broker.replicas.cluster().has_partition(&topic.name, index) {
                asked.refuse(&topic.name, index, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
            } else {
                asked.admit(&TopicPartition::new(topic.name.clone(), index));
                distinct.put(&topic.name, index, (leave.clone(), offset_of(partition, now_ms)));
            }
        }
    }
    let mut allowed = AuthorizedPartitions::default();
    for (_, partitions) in distinct.into_topics() {
        for (index, (leave, offset)) in partitions {
            allowed.push(&leave, index, offset);
        }
    }
    allowed
}

fn offset_of(partition: &TxnOffsetCommitRequestPartition, now_ms: TimestampMs) -> OffsetCommit {
    OffsetCommit {
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: partition.committed_metadata.clone().unwrap_or_default(),
        commit_ms: now_ms,
        expire_ms: None,
    }
}

/// Every partition as it is listed, with the same error.
fn refuse_all(request: &TxnOffsetCommitRequest, code: ErrorCode) -> TxnOffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| {
        let codes = topic.partitions.iter().map(|p| (p.partition_index, code));
        topic_of((topic.name.clone(), codes.collect()))
    });
    TxnOffsetCommitResponse { throttle_time_ms: 0, topics: topics.collect() }
}

/// Every partition with its result, or with `unanswered` if it has none.
fn respond(asked: AskedOffsets, unanswered: ErrorCode) -> TxnOffsetCommitResponse {
    let topics = asked.answers(unanswered).into_iter().map(topic_of).collect();
    TxnOffsetCommitResponse { throttle_time_ms: 0, topics }
}

fn topic_of((name, codes): (String, Vec<(i32, ErrorCode)>)) -> TxnOffsetCommitResponseTopic {
    let partition = |(partition_index, code): (i32, ErrorCode)| TxnOffsetCommitResponsePartition {
        partition_index,
        error_code: code.0,
    };
    TxnOffsetCommitResponseTopic { name, partitions: codes.into_iter().map(partition).collect() }
}
