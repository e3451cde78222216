//! AlterPartitionReassignments (key 45): begins, replaces or cancels reassignments (KIP-455).
//! Served by the controller's broker alone.
//!
//! Version 0. Answers when a reassignment is written and its brokers are told of it; how far it has
//! come tells ListPartitionReassignments. The timeout is ignored, as by Apache beside ZooKeeper.
//!
//! Errors: CLUSTER_AUTHORIZATION_FAILED, NOT_CONTROLLER, UNKNOWN_SERVER_ERROR; per partition
//! INVALID_REPLICA_ASSIGNMENT, NO_REASSIGNMENT_IN_PROGRESS (nothing to cancel),
//! UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_SERVER_ERROR.
//!
//! Differs from Apache:
//! - A partition that nobody ever led gets a leader from among its new replicas; Apache answers
//!   UNKNOWN_SERVER_ERROR.
//! - INVALID_REPLICA_ASSIGNMENT, as in KRaft, for what would take away every in-sync replica: a
//!   cancellation after the former replicas have died. Apache deletes the last copy.
//! - A topic that is marked for deletion meanwhile is deleted once its reassignments are through,
//!   and gets leaders until then; Apache elects none, so that both may wait for ever.
//! - Lists in texts are written `[1, 1]`, not as Scala writes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use controller::event::RequestError;
use controller::{ReassignAnswers, ReassignRefusal};
use protocol::error_code::ErrorCode;
use protocol::ids::TopicPartition;
use protocol::messages::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
    ReassignablePartitionResponse, ReassignableTopicResponse,
};

use super::api_error::ApiError;
use crate::authorizer::{Authorized, Authorizer, CLUSTER, Cluster, op};
use crate::office::Office;
use crate::request::{Reply, RequestContext};

pub fn handle(
    authorizer: &Authorizer,
    office: &Arc<Office>,
    context: &RequestContext,
    request: AlterPartitionReassignmentsRequest,
) -> Reply<AlterPartitionReassignmentsResponse> {
    let Ok(allowed) = authorizer.authorize::<_, Cluster>(context, CLUSTER) else {
        return Reply::Now(refusal(ErrorCode::CLUSTER_AUTHORIZATION_FAILED));
    };
    let (office, allowed) = (office.clone(), allowed.into_owned());
    Reply::later(async move { alter(&office, request, &allowed).await })
}

async fn alter(
    office: &Office,
    request: AlterPartitionReassignmentsRequest,
    allowed: &Authorized<'_, op::Alter, Cluster>,
) -> AlterPartitionReassignmentsResponse {
    let mut targets = BTreeMap::new();
    for topic in request.topics {
        for partition in topic.partitions {
            let tp = TopicPartition::new(topic.name.clone(), partition.partition_index);
            targets.insert(tp, partition.replicas);
        }
    }
    match office.alter_reassignments(allowed, targets).await {
        Ok(answers) => respond(answers),
        Err(RequestError::NotController) => refusal(ErrorCode::NOT_CONTROLLER),
        Err(_) => refusal(ErrorCode::UNKNOWN_SERVER_ERROR),
    }
}

fn respond(answers: ReassignAnswers) -> AlterPartitionReassignmentsResponse {
    let mut topics: BTreeMap<String, Vec<ReassignablePartitionResponse>> = BTreeMap::new();
    for (tp, result) in answers {
        let error = match &result {
            Ok(()) => ApiError::plain(ErrorCode::NONE),
            Err(refused) => ApiError::new(code(refused), refused),
        };
        topics.entry(tp.topic).or_default().push(ReassignablePartitionResponse {
            partition_index: tp.partition,
            error_code: error.code.0,
            error_message: error.message,
        });
    }
    let topic = |(name, partitions)| ReassignableTopicResponse { name, partitions };
    AlterPartitionReassignmentsResponse {
        // The schema's default: Apache sets it only with a code.
        error_message: Some(String::new()),
        responses: topics.into_iter().map(topic).collect(),
        ..AlterPartitionReassignmentsResponse::default()
    }
}

fn code(refused: &ReassignRefusal) -> ErrorCode {
    match refused {
        ReassignRefusal::InvalidAssignment(_) => ErrorCode::INVALID_REPLICA_ASSIGNMENT,
        ReassignRefusal::NotInProgress => ErrorCode::NO_REASSIGNMENT_IN_PROGRESS,
        ReassignRefusal::UnknownPartition => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ReassignRefusal::Failed => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}

fn refusal(code: ErrorCode) -> AlterPartitionReassignmentsResponse {
    AlterPartitionReassignmentsResponse {
        error_code: code.0,
        error_message: Some(code.message().to_owned()),
        ..AlterPartitionReassignmentsResponse::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_grouped_by_topic() {
        let tp = |topic: &str, partition| TopicPartition::new(topic, partition);
        let refused = Err(ReassignRefusal::NotInProgress);
        let answers = [(tp("a", 0), Ok(())), (tp("b", 0), refused), (tp("a", 1), Ok(()))].into();
        let response = respond(answers);
        let shown: Vec<_> = response
            .responses
            .iter()
            .map(|t| (t.name.as_str(), t.partitions.iter().map(|p| p.error_code).collect()))
            .collect();
        let none: Vec<i16> = vec![0, 0];
        let code = ErrorCode::NO_REASSIGNMENT_IN_PROGRESS.0;
        assert_eq!(shown, [("a", none), ("b", vec![code])]);
        assert_eq!((response.error_code, response.error_message.as_deref()), (0, Some("")));
    }
}
