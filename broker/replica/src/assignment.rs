//! Which brokers get the replicas of new partitions: round robin from a given start, and over racks
//! when all brokers have one (Kafka's `AdminUtils`). Knows nothing of chance: the start is given.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::BrokerId;

/// Most partitions that are assigned at once: more do not fit in one topic's znode.
pub const PARTITIONS_MAX: i32 = 100_000;

/// A broker that may hold replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub id: BrokerId,
    pub rack: Option<String>,
}

/// Where the round begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// Index, among the candidates, of partition 0's first replica.
    pub index: usize,
    /// How far the second replica is from the first.
    pub shift: usize,
}

impl Start {
    /// Anywhere, from 64 random bits.
    pub fn random(bits: u64, candidates: usize) -> Start {
        let count = candidates.max(1) as u64;
        let (index, shift) = ((bits & 0xffff_ffff) % count, (bits >> 32) % count);
        Start { index: index as usize, shift: shift as usize }
    }

    /// The same for both, as when a topic grows.
    pub fn fixed(index: usize) -> Start {
        Start { index, shift: index }
    }
}

/// Why there is no assignment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssignError {
    #[error("Number of partitions must be larger than 0.")]
    NoPartitions,
    #[error("Number of partitions must not be larger than {PARTITIONS_MAX}.")]
    TooManyPartitions,
    #[error("Replication factor must be larger than 0.")]
    NoReplicas,
    #[error("Replication factor: {wanted} larger than available brokers: {available}.")]
    TooManyReplicas { wanted: i32, available: usize },
    #[error("Not all brokers have rack information for replica rack aware assignment.")]
    RackUnknown,
}

/// Assigns `partitions` partitions, numbered from `first`. `candidates` are in rising order of ids.
pub fn assign(
    candidates: &[Candidate],
    partitions: i32,
    replication_factor: i32,
    start: Start,
    first: i32,
) -> Result<BTreeMap<i32, Vec<BrokerId>>, AssignError> {
    if partitions <= 0 {
        return Err(AssignError::NoPartitions);
    }
    if partitions > PARTITIONS_MAX {
        return Err(AssignError::TooManyPartitions);
    }
    let replicas = usize::try_from(replication_factor).unwrap_or(0);
    if replicas == 0 {
        return Err(AssignError::NoReplicas);
    }
    if replicas > candidates.len() {
        let available = candidates.len();
        return Err(AssignError::TooManyReplicas { wanted: replication_factor, available });
    }
    let round = Round::new(candidates)?;
    let count = round.brokers.len();
    let mut shift = start.shift;
    let mut assignment = BTreeMap::new();
    for partition in first.max(0)..first.max(0).saturating_add(partitions) {
        let number = partition as usize;
        if number > 0 && number.is_multiple_of(count) {
            shift += 1;
        }
        assignment
            .insert(partition, round.replicas((number + start.index) % count, shift, replicas));
    }
    Ok(assignment)
}

/// The brokers in the order of the round.
struct Round<'a> {
    brokers: Vec<(BrokerId, Option<&'a str>)>,
    /// 0: racks do not count.
    racks: usize,
}

