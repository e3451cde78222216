//! DescribeProducers (key 61): the producers that a partition's leader knows.
//!
//! Version 0. Errors: UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER, KAFKA_STORAGE_ERROR,
//! INVALID_TOPIC_EXCEPTION, TOPIC_AUTHORIZATION_FAILED.
//!
//! Differs from Apache: a name that can be no topic's is answered as an unknown topic.

use std::sync::Arc;

use protocol::error_code::ErrorCode;
use protocol::messages::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState,
    TopicResponse,
};

use crate::authorizer::{Resource, op};
use crate::broker::{Broker, Reply, RequestContext};

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: DescribeProducersRequest,
) -> Reply<DescribeProducersResponse> {
    let topics = request
        .topics
        .into_iter()
        .map(|topic| {
            let allowed =
                broker.authorizer.authorize::<op::Read>(context, Resource::Topic(&topic.name));
            let partitions = topic
                .partition_indexes
                .iter()
                .map(|index| {
                    let producers = match allowed {
                        Ok(_) => producers(broker, &topic.name, *index),
                        Err(_) => Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED),
                    };
                    let mut response =
                        PartitionResponse { partition_index: *index, ..Default::default() };
                    match producers {
                        Ok(active) => response.active_producers = active,
                        Err(code) => response.error_code = code.0,
                    }
                    response
                })
                .collect();
            TopicResponse { name: topic.name, partitions }
        })
        .collect();
    Reply::Now(DescribeProducersResponse { topics, ..Default::default() })
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
