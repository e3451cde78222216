//! How far reassignments are: --list and --verify. Knows nothing of starting them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use client::cluster::{Cluster, ClusterError};
use protocol::error_code::ErrorCode;
use protocol::ids::{BrokerId, TopicPartition};
use protocol::messages::describe_log_dirs::{DescribableLogDirTopic, DescribeLogDirsRequest};
use protocol::messages::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, OngoingPartitionReassignment,
};

use super::plan::{Assignment, LogDirs, Plan, Replica, joined};
use super::{ReassignError, throttle};
use crate::output;

/// How long the controller may take for an answer, as Kafka's admin client asks.
const TIMEOUT_MS: i32 = 30_000;

pub type Ongoing = BTreeMap<TopicPartition, OngoingPartitionReassignment>;

/// Every reassignment that goes on.
pub async fn ongoing(cluster: &Cluster) -> Result<Ongoing, ClusterError> {
    let request = ListPartitionReassignmentsRequest { timeout_ms: TIMEOUT_MS, topics: None };
    let response = cluster.call_controller(&request, |r| vec![r.error_code]).await?;
    ClusterError::check(response.error_code, response.error_message.as_ref())?;
    let mut all = Ongoing::new();
    for topic in response.topics {
        for partition in topic.partitions {
            let key = TopicPartition::new(topic.name.clone(), partition.partition_index);
            all.insert(key, partition);
        }
    }
    Ok(all)
}

/// Replicas of every partition of these topics; `None` for a topic that is not there.
pub async fn replicas_of(
    cluster: &Cluster,
    topics: &[&str],
) -> Result<BTreeMap<String, Option<BTreeMap<i32, Vec<BrokerId>>>>, ClusterError> {
    let names: Vec<String> = topics.iter().map(|name| (*name).to_owned()).collect();
    let mut all = BTreeMap::new();
    if names.is_empty() {
        return Ok(all);
    }
    for topic in cluster.metadata(Some(&names)).await?.topics {
        let partitions = match ErrorCode(topic.error_code) {
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => None,
            _ => {
                ClusterError::check(topic.error_code, None)?;
                let replicas = topic.partitions.into_iter();
                Some(replicas.map(|p| (p.partition_index, p.replica_nodes)).collect())
            }
        };
        all.insert(topic.name.unwrap_or_default(), partitions);
    }
    Ok(all)
}

pub async fn list(cluster: &Cluster) -> Result<(), ReassignError> {
    output::print(&listed(&ongoing(cluster).await?));
    Ok(())
}

fn listed(all: &Ongoing) -> String {
    if all.is_empty() {
        return "No partition reassignments found.\n".to_owned();
    }
    let mut out = "Current partition reassignments:\n".to_owned();
    let part = |what: &str, ids: &[BrokerId]| match ids.is_empty() {
        true => String::new(),
        false => format!(" {what}: {}.", joined(ids)),
    };
    for (partition, one) in all {
        let _ = writeln!(
            out,
            "{partition}: replicas: {}.{}{}",
            joined(&one.replicas),
            part("adding", &one.adding_replicas),
            part("removing", &one.removing_replicas)
        );
    }
    out
}

pub async fn verify(
    cluster: &Cluster,
    plan: &Plan,
    preserve_throttles: bool,
) -> Result<(), ReassignError> {
    let all = ongoing(cluster).await?;
    let topics: BTreeSet<&str> = plan
        .partitions
        .iter()
        .filter(|(p, _)| !all.contains_key(p))
        .map(|(p, _)| p.topic.as_str())
        .collect();
    let current = replicas_of(cluster, &topics.into_iter().collect::<Vec<_>>()).await?;
    let mut out = "Status of partition reassignment:\n".to_owned();
    let targets: Assignment = plan.partitions.iter().cloned().collect();
    for (partition, target) in &targets {
        let here = current
            .get(&partition.topic)
            .and_then(|topic| topic.as_ref()?.get(&partition.partition).cloned());
        let line = match all.contains_key(partition) {
            true => format!("Reassignment of partition {partition} is still in progress."),
            false => settled(partition, &here.unwrap_or_default(), target),
        };
        let _ = writeln!(out, "{line}");
    }
    let moves = move_states(cluster, &plan.log_dirs).await?;
    let lines: Vec<String> = moves.iter().map(|(replica, state)| state.told(replica)).collect();
    // Kafka's tool prints the line even where there are no moves.
    let _ = writeln!(out, "{}", lines.join("\n"));
    output::print(&out);
    let done = all.is_empty() && moves.values().all(MoveState::is_done);
    if done && !preserve_throttles {
        throttle::clear(cluster, plan).await?;
    }
    Ok(())
}

fn settled(partition: &TopicPartition, here: &[BrokerId], target: &[BrokerId]) -> String {
    if here == target {
        return format!("Reassignment of partition {partition} is completed.");
    }
    format!(
        "There is no active reassignment of partition {partition}, but replica set is {} rather \
         than {}.",
        joined(here),
        joined(target)
    )
}

/// Where a replica is that is to lie in `target`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MoveState {
    /// The broker has no such replica.
    MissingReplica,
    /// The replica is in no directory that can be read.
    MissingLogDir,
    Active {
        current: String,
        future: String,
        target: String,
    },
    Cancelled {
        current: String,
        target: String,
    },
    Completed,
}

