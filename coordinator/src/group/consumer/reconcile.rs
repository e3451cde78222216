//! The next step of one member towards its target: what it keeps, gives up and gets
//! (`CurrentAssignmentBuilder`). Knows nothing of heartbeats and timers.

use std::collections::BTreeSet;

use protocol::ids::Uuid;

use super::Partitions;
use super::member::{Current, MemberState, intersects};

/// What the step depends on besides the member.
pub(super) struct Goal<'a> {
    pub target_epoch: i32,
    pub target: &'a Partitions,
    /// Whether somebody has the partition, or has still to give it up.
    pub is_held: &'a dyn Fn(Uuid, i32) -> bool,
    /// What the member says it has; `None` if it did not say.
    pub owned: Option<&'a Partitions>,
}

/// The member must give everything up and join again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MustRejoin;

pub(super) fn next(current: &Current, goal: &Goal<'_>) -> Result<Current, MustRejoin> {
    match current.state {
        MemberState::Stable if current.epoch == goal.target_epoch => Ok(current.clone()),
        MemberState::Stable => Ok(advance(current, current.epoch, goal)),
        MemberState::UnrevokedPartitions if owns_any(goal.owned, &current.revoking) => {
            Ok(current.clone())
        }
        // Everything is given up: on to the next epoch, and to the newest target.
        MemberState::UnrevokedPartitions => {
            Ok(advance(current, current.epoch.saturating_add(1), goal))
        }
        MemberState::UnreleasedPartitions => Ok(advance(current, current.epoch, goal)),
        MemberState::Unknown if goal.owned.is_some_and(Partitions::is_empty) => {
            Ok(advance(current, goal.target_epoch, goal))
        }
        MemberState::Unknown => Err(MustRejoin),
    }
}

/// A member that does not say what it has may have everything.
fn owns_any(owned: Option<&Partitions>, revoking: &Partitions) -> bool {
    owned.is_none_or(|owned| intersects(owned, revoking))
}

fn advance(current: &Current, epoch: i32, goal: &Goal<'_>) -> Current {
    let none = BTreeSet::new();
    let (mut kept, mut revoking) = (Partitions::new(), Partitions::new());
    let (mut added, mut waits) = (Partitions::new(), false);
    let topics: BTreeSet<&Uuid> = goal.target.keys().chain(current.assigned.keys()).collect();
    for topic in topics {
        let wanted = goal.target.get(topic).unwrap_or(&none);
        let has = current.assigned.get(topic).unwrap_or(&none);
        put(&mut kept, *topic, has.intersection(wanted).copied());
        put(&mut revoking, *topic, has.difference(wanted).copied());
        let (held, free): (Vec<i32>, Vec<i32>) =
            wanted.difference(has).partition(|partition| (goal.is_held)(*topic, **partition));
        waits |= !held.is_empty();
        put(&mut added, *topic, free.into_iter());
    }
    if !revoking.is_empty() && owns_any(goal.owned, &revoking) {
        let state = MemberState::UnrevokedPartitions;
        return Current { epoch, previous_epoch: current.epoch, state, assigned: kept, revoking };
    }
    for (topic, partitions) in added {
        kept.entry(topic).or_default().extend(partitions);
    }
    Current {
        epoch: goal.target_epoch,
        previous_epoch: current.epoch,
        state: if waits { MemberState::UnreleasedPartitions } else { MemberState::Stable },
        assigned: kept,
        revoking: Partitions::new(),
    }
}

fn put(all: &mut Partitions, topic: Uuid, partitions: impl Iterator<Item = i32>) {
    let partitions: BTreeSet<i32> = partitions.collect();
    if !partitions.is_empty() {
        all.insert(topic, partitions);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Uuid = Uuid([1; 16]);

    fn parts(partitions: &[i32]) -> Partitions {
        let set: BTreeSet<i32> = partitions.iter().copied().collect();
        if set.is_empty() { Partitions::new() } else { Partitions::from([(T, set)]) }
    }

    fn at(epoch: i32, state: MemberState, assigned: &[i32], revoking: &[i32]) -> Current {
        let (assigned, revoking) = (parts(assigned), parts(revoking));
        Current { epoch, previous_epoch: epoch - 1, state, assigned, revoking }
    }

    /// Member before; target epoch and target; held by others; owned; member after.
    type Row = (Current, (i32, &'static [i32]), &'static [i32], Option<&'static [i32]>, Current);

    #[test]
    fn a_member_gives_up_first_and_gets_what_is_free() {
        use MemberState::*;
        let rows: Vec<Row> = vec![
            // At its target.
            (at(5, Stable, &[1], &[]), (5, &[1]), &[1], None, at(5, Stable, &[1], &[])),
            // Joins: what is free at once, the rest later.
            (at(0, Stable, &[], &[]), (5, &[1, 2]), &[], Some(&[]), at(5, Stable, &[1, 2], &[])),
            (
                at(0, Stable, &[], &[]),
                (5, &[1, 2]),
                &[2],
                Some(&[]),
                at(5, UnreleasedPartitions, &[1], &[]),
            ),
            // Gives up in its old epoch, until it says that it has.
            (
                at(5, Stable, &[1, 2], &[]),
                (6, &[1, 3]),
                &[1, 2],
                None,
                at(5, UnrevokedPartitions, &[1], &[2]),
            ),
            (
                at(5, UnrevokedPartitions, &[1], &[2]),
                (6, &[1, 3]),
                &[1, 2],
                Some(&[1, 2]),
                at(5, UnrevokedPartitions, &[1], &[2]),
            ),
            (
                at(5, UnrevokedPartitions, &[1], &[2]),
                (8, &[1, 3]),
                &[1, 2],
                Some(&[1]),
                at(8, Stable, &[1, 3], &[]),
            ),
            // Given up, but the target has moved on again: another round, one epoch later.
            (
                at(5, UnrevokedPartitions, &[1], &[2]),
                (8, &[3]),
                &[1, 2],
                Some(&[1]),
                at(6, UnrevokedPartitions, &[], &[1]),
            ),
            // A member that has nothing of what it is to give up need not be waited for.
            (at(5, Stable, &[1, 2], &[]), (6, &[1]), &[1, 2], Some(&[1]), at(6, Stable, &[1], &[])),
        ];
        for (index, (before, (epoch, target), held, owned, mut after)) in
            rows.into_iter().enumerate()
        {
            let (target, owned) = (parts(target), owned.map(parts));
            let goal = Goal {
                target_epoch: epoch,
                target: &target,
                is_held: &|_, partition| held.contains(&partition),
                owned: owned.as_ref(),
            };
            let got = next(&before, &goal).expect("no unknown state");
            after.previous_epoch = got.previous_epoch;
            assert_eq!(got, after, "row {index}");
            if got != before {
                assert_eq!(got.previous_epoch, before.epoch, "row {index}");
            }
        }
    }

    #[test]
    fn a_state_of_the_future_is_left_by_a_member_with_nothing() {
        let (before, target) = (at(5, MemberState::Unknown, &[1], &[]), parts(&[1]));
        let go = |owned: Option<&Partitions>| {
            let is_held = &|_, _| false;
            next(&before, &Goal { target_epoch: 6, target: &target, is_held, owned })
        };
        assert_eq!(go(None), Err(MustRejoin));
        assert_eq!(go(Some(&parts(&[1]))), Err(MustRejoin));
        assert_eq!(go(Some(&Partitions::new())).map(|now| now.epoch), Ok(6));
    }
}
