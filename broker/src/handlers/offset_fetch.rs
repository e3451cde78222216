//! OffsetFetch (key 9): reads what groups have committed.
//!
//! Versions 0 to 9: v0 reads the metadata store · v2 null asks for all topics, an error of the
//! whole, which before goes with every partition · v5 leader epoch · v7 stable offsets only · v8
//! several groups · v9 the member that asks, which a group of the new protocol checks. A partition
//! without an offset has −1 and no error; in version 0 it has UNKNOWN_TOPIC_OR_PARTITION. A
//! partition that is listed twice is answered once.
//!
//! Errors: per group GROUP_AUTHORIZATION_FAILED, INVALID_GROUP_ID, COORDINATOR_NOT_AVAILABLE,
//! COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR, UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH; per
//! partition TOPIC_AUTHORIZATION_FAILED, UNSTABLE_OFFSET_COMMIT, UNKNOWN_TOPIC_OR_PARTITION and
//! UNKNOWN_SERVER_ERROR (version 0).
//!
//! Differs from Apache: all offsets of a group come in the order of their topics and partitions,
//! where Kafka has none. A request without groups is answered; there it never is.

use std::sync::Arc;

use coordinator::group::GroupError;
use coordinator::group::request::{FetchRequest, FetchedOffset};
use futures::future::join_all;
use metadata::retry;
use metadata::store::MetadataStore;
use metadata::znodes::consumer_offset;
use protocol::error_code::ErrorCode;
use protocol::ids::{Offset, TopicPartition};
use protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchResponse, OffsetFetchResponseGroup,
    OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};

use super::distinct::DistinctPartitions;
use super::group_error;
use crate::authorizer::{Authorizer, Resource, op};
use crate::broker::{Broker, Reply, RequestContext};

/// Topics and partitions asked for, in order; `None` for all.
type Asked = Option<Vec<(String, Vec<i32>)>>;

/// A member of a group of the new protocol and its epoch.
type Member = Option<(String, i32)>;

/// One partition's answer.
struct Found {
    partition: TopicPartition,
    offset: Offset,
    leader_epoch: i32,
    metadata: String,
    code: ErrorCode,
}

/// One group's answer.
struct GroupAnswer {
    group_id: String,
    code: ErrorCode,
    offsets: Vec<Found>,
}

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: OffsetFetchRequest,
) -> Reply<OffsetFetchResponse> {
    let version = context.api_version;
    let require_stable = request.require_stable;
    let groups: Vec<(String, Asked, Member)> = if version >= 8 {
        let topics = |topics: Vec<_>| {
            let topic = |t: protocol::messages::offset_fetch::OffsetFetchRequestTopics| {
                (t.name, t.partition_indexes)
            };
            topics.into_iter().map(topic).collect()
        };
        let group = |group: OffsetFetchRequestGroup| {
            let member = group.member_id.map(|id| (id, group.member_epoch));
            (group.group_id, group.topics.map(topics), member)
        };
        request.groups.into_iter().map(group).map(each_once).collect()
    } else {
        let topics = request.topics.map(|topics| {
            topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect()
        });
        vec![each_once((request.group_id, topics, None))]
    };
    if version == 0 {
        return from_store(broker, context, groups);
    }
    let fetching: Vec<_> = groups
        .into_iter()
        .map(|(group_id, asked, member)| {
            let offsets = FetchRequest { require_stable, member, partitions: None };
            fetch(broker, context, group_id, asked, offsets)
        })
        .collect();
    Reply::later(async move { respond(version, join_all(fetching).await) })
}

/// Topics and partitions once each, however often they are listed; no topic without partitions.
fn each_once((group_id, asked, member): (String, Asked, Member)) -> (String, Asked, Member) {
    let distinct = |topics: Vec<(String, Vec<i32>)>| {
        let mut distinct = DistinctPartitions::default();
        for (topic, partitions) in &topics {
            for index in partitions {
                distinct.put(topic, *index, ());
            }
        }
        let indexes = |all: Vec<(i32, ())>| all.into_iter().map(|(index, ())| index).collect();
        let topics = distinct.into_topics().into_iter();
        topics.map(|(topic, partitions)| (topic, indexes(partitions))).collect()
    };
    (group_id, asked.map(distinct), member)
}

