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
//! Differs from Apache: in nothing known.

use std::collections::HashMap;
use std::sync::Arc;

use coordinator::group::request::{Caller, CommitRequest, OffsetCommit};
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

use super::group_error;
use crate::authorizer::{Resource, op};
use crate::broker::{Broker, Reply, RequestContext};
use crate::transactions::verification;

/// From here on producers know TRANSACTION_ABORTABLE.
const ABORTABLE_FROM: i16 = 4;
/// What a commit has instead of a sequence.
const NO_SEQUENCE: i32 = -1;
/// From here on producers know what to do while the coordinator loads.
const LOADING_FROM: i16 = 2;

/// Results so far, by partition.
type Results = HashMap<TopicPartition, ErrorCode>;

/// The partitions asked for, in the order of the request.
type Asked = Vec<(String, Vec<i32>)>;

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: TxnOffsetCommitRequest,
) -> Reply<TxnOffsetCommitResponse> {
    let asked: Asked = request
        .topics
        .iter()
        .map(|topic| {
            (topic.name.clone(), topic.partitions.iter().map(|p| p.partition_index).collect())
        })
        .collect();
    let authorizer = &broker.authorizer;
    let transaction = Resource::TransactionalId(&request.transactional_id);
    if authorizer.authorize::<op::Write>(context, transaction).is_err() {
        let denied = ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
        return Reply::Now(respond(&asked, &Results::new(), denied));
    }
    let group = Resource::Group(&request.group_id);
    if authorizer.authorize::<op::Read>(context, group).is_err() {
        let denied = ErrorCode::GROUP_AUTHORIZATION_FAILED;
        return Reply::Now(respond(&asked, &Results::new(), denied));
    }
    let mut results = Results::new();
    let offsets = sort_out(broker, context, &request, &mut results);
    if offsets.is_empty() {
        return Reply::Now(respond(&asked, &results, ErrorCode::NONE));
    }
    let version = context.api_version;
    let told = move |code: ErrorCode| match code {
        ErrorCode::COORDINATOR_LOAD_IN_PROGRESS if version < LOADING_FROM => {
            ErrorCode::COORDINATOR_NOT_AVAILABLE
        }
        code => code,
    };
    if let Err(error) = broker.groups.check(&request.group_id) {
        return Reply::Now(respond(&asked, &results, told(group_error::code(error))));
    }
    let verifying = verify(broker, context, &request);
    let broker = broker.clone();
    Reply::later(async move {
        let guard = match verifying.await {
            Ok(guard) => guard,
            Err(code) => return respond(&asked, &results, told(code)),
        };
        let commit = CommitRequest {
            caller: Caller {
                member_id: request.member_id,
                instance_id: request.group_instance_id,
                generation: request.generation_id,
            },
            producer: Some(Producer { id: request.producer_id, epoch: request.producer_epoch }),
            guard,
            knows_epochs: false,
            offsets,
        };
        for (partition, error) in broker.groups.commit(&request.group_id, commit).await {
            let code = error.map_or(ErrorCode::NONE, group_error::code);
            results.insert(partition, told(code));
        }
        respond(&asked, &results, ErrorCode::NONE)
    })
}

/// What lets the commit into the group's partition of the offsets topic, or why it may not go
/// there.
fn verify(
    broker: &Broker,
    context: &RequestContext,
    request: &TxnOffsetCommitRequest,
) -> BoxFuture<'static, Result<Option<VerificationGuard>, ErrorCode>> {
    if !verification::is_enabled(broker) {
        return Box::pin(std::future::ready(Ok(None)));
    }
    let index = broker.groups.partition_for(&request.group_id);
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

/// The partitions that exist and that the caller may read; the others get their error.
fn sort_out(
    broker: &Broker,
    context: &RequestContext,
    request: &TxnOffsetCommitRequest,
    results: &mut Results,
) -> Vec<(TopicPartition, OffsetCommit)> {
    let now_ms = broker.clock.now_ms();
    let mut allowed = Vec::new();
    for topic in &request.topics {
        let resource = Resource::Topic(&topic.name);
        let denied = broker.authorizer.authorize::<op::Read>(context, resource).is_err();
        for partition in &topic.partitions {
            let name = TopicPartition::new(topic.name.clone(), partition.partition_index);
            if denied {
                results.insert(name, ErrorCode::TOPIC_AUTHORIZATION_FAILED);
            } else if !broker.replicas.cluster().has_partition(&topic.name, name.partition) {
                results.insert(name, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
            } else {
                allowed.push((name, offset_of(partition, now_ms)));
            }
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

/// Every partition with its result, or with `unanswered` if it has none.
fn respond(asked: &Asked, results: &Results, unanswered: ErrorCode) -> TxnOffsetCommitResponse {
    let partition = |topic: &str, index: i32| {
        let result = results.get(&TopicPartition::new(topic, index)).copied();
        TxnOffsetCommitResponsePartition {
            partition_index: index,
            error_code: result.unwrap_or(unanswered).0,
        }
    };
    let topics = asked
        .iter()
        .map(|(name, partitions)| TxnOffsetCommitResponseTopic {
            name: name.clone(),
            partitions: partitions.iter().map(|index| partition(name, *index)).collect(),
        })
        .collect();
    TxnOffsetCommitResponse { throttle_time_ms: 0, topics }
}
