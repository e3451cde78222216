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

use coordinator::group::request::FetchedOffset;
use futures::future::join_all;
use protocol::error_code::ErrorCode;
use protocol::ids::{Offset, TopicPartition};
use protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};

use super::distinct::DistinctPartitions;
use super::group_error;
use crate::authorizer::{AuthorizedPartitions, Authorizer, Group, Requester, Topic, op};
use crate::groups::stored_offsets::StoredOffsets;
use crate::groups::{Groups, OffsetsFetch, Wanted};
use crate::request::{Reply, RequestContext};

/// Topics and partitions asked for, in order; `None` for all.
type Asked = Option<Vec<(String, Vec<i32>)>>;

/// What is asked about one group.
struct Question {
    group_id: String,
    asked: Asked,
    /// A member of a group of the new protocol and its epoch.
    member: Option<(String, i32)>,
    require_stable: bool,
}

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
    authorizer: &Arc<Authorizer>,
    groups: &Groups,
    stored_offsets: &Arc<StoredOffsets>,
    context: &RequestContext,
    request: OffsetFetchRequest,
) -> Reply<OffsetFetchResponse> {
    let version = context.api_version;
    let mut questions = questions_of(version, request);
    if version == 0 {
        let question = questions.swap_remove(0);
        return from_store(authorizer, stored_offsets, context, question);
    }
    let one = |question| fetch(authorizer, groups, context, question);
    let fetching: Vec<_> = questions.into_iter().map(one).collect();
    Reply::later(async move { respond(version, join_all(fetching).await) })
}

/// One before version 8.
fn questions_of(version: i16, request: OffsetFetchRequest) -> Vec<Question> {
    let require_stable = request.require_stable;
    let question = |group_id, asked: Asked, member| Question {
        group_id,
        asked: asked.map(each_once),
        member,
        require_stable,
    };
    if version < 8 {
        let topics = request.topics.map(|topics| {
            topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect()
        });
        return vec![question(request.group_id, topics, None)];
    }
    let topic = |topic: OffsetFetchRequestTopics| (topic.name, topic.partition_indexes);
    let group = |group: OffsetFetchRequestGroup| {
        let member = group.member_id.map(|id| (id, group.member_epoch));
        let topics = group.topics.map(|topics| topics.into_iter().map(topic).collect());
        question(group.group_id, topics, member)
    };
    request.groups.into_iter().map(group).collect()
}

/// Topics and partitions once each, however often they are listed; no topic without partitions.
fn each_once(topics: Vec<(String, Vec<i32>)>) -> Vec<(String, Vec<i32>)> {
    let mut distinct = DistinctPartitions::default();
    for (topic, partitions) in &topics {
        for index in partitions {
            distinct.put(topic, *index, ());
        }
    }
    let indexes = |all: Vec<(i32, ())>| all.into_iter().map(|(index, ())| index).collect();
    let topics = distinct.into_topics().into_iter();
    topics.map(|(topic, partitions)| (topic, indexes(partitions))).collect()
}

/// Asks the coordinator in the call; only the answer is awaited.
fn fetch(
    authorizer: &Arc<Authorizer>,
    groups: &Groups,
    context: &RequestContext,
    question: Question,
) -> impl Future<Output = GroupAnswer> + Send + use<> {
    let Question { group_id, asked, member, require_stable } = question;
    let version = context.api_version;
    let (wanted, refused) = match &asked {
        Some(topics) => {
            let (allowed, refused) = split(authorizer, context, topics);
            (Wanted::These(allowed), refused)
        }
        None => (Wanted::AllOf(Requester::new(authorizer, context)), Vec::new()),
    };
    let fetch = OffsetsFetch { require_stable, member, wanted };
    let group = authorizer.authorize::<op::Describe, Group>(context, &group_id);
    let fetching = group.map(|group| groups.fetch_offsets(&group, fetch));
    async move {
        let fetched = match fetching {
            Ok(fetching) => fetching.await.map_err(group_error::code),
            Err(_) => Err(ErrorCode::GROUP_AUTHORIZATION_FAILED),
        };
        let (code, offsets) = match fetched {
            Ok(fetched) => {
                let found = fetched.into_iter().map(found);
                (ErrorCode::NONE, found.chain(refused).collect())
            }
            // Version 1 has no other place for the error.
            Err(code) if version == 1 => (code, nowhere(asked, code)),
            Err(code) => (code, Vec::new()),
        };
        GroupAnswer { group_id, code, offsets }
    }
}

