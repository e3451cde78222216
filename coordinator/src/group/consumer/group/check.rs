//! What must hold of a group of the new protocol after every step, whatever its members ask for and
//! whatever stands in the log. Knows nothing of how the group changes.

use std::collections::BTreeMap;

use super::{ConsumerGroup, Key, Name};

impl ConsumerGroup {
    /// How much there is to look at.
    pub(in super::super::super) fn check_cost(&self) -> usize {
        let (members, owners) = (self.members.len(), self.owners.len());
        4 * members + 2 * owners + self.subscriptions.len() + self.unwritten.0.len()
    }

    /// Not that a partition has one owner and an instance one member only: records in the log may
    /// say otherwise.
    #[track_caller]
    pub(in super::super::super) fn check(&self, group: &Name) {
        for (instance_id, id) in &self.static_members {
            let is_it = self.members.get(id).is_some_and(|member| {
                member.subscription.instance_id.as_ref() == Some(instance_id)
            });
            assert!(is_it, "{id} of group {group} is not of instance {instance_id}");
        }
        for ((topic, partition), id) in &self.owners {
            let holds = self.members.get(id).is_some_and(|member| {
                let (assigned, revoking) = (&member.current.assigned, &member.current.revoking);
                let mut both = [assigned, revoking].into_iter().filter_map(|all| all.get(topic));
                both.any(|partitions| partitions.contains(partition))
            });
            assert!(holds, "{id} of group {group} has no partition {partition} of topic {topic}");
        }
        for id in self.targets.keys() {
            assert!(self.members.contains_key(id), "{id} of group {group} has a target alone");
        }
        self.check_subscriptions(group);
        for key in &self.unwritten.0 {
            let (id, is_member) = match key {
                Key::Member(id) | Key::Target(id) | Key::Current(id) => (id, true),
                Key::EndOfMember(id) | Key::EndOfTarget(id) | Key::EndOfCurrent(id) => (id, false),
                Key::EndOfClassic | Key::Topics | Key::Epoch | Key::TargetEpoch => continue,
            };
            let found = self.members.contains_key(id);
            assert_eq!(is_member, found, "{key:?} of group {group} is to be written");
        }
    }

    #[track_caller]
    fn check_subscriptions(&self, group: &Name) {
        let mut topics: BTreeMap<&String, usize> = BTreeMap::new();
        let mut patterns: BTreeMap<&String, usize> = BTreeMap::new();
        for (id, member) in &self.members {
            assert_eq!(id, &member.id, "a member's key and id in group {group}");
            for topic in &member.subscription.topics {
                *topics.entry(topic).or_default() += 1;
            }
            if let Some(regex) = &member.subscription.regex {
                *patterns.entry(regex).or_default() += 1;
            }
        }
        assert!(
            self.subscriptions.iter().eq(topics.iter().map(|(topic, count)| (*topic, count))),
            "members of group {group} by topic: {:?} by the count, {topics:?} found",
            self.subscriptions
        );
        let counted = self.patterns.iter().map(|(regex, pattern)| (regex, pattern.members));
        assert!(
            counted.eq(patterns.iter().map(|(regex, count)| (*regex, *count))),
            "members of group {group} by pattern: {:?} by the count, {patterns:?} found",
            self.patterns
        );
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::super::{ConsumerMember, Current, Subscription};
    use super::*;
    use protocol::ids::Uuid;

    const T: Uuid = Uuid([7; 16]);

    fn group() -> ConsumerGroup {
        let mut group = ConsumerGroup::default();
        let subscription = Subscription {
            instance_id: Some("i".into()),
            topics: ["t".to_owned()].into(),
            regex: Some("u.*".into()),
            ..Subscription::default()
        };
        let current = Current { assigned: [(T, [3].into())].into(), ..Current::default() };
        group.put(ConsumerMember { id: "m".into(), subscription, current });
        group.set_target(&"m".into(), [(T, [3, 4].into())].into());
        group.check(&"g".into());
        group
    }

    #[track_caller]
    fn broken(breaks: impl FnOnce(&mut ConsumerGroup)) {
        let mut group = group();
        breaks(&mut group);
        group.check(&"g".into());
    }

    #[test]
    #[should_panic(expected = "m of group g is not of instance j")]
    fn an_instance_is_another_one() {
        broken(|group| drop(group.static_members.insert("j".into(), "m".into())));
    }

    #[test]
    #[should_panic(expected = "m of group g has no partition 4 of topic")]
    fn a_partition_is_not_held() {
        broken(|group| drop(group.owners.insert((T, 4), "m".into())));
    }

    #[test]
    #[should_panic(expected = "n of group g has a target alone")]
    fn a_target_of_nobody() {
        broken(|group| drop(group.targets.insert("n".into(), Default::default())));
    }

    #[test]
    #[should_panic(
        expected = "members of group g by topic: {\"t\": 2} by the count, {\"t\": 1} found"
    )]
    fn subscriptions_are_miscounted() {
        broken(|group| *group.subscriptions.get_mut("t").expect("it is there") += 1);
    }

    #[test]
    #[should_panic(expected = "members of group g by pattern")]
    fn patterns_are_miscounted() {
        broken(|group| group.patterns.get_mut("u.*").expect("it is there").members += 1);
    }

    #[test]
    #[should_panic(expected = "Current(\"n\") of group g is to be written")]
    fn what_nobody_has_is_written() {
        broken(|group| group.changed(Key::Current("n".into())));
    }

    #[test]
    #[should_panic(expected = "EndOfMember(\"m\") of group g is to be written")]
    fn the_end_of_a_member_is_written() {
        broken(|group| group.changed(Key::EndOfMember("m".into())));
    }
}