/// Asks the coordinator in the call; only the answer is awaited.
fn fetch(
    broker: &Arc<Broker>,
    context: &RequestContext,
    group_id: String,
    asked: Asked,
    offsets: FetchRequest,
) -> impl Future<Output = GroupAnswer> + Send + use<> {
    let group = Resource::Group(&group_id);
    let denied = broker.authorizer.authorize::<op::Describe>(context, group).is_err();
    let (allowed, refused) = match &asked {
        Some(topics) => {
            let (allowed, refused) = split(&broker.authorizer, context, topics);
            (Some(allowed), refused)
        }
        None => (None, Vec::new()),
    };
    let offsets = FetchRequest { partitions: allowed, ..offsets };
    let fetching = (!denied).then(|| broker.groups.fetch_offsets(&group_id, offsets));
    let (broker, context) = (broker.clone(), context.clone());
    async move {
        let fetched = match fetching {
            Some(fetching) => fetching.await.map_err(group_error::code),
            None => Err(ErrorCode::GROUP_AUTHORIZATION_FAILED),
        };
        let (code, offsets) = match fetched {
            Ok(fetched) => {
                let visible = |found: &FetchedOffset| {
                    asked.is_some()
                        || may_describe(&broker.authorizer, &context, &found.partition.topic)
                };
                let found = fetched.into_iter().filter(visible).map(found);
                (ErrorCode::NONE, found.chain(refused).collect())
            }
            // Version 1 has no other place for the error.
            Err(code) if context.api_version == 1 => {
                let all = asked.iter().flatten().flat_map(|(topic, partitions)| {
                    partitions.iter().map(|index| TopicPartition::new(topic.clone(), *index))
                });
                (code, all.map(|partition| nothing(partition, code)).collect())
            }
            Err(code) => (code, Vec::new()),
        };
        GroupAnswer { group_id, code, offsets }
    }
}

fn may_describe(authorizer: &Authorizer, context: &RequestContext, topic: &str) -> bool {
    authorizer.authorize::<op::Describe>(context, Resource::Topic(topic)).is_ok()
}

/// The partitions of topics that the caller may see, and answers for the others.
fn split(
    authorizer: &Authorizer,
    context: &RequestContext,
    topics: &[(String, Vec<i32>)],
) -> (Vec<TopicPartition>, Vec<Found>) {
    let (mut allowed, mut refused) = (Vec::new(), Vec::new());
    for (topic, partitions) in topics {
        let visible = may_describe(authorizer, context, topic);
        for index in partitions {
            let partition = TopicPartition::new(topic.clone(), *index);
            if visible {
                allowed.push(partition);
            } else {
                refused.push(nothing(partition, ErrorCode::TOPIC_AUTHORIZATION_FAILED));
            }
        }
    }
    (allowed, refused)
}

fn found(fetched: FetchedOffset) -> Found {
    match fetched.commit {
        Ok(Some(commit)) => Found {
            partition: fetched.partition,
            offset: commit.offset,
            leader_epoch: commit.leader_epoch,
            metadata: commit.metadata,
            code: ErrorCode::NONE,
        },
        Ok(None) => nothing(fetched.partition, ErrorCode::NONE),
        Err(error) => nothing(fetched.partition, group_error::code(error)),
    }
}

fn nothing(partition: TopicPartition, code: ErrorCode) -> Found {
    Found { partition, offset: -1, leader_epoch: -1, metadata: String::new(), code }
}

