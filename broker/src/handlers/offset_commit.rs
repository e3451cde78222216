//! OffsetCommit (key 8): stores what a group has read.
//!
//! Versions 0 to 9: v0 goes to the metadata store, `/consumers/GROUP/offsets/TOPIC/PARTITION` ·
//! v1 members, a timestamp per partition · v2 to v4 retention · v6 leader epoch · v7 static
//! members · v9 member epochs, which members of the new protocol must use (KIP-848).
//!
//! Errors, all per partition: GROUP_AUTHORIZATION_FAILED, TOPIC_AUTHORIZATION_FAILED,
//! UNKNOWN_TOPIC_OR_PARTITION, INVALID_GROUP_ID, COORDINATOR_NOT_AVAILABLE,
//! COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID,
//! ILLEGAL_GENERATION, STALE_MEMBER_EPOCH, UNSUPPORTED_VERSION, REBALANCE_IN_PROGRESS,
//! OFFSET_METADATA_TOO_LARGE, INVALID_COMMIT_OFFSET_SIZE, REQUEST_TIMED_OUT; in version 0
//! UNKNOWN_SERVER_ERROR when the store fails.
//!
//! A partition that is listed twice is committed as its last entry says and answered once; one that
//! is not known is answered as often as it is listed.
//!
//! Differs from Apache: topics and partitions come in the order of the request; there those that
//! cannot be committed come first.

use std::sync::Arc;

use coordinator::group::GroupError;
use coordinator::group::request::{Caller, OffsetCommit};
use protocol::error_code::ErrorCode;
use protocol::ids::TopicPartition;
use protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitResponse,
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};

use super::asked_offsets::AskedOffsets;
use super::distinct::DistinctPartitions;
use super::group_error;
use crate::authorizer::{Authorized, AuthorizedPartitions, Authorizer, Group, Topic, op};
use crate::clock::Clock;
use crate::groups::stored_offsets::StoredOffsets;
use crate::groups::{CommitHeader, Groups};
use crate::metadata_cache::{MetadataCache, Snapshot};
use crate::request::{Reply, RequestContext};

/// From here on the generation may be a member's epoch.
const EPOCHS_FROM: i16 = 9;

/// What may be committed, each partition with what is to be stored for it.
type Allowed<'a> = AuthorizedPartitions<op::Read, &'a OffsetCommitRequestPartition>;

pub fn handle(
    authorizer: &Authorizer,
    clock: &Clock,
    metadata: &MetadataCache,
    groups: &Groups,
    stored_offsets: &Arc<StoredOffsets>,
    context: &RequestContext,
    request: OffsetCommitRequest,
) -> Reply<OffsetCommitResponse> {
    let Ok(group) = authorizer.authorize::<op::Read, Group>(context, &request.group_id) else {
        return Reply::Now(refuse_all(&request, ErrorCode::GROUP_AUTHORIZATION_FAILED));
    };
    let (allowed, mut asked) = sort_out(authorizer, &metadata.load(), context, &request);
    if allowed.is_empty() {
        return Reply::Now(respond(asked));
    }
    if context.api_version == 0 {
        return in_store(stored_offsets.clone(), group, allowed, asked);
    }
    let now_ms = clock.now_ms();
    let retention_ms = request.retention_time_ms;
    let expire_ms = (retention_ms != -1).then(|| now_ms.saturating_add(retention_ms));
    let offsets = allowed.map(|partition| to_commit(now_ms, expire_ms, partition));
    let committing = groups.commit(&group, to_header(context.api_version, &request), offsets);
    Reply::later(async move {
        for (partition, error) in committing.await {
            asked.set(partition, error.map_or(ErrorCode::NONE, group_error::code));
        }
        respond(asked)
    })
}

