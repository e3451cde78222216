//! --execute and --cancel: starts reassignments and moves between log directories, and takes them
//! back. Knows nothing of how far they are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use client::cluster::{Cluster, ClusterError};
use protocol::error_code::ErrorCode;
use protocol::ids::{BrokerId, TopicPartition};
use protocol::messages::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};
use protocol::messages::alter_replica_log_dirs::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic, AlterReplicaLogDirsRequest,
};

use super::generate::not_found;
use super::plan::{self, Assignment, LogDirs, Move, Moves, Plan, Replica, joined};
use super::status::{MoveState, Ongoing, move_states, ongoing, replicas_of};
use super::{Flags, ReassignError, throttle};
use crate::output;

/// How long the controller may take, as Kafka's admin client asks.
const TIMEOUT_MS: i32 = 30_000;
/// How long moves between log directories may take to begin, unless --timeout says otherwise.
const MOVES_TIMEOUT_MS: i64 = 10_000;
/// A replica may still be on its way to the broker on which it is to be moved.
const MOVES_RETRY: Duration = Duration::from_millis(100);

pub async fn execute(cluster: &Cluster, flags: &Flags, plan: &Plan) -> Result<(), ReassignError> {
    let proposed = plan.for_execution().map_err(ReassignError::Refused)?;
    let going_on = ongoing(cluster).await?;
    if !flags.additional && !going_on.is_empty() {
        return Err(ReassignError::Terse(
            "Cannot execute because there is an existing partition assignment.  Use --additional \
             to override this and create a new partition assignment in addition to the existing \
             one. The --additional flag can also be used to change the throttle by resubmitting \
             the current reassignment."
                .to_owned(),
        ));
    }
    check_brokers(cluster, &proposed).await?;
    let current = current(cluster, plan, &proposed).await?;
    output::print(&format!(
        "Current partition replica assignment\n\n{}\n\nSave this to use as the \
         --reassignment-json-file option during rollback\n",
        plan::to_json(&current)
    ));
    let rate = |given: Option<i64>| given.filter(|rate| *rate >= 0);
    let between_dirs = rate(flags.replica_alter_log_dirs_throttle);
    if rate(flags.throttle).or(between_dirs).is_some() {
        output::print(
            "Warning: You must run --verify periodically, until the reassignment completes, to \
             ensure the throttle is removed.\n",
        );
    }
    if let Some(rate) = rate(flags.throttle) {
        let mut moves = moves_of(&going_on);
        plan::add_proposed(&mut moves, &proposed, &current);
        throttle::between_brokers(cluster, &moves, rate).await?;
    }
    if let Some(rate) = between_dirs {
        let brokers = plan.log_dirs.keys().map(|replica| replica.broker).collect();
        throttle::between_log_dirs(cluster, &brokers, rate).await?;
    }
    let targets = proposed.iter().map(|(p, replicas)| (p, Some(replicas.clone()))).collect();
    let errors = reassign(cluster, targets).await?;
    if !errors.is_empty() {
        let errors = lines(&errors);
        return Err(ReassignError::Terse(format!("Error reassigning partition(s):\n{errors}")));
    }
    output::print(&format!(
        "Successfully started partition reassignment{} for {}\n",
        plural(proposed.len()),
        joined(proposed.keys())
    ));
    start_moves(cluster, plan.log_dirs.clone(), timeout(flags)).await
}

pub async fn cancel(cluster: &Cluster, flags: &Flags, plan: &Plan) -> Result<(), ReassignError> {
    let going_on = ongoing(cluster).await?;
    let active: BTreeSet<&TopicPartition> =
        plan.partitions.iter().map(|(p, _)| p).filter(|p| going_on.contains_key(p)).collect();
    if active.is_empty() {
        output::print("None of the specified partition reassignments are active.\n");
    } else {
        let targets = active.iter().map(|p| (*p, None)).collect();
        let errors = reassign(cluster, targets).await?;
        if !errors.is_empty() {
            return Err(ReassignError::Terse(format!(
                "Error cancelling partition reassignment{} for:\n{}",
                plural(errors.len()),
                lines(&errors)
            )));
        }
        output::print(&format!(
            "Successfully cancelled partition reassignment{} for: {}\n",
            plural(active.len()),
            joined(&active)
        ));
    }
    let back: LogDirs = move_states(cluster, &plan.log_dirs)
        .await?
        .into_iter()
        .filter_map(|(replica, state)| match state {
            MoveState::Active { current, .. } => Some((replica, current)),
            _ => None,
        })
        .collect();
    match back.is_empty() {
        // Without an end of line, as Kafka's tool.
        true => drop(output::print("None of the specified partition moves are active.")),
        false => start_moves(cluster, back, timeout(flags)).await?,
    }
    if !flags.preserve_throttles {
        throttle::clear(cluster, plan).await?;
    }
    Ok(())
}

fn timeout(flags: &Flags) -> Duration {
    let timeout_ms = flags.timeout.unwrap_or(MOVES_TIMEOUT_MS);
    Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0))
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn lines(errors: &BTreeMap<TopicPartition, ClusterError>) -> String {
    errors.iter().map(|(p, error)| format!("{p}: {error}")).collect::<Vec<_>>().join("\n")
}

async fn check_brokers(cluster: &Cluster, proposed: &Assignment) -> Result<(), ReassignError> {
    let there = cluster.metadata(Some(&[])).await?.brokers;
    let wanted: BTreeSet<BrokerId> = proposed.values().flatten().copied().collect();
    match wanted.into_iter().find(|id| there.iter().all(|broker| broker.node_id != *id)) {
        Some(id) => Err(ReassignError::Refused(format!("Unknown broker id {id}"))),
        None => Ok(()),
    }
}

