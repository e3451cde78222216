//! Who of a group gets which partitions: each topic's in contiguous shares, or all in turn. Knows
//! nothing of how members meet. See Kafka's `RangeAssignor` and `RoundRobinAssignor`.

use std::collections::BTreeMap;

use protocol::ids::TopicPartition;

/// How a group shares out its partitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Assignor {
    #[default]
    Range,
    RoundRobin,
}

/// Each member's topics, and each topic's number of partitions.
type Subscriptions = BTreeMap<String, Vec<String>>;
type Counts = BTreeMap<String, i32>;
type Shares = BTreeMap<String, Vec<TopicPartition>>;

impl Assignor {
    /// By the class that Kafka's consumers name, with or without its package.
    pub fn of_class(name: &str) -> Option<Assignor> {
        match name.trim().rsplit('.').next() {
            Some("RangeAssignor") => Some(Assignor::Range),
            Some("RoundRobinAssignor") => Some(Assignor::RoundRobin),
            _ => None,
        }
    }

    /// As members name it to each other.
    pub fn name(self) -> &'static str {
        match self {
            Assignor::Range => "range",
            Assignor::RoundRobin => "roundrobin",
        }
    }

    /// Shares partitions among members, who are taken in the order of their ids.
    pub fn assign(self, subscriptions: &Subscriptions, partitions: &Counts) -> Shares {
        match self {
            Assignor::Range => assign_range(subscriptions, partitions),
            Assignor::RoundRobin => assign_round_robin(subscriptions, partitions),
        }
    }
}

/// One partition after the other to the next member that wants its topic.
fn assign_round_robin(subscriptions: &Subscriptions, partitions: &Counts) -> Shares {
    let mut shares: Shares =
        subscriptions.keys().map(|member| (member.clone(), Vec::new())).collect();
    let mut turns = subscriptions.iter().cycle();
    for (topic, count) in partitions {
        if !subscriptions.values().any(|topics| topics.contains(topic)) {
            continue;
        }
        for partition in 0..*count {
            let next = turns.find(|(_, topics)| topics.contains(topic));
            let (member, _) = next.expect("somebody wants it");
            let share = shares.get_mut(member).expect("every member has a share");
            share.push(TopicPartition::new(topic.clone(), partition));
        }
    }
    shares
}

/// Each topic's partitions in one piece per member; the first members take what is left over.
fn assign_range(subscriptions: &Subscriptions, partitions: &Counts) -> Shares {
    let mut shares: Shares =
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
    fn members_take_turns() {
        let topics = |names: &[&str]| names.iter().map(|n| n.to_string()).collect::<Vec<_>>();
        let subscriptions = BTreeMap::from([
            ("a".to_owned(), topics(&["t", "u"])),
            ("b".to_owned(), topics(&["t"])),
        ]);
        let partitions =
            BTreeMap::from([("t".to_owned(), 3), ("u".to_owned(), 2), ("v".to_owned(), 1)]);
        let shares = Assignor::RoundRobin.assign(&subscriptions, &partitions);
        let shown = |member: &str| {
            shares[member].iter().map(TopicPartition::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!((&*shown("a"), &*shown("b")), ("t-0 t-2 u-0 u-1", "t-1"));
    }

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
