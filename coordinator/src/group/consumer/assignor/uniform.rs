//! As many partitions for everyone as for everyone else, moving as few as possible. Knows nothing
//! of racks, as Kafka 3.9's.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol::ids::Uuid;

use super::super::super::Name;
use super::super::Partitions;
use super::{MemberSpec, Spec};

/// Times that all partitions are looked at for one that should move. Each move makes the loads more
/// even, so it ends by itself; this bounds the work of one heartbeat.
const PASSES_MAX: usize = 16;

type Partition = (Uuid, i32);

pub(super) fn assign(spec: &Spec<'_>) -> BTreeMap<Name, Partitions> {
    let given = if spec.is_homogeneous() { even(spec) } else { uneven(spec) };
    let ids = spec.members.keys();
    ids.zip(given).map(|(id, partitions)| ((*id).clone(), partitions)).collect()
}

/// What of its former target the member may keep: topics that it still wants, partitions that
/// exist, and of which nobody was before it.
fn keepable(
    spec: &Spec<'_>,
    member: &MemberSpec<'_>,
    free: &BTreeSet<Partition>,
) -> Vec<Partition> {
    let wanted = member.target.iter().filter(|(topic, _)| member.topics.contains(topic));
    wanted
        .flat_map(|(topic, partitions)| partitions.iter().map(|partition| (*topic, *partition)))
        .filter(|partition| spec.topics.contains_key(&partition.0) && free.contains(partition))
        .collect()
}

fn all_partitions(spec: &Spec<'_>) -> BTreeSet<Partition> {
    let of = |(topic, count): (&Uuid, &i32)| {
        let topic = *topic;
        (0..*count).map(move |partition| (topic, partition))
    };
    spec.topics.iter().flat_map(of).collect()
}

fn insert(target: &mut Partitions, (topic, partition): Partition) {
    target.entry(topic).or_default().insert(partition);
}

/// Everybody wants the same: shares that differ by one at most, in linear time.
fn even(spec: &Spec<'_>) -> Vec<Partitions> {
    let wanted = spec.members.values().next().map(|member| &member.topics);
    let mut free = all_partitions(spec);
    free.retain(|(topic, _)| wanted.is_some_and(|wanted| wanted.contains(topic)));
    let (share, mut extra) = (free.len() / spec.members.len(), free.len() % spec.members.len());
    let mut given = vec![Partitions::new(); spec.members.len()];
    let mut counts = vec![0; spec.members.len()];
    for (index, member) in spec.members.values().enumerate() {
        let kept = keepable(spec, member, &free);
        // Those who have more already are the ones to have one more.
        let may = share + usize::from(extra > 0);
        let takes_extra = kept.len() >= may && may > share;
        extra -= usize::from(takes_extra);
        for partition in kept.into_iter().take(may) {
            free.remove(&partition);
            insert(&mut given[index], partition);
            counts[index] += 1;
        }
    }
    // Round and round, so that the partitions of one topic are spread.
    let mut hungry: VecDeque<usize> = (0..given.len()).filter(|i| counts[*i] < share).collect();
    let mut sated: VecDeque<usize> = (0..given.len()).filter(|i| counts[*i] == share).collect();
    for partition in free {
        let next = hungry.pop_front().or_else(|| sated.pop_front());
        let index = next.expect("the shares together are all partitions");
        insert(&mut given[index], partition);
        counts[index] += 1;
        match counts[index].cmp(&share) {
            std::cmp::Ordering::Less => hungry.push_back(index),
            std::cmp::Ordering::Equal => sated.push_back(index),
            std::cmp::Ordering::Greater => {}
        }
    }
    given
}

/// Members want different topics: the rarest partitions first, each to whoever has least, and then
/// from the rich to the poor as long as that evens out.
fn uneven(spec: &Spec<'_>) -> Vec<Partitions> {
    let mut takers: BTreeMap<Uuid, Vec<usize>> = BTreeMap::new();
    for (index, member) in spec.members.values().enumerate() {
        for topic in &member.topics {
            takers.entry(*topic).or_default().push(index);
        }
    }
    let mut free = all_partitions(spec);
    free.retain(|(topic, _)| takers.contains_key(topic));
    let mut owners: BTreeMap<Partition, usize> = BTreeMap::new();
    let mut loads = vec![0_usize; spec.members.len()];
    for (index, member) in spec.members.values().enumerate() {
        for partition in keepable(spec, member, &free) {
            free.remove(&partition);
            owners.insert(partition, index);
            loads[index] += 1;
        }
    }
    let poorest = |topic: &Uuid, loads: &[usize]| {
        takers[topic].iter().copied().min_by_key(|index| loads[*index]).expect("somebody wants it")
    };
    let mut rest: Vec<Partition> = free.into_iter().collect();
    rest.sort_by_key(|partition| (takers[&partition.0].len(), *partition));
    for partition in rest {
        let index = poorest(&partition.0, &loads);
        owners.insert(partition, index);
        loads[index] += 1;
    }
    for _ in 0..PASSES_MAX {
        let mut moved = false;
        for (partition, owner) in &mut owners {
            let poor = poorest(&partition.0, &loads);
            if loads[*owner] > loads[poor] + 1 {
                loads[*owner] -= 1;
                loads[poor] += 1;
                *owner = poor;
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    let mut given = vec![Partitions::new(); spec.members.len()];
    for (partition, owner) in owners {
        insert(&mut given[owner], partition);
    }
    given
}
