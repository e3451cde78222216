//! DeleteRecords (key 21): makes everything below an offset unreadable, on every replica.
//!
//! Versions 0 to 2: v2 flexible. Offset −1 means the high watermark. Answers when the log start of
//! every living replica has reached the offset, or after `timeout_ms`.
//!
//! A partition that is listed twice is treated and answered once, as its last entry says.
//!
//! Errors: UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER, OFFSET_OUT_OF_RANGE (negative or
//! above the high watermark), POLICY_VIOLATION (`cleanup.policy` does not delete),
//! INVALID_TOPIC_EXCEPTION (an internal topic), REQUEST_TIMED_OUT, KAFKA_STORAGE_ERROR,
//! TOPIC_AUTHORIZATION_FAILED.
//!
//! Differs from Apache: topics and partitions come in the order of the request, there in that of a
//! hash table.

use std::sync::Arc;
use std::time::Duration;

use protocol::error_code::ErrorCode;
use protocol::messages::delete_records::{
    DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult,
};
use storage::Log;

use super::distinct::DistinctPartitions;
use super::partition_error::not_here;
use crate::authorizer::{Authorized, Authorizer, Denied, Topic, op};
use crate::delayed::offset::Countdown;
use crate::replication::manager::{NotHere, ReplicaManager};
use crate::replication::partition::{DeleteError, Deleted, Partition};
use crate::request::{Reply, RequestContext};
use crate::tasks::Tasks;
use crate::topics::name;

struct Part {
    topic: usize,
    index: i32,
    outcome: Result<(Arc<Partition>, Deleted), ErrorCode>,
}

pub fn handle(
    authorizer: &Arc<Authorizer>,
    replicas: &Arc<ReplicaManager>,
    tasks: &Arc<Tasks>,
    context: &RequestContext,
    request: DeleteRecordsRequest,
) -> Reply<DeleteRecordsResponse> {
    let (authorizer, replicas) = (authorizer.clone(), replicas.clone());
    let (tasks, context) = (tasks.clone(), context.clone());
    Reply::later(async move {
        let patience = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
        let owner = replicas.clone();
        // Whole segments may go, which is work for the disk.
        let work = move || delete_all(&authorizer, &replicas, &context, request);
        let (names, mut parts) = tasks.blocking(work).await;
        let countdown = Countdown::new(parts.len());
        for (at, part) in parts.iter().enumerate() {
            match &part.outcome {
                Ok((partition, deleted)) => {
                    partition.await_deletion(deleted.requested, &countdown, at);
                }
                Err(_) => countdown.settle(at, None),
            }
        }
        for (part, outcome) in parts.iter_mut().zip(countdown.outcomes(patience).await) {
            let Ok((partition, deleted)) = &mut part.outcome else { continue };
            match outcome {
                Some(Some(low_watermark)) => deleted.low_watermark = low_watermark,
                Some(None) => part.outcome = Err(gone(&owner, partition)),
                None => part.outcome = Err(ErrorCode::REQUEST_TIMED_OUT),
            }
        }
        respond(names, parts)
    })
}

fn delete_all(
    authorizer: &Authorizer,
    replicas: &ReplicaManager,
    context: &RequestContext,
    request: DeleteRecordsRequest,
) -> (Vec<String>, Vec<Part>) {
    let mut distinct = DistinctPartitions::default();
    for topic in request.topics {
        for asked in &topic.partitions {
            distinct.put(&topic.name, asked.partition_index, asked.offset);
        }
    }
    let mut names = Vec::new();
    let mut parts = Vec::new();
    for (name, partitions) in distinct.into_topics() {
        let leave = authorizer.authorize::<op::Delete, Topic>(context, &name);
        for (index, offset) in partitions {
            let outcome = match &leave {
                Ok(leave) => delete(replicas, leave, index, offset),
                Err(Denied) => Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED),
            };
            parts.push(Part { topic: names.len(), index, outcome });
        }
        names.push(name);
    }
    (names, parts)
}

