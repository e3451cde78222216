//! More partitions for a topic that there is: what they would be, whether they may be, and the
//! write (Kafka's `ZkAdminManager` and `AdminZkClient`). Knows nothing of how the controller takes
//! notice.

use std::collections::{BTreeMap, BTreeSet};

use metadata::retry;
use metadata::store::{MetadataStore, Op, StoreError};
use metadata::znodes::topic::{self, ReplicaAssignment, TopicAssignment};
use metadata::znodes::{self, ZnodeError, delete_topics};
use protocol::ids::BrokerId;

use crate::authorizer::{Authorized, Topic, op};
use replica::assignment::{self, AssignError, Candidate, Start};

/// Tries of a write that lost its connection.
const TRIES_MAX: usize = 20;

/// What somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    /// How many partitions there are to be in all.
    pub count: i32,
    /// Replicas of each new partition; `None`: the broker chooses.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
}

/// Why a topic does not grow. The texts are Kafka's.
#[derive(Debug, thiserror::Error)]
pub enum GrowError {
    #[error("The topic '{0}' does not exist.")]
    Unknown(String),
    #[error("The topic is queued for deletion.")]
    QueuedForDeletion,
    #[error("A partition reassignment is in progress for the topic '{0}'.")]
    BeingReassigned(String),
    #[error("{0}")]
    InvalidPartitions(String),
    #[error("{0}")]
    InvalidAssignment(String),
    #[error(transparent)]
    Assign(#[from] AssignError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Znode(#[from] ZnodeError),
}

/// The topic's znode as it would be. Changes nothing.
pub async fn plan(
    store: &dyn MetadataStore,
    candidates: &[Candidate],
    name: &str,
    growth: &Growth,
) -> Result<TopicAssignment, GrowError> {
    if retry::exists(store, &delete_topics::path(name), false).await?.is_some() {
        return Err(GrowError::QueuedForDeletion);
    }
    let found = retry::get(store, &topic::path(name), false).await?;
    let Some((data, _)) = found else { return Err(GrowError::Unknown(name.to_owned())) };
    let mut znode = match TopicAssignment::decode(name, data.as_deref()) {
        Ok(znode) => znode,
        Err(_) if znodes::is_garbled(data.as_deref()) => {
            return Err(GrowError::Unknown(name.to_owned()));
        }
        Err(error) => return Err(error.into()),
    };
    if znode.partitions.values().any(ReplicaAssignment::is_being_reassigned) {
        return Err(GrowError::BeingReassigned(name.to_owned()));
    }
    let added = added(candidates, name, growth, &znode)?;
    let settled = |(index, list)| (index, ReplicaAssignment::settled(list));
    znode.partitions.extend(added.into_iter().map(settled));
    Ok(znode)
}

fn added(
    candidates: &[Candidate],
    name: &str,
    growth: &Growth,
    znode: &TopicAssignment,
) -> Result<BTreeMap<i32, Vec<BrokerId>>, GrowError> {
    let Some(first) = znode.partitions.get(&0).map(|partition| &partition.replicas) else {
        return Err(GrowError::Unknown(name.to_owned()));
    };
    let now = i32::try_from(znode.partitions.len()).unwrap_or(i32::MAX);
    let wanted = growth.count;
    if wanted < now {
        let text = format!(
            "Topic currently has {now} partitions, which is higher than the requested {wanted}."
        );
        return Err(GrowError::InvalidPartitions(text));
    }
    if wanted == now {
        let text = format!("Topic already has {now} partitions.");
        return Err(GrowError::InvalidPartitions(text));
    }
    match &growth.assignments {
        Some(lists) => {
            check_lists(candidates, lists, wanted - now, now, first.len())?;
            Ok((now..).zip(lists.iter().cloned()).collect())
        }
        None => {
            let preferred = first.first().copied().unwrap_or(0);
            let start = candidates.iter().position(|broker| broker.id >= preferred).unwrap_or(0);
            let factor = i32::try_from(first.len()).unwrap_or(i32::MAX);
            let start = Start::fixed(start);
            Ok(assignment::assign(candidates, wanted - now, factor, start, now)?)
        }
    }
}

fn check_lists(
    candidates: &[Candidate],
    lists: &[Vec<BrokerId>],
    increment: i32,
    first_new: i32,
    replication_factor: usize,
) -> Result<(), GrowError> {
    let refuse = |text: String| Err(GrowError::InvalidAssignment(text));
    let joined = |ids: Vec<String>| ids.join(", ");
    let known = |id: &BrokerId| candidates.iter().any(|broker| broker.id == *id);
    let unknown: BTreeSet<BrokerId> =
        lists.iter().flatten().filter(|id| !known(id)).copied().collect();
    if !unknown.is_empty() {
        let unknown = joined(unknown.iter().map(ToString::to_string).collect());
        return refuse(format!("Unknown broker(s) in replica assignment: {unknown}."));
    }
    if lists.len() != usize::try_from(increment).unwrap_or(0) {
        return refuse(format!(
            "Increasing the number of partitions by {increment} but {} assignments provided.",
            lists.len()
        ));
    }
    for (index, list) in (first_new..).zip(lists) {
        if list.is_empty() {
            let text = format!("Cannot have replication factor of 0 for partition id {index}.");
            return refuse(text);
        }
        if list.iter().collect::<BTreeSet<_>>().len() != list.len() {
            let list = joined(list.iter().map(ToString::to_string).collect());
            return refuse(format!(
                "Duplicate brokers not allowed in replica assignment: {list} for partition id \
                 {index}."
            ));
        }
    }
    let odd: Vec<(i32, usize)> = (first_new..)
        .zip(lists)
        .filter(|(_, list)| list.len() != replication_factor)
        .map(|(index, list)| (index, list.len()))
        .collect();
    if odd.is_empty() {
        return Ok(());
    }
    let partitions = joined(odd.iter().map(|(index, _)| index.to_string()).collect());
    let factors = joined(odd.iter().map(|(_, count)| count.to_string()).collect());
    refuse(format!(
        "Inconsistent replication factor between partitions, partition 0 has \
         {replication_factor} while partitions [{partitions}] have replication factors \
         [{factors}], respectively."
    ))
}

/// Writes the znode; the controller takes notice.
pub async fn write(
    store: &dyn MetadataStore,
    authorized: &Authorized<'_, op::Alter, Topic>,
    znode: &TopicAssignment,
) -> Result<(), GrowError> {
    let name = authorized.name();
    let mut lost = StoreError::ConnectionLost;
    for _ in 0..TRIES_MAX {
        let set = Op::Set { path: topic::path(name), data: Some(znode.encode()), version: -1 };
        match retry::one(store, set).await {
            Ok(_) => return Ok(()),
            Err(StoreError::NoNode(_)) => return Err(GrowError::Unknown(name.to_owned())),
            // The same again does no harm.
            Err(error) if error.retriable() => lost = error,
            Err(error) => return Err(error.into()),
        }
    }
    Err(lost.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grown(count: i32, lists: Option<&[&[BrokerId]]>) -> Result<Vec<Vec<BrokerId>>, String> {
        let candidates: Vec<_> = (1..=3).map(|id| Candidate { id, rack: None }).collect();
        let partitions = [(0, vec![2, 3]), (1, vec![3, 1])]
            .into_iter()
            .map(|(index, list)| (index, ReplicaAssignment::settled(list)))
            .collect();
        let znode = TopicAssignment { topic_id: None, partitions };
        let assignments = lists.map(|lists| lists.iter().map(|list| list.to_vec()).collect());
        let growth = Growth { count, assignments };
        match added(&candidates, "t", &growth, &znode) {
            Ok(added) => {
                assert_eq!(added.keys().next(), Some(&2));
                Ok(added.into_values().collect())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn the_round_goes_on_where_it_was() {
        assert_eq!(grown(4, None), Ok(vec![vec![1, 3], vec![2, 3]]));
        assert_eq!(grown(3, Some(&[&[1, 2]])), Ok(vec![vec![1, 2]]));
    }

    #[test]
    fn what_cannot_be() {
        let text = |result: Result<_, String>| result.expect_err("refused");
        assert_eq!(text(grown(2, None)), "Topic already has 2 partitions.");
        assert_eq!(
            text(grown(1, None)),
            "Topic currently has 2 partitions, which is higher than the requested 1."
        );
        assert_eq!(text(grown(3, Some(&[&[7, 1]]))), "Unknown broker(s) in replica assignment: 7.");
        assert_eq!(
            text(grown(4, Some(&[&[1, 2]]))),
            "Increasing the number of partitions by 2 but 1 assignments provided."
        );
        assert!(text(grown(3, Some(&[&[1]]))).contains("partition 0 has 2 while partitions [2]"));
        assert!(text(grown(3, Some(&[&[1, 1]]))).starts_with("Duplicate brokers not allowed"));
    }
}
