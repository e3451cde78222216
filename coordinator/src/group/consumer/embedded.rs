//! What classic consumers say of themselves in JoinGroup and are told in SyncGroup: the protocol
//! that is nobody's but theirs until they share a group with members of the new one, or its
//! coordinator takes over the work of their leader (Kafka's `ConsumerProtocol`). Knows no groups.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use protocol::messages::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition,
};
use protocol::wire::{Message, Reader};

use super::Partitions;
use super::topics::{TopicInfo, TopicView};

/// The newest version of both; a later one is read as this one.
const NEWEST: i16 = 3;

/// What a member wants and has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    pub topics: BTreeSet<String>,
    /// Of topics that there are.
    pub owned: Partitions,
    pub rack_id: Option<String>,
}

/// Reads a member's metadata; `None` if it is no subscription.
pub(super) fn read_wish(metadata: &Bytes, view: &dyn TopicView) -> Option<Wish> {
    let said: ConsumerProtocolSubscription = read(metadata)?;
    Some(Wish {
        topics: said.topics.into_iter().collect(),
        owned: with_ids(said.owned_partitions, view),
        rack_id: said.rack_id.filter(|rack| !rack.is_empty()),
    })
}

/// Reads what a leader assigned to a member; `None` if that is no assignment. Nothing at all is an
/// empty one: so it is until a member's first SyncGroup.
pub(super) fn read_assignment(assignment: &Bytes, view: &dyn TopicView) -> Option<Partitions> {
    if assignment.is_empty() {
        return Some(Partitions::new());
    }
    let told: ConsumerProtocolAssignment = read(assignment)?;
    Some(with_ids(told.assigned_partitions, view))
}

/// An assignment in the version of the member's metadata; topics that are gone are left out.
pub(super) fn write_assignment(
    partitions: &Partitions,
    topics: &BTreeMap<String, TopicInfo>,
    metadata: &Bytes,
) -> Bytes {
    let named = |(name, topic): (&String, &TopicInfo)| {
        let partitions = partitions.get(&topic.id)?.iter().copied().collect();
        Some(TopicPartition { topic: name.clone(), partitions })
    };
    let assignment = ConsumerProtocolAssignment {
        assigned_partitions: topics.iter().filter_map(named).collect(),
        user_data: None,
    };
    let version = version(metadata).unwrap_or(0);
    assignment.encode_versioned(version).expect("topic names are short")
}

fn read<M: Message>(bytes: &Bytes) -> Option<M> {
    let version = version(bytes)?;
    let mut reader = Reader::for_frame(bytes.slice(2..));
    M::decode(&mut reader, version).ok()
}

fn version(bytes: &Bytes) -> Option<i16> {
    let version = i16::from_be_bytes(bytes.get(..2)?.try_into().ok()?);
    (version >= 0).then_some(version.min(NEWEST))
}

fn with_ids(named: Vec<TopicPartition>, view: &dyn TopicView) -> Partitions {
    let mut all = Partitions::new();
    for TopicPartition { topic, partitions } in named {
        if let Some(id) = view.id(&topic).filter(|_| !partitions.is_empty()) {
            all.entry(id).or_default().extend(partitions);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use protocol::ids::Uuid;

    use super::super::topics::TopicMap;
    use super::*;

    fn view() -> TopicMap {
        let info = |id| TopicInfo { id: Uuid([id; 16]), partitions: 4, racks: BTreeMap::new() };
        let topics = [("a", info(1)), ("b", info(2))];
        TopicMap {
            version: 1,
            topics: topics.into_iter().map(|(name, info)| (name.to_owned(), info)).collect(),
        }
    }

    fn named(topic: &str, partitions: &[i32]) -> TopicPartition {
        TopicPartition { topic: topic.to_owned(), partitions: partitions.to_vec() }
    }

    #[test]
    fn subscriptions_of_all_versions_are_read() {
        let said = ConsumerProtocolSubscription {
            topics: vec!["b".to_owned(), "a".to_owned()],
            owned_partitions: vec![named("a", &[1, 2]), named("gone", &[1]), named("b", &[])],
            rack_id: Some("r".to_owned()),
            ..Default::default()
        };
        let has = Partitions::from([(Uuid([1; 16]), BTreeSet::from([1, 2]))]);
        for version in 0..=3 {
            let bytes = said.encode_versioned(version).expect("a known version");
            let wish = read_wish(&bytes, &view()).expect("a subscription");
            assert_eq!(wish.topics.len(), 2);
            assert_eq!(wish.owned, if version > 0 { has.clone() } else { Partitions::new() });
            assert_eq!(wish.rack_id.is_some(), version == 3);
        }
        let mut later = said.encode_versioned(3).expect("a known version").to_vec();
        later[1] = 9;
        later.extend([1, 2, 3]);
        assert_eq!(read_wish(&later.into(), &view()).map(|wish| wish.owned), Some(has));
        for bad in [&b""[..], b"\0", b"\xff\xff\0\0\0\0\0\0\0\0", b"\0\x03\x7f\xff\xff\xff"] {
            assert_eq!(read_wish(&Bytes::from_static(bad), &view()), None, "{bad:?}");
        }
    }

    #[test]
    fn assignments_come_back_as_they_were() {
        let partitions = Partitions::from([
            (Uuid([1; 16]), BTreeSet::from([0, 3])),
            (Uuid([2; 16]), BTreeSet::from([1])),
        ]);
        let metadata = Bytes::from_static(b"\0\x01");
        let bytes = write_assignment(&partitions, &view().topics, &metadata);
        assert_eq!(&bytes[..2], b"\0\x01");
        assert_eq!(read_assignment(&bytes, &view()), Some(partitions.clone()));
        let mut fewer = view();
        fewer.topics.remove("a");
        let left = read_assignment(&bytes, &fewer).expect("an assignment");
        assert_eq!(left.len(), 1);
        assert_eq!(read_assignment(&Bytes::new(), &view()), Some(Partitions::new()));
        assert_eq!(read_assignment(&bytes.slice(..8), &view()), None);
    }
}
