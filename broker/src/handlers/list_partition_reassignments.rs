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

use crate::authorizer::{Authorized, Authorizer, CLUSTER, Cluster, op};
use crate::office::Office;
use crate::request::{Reply, RequestContext};

pub fn handle(
    authorizer: &Authorizer,
    office: &Arc<Office>,
    context: &RequestContext,
    request: ListPartitionReassignmentsRequest,
) -> Reply<ListPartitionReassignmentsResponse> {
    let Ok(allowed) = authorizer.authorize::<_, Cluster>(context, CLUSTER) else {
        return Reply::Now(refusal(ErrorCode::CLUSTER_AUTHORIZATION_FAILED));
    };
    let (office, allowed) = (office.clone(), allowed.into_owned());
    Reply::later(async move { list(&office, request, &allowed).await })
}

async fn list(
    office: &Office,
    request: ListPartitionReassignmentsRequest,
    allowed: &Authorized<'_, op::Describe, Cluster>,
) -> ListPartitionReassignmentsResponse {
    let named = request.topics.map(|topics| topics.iter().flat_map(partitions).collect());
    match office.list_reassignments(allowed, named).await {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testbed::{Testbed, context, now};

    #[tokio::test]
    async fn whoever_may_not_see_the_cluster_is_refused_with_a_text() {
        let bed = Testbed::new();
        let client = Authorizer::allow_all().but::<op::Describe, Cluster>(CLUSTER);
        let request = ListPartitionReassignmentsRequest::default();
        let refused = now(handle(&client, &bed.office, &context(0), request));
        let denied = ErrorCode::CLUSTER_AUTHORIZATION_FAILED;
        let shown = (refused.error_code, refused.error_message.as_deref());
        assert_eq!(shown, (denied.0, Some(denied.message())));
    }

    #[test]
    fn what_goes_on_is_grouped_by_topic() {
        let assignment =
            ReplicaAssignment { replicas: vec![1, 2, 3], adding: vec![3], removing: vec![1] };
        let tp = |topic: &str, partition| TopicPartition::new(topic, partition);
        let going_on = [tp("a", 0), tp("b", 1), tp("a", 2)].map(|tp| (tp, assignment.clone()));
        let told = respond(going_on.into());
        let shown: Vec<_> =
            told.topics.iter().map(|topic| (&*topic.name, topic.partitions.len())).collect();
        assert_eq!(shown, [("a", 2), ("b", 1)]);
        let first = &told.topics[0].partitions[0];
        assert_eq!(
            (&first.adding_replicas[..], &first.removing_replicas[..]),
            (&[3][..], &[1][..])
        );
        assert_eq!(told.error_message.as_deref(), Some(""));
    }
}
