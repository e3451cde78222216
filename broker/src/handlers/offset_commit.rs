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
use coordinator::group::request::{Caller, CommitRequest, OffsetCommit};
use metadata::retry;
use metadata::store::{MetadataStore, Op, StoreError};
use metadata::znodes::consumer_offset;
use protocol::error_code::ErrorCode;
use protocol::ids::{Offset, TopicPartition};
use protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitResponse,
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};

use super::asked_offsets::AskedOffsets;
use super::distinct::DistinctPartitions;
use super::group_error;
use crate::authorizer::{Resource, op};
use crate::broker::{Broker, Reply, RequestContext};

/// From here on the generation may be a member's epoch.
const EPOCHS_FROM: i16 = 9;

/// What may be committed, each partition with what is to be stored for it.
type Allowed<'a> = Vec<(TopicPartition, &'a OffsetCommitRequestPartition)>;

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: OffsetCommitRequest,
) -> Reply<OffsetCommitResponse> {
    let group = Resource::Group(&request.group_id);
    if broker.authorizer.authorize::<op::Read>(context, group).is_err() {
        return Reply::Now(refuse_all(&request, ErrorCode::GROUP_AUTHORIZATION_FAILED));
    }
    let mut asked = AskedOffsets::default();
    let allowed = sort_out(broker, context, &request, &mut asked);
    if allowed.is_empty() {
        return Reply::Now(respond(asked));
    }
    if context.api_version == 0 {
        let group_id = request.group_id.clone();
        let max_units = broker.config.load().long("offset.metadata.max.bytes");
        let offsets = in_store(allowed, usize::try_from(max_units).unwrap_or(0), &mut asked);
        let store = broker.store.clone();
        return Reply::later(async move {
            store_all(&*store, &group_id, offsets, &mut asked).await;
            respond(asked)
        });
    }
    let knows_epochs = context.api_version >= EPOCHS_FROM;
    let commit = to_commit(broker.clock.now_ms(), &request, knows_epochs, allowed);
    let committing = broker.groups.commit(&request.group_id, commit);
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
    broker: &Broker,
    context: &RequestContext,
    request: &'a OffsetCommitRequest,
    asked: &mut AskedOffsets,
) -> Allowed<'a> {
    let mut every = Vec::new();
    let mut distinct = DistinctPartitions::default();
    let cluster = broker.metadata.load();
    for topic in &request.topics {
        let resource = Resource::Topic(&topic.name);
        let denied = broker.authorizer.authorize::<op::Read>(context, resource).is_err();
        if denied || cluster.topic(&topic.name).is_none() {
            asked.name(&topic.name);
        }
        for partition in &topic.partitions {
            let name = TopicPartition::new(topic.name.clone(), partition.partition_index);
            if denied {
                let code = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
                asked.refuse(&topic.name, name.partition, code);
            } else if cluster.partition(&topic.name, name.partition).is_none() {
                let code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
                asked.refuse(&topic.name, name.partition, code);
            } else if context.api_version == 0 {
                asked.admit_each(&name);
                every.push((name, partition));
            } else {
                asked.admit(&name);
                distinct.put(&topic.name, name.partition, partition);
            }
        }
    }
    let of_topic = |(topic, partitions): (String, Vec<(i32, _)>)| {
        let named = move |(index, value)| (TopicPartition::new(topic.clone(), index), value);
        partitions.into_iter().map(named)
    };
    every.extend(distinct.into_topics().into_iter().flat_map(of_topic));
    every
}

fn to_commit(
    now_ms: i64,
    request: &OffsetCommitRequest,
    knows_epochs: bool,
    allowed: Allowed<'_>,
) -> CommitRequest {
    let retention_ms = request.retention_time_ms;
    let expire_ms = (retention_ms != -1).then(|| now_ms.saturating_add(retention_ms));
    let offset = |partition: &OffsetCommitRequestPartition| OffsetCommit {
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: partition.committed_metadata.clone().unwrap_or_default(),
        commit_ms: match partition.commit_timestamp {
            -1 => now_ms,
            given_ms => given_ms,
        },
        expire_ms,
    };
    CommitRequest {
        caller: Caller {
            member_id: request.member_id.clone(),
            instance_id: request.group_instance_id.clone(),
            generation: request.generation_id_or_member_epoch,
        },
        producer: None,
        guard: None,
        knows_epochs,
        offsets: allowed.into_iter().map(|(name, partition)| (name, offset(partition))).collect(),
    }
}

/// What version 0 writes: offsets alone, but their metadata must not be too long either.
fn in_store(
    allowed: Allowed<'_>,
    max_units: usize,
    asked: &mut AskedOffsets,
) -> Vec<(TopicPartition, Offset)> {
    let mut offsets = Vec::new();
    for (name, partition) in allowed {
        let metadata = partition.committed_metadata.as_deref().unwrap_or_default();
        if metadata.encode_utf16().count() > max_units {
            let too_large = group_error::code(GroupError::OffsetMetadataTooLarge);
            asked.set(name, too_large);
        } else {
            offsets.push((name, partition.committed_offset));
        }
    }
    offsets
}

async fn store_all(
    store: &dyn MetadataStore,
    group_id: &str,
    offsets: Vec<(TopicPartition, Offset)>,
    asked: &mut AskedOffsets,
) {
    for (partition, offset) in offsets {
        let code = match store_one(store, group_id, &partition, offset).await {
            Ok(()) => ErrorCode::NONE,
            Err(error) => {
                tracing::warn!(group = group_id, %partition, %error, "an offset was not stored");
                ErrorCode::UNKNOWN_SERVER_ERROR
            }
        };
        asked.set(partition, code);
    }
}

async fn store_one(
    store: &dyn MetadataStore,
    group_id: &str,
    partition: &TopicPartition,
    offset: Offset,
) -> Result<(), StoreError> {
    let path = consumer_offset::path(group_id, partition)
        .ok_or_else(|| StoreError::Other("the group's name cannot be a node's".to_owned()))?;
    let data = Some(consumer_offset::encode(offset));
    // Twice the same write does no harm, so a lost connection is simply tried again.
    let set = Op::Set { path: path.clone(), data: data.clone(), version: -1 };
    match retry::read(store, set.clone()).await {
        Ok(_) => Ok(()),
        Err(StoreError::NoNode(_)) => {
            if !retry::create_recursive(store, &path, data).await? {
                retry::read(store, set).await?;
            }
            Ok(())
        }
        Err(error) => Err(error),
    }
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