impl MoveState {
    fn is_done(&self) -> bool {
        !matches!(self, MoveState::Active { .. })
    }

    fn told(&self, replica: &Replica) -> String {
        let (partition, broker) = (&replica.partition, replica.broker);
        match self {
            MoveState::MissingLogDir => format!(
                "Partition {partition} is not found in any live log dir on broker {broker}. There \
                 is likely an offline log directory on the broker."
            ),
            MoveState::MissingReplica => format!(
                "Partition {partition} cannot be found in any live log directory on broker \
                 {broker}."
            ),
            MoveState::Active { future, target, .. } if future == target => {
                format!("Reassignment of replica {replica} is still in progress.")
            }
            MoveState::Active { future, target, .. } => format!(
                "Partition {partition} on broker {broker} is being moved to log dir {future} \
                 instead of {target}."
            ),
            MoveState::Cancelled { current, target } => format!(
                "Partition {partition} on broker {broker} is not being moved from log dir \
                 {current} to {target}."
            ),
            MoveState::Completed => {
                format!("Reassignment of replica {replica} completed successfully.")
            }
        }
    }
}

/// Asks each broker where its replicas lie.
pub async fn move_states(
    cluster: &Cluster,
    wanted: &LogDirs,
) -> Result<BTreeMap<Replica, MoveState>, ClusterError> {
    let brokers: BTreeSet<BrokerId> = wanted.keys().map(|replica| replica.broker).collect();
    let mut states = BTreeMap::new();
    for broker in brokers {
        let ours = || wanted.iter().filter(|(replica, _)| replica.broker == broker);
        let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        for (replica, _) in ours() {
            let partition = &replica.partition;
            topics.entry(partition.topic.clone()).or_default().push(partition.partition);
        }
        let topics = topics
            .into_iter()
            .map(|(topic, partitions)| DescribableLogDirTopic { topic, partitions })
            .collect();
        cluster.metadata(Some(&[])).await?;
        let request = DescribeLogDirsRequest { topics: Some(topics) };
        let response = cluster.broker(broker).await?.call(&request).await?;
        ClusterError::check(response.error_code, None)?;
        let mut places: BTreeMap<TopicPartition, [Option<String>; 2]> = BTreeMap::new();
        for dir in response.results.iter().filter(|dir| dir.error_code == 0) {
            for topic in &dir.topics {
                for p in &topic.partitions {
                    let key = TopicPartition::new(topic.name.clone(), p.partition_index);
                    let place = usize::from(p.is_future_key);
                    places.entry(key).or_default()[place] = Some(dir.log_dir.clone());
                }
            }
        }
        for (replica, target) in ours() {
            let place = places.remove(&replica.partition);
            states.insert(replica.clone(), move_state(place, target.clone()));
        }
    }
    Ok(states)
}

/// `place`: the directory now, and the one to come.
fn move_state(place: Option<[Option<String>; 2]>, target: String) -> MoveState {
    match place {
        None => MoveState::MissingReplica,
        Some([None, _]) => MoveState::MissingLogDir,
        Some([Some(current), Some(future)]) => MoveState::Active { current, future, target },
        Some([Some(current), None]) if current == target => MoveState::Completed,
        Some([Some(current), None]) => MoveState::Cancelled { current, target },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reassignments_are_listed_as_kafka_does() {
        assert_eq!(listed(&Ongoing::new()), "No partition reassignments found.\n");
        let one = OngoingPartitionReassignment {
            partition_index: 0,
            replicas: vec![1, 2, 3],
            adding_replicas: vec![3],
            removing_replicas: vec![],
        };
        let all = Ongoing::from([(TopicPartition::new("t", 0), one)]);
        assert_eq!(
            listed(&all),
            "Current partition reassignments:\nt-0: replicas: 1,2,3. adding: 3.\n"
        );
    }

    #[test]
    fn states_of_partitions_and_moves() {
        let partition = TopicPartition::new("t", 0);
        assert_eq!(settled(&partition, &[1], &[1]), "Reassignment of partition t-0 is completed.");
        assert_eq!(
            settled(&partition, &[1], &[2, 3]),
            "There is no active reassignment of partition t-0, but replica set is 1 rather than \
             2,3."
        );
        let replica = Replica { broker: 2, partition };
        let told = |place: Option<[Option<&str>; 2]>| {
            let place = place.map(|dirs| dirs.map(|dir| dir.map(str::to_owned)));
            move_state(place, "/b".to_owned()).told(&replica)
        };
        assert!(told(None).ends_with("cannot be found in any live log directory on broker 2."));
        assert!(told(Some([None, None])).contains("is not found in any live log dir on broker 2"));
        assert_eq!(
            told(Some([Some("/a"), Some("/b")])),
            "Reassignment of replica t-0-2 is still in progress."
        );
        assert!(told(Some([Some("/a"), Some("/c")])).contains("moved to log dir /c instead of /b"));
        assert!(told(Some([Some("/a"), None])).contains("not being moved from log dir /a to /b"));
        assert!(told(Some([Some("/b"), None])).ends_with("completed successfully."));
    }
}