fn from_store(
    broker: &Arc<Broker>,
    context: &RequestContext,
    groups: Vec<(String, Asked, Member)>,
) -> Reply<OffsetFetchResponse> {
    let Some((group_id, asked, _)) = groups.into_iter().next() else {
        return Reply::Now(OffsetFetchResponse::default());
    };
    let group = Resource::Group(&group_id);
    if broker.authorizer.authorize::<op::Describe>(context, group).is_err() {
        let denied = ErrorCode::GROUP_AUTHORIZATION_FAILED;
        let all = asked.into_iter().flatten().flat_map(|(topic, partitions)| {
            partitions.into_iter().map(move |index| TopicPartition::new(topic.clone(), index))
        });
        let offsets = all.map(|partition| nothing(partition, denied)).collect();
        return Reply::Now(respond(0, vec![GroupAnswer { group_id, code: denied, offsets }]));
    }
    let (allowed, mut offsets) = split(&broker.authorizer, context, &asked.unwrap_or_default());
    let broker = broker.clone();
    let cluster = broker.metadata.snapshot();
    Reply::later(async move {
        for partition in allowed {
            let known = cluster.partition(&partition.topic, partition.partition).is_some();
            let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
            offsets.push(match known {
                false => nothing(partition, unknown),
                true => match read_one(&*broker.store, &group_id, &partition).await {
                    Ok(Some(offset)) => Found { offset, ..nothing(partition, ErrorCode::NONE) },
                    Ok(None) => nothing(partition, unknown),
                    Err(error) => nothing(partition, group_error::code(error)),
                },
            });
        }
        respond(0, vec![GroupAnswer { group_id, code: ErrorCode::NONE, offsets }])
    })
}

async fn read_one(
    store: &dyn MetadataStore,
    group_id: &str,
    partition: &TopicPartition,
) -> Result<Option<Offset>, GroupError> {
    let fail = |error: &dyn std::fmt::Display| {
        tracing::warn!(group = group_id, %partition, %error, "an offset could not be read");
        GroupError::UnknownServerError
    };
    let Some(path) = consumer_offset::path(group_id, partition) else {
        return Err(fail(&"the group's name cannot be a node's"));
    };
    match retry::get(store, &path, false).await {
        Ok(Some((data, _))) => {
            consumer_offset::decode(&path, data.as_deref()).map_err(|error| fail(&error))
        }
        Ok(None) => Ok(None),
        Err(error) => Err(fail(&error)),
    }
}

/// Partitions of one topic that stand together become one topic of the answer.
fn by_topic(offsets: Vec<Found>) -> Vec<(String, Vec<Found>)> {
    let mut topics: Vec<(String, Vec<Found>)> = Vec::new();
    for found in offsets {
        match topics.last_mut() {
            Some((topic, partitions)) if *topic == found.partition.topic => partitions.push(found),
            _ => topics.push((found.partition.topic.clone(), vec![found])),
        }
    }
    topics
}

fn respond(version: i16, groups: Vec<GroupAnswer>) -> OffsetFetchResponse {
    if version >= 8 {
        let groups = groups.into_iter().map(respond_group).collect();
        return OffsetFetchResponse { groups, ..Default::default() };
    }
    let Some(group) = groups.into_iter().next() else { return OffsetFetchResponse::default() };
    let partition = |found: Found| OffsetFetchResponsePartition {
        partition_index: found.partition.partition,
        committed_offset: found.offset,
        committed_leader_epoch: found.leader_epoch,
        metadata: Some(found.metadata),
        error_code: found.code.0,
    };
    let topics = by_topic(group.offsets)
        .into_iter()
        .map(|(name, partitions)| OffsetFetchResponseTopic {
            name,
            partitions: partitions.into_iter().map(partition).collect(),
        })
        .collect();
    OffsetFetchResponse { topics, error_code: group.code.0, ..Default::default() }
}

fn respond_group(group: GroupAnswer) -> OffsetFetchResponseGroup {
    let partition = |found: Found| OffsetFetchResponsePartitions {
        partition_index: found.partition.partition,
        committed_offset: found.offset,
        committed_leader_epoch: found.leader_epoch,
        metadata: Some(found.metadata),
        error_code: found.code.0,
    };
    let topics = by_topic(group.offsets)
        .into_iter()
        .map(|(name, partitions)| OffsetFetchResponseTopics {
            name,
            partitions: partitions.into_iter().map(partition).collect(),
        })
        .collect();
    OffsetFetchResponseGroup { group_id: group.group_id, topics, error_code: group.code.0 }
}
