//! ElectLeaders (key 43): gives leadership back to the first replicas, or any leader at all to
//! partitions that have none (KIP-183, KIP-460). Served by the controller's broker alone.
//!
//! Versions 0–2: v1 election type, error of the whole. Answers when this broker's metadata shows
//! the new leaders, or with REQUEST_TIMED_OUT after the timeout: they are elected all the same. Of
//! all partitions (null) only those are answered that needed an election.
//!
//! Errors: CLUSTER_AUTHORIZATION_FAILED, INVALID_REQUEST (no such type); per partition
//! NOT_CONTROLLER, UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION (being deleted),
//! ELECTION_NOT_NEEDED, PREFERRED_LEADER_NOT_AVAILABLE, ELIGIBLE_LEADERS_NOT_AVAILABLE,
//! REQUEST_TIMED_OUT, UNKNOWN_SERVER_ERROR.
//!
//! Differs from Apache: an unknown election type is INVALID_REQUEST, told once of each partition,
//! not UNKNOWN_SERVER_ERROR. Partitions are in the order of their numbers, where Kafka has none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use controller::event::RequestError;
use controller::{ElectAnswers, ElectRefusal};
use protocol::error_code::ErrorCode;
use protocol::ids::{BrokerId, TopicPartition};
use protocol::messages::elect_leaders::{
    ElectLeadersRequest, ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
};

use super::api_error::ApiError;
use crate::authorizer::{Authorized, Authorizer, CLUSTER, Cluster, op};
use crate::clock::Clock;
use crate::metadata_cache::{MetadataCache, Snapshot, TopicMetadata};
use crate::office::Office;
use crate::request::{Reply, RequestContext};

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

pub fn handle(
    authorizer: &Authorizer,
    clock: &Clock,
    metadata: &Arc<MetadataCache>,
    office: &Arc<Office>,
    context: &RequestContext,
    request: ElectLeadersRequest,
) -> Reply<ElectLeadersResponse> {
    let version = context.api_version;
    let named = request.topic_partitions.as_ref().map(|topics| {
        let tps = topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|index| TopicPartition::new(topic.topic.clone(), *index))
        });
        tps.collect::<BTreeSet<_>>()
    });
    let refuse = |code| {
        let results = named.iter().flatten().map(|tp| (tp.clone(), ApiError::plain(code)));
        Reply::Now(respond(version, code, results.collect()))
    };
    let Ok(allowed) = authorizer.authorize::<_, Cluster>(context, CLUSTER) else {
        return refuse(ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
    };
    if ![PREFERRED, UNCLEAN].contains(&request.election_type) {
        return refuse(ErrorCode::INVALID_REQUEST);
    }
    let unclean = request.election_type == UNCLEAN;
    let wait = Wait {
        clock: *clock,
        metadata: metadata.clone(),
        started_ms: clock.elapsed_ms(),
        timeout_ms: u64::try_from(request.timeout_ms).unwrap_or(0),
    };
    let (office, allowed) = (office.clone(), allowed.into_owned());
    Reply::later(async move {
        let all = named.is_none();
        let partitions = named.unwrap_or_else(|| every_partition(&wait.metadata.load()));
        let mut results = elect(&office, &allowed, partitions, unclean, &wait).await;
        results.retain(|_, error| !all || error.code != ErrorCode::ELECTION_NOT_NEEDED);
        respond(version, ErrorCode::NONE, results)
    })
}

type Results = BTreeMap<TopicPartition, ApiError>;

/// Waits for what was elected to be known here.
struct Wait {
    clock: Clock,
    metadata: Arc<MetadataCache>,
    /// On the clock's `elapsed_ms`.
    started_ms: f64,
    timeout_ms: u64,
}

