//! Neighbouring partitions of each topic, as the classic range assignor divides them: topics with
//! as many partitions and the same members are divided alike, so that they can be joined. Knows
//! nothing of what members had before.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::Name;
use super::super::Partitions;
use super::Spec;

pub(super) fn assign(spec: &Spec<'_>) -> BTreeMap<Name, Partitions> {
    let mut targets: BTreeMap<Name, Partitions> =
        spec.members.keys().map(|id| ((*id).clone(), Partitions::new())).collect();
    // Static members first, by instance id, so that a new member id moves nothing.
    let mut members: Vec<_> = spec.members.iter().collect();
    members.sort_by_key(|(id, member)| {
        (member.instance_id.is_none(), member.instance_id.unwrap_or(""), **id)
    });
    for (topic, count) in &spec.topics {
        let wanting: Vec<_> =
            members.iter().filter(|(_, member)| member.topics.contains(topic)).collect();
        let (count, takers) = (usize::try_from(*count).unwrap_or(0), wanting.len());
        if takers == 0 {
            continue;
        }
        let (share, extra) = (count / takers, count % takers);
        let mut first = 0;
        for (index, (id, _)) in wanting.into_iter().enumerate() {
            let next = first + share + usize::from(index < extra);
            let range: BTreeSet<i32> = (first..next).map(|partition| partition as i32).collect();
            if let Some(target) = targets.get_mut(**id).filter(|_| !range.is_empty()) {
                target.insert(*topic, range);
            }
            first = next;
        }
    }
    targets
}
