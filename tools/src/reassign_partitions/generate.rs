//! --generate: proposes where topics may go. Moves nothing.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use client::cluster::Cluster;
use protocol::ids::{BrokerId, TopicPartition};
use replica::assignment::{self, Candidate, Start};

use super::plan::{self, Assignment};
use super::status::replicas_of;
use super::{Flags, ReassignError};
use crate::output;

pub async fn generate(cluster: &Cluster, flags: &Flags, text: &str) -> Result<(), ReassignError> {
    let brokers = plan::parse_brokers(flags.broker_list.as_deref().unwrap_or_default())
        .map_err(ReassignError::Refused)?;
    let topics = plan::parse_topics(text).map_err(ReassignError::Refused)?;
    let current = assignment_of(cluster, &topics).await?;
    let candidates = candidates(cluster, &brokers, !flags.disable_rack_aware).await?;
    let proposed = propose(&current, &candidates).map_err(ReassignError::Refused)?;
    output::print(&format!(
        "Current partition replica assignment\n{}\n\n\
         Proposed partition reassignment configuration\n{}\n",
        plan::to_json(&current),
        plan::to_json(&proposed)
    ));
    Ok(())
}

async fn assignment_of(cluster: &Cluster, topics: &[String]) -> Result<Assignment, ReassignError> {
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    let mut all = Assignment::new();
    for (topic, partitions) in replicas_of(cluster, &names).await? {
        let partitions = partitions.ok_or_else(|| not_found(&topic))?;
        all.extend(
            partitions
                .into_iter()
                .map(|(index, replicas)| (TopicPartition::new(topic.clone(), index), replicas)),
        );
    }
    Ok(all)
}

pub fn not_found(topic: &str) -> ReassignError {
    let class = "org.apache.kafka.common.errors.UnknownTopicOrPartitionException";
    ReassignError::Refused(format!("{class}: Topic {topic} not found."))
}

async fn candidates(
    cluster: &Cluster,
    wanted: &[BrokerId],
    by_rack: bool,
) -> Result<Vec<Candidate>, ReassignError> {
    let mut there = cluster.metadata(Some(&[])).await?.brokers;
    there.sort_by_key(|broker| broker.node_id);
    let candidates: Vec<Candidate> = there
        .into_iter()
        .filter(|broker| wanted.contains(&broker.node_id))
        .map(|broker| Candidate { id: broker.node_id, rack: broker.rack.filter(|_| by_rack) })
        .collect();
    let with_rack = candidates.iter().filter(|candidate| candidate.rack.is_some()).count();
    match with_rack == 0 || with_rack == candidates.len() {
        true => Ok(candidates),
        false => Err(ReassignError::Refused(
            "Not all brokers have rack information. Add --disable-rack-aware in command line to \
             make replica assignment without rack information."
                .to_owned(),
        )),
    }
}

/// As many partitions and replicas as each topic has, from a random broker on.
fn propose(current: &Assignment, candidates: &[Candidate]) -> Result<Assignment, String> {
    let mut topics: BTreeMap<&str, (i32, usize)> = BTreeMap::new();
    for (partition, replicas) in current {
        topics.entry(&partition.topic).or_insert((0, replicas.len())).0 += 1;
    }
    let mut proposed = Assignment::new();
    for (topic, (partitions, factor)) in topics {
        let start = Start::random(RandomState::new().build_hasher().finish(), candidates.len());
        let factor = i32::try_from(factor).unwrap_or(i32::MAX);
        let assigned = assignment::assign(candidates, partitions, factor, start, 0)
            .map_err(|error| error.to_string())?;
        proposed.extend(
            assigned.into_iter().map(|(index, list)| (TopicPartition::new(topic, index), list)),
        );
    }
    Ok(proposed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_keep_their_size() {
        let current: Assignment =
            (0..4).map(|index| (TopicPartition::new("t", index), vec![1, 2])).collect();
        let new = |id| Candidate { id, rack: None };
        let proposed = propose(&current, &[new(3), new(4), new(5)]).unwrap();
        assert!(proposed.keys().eq(current.keys()));
        for replicas in proposed.values() {
            assert_eq!(replicas.len(), 2);
            assert!(replicas.iter().all(|id| (3..=5).contains(id)));
        }
        assert_eq!(
            propose(&current, &[new(3)]).unwrap_err(),
            "Replication factor: 2 larger than available brokers: 1."
        );
    }
}
