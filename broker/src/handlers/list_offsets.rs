//! ListOffsets (key 2): the offset that belongs to a time, or an end of a partition.
//!
//! Versions 0 to 9: v0 gives several segment bases · v1 one offset and its time · v2 isolation
//! level · v4 leader epochs · v6 flexible · v7 largest timestamp (−3) · v8 local start (−4) · v9
//! tiered (−5). −1 asks for the end that the asker may read, −2 for the start. Nothing found:
//! offset and timestamp −1.
//!
//! Errors: UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH,
//! UNKNOWN_LEADER_EPOCH, KAFKA_STORAGE_ERROR, OFFSET_NOT_AVAILABLE (LEADER_NOT_AVAILABLE before
//! v5), INVALID_REQUEST (a partition listed twice), UNSUPPORTED_VERSION (a negative time that the
//! version does not know), TOPIC_AUTHORIZATION_FAILED, UNKNOWN_SERVER_ERROR (an isolation level
//! that does not exist, or in v0 a negative number of offsets: Apache's broker fails).
//!
//! Differs from Apache: nothing is tiered, so −5 finds nothing and −4 is the start.

use std::collections::HashSet;
use std::sync::Arc;

use protocol::error_code::ErrorCode;
use protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};

use crate::authorizer::{Topic, op};
use crate::broker::Broker;
use crate::delayed::fetch::Isolation;
use crate::handlers::fetch::code_of;
use crate::replication::partition::{FoundOffset, ReadError, Wanted};
use crate::request::{Reply, RequestContext};

const CONSUMER: i32 = -1;
/// Kafka's replica verification tool: any replica may answer it.
const DEBUGGING: i32 = -2;
const READ_UNCOMMITTED: i8 = 0;
const READ_COMMITTED: i8 = 1;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: ListOffsetsRequest,
) -> Reply<ListOffsetsResponse> {
    // Ends are in memory; looking for a time may wait for the disk.
    let in_memory = request.topics.iter().all(|topic| {
        topic.partitions.iter().all(|partition| {
            context.api_version > 0 && matches!(partition.timestamp, LATEST | EARLIEST)
        })
    });
    if in_memory {
        return Reply::Now(answer(broker, context, &request));
    }
    let (broker, context) = (broker.clone(), context.clone());
    Reply::later(async move {
        let owner = broker.clone();
        owner.tasks.blocking(move || answer(&broker, &context, &request)).await
    })
}

fn answer(
    broker: &Broker,
    context: &RequestContext,
    request: &ListOffsetsRequest,
) -> ListOffsetsResponse {
    let mut seen = HashSet::new();
    let mut twice = HashSet::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let key = (topic.name.as_str(), partition.partition_index);
            if !seen.insert(key) {
                twice.insert(key);
            }
        }
    }
    let topics = request
        .topics
        .iter()
        .map(|topic| {
            let allowed =
                broker.authorizer.authorize::<op::Describe, Topic>(context, &topic.name).is_ok();
            let partitions = topic
                .partitions
                .iter()
                .map(|partition| {
                    let result = if !allowed {
                        Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED)
                    } else if context.api_version > 0
                        && twice.contains(&(topic.name.as_str(), partition.partition_index))
                    {
                        Err(ErrorCode::INVALID_REQUEST)
                    } else {
                        find(broker, context, request, &topic.name, partition)
                    };
                    result.unwrap_or_else(|code| response_of(partition, code))
                })
                .collect();
            ListOffsetsTopicResponse { name: topic.name.clone(), partitions }
        })
        .collect();
    ListOffsetsResponse { topics, ..Default::default() }
}

fn response_of(partition: &ListOffsetsPartition, code: ErrorCode) -> ListOffsetsPartitionResponse {
    ListOffsetsPartitionResponse {
        partition_index: partition.partition_index,
        error_code: code.0,
        ..Default::default()
    }
}

