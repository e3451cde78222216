//! ListPartitionReassignments (key 46): the reassignments that go on (KIP-455). Served by the
//! controller's broker alone.
//!
//! Version 0. Of all partitions, or of those that are named; a partition that is not being
//! reassigned, or not there, is left out.
//!
//! Errors: CLUSTER_AUTHORIZATION_FAILED, NOT_CONTROLLER, UNKNOWN_SERVER_ERROR.
//!
//! Differs from Apache: in nothing known.

use std::collections::BTreeMap;
use std::sync::Arc;

use controller::event::RequestError;
use metadata::znodes::topic::ReplicaAssignment;
use protocol::error_code::ErrorCode;
use protocol::ids::TopicPartition;
use protocol::messages::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
    ListPartitionReassignmentsTopics, OngoingPartitionReassignment, OngoingTopicReassignment,
};

use crate::authorizer::{Authorized, CLUSTER, Cluster, op};
use crate::broker::Broker;
use crate::request::{Reply, RequestContext};

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: ListPartitionReassignmentsRequest,
) -> Reply<ListPartitionReassignmentsResponse> {
    let Ok(allowed) = broker.authorizer.authorize::<_, Cluster>(context, CLUSTER) else {
        return Reply::Now(refusal(ErrorCode::CLUSTER_AUTHORIZATION_FAILED));
    };
    let broker = broker.clone();
    Reply::later(async move { list(&broker, request, allowed).await })
}

async fn list(
    broker: &Broker,
    request: ListPartitionReassignmentsRequest,
    _: Authorized<'_, op::Describe, Cluster>,
) -> ListPartitionReassignmentsResponse {
    let named = request.topics.map(|topics| topics.iter().flat_map(partitions).collect());
    match broker.controller.handle.list_reassignments(named).await {
        Ok(going_on) => respond(going_on),
        Err(RequestError::NotController) => refusal(ErrorCode::NOT_CONTROLLER),
        Err(_) => refusal(ErrorCode::UNKNOWN_SERVER_ERROR),
    }
}

fn partitions(topic: &ListPartitionReassignmentsTopics) -> Vec<TopicPartition> {
    let tp = |index: &i32| TopicPartition::new(topic.name.clone(), *index);
    topic.partition_indexes.iter().map(tp).collect()
}

fn respond(
    going_on: BTreeMap<TopicPartition, ReplicaAssignment>,
) -> ListPartitionReassignmentsResponse {
    let mut topics: BTreeMap<String, Vec<OngoingPartitionReassignment>> = BTreeMap::new();
    for (tp, assignment) in going_on {
        topics.entry(tp.topic).or_default().push(OngoingPartitionReassignment {
            partition_index: tp.partition,
            replicas: assignment.replicas,
            adding_replicas: assignment.adding,
            removing_replicas: assignment.removing,
        });
    }
    let topic = |(name, partitions)| OngoingTopicReassignment { name, partitions };
    ListPartitionReassignmentsResponse {
        // The schema's default: Apache sets it only with a code.
        error_message: Some(String::new()),
        topics: topics.into_iter().map(topic).collect(),
        ..ListPartitionReassignmentsResponse::default()
    }
}

fn refusal(code: ErrorCode) -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse {
        error_code: code.0,
        error_message: Some(code.message().to_owned()),
        ..ListPartitionReassignmentsResponse::default()
    }
}
