//! OffsetDelete (key 47): deletes committed offsets of a group (KIP-496).
//!
//! Version 0. Of a consumer group at work only what it is not subscribed to. A partition that is
//! listed twice is answered once, but one that is not known as often as it is listed.
//!
//! Errors: GROUP_AUTHORIZATION_FAILED, INVALID_GROUP_ID, COORDINATOR_NOT_AVAILABLE,
//! COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR, GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP; per
//! partition TOPIC_AUTHORIZATION_FAILED, UNKNOWN_TOPIC_OR_PARTITION, GROUP_SUBSCRIBED_TO_TOPIC.
//!
//! Differs from Apache: topics and partitions come in the order of the request; there those that
//! are not known or not to be read come first.

use protocol::error_code::ErrorCode;
use protocol::ids::TopicPartition;
use protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
};

use super::asked_offsets::AskedOffsets;
use super::group_error;
use crate::authorizer::{AuthorizedPartitions, Authorizer, Group, Topic, op};
use crate::groups::Groups;
use crate::metadata_cache::MetadataCache;
use crate::request::{Reply, RequestContext};

pub fn handle(
    authorizer: &Authorizer,
    metadata: &MetadataCache,
    groups: &Groups,
    context: &RequestContext,
    request: OffsetDeleteRequest,
) -> Reply<OffsetDeleteResponse> {
    let Ok(group) = authorizer.authorize::<op::Delete, Group>(context, &request.group_id) else {
        return Reply::Now(refuse(ErrorCode::GROUP_AUTHORIZATION_FAILED));
    };
    let cluster = metadata.load();
    let (mut asked, mut allowed) = (AskedOffsets::default(), AuthorizedPartitions::default());
    for topic in &request.topics {
        let leave = authorizer.authorize::<op::Read, Topic>(context, &topic.name);
        if leave.is_err() || cluster.topic(&topic.name).is_none() {
            asked.name(&topic.name);
        }
        for partition in &topic.partitions {
            let index = partition.partition_index;
            match &leave {
                Err(_) => {
                    asked.refuse(&topic.name, index, ErrorCode::TOPIC_AUTHORIZATION_FAILED);
                }
                Ok(_) if cluster.partition(&topic.name, index).is_none() => {
                    asked.refuse(&topic.name, index, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
                }
                Ok(leave) => {
                    if asked.admit(&TopicPartition::new(topic.name.clone(), index)) {
                        allowed.push(leave, index, ());
                    }
                }
            }
        }
    }
    let deleting = groups.delete_offsets(&group, allowed);
    Reply::later(async move {
        match deleting.await {
            Ok(deleted) => {
                for (name, error) in deleted {
                    asked.set(name, error.map_or(ErrorCode::NONE, group_error::code));
                }
                respond(asked)
            }
            Err(error) => refuse(group_error::code(error)),
        }
    })
}

fn refuse(code: ErrorCode) -> OffsetDeleteResponse {
    OffsetDeleteResponse { error_code: code.0, ..Default::default() }
}

fn respond(asked: AskedOffsets) -> OffsetDeleteResponse {
    let partition = |(partition_index, code): (i32, ErrorCode)| OffsetDeleteResponsePartition {
        partition_index,
        error_code: code.0,
    };
    let topic = |(name, codes): (String, Vec<(i32, ErrorCode)>)| OffsetDeleteResponseTopic {
        name,
        partitions: codes.into_iter().map(partition).collect(),
    };
    let topics = asked.answers(ErrorCode::NONE).into_iter().map(topic).collect();
    OffsetDeleteResponse { topics, ..Default::default() }
}

#[cfg(test)]
mod tests {
    use protocol::messages::offset_delete::{
        OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
    };

    use super::*;
    use crate::testbed::{Testbed, answer, context, now};

    fn delete(group: &str, topics: &[(&str, &[i32])]) -> OffsetDeleteRequest {
        let partition = |index: &i32| OffsetDeleteRequestPartition { partition_index: *index };
        let topic = |(name, partitions): &(&str, &[i32])| OffsetDeleteRequestTopic {
            name: (*name).to_owned(),
            partitions: partitions.iter().map(partition).collect(),
        };
        let topics = topics.iter().map(topic).collect();
        OffsetDeleteRequest { group_id: group.to_owned(), topics }
    }

    #[tokio::test]
    async fn what_is_known_is_deleted_once_and_what_is_not_is_told_as_listed() {
        let bed = Testbed::new();
        bed.coordinate_groups().await;
        bed.lead("t", 2);
        bed.lead("denied", 1);
        bed.commit("g", "t", 0, 7).await;
        let authorizer = Authorizer::allow_all().but::<op::Read, Topic>("denied");
        let request = delete("g", &[("t", &[0, 9, 0, 9]), ("denied", &[0]), ("none", &[])]);
        let reply = handle(&authorizer, &bed.metadata, &bed.groups, &context(0), request);
        let answer = answer(reply).await;
        let codes = |topic: &OffsetDeleteResponseTopic| -> Vec<_> {
            topic.partitions.iter().map(|p| (p.partition_index, ErrorCode(p.error_code))).collect()
        };
        let topics: Vec<_> = answer.topics.iter().map(|t| (t.name.as_str(), codes(t))).collect();
        let unknown = (9, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        let expected = [
            ("t", vec![(0, ErrorCode::NONE), unknown, unknown]),
            ("denied", vec![(0, ErrorCode::TOPIC_AUTHORIZATION_FAILED)]),
            ("none", vec![]),
        ];
        assert_eq!((answer.error_code, topics), (0, expected.to_vec()));
    }

    #[tokio::test]
    async fn a_group_may_be_denied_or_not_be_there() {
        let bed = Testbed::new();
        bed.coordinate_groups().await;
        let ask = |authorizer: &Authorizer| {
            let request = delete("g", &[]);
            handle(authorizer, &bed.metadata, &bed.groups, &context(0), request)
        };
        let denied = now(ask(&Authorizer::allow_all().but::<op::Delete, Group>("g")));
        assert_eq!(denied.error_code, ErrorCode::GROUP_AUTHORIZATION_FAILED.0);
        let answer = answer(ask(&bed.authorizer)).await;
        assert_eq!(answer.error_code, ErrorCode::GROUP_ID_NOT_FOUND.0);
    }
}