/// The partitions that exist and that the caller may read, with their last entries; the others get
/// their error.
fn sort_out<'a>(
    authorizer: &Authorizer,
    cluster: &Snapshot,
    context: &RequestContext,
    request: &'a OffsetCommitRequest,
) -> (Allowed<'a>, AskedOffsets) {
    let (mut allowed, mut asked) = (Allowed::default(), AskedOffsets::default());
    let mut distinct = DistinctPartitions::default();
    for topic in &request.topics {
        let leave = authorizer.authorize::<op::Read, Topic>(context, &topic.name);
        if leave.is_err() || cluster.topic(&topic.name).is_none() {
            asked.name(&topic.name);
        }
        for partition in &topic.partitions {
            let index = partition.partition_index;
            let Ok(leave) = &leave else {
                asked.refuse(&topic.name, index, ErrorCode::TOPIC_AUTHORIZATION_FAILED);
                continue;
            };
            if cluster.partition(&topic.name, index).is_none() {
                asked.refuse(&topic.name, index, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
            } else if context.api_version == 0 {
                asked.admit_each(&TopicPartition::new(topic.name.clone(), index));
                allowed.push(leave, index, partition);
            } else {
                asked.admit(&TopicPartition::new(topic.name.clone(), index));
                distinct.put(&topic.name, index, (leave.clone(), partition));
            }
        }
    }
    for (_, partitions) in distinct.into_topics() {
        for (index, (leave, partition)) in partitions {
            allowed.push(&leave, index, partition);
        }
    }
    (allowed, asked)
}

fn to_header(version: i16, request: &OffsetCommitRequest) -> CommitHeader {
    CommitHeader {
        caller: Caller {
            member_id: request.member_id.clone(),
            instance_id: request.group_instance_id.clone(),
            generation: request.generation_id_or_member_epoch,
        },
        knows_epochs: version >= EPOCHS_FROM,
        ..CommitHeader::default()
    }
}

fn to_commit(
    now_ms: i64,
    expire_ms: Option<i64>,
    partition: &OffsetCommitRequestPartition,
) -> OffsetCommit {
    OffsetCommit {
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: partition.committed_metadata.clone().unwrap_or_default(),
        commit_ms: match partition.commit_timestamp {
            -1 => now_ms,
            given_ms => given_ms,
        },
        expire_ms,
    }
}

/// What version 0 writes: offsets alone, but their metadata must not be too long either.
fn in_store(
    stored_offsets: Arc<StoredOffsets>,
    group: Authorized<'_, op::Read, Group>,
    allowed: Allowed<'_>,
    mut asked: AskedOffsets,
) -> Reply<OffsetCommitResponse> {
    let group = group.into_owned();
    let short = |partition: &OffsetCommitRequestPartition| {
        stored_offsets.accepts(partition.committed_metadata.as_deref().unwrap_or_default())
    };
    let (short, long) = allowed.partition(|partition| short(partition));
    for name in long.into_partitions() {
        asked.set(name, group_error::code(GroupError::OffsetMetadataTooLarge));
    }
    let offsets = short.map(|partition| partition.committed_offset);
    Reply::later(async move {
        for (name, stored) in stored_offsets.commit(&group, offsets).await {
            let failed = ErrorCode::UNKNOWN_SERVER_ERROR;
            asked.set(name, stored.map_or(failed, |()| ErrorCode::NONE));
        }
        respond(asked)
    })
}

/// Every partition as it is listed, with the same error.
fn refuse_all(request: &OffsetCommitRequest, code: ErrorCode) -> OffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| {
        let codes = topic.partitions.iter().map(|p| (p.partition_index, code));
        topic_of((topic.name.clone(), codes.collect()))
    });
    OffsetCommitResponse { throttle_time_ms: 0, topics: topics.collect() }
}

fn respond(asked: AskedOffsets) -> OffsetCommitResponse {
    let topics = asked.answers(ErrorCode::NONE).into_iter().map(topic_of).collect();
    OffsetCommitResponse { throttle_time_ms: 0, topics }
}

fn topic_of((name, codes): (String, Vec<(i32, ErrorCode)>)) -> OffsetCommitResponseTopic {
    let partition = |(partition_index, code): (i32, ErrorCode)| OffsetCommitResponsePartition {
        partition_index,
        error_code: code.0,
    };
    OffsetCommitResponseTopic { name, partitions: codes.into_iter().map(partition).collect() }
}

#[cfg(test)]
mod tests {
    use protocol::messages::offset_commit::OffsetCommitRequestTopic;

    use super::*;
    use crate::testbed::{Testbed, answer, context};

