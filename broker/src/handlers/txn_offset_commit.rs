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
use coordinator::shard::Producer;
use futures::future::BoxFuture;
use protocol::error_code::ErrorCode;
use protocol::ids::{TimestampMs, TopicPartition, VerificationGuard};
use protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
    TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};

use super::asked_offsets::AskedOffsets;
use super::distinct::DistinctPartitions;
use super::{group_error, transaction_error};
use crate::authorizer::{
    Authorized, AuthorizedPartitions, Authorizer, Group, Topic, TransactionalId, op,
};
use crate::clock::Clock;
use crate::groups::{CommitHeader, Groups};
use crate::metadata_cache::{MetadataCache, Snapshot};
use crate::request::{Reply, RequestContext};
use crate::transactions::verification::{About, Verifier};

/// From here on producers know TRANSACTION_ABORTABLE.
const ABORTABLE_FROM: i16 = 4;
/// What a commit has instead of a sequence.
const NO_SEQUENCE: i32 = -1;
/// From here on producers know what to do while the coordinator loads.
const LOADING_FROM: i16 = 2;

pub fn handle(
    authorizer: &Authorizer,
    clock: &Clock,
    metadata: &MetadataCache,
    groups: &Arc<Groups>,
    verifier: &Verifier,
    context: &RequestContext,
    request: TxnOffsetCommitRequest,
) -> Reply<TxnOffsetCommitResponse> {
    let id = &request.transactional_id;
    let Ok(id) = authorizer.authorize::<op::Write, TransactionalId>(context, id) else {
        let denied = ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
        return Reply::Now(refuse_all(&request, denied));
    };
    let Ok(group) = authorizer.authorize::<op::Read, Group>(context, &request.group_id) else {
        return Reply::Now(refuse_all(&request, ErrorCode::GROUP_AUTHORIZATION_FAILED));
    };
    let leave = |topic: &str| authorizer.authorize(context, topic).map(Authorized::into_owned).ok();
    let (offsets, mut asked) = sort_out(&leave, &metadata.load(), clock.now_ms(), &request.topics);
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
    if let Err(error) = groups.check(&group) {
        return Reply::Now(respond(asked, told(group_error::code(error))));
    }
    let producer = Producer { id: request.producer_id, epoch: request.producer_epoch };
    let place = (group.offsets_topic(), groups.partition_for(&group));
    let verifying = verify(verifier, &id, place, producer, version);
    let (groups, group) = (groups.clone(), group.into_owned());
    let caller = Caller {
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        generation: request.generation_id,
    };
    Reply::later(async move {
        let guard = match verifying.await {
            Ok(guard) => guard,
            Err(code) => return respond(asked, told(code)),
        };
        let producer = Some(producer);
        let header = CommitHeader { caller, producer, guard, knows_epochs: false };
        for (partition, error) in groups.commit(&group, header, offsets).await {
            let code = error.map_or(ErrorCode::NONE, group_error::code);
            asked.set(partition, told(code));
        }
        respond(asked, ErrorCode::NONE)
    })
}

