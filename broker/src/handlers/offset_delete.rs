//! OffsetDelete (key 47): deletes committed offsets of a group (KIP-496).
//!
//! Version 0. Of a consumer group at work only what it is not subscribed to.
//!
//! Errors: GROUP_AUTHORIZATION_FAILED, INVALID_GROUP_ID, COORDINATOR_NOT_AVAILABLE,
//! COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR, GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP; per
//! partition TOPIC_AUTHORIZATION_FAILED, UNKNOWN_TOPIC_OR_PARTITION, GROUP_SUBSCRIBED_TO_TOPIC.
//!
//! Differs from Apache: topics and partitions come in the order of the request; there those that
//! are not known or not to be read come first.

use std::collections::HashMap;
use std::sync::Arc;

use protocol::error_code::ErrorCode;
use protocol::ids::TopicPartition;
use protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestTopic, OffsetDeleteResponse,
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};

use super::group_error;
use crate::authorizer::{Resource, op};
use crate::broker::{Broker, Reply, RequestContext};

type Results = HashMap<TopicPartition, ErrorCode>;

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: OffsetDeleteRequest,
) -> Reply<OffsetDeleteResponse> {
    let group = Resource::Group(&request.group_id);
    if broker.authorizer.authorize::<op::Delete>(context, group).is_err() {
        return Reply::Now(refuse(ErrorCode::GROUP_AUTHORIZATION_FAILED));
    }
    let (mut results, mut allowed) = (Results::new(), Vec::new());
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
                allowed.push(name);
            }
        }
    }
    let deleting = broker.groups.delete_offsets(&request.group_id, allowed);
    Reply::later(async move {
        match deleting.await {
            Ok(deleted) => {
                let code = |error: Option<_>| error.map_or(ErrorCode::NONE, group_error::code);
                results.extend(deleted.into_iter().map(|(name, error)| (name, code(error))));
                respond(request.topics, &results)
            }
            Err(error) => refuse(group_error::code(error)),
        }
    })
}

fn refuse(code: ErrorCode) -> OffsetDeleteResponse {
    OffsetDeleteResponse { error_code: code.0, ..Default::default() }
}

fn respond(topics: Vec<OffsetDeleteRequestTopic>, results: &Results) -> OffsetDeleteResponse {
    let topic = |topic: OffsetDeleteRequestTopic| {
        let partition = |index: i32| {
            let result = results.get(&TopicPartition::new(topic.name.clone(), index));
            OffsetDeleteResponsePartition {
                partition_index: index,
                error_code: result.copied().unwrap_or(ErrorCode::NONE).0,
            }
        };
        let partitions = topic.partitions.iter().map(|p| partition(p.partition_index)).collect();
        OffsetDeleteResponseTopic { name: topic.name.clone(), partitions }
    };
    let topics = topics.into_iter().map(topic).collect();
    OffsetDeleteResponse { topics, ..Default::default() }
}