    fn commit(topics: &[(&str, &[(i32, i64)])]) -> OffsetCommitRequest {
        let partition = |(index, offset): &(i32, i64)| OffsetCommitRequestPartition {
            partition_index: *index,
            committed_offset: *offset,
            ..OffsetCommitRequestPartition::default()
        };
        let topic = |(name, partitions): &(&str, &[(i32, i64)])| OffsetCommitRequestTopic {
            name: (*name).to_owned(),
            partitions: partitions.iter().map(partition).collect(),
        };
        OffsetCommitRequest {
            group_id: "g".to_owned(),
            generation_id_or_member_epoch: -1,
            topics: topics.iter().map(topic).collect(),
            ..OffsetCommitRequest::default()
        }
    }

    async fn codes(
        bed: &Testbed,
        authorizer: &Authorizer,
        version: i16,
        request: OffsetCommitRequest,
    ) -> Vec<(String, Vec<(i32, ErrorCode)>)> {
        let (clock, metadata, groups) = (&bed.clock, &bed.metadata, &bed.groups);
        let context = context(version);
        let stored = &bed.stored_offsets;
        let reply = handle(authorizer, clock, metadata, groups, stored, &context, request);
        let of = |topic: OffsetCommitResponseTopic| {
            let codes = topic.partitions.iter();
            (topic.name, codes.map(|p| (p.partition_index, ErrorCode(p.error_code))).collect())
        };
        answer(reply).await.topics.into_iter().map(of).collect()
    }

    #[tokio::test]
    async fn the_last_entry_counts_and_what_is_unknown_is_told_as_listed() {
        let bed = Testbed::new();
        bed.coordinate_groups().await;
        bed.lead("t", 1);
        bed.lead("denied", 1);
        let authorizer = Authorizer::allow_all().but::<op::Read, Topic>("denied");
        let unknown = (9, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        for version in [0, 1, 9] {
            let request =
                commit(&[("t", &[(0, 5), (9, 0), (0, 6), (9, 0)]), ("denied", &[(0, 1)])]);
            let done = (0, ErrorCode::NONE);
            let of_t = match version {
                0 => vec![done, unknown, done, unknown],
                _ => vec![done, unknown, unknown],
            };
            let denied = vec![(0, ErrorCode::TOPIC_AUTHORIZATION_FAILED)];
            let expected = [("t".to_owned(), of_t), ("denied".to_owned(), denied)];
            assert_eq!(codes(&bed, &authorizer, version, request).await, expected, "v{version}");
        }
    }

    #[tokio::test]
    async fn metadata_has_an_end_in_the_log_and_in_the_store() {
        let bed = Testbed::with(&[("offset.metadata.max.bytes", "2")]);
        bed.coordinate_groups().await;
        bed.lead("t", 1);
        for version in [0, 8] {
            for (metadata, code) in
                [("\u{1F600}", ErrorCode::NONE), ("abc", ErrorCode::OFFSET_METADATA_TOO_LARGE)]
            {
                let mut request = commit(&[("t", &[(0, 5)])]);
                request.topics[0].partitions[0].committed_metadata = Some(metadata.to_owned());
                let told = codes(&bed, &bed.authorizer, version, request).await;
                assert_eq!(told, [("t".to_owned(), vec![(0, code)])], "v{version} {metadata}");
            }
        }
    }

    #[tokio::test]
    async fn a_group_that_may_not_be_read_refuses_every_partition() {
        let bed = Testbed::new();
        let authorizer = Authorizer::allow_all().but::<op::Read, Group>("g");
        let told = codes(&bed, &authorizer, 9, commit(&[("t", &[(0, 5)])])).await;
        assert_eq!(told, [("t".to_owned(), vec![(0, ErrorCode::GROUP_AUTHORIZATION_FAILED)])]);
    }

    #[test]
    fn times_are_the_brokers_where_none_is_given() {
        let partition = OffsetCommitRequestPartition::default();
        assert_eq!(to_commit(9, None, &partition).commit_ms, 9);
        let given = OffsetCommitRequestPartition { commit_timestamp: 3, ..partition };
        assert_eq!(
            to_commit(9, Some(4), &given),
            OffsetCommit {
                offset: 0,
                leader_epoch: -1,
                metadata: String::new(),
                commit_ms: 3,
                expire_ms: Some(4),
            }
        );
    }
}
