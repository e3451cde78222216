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

use std::sync::Arc;

use protocol::error_code::ErrorCode;
use protocol::ids::TopicPartition;
use protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
};

use super::asked_offsets::AskedOffsets;
use super::group_error;
use crate::authorizer::{Resource, op};
use crate::broker::{Broker, Reply, RequestContext};

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: OffsetDeleteRequest,
) -> Reply<OffsetDeleteResponse> {
    let group = Resource::Group(&request.group_id);
    if broker.authorizer.authorize::<op::Delete>(context, group).is_err() {
        return Reply::Now(refuse(ErrorCode::GROUP_AUTHORIZATION_FAILED));
    }
    let (mut asked, mut allowed) = (AskedOffsets::default(), Vec::new());
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
            } else if asked.admit(&name) {
                allowed.push(name);
            }
        }
    }
    let deleting = broker.groups.delete_offsets(&request.group_id, allowed);
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
