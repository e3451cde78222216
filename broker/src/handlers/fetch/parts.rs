//! The parts of a Fetch response: partitions without records, their places, and whom to ask
//! instead. Knows nothing of reading.

use protocol::error_code::ErrorCode;
use protocol::messages::fetch::{
    FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use protocol::wire::Records;
use replica::fetch_session::{FetchAnswer, FetchTarget};

use super::super::current_leader;
use crate::replication::cluster_view::BrokerEndpoint;
use crate::replication::manager::ReplicaManager;
use crate::request::RequestContext;

/// What a session must know of an answer.
pub fn told_of(data: &PartitionData) -> FetchAnswer {
    FetchAnswer {
        high_watermark: data.high_watermark,
        log_start: data.log_start_offset,
        has_records: data.records.as_ref().is_some_and(|records| !records.is_empty()),
        is_error: data.error_code != 0,
        is_redirect: data.diverging_epoch.epoch >= 0 || data.preferred_read_replica >= 0,
    }
}

pub fn push(response: &mut FetchResponse, target: &FetchTarget, data: PartitionData) {
    let same = |topic: &FetchableTopicResponse| match target.topic_id.is_zero() {
        true => *topic.topic == *target.topic,
        false => topic.topic_id == target.topic_id,
    };
    match response.responses.last_mut() {
        Some(topic) if same(topic) => topic.partitions.push(data),
        _ => response.responses.push(FetchableTopicResponse {
            topic: String::from(&*target.topic),
            topic_id: target.topic_id,
            partitions: vec![data],
        }),
    }
}

/// A partition that could not be read. Kafka tells neither offsets nor aborted transactions then.
pub fn failed(partition_index: i32, code: ErrorCode) -> PartitionData {
    PartitionData { aborted_transactions: None, ..refused(partition_index, code) }
}

pub fn refused(partition_index: i32, code: ErrorCode) -> PartitionData {
    PartitionData {
        partition_index,
        error_code: code.0,
        high_watermark: -1,
        records: Some(Records::default()),
        ..Default::default()
    }
}

/// Says where the leader is to those who came to the wrong broker.
pub fn name_leader(
    replicas: &ReplicaManager,
    context: &RequestContext,
    target: &FetchTarget,
    data: &mut PartitionData,
    response: &mut FetchResponse,
) {
    let code = ErrorCode(data.error_code);
    if code != ErrorCode::NOT_LEADER_OR_FOLLOWER && code != ErrorCode::FENCED_LEADER_EPOCH {
        return;
    }
    let Some((leader, node)) =
        current_leader::find(replicas, context, &target.topic, target.partition)
    else {
        return;
    };
    data.current_leader = LeaderIdAndEpoch { leader_id: leader.id, leader_epoch: leader.epoch };
    let endpoints = &mut response.node_endpoints;
    if let Some(BrokerEndpoint { host, port, rack }) = node
        && !endpoints.iter().any(|known| known.node_id == leader.id)
    {
        endpoints.push(NodeEndpoint { node_id: leader.id, host, port, rack });
    }
}
