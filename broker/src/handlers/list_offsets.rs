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

use super::partition_error::not_here;
use crate::authorizer::{Authorized, Authorizer, Denied, Topic, op};
use crate::delayed::fetch::Isolation;
use crate::handlers::fetch::code_of;
use crate::replication::manager::ReplicaManager;
use crate::replication::partition::{FoundOffset, ReadError, Wanted};
use crate::request::{Reply, RequestContext};
use crate::tasks::Tasks;

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
    authorizer: &Arc<Authorizer>,
    replicas: &Arc<ReplicaManager>,
    tasks: &Arc<Tasks>,
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
        return Reply::Now(answer(authorizer, replicas, context, &request));
    }
    let (authorizer, replicas) = (authorizer.clone(), replicas.clone());
    let (tasks, context) = (tasks.clone(), context.clone());
    Reply::later(async move {
        tasks.blocking(move || answer(&authorizer, &replicas, &context, &request)).await
    })
}

fn answer(
    authorizer: &Authorizer,
    replicas: &ReplicaManager,
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
            let leave = authorizer.authorize::<op::Describe, Topic>(context, &topic.name);
            let partitions = topic
                .partitions
                .iter()
                .map(|partition| {
                    let key = (topic.name.as_str(), partition.partition_index);
                    let result = match &leave {
                        Err(Denied) => Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED),
                        Ok(_) if context.api_version > 0 && twice.contains(&key) => {
                            Err(ErrorCode::INVALID_REQUEST)
                        }
                        Ok(leave) => find(replicas, leave, context.api_version, request, partition),
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
    replicas: &ReplicaManager,
    topic: &Authorized<'_, op::Describe, Topic>,
    version: i16,
    request: &ListOffsetsRequest,
    asked: &ListOffsetsPartition,
) -> Result<ListOffsetsPartitionResponse, ErrorCode> {
    let wanted = wanted(asked.timestamp, version).ok_or(ErrorCode::UNSUPPORTED_VERSION)?;
    let isolation = isolation(request.replica_id, request.isolation_level)?;
    let partition = replicas.find(topic.name(), asked.partition_index).map_err(not_here)?;
    let leader_only = request.replica_id != DEBUGGING;
    let consumer = request.replica_id == CONSUMER;
    let code = |error: ReadError| match error {
        ReadError::OffsetNotAvailable if version < 5 => ErrorCode::LEADER_NOT_AVAILABLE,
        ReadError::Disk(disk) => {
            replicas.read_failed(&partition.name(), &disk);
            ErrorCode::KAFKA_STORAGE_ERROR
        }
        other => code_of(&other),
    };
    let mut response = response_of(asked, ErrorCode::NONE);
    if version == 0 {
        let count =
            usize::try_from(asked.max_num_offsets).map_err(|_| ErrorCode::UNKNOWN_SERVER_ERROR)?;
        response.old_style_offsets =
            partition.legacy_offsets(topic, wanted, count, consumer, leader_only).map_err(code)?;
        return Ok(response);
    }
    if asked.timestamp == LATEST_TIERED {
        return Ok(response);
    }
    let found = partition
        .find_offset(topic, wanted, isolation, asked.current_leader_epoch, leader_only)
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
    use protocol::messages::list_offsets::ListOffsetsTopic;

    use super::*;
    use crate::testbed::{self, Testbed, context};

    #[tokio::test]
    async fn ends_and_times_are_found_once_a_partition() {
        let bed = Testbed::new();
        bed.lead("t", 1);
        bed.lead("denied", 1);
        bed.append("t", 0, &["a", "b"]);
        let topic = |name: &str, partitions: &[(i32, i64)]| ListOffsetsTopic {
            name: name.to_owned(),
            partitions: partitions
                .iter()
                .map(|(partition_index, timestamp)| ListOffsetsPartition {
                    partition_index: *partition_index,
                    timestamp: *timestamp,
                    current_leader_epoch: -1,
                    ..ListOffsetsPartition::default()
                })
                .collect(),
        };
        let ask = async |topics| {
            let authorizer = Authorizer::allow_all().but::<op::Describe, Topic>("denied");
            let request = ListOffsetsRequest { replica_id: CONSUMER, topics, ..Default::default() };
            let (replicas, tasks, context) = (&bed.replicas, &bed.tasks, context(7));
            let reply = handle(&Arc::new(authorizer), replicas, tasks, &context, request);
            let told = testbed::answer(reply).await;
            let all = told.topics.iter().flat_map(|topic| &topic.partitions);
            all.map(|p| (ErrorCode(p.error_code), p.offset)).collect::<Vec<_>>()
        };
        assert_eq!(ask(vec![topic("t", &[(0, LATEST)])]).await, [(ErrorCode::NONE, 2)]);
        assert_eq!(ask(vec![topic("t", &[(0, EARLIEST)])]).await, [(ErrorCode::NONE, 0)]);
        assert_eq!(ask(vec![topic("t", &[(0, 0)])]).await, [(ErrorCode::NONE, 0)]);
        assert_eq!(ask(vec![topic("t", &[(0, i64::MAX)])]).await, [(ErrorCode::NONE, -1)]);
        let several = vec![topic("t", &[(0, LATEST), (0, EARLIEST), (9, LATEST)])];
        let twice = (ErrorCode::INVALID_REQUEST, -1);
        let unknown = (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, -1);
        assert_eq!(ask(several).await, [twice, twice, unknown]);
        let denied = vec![topic("denied", &[(0, LATEST)])];
        assert_eq!(ask(denied).await, [(ErrorCode::TOPIC_AUTHORIZATION_FAILED, -1)]);
    }

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