fn find(
    broker: &Broker,
    context: &RequestContext,
    request: &ListOffsetsRequest,
    topic: &str,
    asked: &ListOffsetsPartition,
) -> Result<ListOffsetsPartitionResponse, ErrorCode> {
    let version = context.api_version;
    let wanted = wanted(asked.timestamp, version).ok_or(ErrorCode::UNSUPPORTED_VERSION)?;
    let isolation = isolation(request.replica_id, request.isolation_level)?;
    let partition = broker.replicas.find(topic, asked.partition_index)?;
    let leader_only = request.replica_id != DEBUGGING;
    let consumer = request.replica_id == CONSUMER;
    let code = |error: ReadError| match error {
        ReadError::OffsetNotAvailable if version < 5 => ErrorCode::LEADER_NOT_AVAILABLE,
        ReadError::Disk(disk) => {
            broker.replicas.read_failed(&partition.name(), &disk);
            ErrorCode::KAFKA_STORAGE_ERROR
        }
        other => code_of(&other),
    };
    let mut response = response_of(asked, ErrorCode::NONE);
    if version == 0 {
        let count =
            usize::try_from(asked.max_num_offsets).map_err(|_| ErrorCode::UNKNOWN_SERVER_ERROR)?;
        response.old_style_offsets =
            partition.legacy_offsets(wanted, count, consumer, leader_only).map_err(code)?;
        return Ok(response);
    }
    if asked.timestamp == LATEST_TIERED {
        return Ok(response);
    }
    let found = partition
        .find_offset(wanted, isolation, asked.current_leader_epoch, leader_only)
        .map_err(code)?;
    if let Some(FoundOffset { timestamp, offset, leader_epoch }) = found {
        response.timestamp = timestamp;
        response.offset = offset;
        response.leader_epoch = if version >= 4 { leader_epoch } else { -1 };
    }
    Ok(response)
}

/// How far the asker may read. A level that does not exist matters to consumers alone, as there.
fn isolation(replica_id: i32, level: i8) -> Result<Isolation, ErrorCode> {
    match (replica_id, level) {
        (CONSUMER, READ_UNCOMMITTED) => Ok(Isolation::HighWatermark),
        (CONSUMER, READ_COMMITTED) => Ok(Isolation::LastStable),
        (CONSUMER, _) => Err(ErrorCode::UNKNOWN_SERVER_ERROR),
        _ => Ok(Isolation::LogEnd),
    }
}

/// What a time asks for; negative ones have meanings that came one by one.
fn wanted(timestamp: i64, version: i16) -> Option<Wanted> {
    match timestamp {
        0.. => Some(Wanted::At(timestamp)),
        LATEST => Some(Wanted::Latest),
        EARLIEST => Some(Wanted::Earliest),
        MAX_TIMESTAMP if version >= 7 => Some(Wanted::MaxTimestamp),
        EARLIEST_LOCAL if version >= 8 => Some(Wanted::Earliest),
        LATEST_TIERED if version >= 9 => Some(Wanted::Latest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_that_do_not_exist_fail_for_consumers() {
        assert_eq!(isolation(CONSUMER, 0), Ok(Isolation::HighWatermark));
        assert_eq!(isolation(CONSUMER, 1), Ok(Isolation::LastStable));
        assert_eq!(isolation(CONSUMER, 2), Err(ErrorCode::UNKNOWN_SERVER_ERROR));
        assert_eq!(isolation(CONSUMER, -1), Err(ErrorCode::UNKNOWN_SERVER_ERROR));
        assert_eq!(isolation(DEBUGGING, 2), Ok(Isolation::LogEnd));
    }

    #[test]
    fn negative_times_by_version() {
        let table = [
            (5, 0, Some(Wanted::At(5))),
            (-1, 0, Some(Wanted::Latest)),
            (-2, 1, Some(Wanted::Earliest)),
            (-3, 6, None),
            (-3, 7, Some(Wanted::MaxTimestamp)),
            (-4, 7, None),
            (-4, 8, Some(Wanted::Earliest)),
            (-5, 8, None),
            (-6, 9, None),
        ];
        for (timestamp, version, expected) in table {
            assert_eq!(wanted(timestamp, version), expected, "{timestamp} in v{version}");
        }
    }
}