/// Where the proposed partitions are now; all of them must be somewhere.
async fn current(
    cluster: &Cluster,
    plan: &Plan,
    proposed: &Assignment,
) -> Result<Assignment, ReassignError> {
    let topics = replicas_of(cluster, &plan.topics()).await?;
    let mut current = Assignment::new();
    for (topic, partitions) in &topics {
        let partitions = partitions.as_ref().ok_or_else(|| not_found(topic))?;
        let named = partitions.iter().map(|(index, replicas)| {
            (TopicPartition::new(topic.clone(), *index), replicas.clone())
        });
        current.extend(named.filter(|(partition, _)| proposed.contains_key(partition)));
    }
    let missing: Vec<String> = proposed
        .keys()
        .filter(|partition| !current.contains_key(partition))
        .map(TopicPartition::to_string)
        .collect();
    if missing.is_empty() {
        return Ok(current);
    }
    let class = "org.apache.kafka.common.errors.UnknownTopicOrPartitionException";
    let missing = missing.join(", ");
    Err(ReassignError::Refused(format!("{class}: Unable to find partition: {missing}")))
}

fn moves_of(going_on: &Ongoing) -> Moves {
    let ends = going_on.iter().map(|(partition, one)| {
        let destinations: BTreeSet<_> = one.adding_replicas.iter().copied().collect();
        let sources =
            one.replicas.iter().copied().filter(|id| !destinations.contains(id)).collect();
        (partition.clone(), Move { sources, destinations })
    });
    ends.collect()
}

/// Asks for reassignments; `None` cancels one. Gives those that were refused.
async fn reassign(
    cluster: &Cluster,
    targets: BTreeMap<&TopicPartition, Option<Vec<BrokerId>>>,
) -> Result<BTreeMap<TopicPartition, ClusterError>, ClusterError> {
    let mut topics: BTreeMap<String, Vec<ReassignablePartition>> = BTreeMap::new();
    for (p, replicas) in targets {
        let partition = ReassignablePartition { partition_index: p.partition, replicas };
        topics.entry(p.topic.clone()).or_default().push(partition);
    }
    let topics = topics
        .into_iter()
        .map(|(name, partitions)| ReassignableTopic { name, partitions })
        .collect();
    let request = AlterPartitionReassignmentsRequest { timeout_ms: TIMEOUT_MS, topics };
    let response = cluster.call_controller(&request, |r| vec![r.error_code]).await?;
    ClusterError::check(response.error_code, response.error_message.as_ref())?;
    let mut errors = BTreeMap::new();
    for topic in response.responses {
        for p in topic.partitions {
            if let Err(error) = ClusterError::check(p.error_code, p.error_message.as_ref()) {
                let partition = TopicPartition::new(topic.name.clone(), p.partition_index);
                errors.insert(partition, error);
            }
        }
    }
    Ok(errors)
}

/// Starts moves between log directories; those whose replica is not there yet again and again.
async fn start_moves(
    cluster: &Cluster,
    mut pending: LogDirs,
    timeout: Duration,
) -> Result<(), ReassignError> {
    let deadline = Instant::now() + timeout;
    while !pending.is_empty() {
        for replica in move_once(cluster, &pending).await? {
            let dir = pending.remove(&replica).unwrap_or_default();
            // The blank before the line's end is Kafka's.
            output::print(&format!(
                "Successfully started moving log directory to {dir} for replica {} with broker \
                 {} \n",
                replica.partition, replica.broker
            ));
        }
        if pending.is_empty() {
            break;
        }
        if Instant::now() >= deadline {
            return Err(ReassignError::Terse(format!(
                "Timed out before log directory move{} could be started for: {}",
                plural(pending.len()),
                joined(pending.keys())
            )));
        }
        tokio::time::sleep(MOVES_RETRY).await;
    }
    Ok(())
}

async fn move_once(cluster: &Cluster, wanted: &LogDirs) -> Result<Vec<Replica>, ReassignError> {
    let brokers: BTreeSet<BrokerId> = wanted.keys().map(|replica| replica.broker).collect();
    let mut begun = Vec::new();
    for broker in brokers {
        let mut dirs: BTreeMap<&str, BTreeMap<&str, Vec<i32>>> = BTreeMap::new();
        for (replica, dir) in wanted.iter().filter(|(replica, _)| replica.broker == broker) {
            let partition = &replica.partition;
            let topics = dirs.entry(dir).or_default();
            topics.entry(&partition.topic).or_default().push(partition.partition);
        }
        let topic = |(name, partitions): (&str, Vec<i32>)| AlterReplicaLogDirTopic {
            name: name.to_owned(),
            partitions,
        };
        let dirs = dirs.into_iter().map(|(path, topics)| AlterReplicaLogDir {
            path: path.to_owned(),
            topics: topics.into_iter().map(topic).collect(),
        });
        let request = AlterReplicaLogDirsRequest { dirs: dirs.collect() };
        let called = cluster.broker(broker).await?.call(&request).await;
        for topic in called.map_err(ClusterError::from)?.results {
            for p in topic.partitions {
                let partition = TopicPartition::new(topic.topic_name.clone(), p.partition_index);
                let replica = Replica { broker, partition };
                match ErrorCode(p.error_code) {
                    ErrorCode::NONE => begun.push(replica),
                    ErrorCode::REPLICA_NOT_AVAILABLE => {}
                    _ => {
                        return Err(ReassignError::Refused(format!(
                            "Failed to alter dir for {replica}"
                        )));
                    }
                }
            }
        }
    }
    Ok(begun)
}
