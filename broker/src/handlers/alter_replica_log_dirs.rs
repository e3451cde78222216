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

use crate::authorizer::{Authorizer, CLUSTER};
use crate::replication::mover::Mover;
use crate::request::{Reply, RequestContext};

pub fn handle(
    authorizer: &Authorizer,
    mover: &Arc<Mover>,
    context: &RequestContext,
    request: AlterReplicaLogDirsRequest,
) -> Reply<AlterReplicaLogDirsResponse> {
    let orders = orders_of(&request);
    let Ok(allowed) = authorizer.authorize(context, CLUSTER) else {
        let denied = |tp: &TopicPartition| (tp.clone(), ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
        return Reply::Now(respond(orders.keys().map(denied)));
    };
    let (mover, allowed) = (mover.clone(), allowed.into_owned());
    Reply::later(async move {
        let owner = mover.clone();
        let work = move || {
            let results = orders.iter().map(|(partition, root)| {
                let result = mover.order(&allowed, partition, root);
                if let Err(error) = &result {
                    tracing::warn!(%partition, to = %root.display(), %error, "not moved");
                }
                let TopicPartition { topic, partition: index } = partition;
                let known = mover.replicas.cluster().has_partition(topic, *index);
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

#[cfg(test)]
mod tests {
    use protocol::messages::alter_replica_log_dirs::{AlterReplicaLogDir, AlterReplicaLogDirTopic};

    use super::*;
    use crate::authorizer::{Cluster, op};
    use crate::testbed::{Testbed, answer, context, now};

    fn order(path: &str, topics: &[(&str, &[i32])]) -> AlterReplicaLogDirsRequest {
        let topic = |(name, partitions): &(&str, &[i32])| AlterReplicaLogDirTopic {
            name: (*name).to_owned(),
            partitions: partitions.to_vec(),
        };
        let topics = topics.iter().map(topic).collect();
        let dirs = vec![AlterReplicaLogDir { path: path.to_owned(), topics }];
        AlterReplicaLogDirsRequest { dirs }
    }

    fn codes(response: &AlterReplicaLogDirsResponse) -> Vec<(&str, i32, ErrorCode)> {
        let all = response.results.iter().flat_map(|topic| {
            let code = |p: &AlterReplicaLogDirPartitionResult| ErrorCode(p.error_code);
            let name = topic.topic_name.as_str();
            topic.partitions.iter().map(move |p| (name, p.partition_index, code(p)))
        });
        all.collect()
    }

    #[tokio::test]
    async fn each_partition_has_its_result() {
        let bed = Testbed::new();
        bed.lead("t", 1);
        let ask =
            async |request| answer(handle(&bed.authorizer, &bed.mover, &context(2), request)).await;
        let there = ask(order("/data", &[("t", &[0]), ("none", &[0])])).await;
        let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        assert_eq!(codes(&there), [("none", 0, unknown), ("t", 0, ErrorCode::NONE)]);
        let nowhere = ask(order("/nowhere", &[("t", &[0])])).await;
        assert_eq!(codes(&nowhere), [("t", 0, ErrorCode::LOG_DIR_NOT_FOUND)]);
    }

    #[tokio::test]
    async fn whoever_may_not_alter_the_cluster_moves_nothing() {
        let bed = Testbed::new();
        let authorizer = Authorizer::allow_all().but::<op::Alter, Cluster>(CLUSTER);
        let request = order("/data", &[("t", &[0, 1])]);
        let told = now(handle(&authorizer, &bed.mover, &context(2), request));
        let denied = ErrorCode::CLUSTER_AUTHORIZATION_FAILED;
        assert_eq!(codes(&told), [("t", 0, denied), ("t", 1, denied)]);
    }
}
