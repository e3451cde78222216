//! DescribeLogDirs (key 35): where this broker's logs are and how much they hold.
//!
//! Versions 0 to 4: v2 flexible · v3 an error for the whole request · v4 sizes of the file systems.
//! `topics` null means every partition.
//!
//! Errors: CLUSTER_AUTHORIZATION_FAILED; per directory KAFKA_STORAGE_ERROR.
//!
//! Differs from Apache: sizes are those of the records, not of preallocated files.

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

use crate::authorizer::{CLUSTER, Cluster, op};
use crate::broker::Broker;
use crate::request::{Reply, RequestContext};

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: DescribeLogDirsRequest,
) -> Reply<DescribeLogDirsResponse> {
    if broker.authorizer.authorize::<op::Describe, Cluster>(context, CLUSTER).is_err() {
        return Reply::Now(DescribeLogDirsResponse {
            error_code: ErrorCode::CLUSTER_AUTHORIZATION_FAILED.0,
            ..Default::default()
        });
    }
    let broker = broker.clone();
    Reply::later(async move {
        let owner = broker.clone();
        owner.tasks.blocking(move || describe(&broker, &request)).await
    })
}

fn describe(broker: &Broker, request: &DescribeLogDirsRequest) -> DescribeLogDirsResponse {
    let wanted: Option<HashSet<(&str, i32)>> = request.topics.as_ref().map(|topics| {
        topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|p| (topic.topic.as_str(), *p)))
            .collect()
    });
    let manager = broker.replicas.logs();
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
            let sizes = rustix::fs::statvfs(dir.path());
            let (false, Ok(sizes)) = (dir.is_offline(), sizes) else {
                let error_code = ErrorCode::KAFKA_STORAGE_ERROR.0;
                return DescribeLogDirsResult { error_code, log_dir, ..Default::default() };
            };
            let bytes = |blocks: u64| i64::try_from(blocks * sizes.f_frsize).unwrap_or(i64::MAX);
            DescribeLogDirsResult {
                error_code: 0,
                log_dir,
                topics: topics(broker, by_dir.get(dir.path()).map_or(&[][..], Vec::as_slice)),
                total_bytes: bytes(sizes.f_blocks),
                usable_bytes: bytes(sizes.f_bavail),
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

fn topics(broker: &Broker, logs: &[Located]) -> Vec<DescribeLogDirsTopic> {
    let mut topics: Vec<DescribeLogDirsTopic> = Vec::new();
    for Located { log, is_future } in logs {
        let name = log.partition();
        let partition = broker.replicas.hosted(&name.topic, name.partition).ok();
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