fn delete(
    replicas: &ReplicaManager,
    authorized: &Authorized<'_, op::Delete, Topic>,
    index: i32,
    offset: i64,
) -> Result<(Arc<Partition>, Deleted), ErrorCode> {
    let topic = authorized.name();
    if !replicas.cluster().has_partition(topic, index) {
        return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    }
    if name::is_internal(topic) {
        return Err(ErrorCode::INVALID_TOPIC_EXCEPTION);
    }
    let partition = replicas.find(topic, index).map_err(not_here)?;
    let remove = |log: &Log, offset, high_watermark| {
        replicas.logs().delete_records(log, offset, high_watermark)??;
        Ok(())
    };
    let deleted = partition.delete_records(authorized, offset, remove).map_err(|error| {
        tracing::debug!(?partition, offset, %error, "records were not deleted");
        match error {
            DeleteError::NotLeader => ErrorCode::NOT_LEADER_OR_FOLLOWER,
            DeleteError::Policy => ErrorCode::POLICY_VIOLATION,
            DeleteError::Offset(_) => ErrorCode::OFFSET_OUT_OF_RANGE,
            DeleteError::Storage(_) => ErrorCode::KAFKA_STORAGE_ERROR,
        }
    })?;
    Ok((partition, deleted))
}

/// The code for a partition that leadership or the log left during the wait.
fn gone(replicas: &ReplicaManager, partition: &Partition) -> ErrorCode {
    match replicas.hosted(partition.topic(), partition.index()) {
        Ok(_) => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        Err(NotHere::Offline) => ErrorCode::KAFKA_STORAGE_ERROR,
        Err(_) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
    }
}

fn respond(names: Vec<String>, parts: Vec<Part>) -> DeleteRecordsResponse {
    let mut topics: Vec<_> = names
        .into_iter()
        .map(|name| DeleteRecordsTopicResult { name, partitions: Vec::new() })
        .collect();
    for part in parts {
        let (error, low_watermark) = match part.outcome {
            Ok((_, deleted)) => (ErrorCode::NONE, deleted.low_watermark),
            Err(code) => (code, -1),
        };
        topics[part.topic].partitions.push(DeleteRecordsPartitionResult {
            partition_index: part.index,
            low_watermark,
            error_code: error.0,
        });
    }
    DeleteRecordsResponse { topics, ..Default::default() }
}

#[cfg(test)]
mod tests {
    use protocol::messages::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};

    use super::*;
    use crate::testbed::{Testbed, answer, context};

    #[tokio::test]
    async fn each_partition_is_deleted_from_as_its_last_entry_says() {
        let bed = Testbed::new();
        for topic in ["t", "denied", name::CONSUMER_OFFSETS] {
            bed.lead(topic, 1);
            bed.append(topic, 0, &["a"]);
            bed.append(topic, 0, &["b"]);
        }
        let topic = |name: &str, partitions: &[(i32, i64)]| DeleteRecordsTopic {
            name: name.to_owned(),
            partitions: partitions
                .iter()
                .map(|(index, offset)| DeleteRecordsPartition {
                    partition_index: *index,
                    offset: *offset,
                })
                .collect(),
        };
        let ask = async |topics| {
            let authorizer = Authorizer::allow_all().but::<op::Delete, Topic>("denied");
            let request = DeleteRecordsRequest { topics, timeout_ms: 1000 };
            let (replicas, tasks, context) = (&bed.replicas, &bed.tasks, context(2));
            let reply = handle(&Arc::new(authorizer), replicas, tasks, &context, request);
            let told = answer(reply).await;
            let all = told.topics.iter().flat_map(|topic| &topic.partitions);
            all.map(|p| (ErrorCode(p.error_code), p.low_watermark)).collect::<Vec<_>>()
        };
        let told = ask(vec![
            topic("t", &[(0, 9), (9, 0), (0, 1)]),
            topic("denied", &[(0, 1)]),
            topic(name::CONSUMER_OFFSETS, &[(0, 1)]),
        ]);
        let expected = [
            (ErrorCode::NONE, 1),
            (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, -1),
            (ErrorCode::TOPIC_AUTHORIZATION_FAILED, -1),
            (ErrorCode::INVALID_TOPIC_EXCEPTION, -1),
        ];
        assert_eq!(told.await, expected);
        let beyond = ask(vec![topic("t", &[(0, 3)])]).await;
        assert_eq!(beyond, [(ErrorCode::OFFSET_OUT_OF_RANGE, -1)]);
        let all = ask(vec![topic("t", &[(0, -1)])]).await;
        assert_eq!(all, [(ErrorCode::NONE, 2)], "up to the high watermark");
    }
}