/// What lets the commit into the group's partition of the offsets topic, or why it may not go
/// there.
fn verify(
    verifier: &Verifier,
    id: &Authorized<'_, op::Write, TransactionalId>,
    (topic, index): (Authorized<'_, op::Write, Topic>, i32),
    producer: Producer,
    version: i16,
) -> BoxFuture<'static, Result<Option<VerificationGuard>, ErrorCode>> {
    if !verifier.is_enabled() {
        return Box::pin(std::future::ready(Ok(None)));
    }
    // Open already, or not here, which the group coordinator says better.
    let Some(guard) = verifier.begin(&topic, index, producer, NO_SEQUENCE) else {
        return Box::pin(std::future::ready(Ok(Some(VerificationGuard::NONE))));
    };
    let answer = verifier
        .ask(id, About { producer, partitions: vec![TopicPartition::new(topic.name(), index)] });
    Box::pin(async move {
        match answer.await.first() {
            None => Ok(Some(guard)),
            Some((_, doubt)) => {
                let knows_abortable = version >= ABORTABLE_FROM;
                Err(of_coordinator(transaction_error::unverified(*doubt, knows_abortable)))
            }
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

/// The partitions that exist and that `leave` is given for, with their last entries; the others get
/// their error.
fn sort_out(
    leave: &dyn Fn(&str) -> Option<Authorized<'static, op::Read, Topic>>,
    cluster: &Snapshot,
    now_ms: TimestampMs,
    topics: &[TxnOffsetCommitRequestTopic],
) -> (AuthorizedPartitions<op::Read, OffsetCommit>, AskedOffsets) {
    let (mut asked, mut distinct) = (AskedOffsets::default(), DistinctPartitions::default());
    for topic in topics {
        let leave = leave(&topic.name);
        if leave.is_none() || cluster.topic(&topic.name).is_none() {
            asked.name(&topic.name);
        }
        for partition in &topic.partitions {
            let index = partition.partition_index;
            let Some(leave) = &leave else {
                asked.refuse(&topic.name, index, ErrorCode::TOPIC_AUTHORIZATION_FAILED);
                continue;
            };
            if cluster.partition(&topic.name, index).is_none() {
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
    (allowed, asked)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testbed::{Testbed, answer, context};

    fn commit(producer: Producer, topics: &[(&str, &[i32])]) -> TxnOffsetCommitRequest {
        let partition = |index: &i32| TxnOffsetCommitRequestPartition {
            partition_index: *index,
            committed_offset: 3,
            ..TxnOffsetCommitRequestPartition::default()
        };
        let topic = |(name, partitions): &(&str, &[i32])| TxnOffsetCommitRequestTopic {
            name: (*name).to_owned(),
            partitions: partitions.iter().map(partition).collect(),
        };
        TxnOffsetCommitRequest {
            transactional_id: "x".to_owned(),
            group_id: "g".to_owned(),
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            generation_id: -1,
            topics: topics.iter().map(topic).collect(),
            ..TxnOffsetCommitRequest::default()
        }
    }

    async fn codes(
        bed: &Testbed,
        authorizer: &Authorizer,
        version: i16,
        request: TxnOffsetCommitRequest,
    ) -> Vec<(String, Vec<(i32, ErrorCode)>)> {
        let (clock, metadata, groups) = (&bed.clock, &bed.metadata, &bed.groups);
        let context = context(version);
        let reply = handle(authorizer, clock, metadata, groups, &bed.verifier, &context, request);
        let of = |topic: TxnOffsetCommitResponseTopic| {
            let codes = topic.partitions.iter();
            (topic.name, codes.map(|p| (p.partition_index, ErrorCode(p.error_code))).collect())
        };
        answer(reply).await.topics.into_iter().map(of).collect()
    }

    #[tokio::test]
    async fn offsets_go_into_a_transaction_that_has_the_group() {
        let bed = Testbed::new();
        bed.coordinate_groups().await;
        let producer = bed.begin_transaction("x", "t").await;
        let authorizer = Authorizer::allow_all().but::<op::Read, Topic>("denied");
        let request = || commit(producer, &[("t", &[0, 9, 0]), ("denied", &[0])]);
        let expected = |code| {
            let unknown = (9, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
            let denied = vec![(0, ErrorCode::TOPIC_AUTHORIZATION_FAILED)];
            [("t".to_owned(), vec![(0, code), unknown]), ("denied".to_owned(), denied)]
        };
        let missing = codes(&bed, &authorizer, 3, request()).await;
        assert_eq!(missing, expected(ErrorCode::INVALID_TXN_STATE), "the group was not added");
        let missing = codes(&bed, &authorizer, 4, request()).await;
        assert_eq!(missing, expected(ErrorCode::TRANSACTION_ABORTABLE));
        let id = bed.internal.authorized("x");
        let group = bed.internal.authorized::<op::Read, Group>("g");
        let mut partitions = AuthorizedPartitions::default();
        partitions.push(&group.offsets_topic(), bed.groups.partition_for(&group), ());
        let adding = bed.transactions.add_partitions(&id, producer, partitions);
        assert_eq!(adding.await, Ok(()));
        let done = codes(&bed, &authorizer, 4, request()).await;
        assert_eq!(done, expected(ErrorCode::NONE));
    }

    #[tokio::test]
    async fn ids_and_groups_need_leave() {
        let bed = Testbed::new();
        let producer = Producer { id: 1, epoch: 0 };
        let told = async |authorizer: Authorizer| {
            codes(&bed, &authorizer, 3, commit(producer, &[("t", &[0])])).await[0].1[0].1
        };
        let group = || Authorizer::allow_all().but::<op::Read, Group>("g");
        assert_eq!(told(group()).await, ErrorCode::GROUP_AUTHORIZATION_FAILED);
        let both = group().but::<op::Write, TransactionalId>("x");
        assert_eq!(told(both).await, ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    }
}
