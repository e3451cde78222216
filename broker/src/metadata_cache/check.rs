//! What must hold of a snapshot after every update, whatever the controller says. Knows nothing of
//! how updates are taken over.

use super::Snapshot;

impl Snapshot {
    /// `before`: the one that the update of the topics `named` was made on. Not that each id leads
    /// to its topic: two topics may have been given one id.
    #[track_caller]
    pub(super) fn check<'a>(&self, before: &Snapshot, named: impl Iterator<Item = &'a str>) {
        if !cfg!(debug_assertions) {
            return;
        }
        assert_eq!(self.version, before.version + 1, "the number of updates after one more");
        for (id, broker) in &self.brokers {
            assert_eq!(*id, broker.id, "a broker's key and id");
        }
        let (ids, topics) = (self.ids.len(), self.topics.len());
        assert!(ids <= topics, "{ids} topic ids lead to {topics} topics");
        for name in named {
            self.check_topic(name);
            if let Some(former) = before.topic(name) {
                let led_to = self.ids.get(&former.id).map(|name| &**name);
                let id = self.topic(name).map(|topic| topic.id);
                assert!(
                    led_to != Some(name) || id == Some(former.id),
                    "the former id {} of topic {name} still leads to it",
                    former.id
                );
            }
        }
    }

    #[track_caller]
    fn check_topic(&self, name: &str) {
        let Some(topic) = self.topic(name) else { return };
        assert_eq!(name, &*topic.name, "a topic's key and name");
        assert!(!topic.partitions.is_empty(), "topic {name} has no partitions");
        for (index, partition) in &topic.partitions {
            assert_eq!(*index, partition.index, "a partition's key and index in topic {name}");
        }
        if topic.id.is_zero() {
            let led_to = self.ids.get(&topic.id);
            assert!(led_to.is_none(), "no topic id leads to topic {led_to:?}");
        } else if let Some(other) = self.topic_by_id(topic.id) {
            assert_eq!(other.id, topic.id, "an id of topic {} that leads to it", other.name);
        } else {
            let led_to = self.ids.get(&topic.id);
            assert!(led_to.is_none(), "id {} leads to topic {led_to:?}, which is gone", topic.id);
        }
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use protocol::ids::Uuid;

    use super::super::{LiveBroker, PartitionMetadata, TopicMetadata};
    use super::*;

    const ID: Uuid = Uuid([1; 16]);

    fn topic(id: Uuid, partitions: &[i32]) -> Arc<TopicMetadata> {
        let partition = |index: &i32| {
            let partition = PartitionMetadata {
                index: *index,
                leader: 1,
                leader_epoch: 1,
                isr: vec![1],
                replicas: vec![1],
                offline_replicas: vec![],
            };
            (*index, partition)
        };
        let partitions = partitions.iter().map(partition).collect();
        Arc::new(TopicMetadata { name: "t".into(), id, partitions })
    }

    fn broken(breaks: impl FnOnce(&mut Snapshot)) {
        let before = Snapshot::default();
        let mut snapshot = Snapshot { version: 1, ..Snapshot::default() };
        snapshot.brokers.insert(1, LiveBroker { id: 1, listeners: vec![], rack: None });
        snapshot.topics.insert("t".into(), topic(ID, &[0, 1]));
        snapshot.ids.insert(ID, "t".into());
        snapshot.check(&before, ["t", "gone"].into_iter());
        breaks(&mut snapshot);
        snapshot.check(&before, ["t", "gone"].into_iter());
    }

    #[test]
    #[should_panic(expected = "the number of updates after one more")]
    fn an_update_does_not_count() {
        broken(|snapshot| snapshot.version = 0);
    }

    #[test]
    #[should_panic(expected = "a broker's key and id")]
    fn a_broker_stands_under_another_id() {
        broken(|snapshot| snapshot.brokers.get_mut(&1).expect("it is there").id = 2);
    }

    #[test]
    #[should_panic(expected = "2 topic ids lead to 1 topics")]
    fn an_id_is_left_over() {
        broken(|snapshot| drop(snapshot.ids.insert(Uuid([2; 16]), "t".into())));
    }

    #[test]
    #[should_panic(expected = "topic t has no partitions")]
    fn a_topic_without_partitions() {
        broken(|snapshot| drop(snapshot.topics.insert("t".into(), topic(ID, &[]))));
    }

    #[test]
    #[should_panic(expected = "a partition's key and index in topic t")]
    fn a_partition_stands_under_another_index() {
        broken(|snapshot| {
            let of: &TopicMetadata = &topic(ID, &[0, 1]);
            let keys = of.partitions.values().cloned().map(|p| (p.index + 1, p));
            let partitions: BTreeMap<_, _> = keys.collect();
            let moved = TopicMetadata { partitions, ..of.clone() };
            snapshot.topics.insert("t".into(), Arc::new(moved));
        });
    }

    #[test]
    #[should_panic(expected = "leads to topic Some(\"gone\"), which is gone")]
    fn an_id_leads_to_a_topic_that_is_gone() {
        broken(|snapshot| drop(snapshot.ids.insert(ID, "gone".into())));
    }

    #[test]
    #[should_panic(expected = "no topic id leads to topic Some(\"t\")")]
    fn no_id_leads_to_a_topic() {
        broken(|snapshot| {
            snapshot.topics.insert("t".into(), topic(Uuid::ZERO, &[0]));
            snapshot.ids = [(Uuid::ZERO, "t".into())].into();
        });
    }

    #[test]
    #[should_panic(expected = "still leads to it")]
    fn a_former_id_is_kept() {
        let mut before = Snapshot::default();
        before.topics.insert("t".into(), topic(ID, &[0]));
        let mut after = Snapshot { version: 1, ..before.clone() };
        after.topics.insert("t".into(), topic(Uuid([2; 16]), &[0]));
        after.ids = [(ID, "t".into())].into();
        after.check(&before, ["t"].into_iter());
    }
}