impl<'a> Round<'a> {
    fn new(candidates: &'a [Candidate]) -> Result<Round<'a>, AssignError> {
        if candidates.iter().all(|candidate| candidate.rack.is_none()) {
            let brokers = candidates.iter().map(|candidate| (candidate.id, None)).collect();
            return Ok(Round { brokers, racks: 0 });
        }
        let mut by_rack: BTreeMap<&str, Vec<BrokerId>> = BTreeMap::new();
        for candidate in candidates {
            let rack = candidate.rack.as_deref().ok_or(AssignError::RackUnknown)?;
            by_rack.entry(rack).or_default().push(candidate.id);
        }
        // The first of every rack, then the second of every rack, and so on.
        let deepest = by_rack.values().map(Vec::len).max().unwrap_or(0);
        let mut brokers = Vec::new();
        for depth in 0..deepest {
            for (rack, ids) in &by_rack {
                brokers.extend(ids.get(depth).map(|id| (*id, Some(*rack))));
            }
        }
        Ok(Round { brokers, racks: by_rack.len() })
    }

    fn replicas(&self, first: usize, shift: usize, count: usize) -> Vec<BrokerId> {
        let all = self.brokers.len();
        let at = |step: usize, shift: usize| (first + 1 + (shift + step) % (all - 1)) % all;
        let mut chosen = vec![self.brokers[first].0];
        if self.racks == 0 {
            chosen.extend((0..count - 1).map(|step| self.brokers[at(step, shift)].0));
            return chosen;
        }
        let mut racks = BTreeSet::from([self.brokers[first].1]);
        let mut step = 0;
        while chosen.len() < count {
            let (id, rack) = self.brokers[at(step, shift * self.racks)];
            step += 1;
            // Every rack gets one before any gets a second.
            let rack_is_due = !racks.contains(&rack) || racks.len() == self.racks;
            if rack_is_due && !chosen.contains(&id) {
                chosen.push(id);
                racks.insert(rack);
            }
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brokers(racks: &[(BrokerId, Option<&str>)]) -> Vec<Candidate> {
        racks
            .iter()
            .map(|(id, rack)| Candidate { id: *id, rack: rack.map(str::to_owned) })
            .collect()
    }

    fn lists(assignment: BTreeMap<i32, Vec<BrokerId>>) -> Vec<Vec<BrokerId>> {
        assignment.into_values().collect()
    }

    #[test]
    fn round_robin_shifts_the_followers_with_each_turn() {
        let five = brokers(&[(0, None), (1, None), (2, None), (3, None), (4, None)]);
        let all = assign(&five, 10, 3, Start::fixed(0), 0).expect("possible");
        assert_eq!(
            lists(all),
            [
                [0, 1, 2],
                [1, 2, 3],
                [2, 3, 4],
                [3, 4, 0],
                [4, 0, 1],
                [0, 2, 3],
                [1, 3, 4],
                [2, 4, 0],
                [3, 0, 1],
                [4, 1, 2],
            ]
        );
        let grown = assign(&five, 2, 1, Start { index: 1, shift: 0 }, 3).expect("possible");
        assert_eq!(grown, BTreeMap::from([(3, vec![4]), (4, vec![0])]));
    }

    #[test]
    fn racks_alternate_and_each_gets_one_first() {
        let racks = ["rack1", "rack3", "rack3", "rack2", "rack2", "rack1"];
        let six: Vec<_> = racks.iter().enumerate().map(|(i, r)| (i as i32, Some(*r))).collect();
        let all = assign(&brokers(&six), 7, 3, Start::fixed(0), 0).expect("possible");
        assert_eq!(
            lists(all),
            [[0, 3, 1], [3, 1, 5], [1, 5, 4], [5, 4, 2], [4, 2, 0], [2, 0, 3], [0, 4, 2],]
        );
    }

    #[test]
    fn every_assignment_is_legal() {
        for count in 1..6usize {
            for with_racks in [false, true] {
                let ids: Vec<_> = (0..count as i32)
                    .map(|id| (id, with_racks.then_some(["a", "b"][id as usize % 2])))
                    .collect();
                for replicas in 1..=count {
                    for bits in 0..40u64 {
                        let start = Start::random(bits << 31 | bits, count);
                        let all = assign(&brokers(&ids), 9, replicas as i32, start, 0)
                            .expect("there are enough brokers");
                        for list in all.values() {
                            let distinct: BTreeSet<_> = list.iter().collect();
                            assert_eq!((list.len(), distinct.len()), (replicas, replicas));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_cannot_be() {
        let one = brokers(&[(1, None)]);
        let try_it = |partitions, replicas| assign(&one, partitions, replicas, Start::fixed(0), 0);
        assert_eq!(try_it(0, 1), Err(AssignError::NoPartitions));
        assert_eq!(try_it(i32::MAX, 1), Err(AssignError::TooManyPartitions));
        assert_eq!(try_it(1, 0), Err(AssignError::NoReplicas));
        assert_eq!(
            try_it(1, 3).expect_err("one broker").to_string(),
            "Replication factor: 3 larger than available brokers: 1."
        );
        let mixed = brokers(&[(1, Some("a")), (2, None)]);
        assert_eq!(assign(&mixed, 1, 1, Start::fixed(0), 0), Err(AssignError::RackUnknown));
    }
}
