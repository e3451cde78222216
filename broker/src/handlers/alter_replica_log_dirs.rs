//! AlterReplicaLogDirs (key 34): moves replicas of this broker to other log directories (KIP-113).
//!
//! Versions 0–2: v2 flexible. Answered when the moves have begun; DescribeLogDirs shows how far
//! they are. A partition that is yet to come here will be made in the directory named, and is
//! answered with REPLICA_NOT_AVAILABLE.
//!
//! Errors, per partition: CLUSTER_AUTHORIZATION_FAILED, LOG_DIR_NOT_FOUND, KAFKA_STORAGE_ERROR,
//! REPLICA_NOT_AVAILABLE, UNKNOWN_TOPIC_OR_PARTITION (it is nowhere), INVALID_TOPIC_EXCEPTION (the
//! name is too long).
//!
//! Differs from Apache: a kill while the new log takes the old one's place needs no hand at the
//! next start. Of `num.replica.alter.log.dirs.threads`, each takes whatever partition is next.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol::error_code::ErrorCode;
use protocol::ids::TopicPartition;
use protocol::messages::alter_replica_log_dirs::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
};
use storage::moving::MoveError;

use crate::authorizer::{CLUSTER, Cluster, op};
use crate::broker::Broker;
use crate::replication::mover;
use crate::request::{Reply, RequestContext};

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: AlterReplicaLogDirsRequest,
) -> Reply<AlterReplicaLogDirsResponse> {
    let orders = orders_of(&request);
    if broker.authorizer.authorize::<op::Alter, Cluster>(context, CLUSTER).is_err() {
        let denied = |tp: &TopicPartition| (tp.clone(), ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
        return Reply::Now(respond(orders.keys().map(denied)));
    }
    let broker = broker.clone();
    Reply::later(async move {
        let owner = broker.clone();
        let work = move || {
            let results = orders.iter().map(|(partition, root)| {
                let result = mover::order(&broker.mover, partition, root);
                if let Err(error) = &result {
                    tracing::warn!(%partition, to = %root.display(), %error, "not moved");
                }
                let TopicPartition { topic, partition: index } = partition;
                let known = broker.replicas.cluster().has_partition(topic, *index);
                (partition.clone(), code_of(result, known))
            });
            respond(results)
        };
        owner.tasks.blocking(work).await
    })
}

/// Where each partition is to go; of several places, the last.
fn orders_of(request: &AlterReplicaLogDirsRequest) -> BTreeMap<TopicPartition, PathBuf> {
    let mut orders = BTreeMap::new();
    for dir in &request.dirs {
        for topic in &dir.topics {
            for index in &topic.partitions {
                let partition = TopicPartition::new(topic.name.clone(), *index);
                orders.insert(partition, Path::new(&dir.path).to_owned());
            }
        }
    }
    orders
}

/// `known`: the cluster has such a partition.
fn code_of(result: Result<(), MoveError>, known: bool) -> ErrorCode {
    match result {
        Ok(()) => ErrorCode::NONE,
        Err(MoveError::NameTooLong) => ErrorCode::INVALID_TOPIC_EXCEPTION,
        Err(MoveError::UnknownDir) => ErrorCode::LOG_DIR_NOT_FOUND,
        Err(MoveError::Offline | MoveError::Storage(_)) => ErrorCode::KAFKA_STORAGE_ERROR,
        Err(MoveError::NoLog) if known => ErrorCode::REPLICA_NOT_AVAILABLE,
        Err(MoveError::NoLog) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
    }
}

fn respond(
    results: impl Iterator<Item = (TopicPartition, ErrorCode)>,
) -> AlterReplicaLogDirsResponse {
    let mut response = AlterReplicaLogDirsResponse::default();
    for (partition, code) in results {
        let result = AlterReplicaLogDirPartitionResult {
            partition_index: partition.partition,
            error_code: code.0,
        };
        match response.results.last_mut() {
            Some(topic) if topic.topic_name == partition.topic => topic.partitions.push(result),
            _ => response.results.push(AlterReplicaLogDirTopicResult {
                topic_name: partition.topic,
                partitions: vec![result],
            }),
        }
    }
    response
}
