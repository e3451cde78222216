//! DescribeProducers (key 61): the producers that a partition's leader knows.
//!
//! Version 0. Errors: UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER, KAFKA_STORAGE_ERROR,
//! INVALID_TOPIC_EXCEPTION, TOPIC_AUTHORIZATION_FAILED.
//!
//! Differs from Apache: texts that only repeat the code are in our own words.

use std::sync::Arc;

use protocol::error_code::ErrorCode;
use protocol::messages::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState,
    TopicResponse,
};

use super::api_error::ApiError;
use crate::authorizer::{Topic, op};
use crate::broker::Broker;
use crate::request::{Reply, RequestContext};
use crate::topics::name;

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: DescribeProducersRequest,
) -> Reply<DescribeProducersResponse> {
    let topics = request
        .topics
        .into_iter()
        .map(|topic| {
            let topic_error = refuse(broker, context, &topic.name);
            let partition = |index: &i32| {
                let mut response =
                    PartitionResponse { partition_index: *index, ..Default::default() };
                if let Err(error) = &topic_error {
                    response.error_code = error.code.0;
                    response.error_message = error.message.clone();
                    return response;
                }
                match producers(broker, &topic.name, *index) {
                    Ok(active) => response.active_producers = active,
                    Err(code) => response.error_code = code.0,
                }
                response
            };
            let partitions = topic.partition_indexes.iter().map(partition).collect();
            TopicResponse { name: topic.name, partitions }
        })
        .collect();
    Reply::Now(DescribeProducersResponse { topics, ..Default::default() })
}

/// Why no partition of the topic is looked at, if so. Only these errors come with a text.
fn refuse(broker: &Broker, context: &RequestContext, topic: &str) -> Result<(), ApiError> {
    let invalid =
        |error: name::InvalidName| ApiError::new(ErrorCode::INVALID_TOPIC_EXCEPTION, &error);
    name::check(topic).map_err(invalid)?;
    let refuse = |code: ErrorCode| Err(ApiError::new(code, &code.message()));
    if broker.authorizer.authorize::<op::Read, Topic>(context, topic).is_err() {
        return refuse(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    }
    if broker.metadata.load().topic(topic).is_none() {
        return refuse(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    }
    Ok(())
}

fn producers(broker: &Broker, topic: &str, index: i32) -> Result<Vec<ProducerState>, ErrorCode> {
    if broker.metadata.load().topic(topic).is_none() {
        // Perhaps it is still led here: it is being deleted.
        return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    }
    let partition = broker.replicas.find(topic, index)?;
    let producers = partition.producers().ok_or(ErrorCode::NOT_LEADER_OR_FOLLOWER)?;
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
