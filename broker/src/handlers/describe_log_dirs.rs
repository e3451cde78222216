//! DescribeLogDirs (key 35): where this broker's logs are and how much they hold.
//!
//! Versions 0 to 4: v2 flexible · v3 an error for the whole request · v4 sizes of the file systems.
//! `topics` null means every partition.
//!
//! Errors: CLUSTER_AUTHORIZATION_FAILED; per directory KAFKA_STORAGE_ERROR.
//!
//! Differs from Apache: sizes are those of the records, not of preallocated files. Topics are in
//! the order of their names and partitions are in the order of their numbers; Apache's are in that
//! of a hash map.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use protocol::error_code::ErrorCode;
use protocol::ids::TopicPartition;
use protocol::messages::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeLogDirsResult, DescribeLogDirsTopic,
};
use storage::Log;

use crate::authorizer::{Authorized, Authorizer, CLUSTER, Cluster, op};
use crate::replication::manager::ReplicaManager;
use crate::request::{Reply, RequestContext};
use crate::tasks::Tasks;

pub fn handle(
    authorizer: &Authorizer,
    replicas: &Arc<ReplicaManager>,
    tasks: &Arc<Tasks>,
    context: &RequestContext,
    request: DescribeLogDirsRequest,
) -> Reply<DescribeLogDirsResponse> {
    let Ok(allowed) = authorizer.authorize(context, CLUSTER) else {
        return Reply::Now(DescribeLogDirsResponse {
            error_code: ErrorCode::CLUSTER_AUTHORIZATION_FAILED.0,
            ..Default::default()
        });
    };
    let (replicas, tasks, allowed) = (replicas.clone(), tasks.clone(), allowed.into_owned());
    Reply::later(
        async move { tasks.blocking(move || describe(&replicas, &allowed, &request)).await },
    )
}

fn describe(
    replicas: &ReplicaManager,
    _: &Authorized<'_, op::Describe, Cluster>,
    request: &DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    let wanted: Option<HashSet<(&str, i32)>> = request.topics.as_ref().map(|topics| {
        topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|p| (topic.topic.as_str(), *p)))
            .collect()
    });
    let manager = replicas.logs();
    let asked = |name: &TopicPartition| {
        wanted.as_ref().is_none_or(|wanted| wanted.contains(&(&*name.topic, name.partition)))
    };
    let mut by_dir: BTreeMap<&Path, Vec<Located>> = BTreeMap::new();
    let current = manager.logs().into_iter().map(|log| Located { log, is_future: false });
    let future = manager.futures().into_iter().map(|log| Located { log, is_future: true });
    for located in current.chain(future).filter(|located| asked(located.log.partition())) {
        let name = located.log.partition();
        let dir = match located.is_future {
            true => manager.future_dir_of(name),
            false => manager.dir_of(name),
        };
        if let Some(dir) = dir {
            by_dir.entry(dir).or_default().push(located);
        }
    }
    for logs in by_dir.values_mut() {
        logs.sort_by(|a, b| a.log.partition().cmp(b.log.partition()));
    }
    let results = manager
        .dirs()
        .iter()
        .map(|dir| {
            let log_dir = dir.path().display().to_string();
            let (false, Ok(space)) = (dir.is_offline(), dir.space()) else {
                let error_code = ErrorCode::KAFKA_STORAGE_ERROR.0;
                return DescribeLogDirsResult { error_code, log_dir, ..Default::default() };
            };
            let bytes = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
            DescribeLogDirsResult {
                error_code: 0,
                log_dir,
                topics: topics(replicas, by_dir.get(dir.path()).map_or(&[][..], Vec::as_slice)),
                total_bytes: bytes(space.total),
                usable_bytes: bytes(space.usable),
            }
        })
        .collect();
    DescribeLogDirsResponse { results, ..Default::default() }
}

/// A log of one directory: the partition's own, or the one that is to take its place.
struct Located {
    log: Arc<Log>,
    is_future: bool,
}

fn topics(replicas: &ReplicaManager, logs: &[Located]) -> Vec<DescribeLogDirsTopic> {
    let mut topics: Vec<DescribeLogDirsTopic> = Vec::new();
    for Located { log, is_future } in logs {
        let name = log.partition();
        let partition = replicas.hosted(&name.topic, name.partition).ok();
        let lag = match partition.and_then(|partition| Some((partition.log()?, partition))) {
            Some((current, _)) if *is_future => current.log_end_offset() - log.log_end_offset(),
            Some((_, partition)) => (partition.high_watermark() - log.log_end_offset()).max(0),
            None => -1,
        };
        let described = DescribeLogDirsPartition {
            partition_index: name.partition,
            partition_size: i64::try_from(log.size()).unwrap_or(i64::MAX),
            offset_lag: lag,
            is_future_key: *is_future,
        };
        match topics.last_mut() {
            Some(topic) if topic.name == name.topic => topic.partitions.push(described),
            _ => topics.push(DescribeLogDirsTopic {
                name: name.topic.clone(),
                partitions: vec![described],
            }),
        }
    }
    topics
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testbed::{Testbed, answer, context, now};

    #[tokio::test]
    async fn logs_are_told_by_topic_with_their_size_and_what_they_lag() {
        let bed = Testbed::new();
        bed.lead("t", 2);
        bed.lead("u", 1);
        bed.append("t", 1, &["a"]);
        let manager = bed.replicas.logs();
        let logs: Vec<_> =
            manager.logs().into_iter().map(|log| Located { log, is_future: false }).collect();
        let mut logs = logs;
        logs.sort_by(|a, b| a.log.partition().cmp(b.log.partition()));
        let told = topics(&bed.replicas, &logs);
        let names: Vec<_> =
            told.iter().map(|topic| (&*topic.name, topic.partitions.len())).collect();
        assert_eq!(names, [("t", 2), ("u", 1)]);
        let [empty, full] = &told[0].partitions[..] else { panic!("two") };
        assert_eq!((empty.partition_size, full.partition_size > 0), (0, true));
        assert!(told[0].partitions.iter().all(|p| p.offset_lag == 0 && !p.is_future_key));
    }

    #[tokio::test]
    async fn whoever_may_not_see_the_cluster_is_refused_at_once() {
        let bed = Testbed::new();
        let ask = |authorizer: &Authorizer| {
            let request = DescribeLogDirsRequest::default();
            handle(authorizer, &bed.replicas, &bed.tasks, &context(4), request)
        };
        let denied = Authorizer::allow_all().but::<op::Describe, Cluster>(CLUSTER);
        assert_eq!(now(ask(&denied)).error_code, ErrorCode::CLUSTER_AUTHORIZATION_FAILED.0);
        let told = answer(ask(&bed.authorizer)).await;
        assert_eq!(told.results.len(), 1, "one directory, though it is in memory only");
    }
}
