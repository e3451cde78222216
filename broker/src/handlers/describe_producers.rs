//! DescribeProducers (key 61): the producers that a partition's leader knows.
//!
//! Version 0. Errors: UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER, KAFKA_STORAGE_ERROR,
//! INVALID_TOPIC_EXCEPTION, TOPIC_AUTHORIZATION_FAILED.
//!
//! Differs from Apache: texts that only repeat the code are in our own words.

use protocol::error_code::ErrorCode;
use protocol::messages::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState,
    TopicResponse,
};

use super::api_error::ApiError;
use super::partition_error::not_here;
use crate::authorizer::{Authorized, Authorizer, Topic, op};
use crate::metadata_cache::{MetadataCache, Snapshot};
use crate::replication::manager::ReplicaManager;
use crate::request::{Reply, RequestContext};
use crate::topics::name;

pub fn handle(
    authorizer: &Authorizer,
    metadata: &MetadataCache,
    replicas: &ReplicaManager,
    context: &RequestContext,
    request: DescribeProducersRequest,
) -> Reply<DescribeProducersResponse> {
    let cluster = metadata.load();
    let topics = request
        .topics
        .into_iter()
        .map(|topic| {
            let leave = admit(authorizer, &cluster, context, &topic.name);
            let partition = |index: &i32| {
                let mut response =
                    PartitionResponse { partition_index: *index, ..Default::default() };
                match &leave {
                    Err(error) => {
                        response.error_code = error.code.0;
                        response.error_message = error.message.clone();
                    }
                    Ok(leave) => match producers(replicas, leave, *index) {
                        Ok(active) => response.active_producers = active,
                        Err(code) => response.error_code = code.0,
                    },
                }
                response
            };
            let partitions = topic.partition_indexes.iter().map(partition).collect();
            TopicResponse { name: topic.name.clone(), partitions }
        })
        .collect();
    Reply::Now(DescribeProducersResponse { topics, ..Default::default() })
}

/// The error is why no partition of the topic is looked at. Only these errors come with a text. A
/// topic that is being deleted may still be led here, but is not there any more.
fn admit<'a>(
    authorizer: &Authorizer,
    cluster: &Snapshot,
    context: &RequestContext,
    topic: &'a str,
) -> Result<Authorized<'a, op::Read, Topic>, ApiError> {
    let invalid =
        |error: name::InvalidName| ApiError::new(ErrorCode::INVALID_TOPIC_EXCEPTION, &error);
    name::check(topic).map_err(invalid)?;
    let refuse = |code: ErrorCode| ApiError::new(code, &code.message());
    let leave = authorizer.authorize(context, topic);
    let leave = leave.map_err(|_| refuse(ErrorCode::TOPIC_AUTHORIZATION_FAILED))?;
    match cluster.topic(topic) {
        Some(_) => Ok(leave),
        None => Err(refuse(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)),
    }
}

fn producers(
    replicas: &ReplicaManager,
    topic: &Authorized<'_, op::Read, Topic>,
    index: i32,
) -> Result<Vec<ProducerState>, ErrorCode> {
    let partition = replicas.find(topic.name(), index).map_err(not_here)?;
    let producers = partition.producers(topic).ok_or(ErrorCode::NOT_LEADER_OR_FOLLOWER)?;
    Ok(producers
        .into_iter()
        .map(|(producer_id, entry)| ProducerState {
            producer_id,
            producer_epoch: i32::from(entry.producer_epoch),
            last_sequence: entry.last_sequence(),
            last_timestamp: entry.last_timestamp,
            coordinator_epoch: entry.coordinator_epoch,
            current_txn_start_offset: entry.current_txn_first_offset.unwrap_or(-1),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use protocol::messages::describe_producers::TopicRequest;

    use super::*;
    use crate::testbed::{Testbed, context, now};

    #[tokio::test]
    async fn topics_are_refused_with_a_text_and_partitions_without() {
        let bed = Testbed::new();
        bed.lead("t", 1);
        bed.append("t", 0, &["a"]);
        bed.lead("denied", 1);
        let authorizer = Authorizer::allow_all().but::<op::Read, Topic>("denied");
        let topic = |name: &str| TopicRequest {
            name: name.to_owned(),
            partition_indexes: if name == "t" { vec![0, 9] } else { vec![0] },
        };
        let topics = ["t", "denied", "none", "a b"].map(topic).to_vec();
        let request = DescribeProducersRequest { topics };
        let told =
            now(handle(&authorizer, &bed.metadata, &bed.replicas, &context(0), request)).topics;
        let all = told.iter().flat_map(|topic| &topic.partitions);
        let codes: Vec<_> =
            all.map(|p| (ErrorCode(p.error_code), p.error_message.is_some())).collect();
        let expected = [
            (ErrorCode::NONE, false),
            (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, false),
            (ErrorCode::TOPIC_AUTHORIZATION_FAILED, true),
            (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, true),
            (ErrorCode::INVALID_TOPIC_EXCEPTION, true),
        ];
        assert_eq!(codes, expected);
        assert!(told[0].partitions[0].active_producers.is_empty(), "its batch has no producer");
    }
}