async fn elect(
    office: &Office,
    allowed: &Authorized<'_, op::Alter, Cluster>,
    partitions: BTreeSet<TopicPartition>,
    unclean: bool,
    wait: &Wait,
) -> Results {
    let answers = match office.elect_leaders(allowed, partitions.clone(), unclean).await {
        Ok(answers) => answers,
        Err(error) => {
            let code = match error {
                RequestError::NotController => ErrorCode::NOT_CONTROLLER,
                _ => ErrorCode::UNKNOWN_SERVER_ERROR,
            };
            return partitions.into_iter().map(|tp| (tp, ApiError::plain(code))).collect();
        }
    };
    let elected: Vec<(TopicPartition, BrokerId)> = answers
        .iter()
        .filter_map(|(tp, result)| Some((tp.clone(), *result.as_ref().ok()?)))
        .collect();
    let all = |cluster: &Snapshot| elected.iter().all(|(tp, leader)| told(cluster, tp, *leader));
    let everywhere = wait.metadata.wait_until(all);
    // What is not there by then is answered so below.
    let spent_ms = (wait.clock.elapsed_ms() - wait.started_ms) as u64;
    let left = Duration::from_millis(wait.timeout_ms.saturating_sub(spent_ms));
    let _ = tokio::time::timeout(left, everywhere).await;
    outcomes(&wait.metadata.load(), answers)
}

fn told(cluster: &Snapshot, tp: &TopicPartition, leader: BrokerId) -> bool {
    cluster.partition(&tp.topic, tp.partition).is_some_and(|p| p.leader == leader)
}

fn outcomes(cluster: &Snapshot, answers: ElectAnswers) -> Results {
    let outcome = |(tp, result): (TopicPartition, Result<BrokerId, ElectRefusal>)| {
        let error = match result {
            Ok(leader) if told(cluster, &tp, leader) => ApiError::plain(ErrorCode::NONE),
            Ok(_) => ApiError::plain(ErrorCode::REQUEST_TIMED_OUT),
            Err(refused) => ApiError::new(code(refused), &text(&tp, refused)),
        };
        (tp, error)
    };
    answers.into_iter().map(outcome).collect()
}

fn every_partition(cluster: &Snapshot) -> BTreeSet<TopicPartition> {
    let of_topic = |topic: &Arc<TopicMetadata>| {
        let tp = |index: &i32| TopicPartition::new(topic.name.to_string(), *index);
        topic.partitions.keys().map(tp).collect::<Vec<_>>()
    };
    cluster.topics().flat_map(of_topic).collect()
}

fn code(refused: ElectRefusal) -> ErrorCode {
    match refused {
        ElectRefusal::UnknownPartition => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ElectRefusal::BeingDeleted => ErrorCode::INVALID_TOPIC_EXCEPTION,
        ElectRefusal::NotNeeded => ErrorCode::ELECTION_NOT_NEEDED,
        ElectRefusal::PreferredNotAvailable => ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE,
        ElectRefusal::NobodyEligible => ErrorCode::ELIGIBLE_LEADERS_NOT_AVAILABLE,
    }
}

/// What Kafka's controller says of it; failed elections name the partition and the strategy.
fn text(tp: &TopicPartition, refused: ElectRefusal) -> String {
    let strategy = match refused {
        ElectRefusal::PreferredNotAvailable => "PreferredReplicaPartitionLeaderElectionStrategy",
        ElectRefusal::NobodyEligible => "OfflinePartitionLeaderElectionStrategy(true)",
        other => return other.to_string(),
    };
    format!("Failed to elect leader for partition {tp} under strategy {strategy}")
}

/// Version 0 has no error of the whole.
fn respond(version: i16, code: ErrorCode, results: Results) -> ElectLeadersResponse {
    let mut topics: BTreeMap<String, Vec<PartitionResult>> = BTreeMap::new();
    for (tp, error) in results {
        topics.entry(tp.topic).or_default().push(PartitionResult {
            partition_id: tp.partition,
            error_code: error.code.0,
            error_message: error.message,
        });
    }
    let topic = |(topic, partition_result)| ReplicaElectionResult { topic, partition_result };
    ElectLeadersResponse {
        error_code: if version > 0 { code.0 } else { 0 },
        replica_election_results: topics.into_iter().map(topic).collect(),
        ..ElectLeadersResponse::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_elections_name_partition_and_strategy() {
        let tp = TopicPartition::new("t", 3);
        let table = [
            (
                ElectRefusal::PreferredNotAvailable,
                "Failed to elect leader for partition t-3 under strategy \
                 PreferredReplicaPartitionLeaderElectionStrategy",
            ),
            (
                ElectRefusal::NobodyEligible,
                "Failed to elect leader for partition t-3 under strategy \
                 OfflinePartitionLeaderElectionStrategy(true)",
            ),
            (ElectRefusal::UnknownPartition, "The partition does not exist."),
        ];
        for (refused, expected) in table {
            assert_eq!(text(&tp, refused), expected);
        }
    }
}
