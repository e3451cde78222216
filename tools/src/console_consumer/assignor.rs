//! The range assignor: each topic's partitions in contiguous shares. Knows nothing of how members
//! meet. See Kafka's `RangeAssignor`.

use std::collections::BTreeMap;

use protocol::ids::TopicPartition;

/// Shares partitions among members. `subscriptions` holds each member's topics, `partitions` each
/// topic's number of partitions; members are taken in the order of their ids.
pub fn assign_range(
    subscriptions: &BTreeMap<String, Vec<String>>,
    partitions: &BTreeMap<String, i32>,
) -> BTreeMap<String, Vec<TopicPartition>> {
    let mut shares: BTreeMap<String, Vec<TopicPartition>> =
        subscriptions.keys().map(|member| (member.clone(), Vec::new())).collect();
    for (topic, count) in partitions {
        let members: Vec<&String> = subscriptions
            .iter()
            .filter(|(_, topics)| topics.contains(topic))
            .map(|(member, _)| member)
            .collect();
        if members.is_empty() {
            continue;
        }
        let each = count / members.len() as i32;
        let more = count % members.len() as i32;
        let mut next = 0;
        for (i, member) in (0..).zip(members) {
            let take = each + i32::from(i < more);
            let share = (next..next + take).map(|p| TopicPartition::new(topic.clone(), p));
            shares.entry(member.clone()).or_default().extend(share);
            next += take;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_contiguous_and_the_first_members_take_the_rest() {
        let topics = |names: &[&str]| names.iter().map(|n| n.to_string()).collect::<Vec<_>>();
        let subscriptions = BTreeMap::from([
            ("a".to_owned(), topics(&["t", "u"])),
            ("b".to_owned(), topics(&["t"])),
            ("c".to_owned(), topics(&["t", "none"])),
        ]);
        let partitions = BTreeMap::from([("t".to_owned(), 5), ("u".to_owned(), 2)]);
        let shares = assign_range(&subscriptions, &partitions);
        let shown: Vec<String> = shares
            .iter()
            .map(|(m, ps)| {
                let ps: Vec<String> = ps.iter().map(TopicPartition::to_string).collect();
                format!("{m}: {}", ps.join(" "))
            })
            .collect();
        assert_eq!(shown, ["a: t-0 t-1 u-0 u-1", "b: t-2 t-3", "c: t-4"]);
    }
}
