//! OffsetForLeaderEpoch (key 23): where a leader epoch ended, so that a reader notices that the log
//! took another course (KIP-101, KIP-320).
//!
//! Versions 0 to 4: v1 names the epoch found · v2 the leader epoch of the asker · v3 replica id ·
//! v4 flexible. An unknown epoch gives epoch −1 and offset −1.
//!
//! Errors: UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH,
//! UNKNOWN_LEADER_EPOCH, KAFKA_STORAGE_ERROR, TOPIC_AUTHORIZATION_FAILED.
//!
//! Differs from Apache: in nothing known.

use std::sync::Arc;

use protocol::error_code::ErrorCode;
use protocol::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition, OffsetForLeaderTopicResult,
};

use crate::authorizer::{CLUSTER, Cluster, Topic, op};
use crate::broker::Broker;
use crate::handlers::fetch::code_of;
use crate::request::{Reply, RequestContext};

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: OffsetForLeaderEpochRequest,
) -> Reply<OffsetForLeaderEpochResponse> {
    let authorizer = &broker.authorizer;
    let cluster = authorizer.authorize::<op::ClusterAction, Cluster>(context, CLUSTER).is_ok();
    let topics = request
        .topics
        .into_iter()
        .map(|topic| {
            let allowed = cluster
                || authorizer.authorize::<op::Describe, Topic>(context, &topic.topic).is_ok();
            let partitions = topic
                .partitions
                .iter()
                .map(|asked| match allowed {
                    true => find(broker, &topic.topic, asked),
                    false => Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED),
                })
                .zip(&topic.partitions)
                .map(|(found, asked)| result(asked.partition, found))
                .collect();
            OffsetForLeaderTopicResult { topic: topic.topic, partitions }
        })
        .collect();
    Reply::Now(OffsetForLeaderEpochResponse { topics, ..Default::default() })
}

fn find(
    broker: &Broker,
    topic: &str,
    asked: &OffsetForLeaderPartition,
) -> Result<(i32, i64), ErrorCode> {
    let partition = broker.replicas.find(topic, asked.partition)?;
    partition
        .end_offset_for_epoch(asked.current_leader_epoch, asked.leader_epoch)
        .map_err(|error| code_of(&error))
}

fn result(partition: i32, found: Result<(i32, i64), ErrorCode>) -> EpochEndOffset {
    let mut result = EpochEndOffset { partition, ..Default::default() };
    match found {
        Ok((epoch, end_offset)) => {
            result.leader_epoch = epoch;
            result.end_offset = end_offset;
        }
        Err(code) => result.error_code = code.0,
    }
    result
}