/// The partitions of topics that the caller may see, and answers for the others.
fn split(
    authorizer: &Authorizer,
    context: &RequestContext,
    topics: &[(String, Vec<i32>)],
) -> (AuthorizedPartitions<op::Describe, ()>, Vec<Found>) {
    let (mut allowed, mut refused) = (AuthorizedPartitions::default(), Vec::new());
    for (topic, partitions) in topics {
        let leave = authorizer.authorize::<op::Describe, Topic>(context, topic);
        for index in partitions {
            match &leave {
                Ok(leave) => allowed.push(leave, *index, ()),
                Err(_) => {
                    let partition = TopicPartition::new(topic.clone(), *index);
                    refused.push(nothing(partition, ErrorCode::TOPIC_AUTHORIZATION_FAILED));
                }
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

/// Every partition that is asked for, with the same error.
fn nowhere(asked: Asked, code: ErrorCode) -> Vec<Found> {
    let all = asked.into_iter().flatten().flat_map(|(topic, partitions)| {
        partitions.into_iter().map(move |index| TopicPartition::new(topic.clone(), index))
    });
    all.map(|partition| nothing(partition, code)).collect()
}

fn from_store(
    authorizer: &Authorizer,
    stored_offsets: &Arc<StoredOffsets>,
    context: &RequestContext,
    question: Question,
) -> Reply<OffsetFetchResponse> {
    let Question { group_id, asked, .. } = question;
    let Ok(group) = authorizer.authorize::<op::Describe, Group>(context, &group_id) else {
        let code = ErrorCode::GROUP_AUTHORIZATION_FAILED;
        let offsets = nowhere(asked, code);
        return Reply::Now(respond(0, vec![GroupAnswer { group_id, code, offsets }]));
    };
    let (allowed, mut offsets) = split(authorizer, context, &asked.unwrap_or_default());
    let (stored_offsets, group) = (stored_offsets.clone(), group.into_owned());
    Reply::later(async move {
        for (partition, found) in stored_offsets.fetch(&group, allowed).await {
            offsets.push(match found {
                Ok(Some(offset)) => Found { offset, ..nothing(partition, ErrorCode::NONE) },
                Ok(None) => nothing(partition, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
                Err(_) => nothing(partition, ErrorCode::UNKNOWN_SERVER_ERROR),
            });
        }
        let group_id = group.name().to_owned();
        respond(0, vec![GroupAnswer { group_id, code: ErrorCode::NONE, offsets }])
    })
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

#[cfg(test)]
mod tests {
    use protocol::messages::offset_fetch::OffsetFetchRequestTopic;

    use super::*;
    use crate::testbed::{Testbed, answer, context};

    /// Group `g` has an offset in partition 0 of `t` and of `denied`.
    async fn bed() -> Testbed {
        let bed = Testbed::new();
        bed.coordinate_groups().await;
        for topic in ["t", "denied"] {
            bed.lead(topic, 2);
            bed.commit("g", topic, 0, 7).await;
        }
        bed
    }

    fn authorizer() -> Authorizer {
        Authorizer::allow_all()
            .but::<op::Describe, Topic>("denied")
            .but::<op::Describe, Group>("secret")
    }

    async fn ask(bed: &Testbed, version: i16, request: OffsetFetchRequest) -> OffsetFetchResponse {
        let authorizer = Arc::new(authorizer());
        let context = context(version);
        answer(handle(&authorizer, &bed.groups, &bed.stored_offsets, &context, request)).await
    }

    fn of_group(group: &str, topics: Option<&[(&str, &[i32])]>) -> OffsetFetchRequestGroup {
        let topic = |(name, partitions): &(&str, &[i32])| OffsetFetchRequestTopics {
            name: (*name).to_owned(),
            partition_indexes: partitions.to_vec(),
        };
        OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            topics: topics.map(|topics| topics.iter().map(topic).collect()),
            ..OffsetFetchRequestGroup::default()
        }
    }

    /// Topic, partition, offset and code of everything in one group's answer.
    fn flat(group: &OffsetFetchResponseGroup) -> Vec<(&str, i32, i64, ErrorCode)> {
        let of = |topic: &OffsetFetchResponseTopics| -> Vec<_> {
            let all = topic.partitions.iter();
            all.map(|p| (p.partition_index, p.committed_offset, ErrorCode(p.error_code))).collect()
        };
        let all = group.topics.iter().flat_map(|topic| {
            of(topic).into_iter().map(|(index, offset, code)| (&*topic.name, index, offset, code))
        });
        all.collect()
    }

    #[tokio::test]
    async fn partitions_are_answered_once_and_topics_need_leave() {
        let bed = bed().await;
        let groups = vec![
            of_group("g", Some(&[("t", &[0, 1, 0]), ("denied", &[0])])),
            of_group("g", None),
            of_group("secret", None),
        ];
        let request = OffsetFetchRequest { groups, ..OffsetFetchRequest::default() };
        let answer = ask(&bed, 8, request).await;
        let none = ErrorCode::NONE;
        let denied = ("denied", 0, -1, ErrorCode::TOPIC_AUTHORIZATION_FAILED);
        assert_eq!(flat(&answer.groups[0]), [("t", 0, 7, none), ("t", 1, -1, none), denied]);
        assert_eq!(flat(&answer.groups[1]), [("t", 0, 7, none)]);
        assert_eq!(answer.groups[2].error_code, ErrorCode::GROUP_AUTHORIZATION_FAILED.0);
        assert!(answer.groups[2].topics.is_empty());
    }

    #[tokio::test]
    async fn before_version_2_the_error_of_the_group_is_every_partitions() {
        let bed = bed().await;
        for (version, partitions) in [(1, 1), (2, 0)] {
            let topic =
                OffsetFetchRequestTopic { name: "t".to_owned(), partition_indexes: vec![0] };
            let request = OffsetFetchRequest {
                group_id: "secret".to_owned(),
                topics: Some(vec![topic]),
                ..OffsetFetchRequest::default()
            };
            let answer = ask(&bed, version, request).await;
            let denied = ErrorCode::GROUP_AUTHORIZATION_FAILED.0;
            let codes = answer.topics.iter().flat_map(|topic| &topic.partitions);
            let codes: Vec<_> = codes.map(|partition| partition.error_code).collect();
            assert_eq!((answer.error_code, codes), (denied, vec![denied; partitions]));
        }
    }

    #[tokio::test]
    async fn version_0_reads_what_version_0_stored() {
        let bed = bed().await;
        let mut offsets = AuthorizedPartitions::default();
        offsets.push(&bed.internal.authorized("t"), 1, 3);
        bed.stored_offsets.commit(&bed.internal.authorized("g"), offsets).await;
        let topic =
            OffsetFetchRequestTopic { name: "t".to_owned(), partition_indexes: vec![0, 1, 9] };
        let (group_id, topics) = ("g".to_owned(), Some(vec![topic]));
        let request = OffsetFetchRequest { group_id, topics, ..OffsetFetchRequest::default() };
        let answer = ask(&bed, 0, request).await;
        let found: Vec<_> = answer.topics[0]
            .partitions
            .iter()
            .map(|p| (p.committed_offset, ErrorCode(p.error_code)))
            .collect();
        let unknown = (-1, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        assert_eq!(found, [unknown, (3, ErrorCode::NONE), unknown]);
    }
}
