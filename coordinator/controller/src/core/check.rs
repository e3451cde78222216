//! What must hold of the controller's memory after every event, whatever the store and the brokers
//! say. Knows nothing of how it changes.

use std::ops::Bound;

use protocol::ids::BrokerId;

use super::super::state::PartitionPhase;
use super::{Core, REST_MAX_MS, REST_MS};

/// Partitions that are looked at after each event; the others have their turn after the next ones.
const PARTITIONS_PER_EVENT: usize = 256;

impl Core {
    /// Not that ISRs are among the replicas, that leaders are in ISRs, or that an epoch grows:
    /// whoever writes on the nodes may say otherwise.
    #[track_caller]
    pub(super) fn check(&mut self) {
        if !cfg!(debug_assertions) {
            return;
        }
        assert!(self.batch.is_empty(), "an event has left requests unsent: {:?}", self.batch);
        assert!(
            (REST_MS..=REST_MAX_MS).contains(&self.rest_ms),
            "the pause before the next look is {} ms",
            self.rest_ms
        );
        if self.leading {
            let own = self.settings.broker_id;
            assert_eq!(self.controller, Some(own), "the controller, as the controller knows it");
            assert!(self.session_id != 0, "the controller has no session");
        } else {
            self.check_not_leading();
        }
        self.check_brokers();
        let cluster = &self.cluster;
        for name in &cluster.unreadable {
            let known = cluster.topics.contains_key(name);
            assert!(!known, "topic {name} is known and cannot be read");
        }
        self.check_partitions();
    }

    /// Whoever is not controller knows nothing that could be old when it is elected.
    #[track_caller]
    fn check_not_leading(&self) {
        let cluster = &self.cluster;
        let (brokers, topics) = (cluster.brokers.len(), cluster.topics.len());
        assert!(
            brokers + topics + cluster.unreadable.len() == 0,
            "{brokers} brokers and {topics} topics are known without the office"
        );
        assert!(
            self.next_rebalance_ms.is_none(),
            "leaderships are to be balanced without the office"
        );
    }

    /// What is known of a broker goes with it.
    #[track_caller]
    fn check_brokers(&self) {
        let cluster = &self.cluster;
        let is_known = |id: &BrokerId| cluster.brokers.contains_key(id);
        for id in &cluster.shutting_down {
            assert!(is_known(id), "broker {id} is about to stop, and is gone already");
        }
        for id in cluster.offline_dirs.keys() {
            assert!(is_known(id), "broker {id} has failed directories, and is gone already");
        }
    }

    #[track_caller]
    fn check_partitions(&mut self) {
        let (first, partition) = self.check_from.take().unwrap_or_default();
        let mut left = PARTITIONS_PER_EVENT;
        let from_first = (Bound::Included(first.as_str()), Bound::Unbounded);
        for (name, topic) in self.cluster.topics.range::<str, _>(from_first) {
            assert!(
                !(topic.queued_for_deletion && topic.deletion_waits),
                "topic {name} is being deleted, and waits to be"
            );
            let from = if *name == first { partition } else { i32::MIN };
            for (index, partition) in topic.partitions.range(from..) {
                if left == 0 {
                    self.check_from = Some((name.clone(), *index));
                    return;
                }
                left -= 1;
                assert!(
                    partition.phase != PartitionPhase::Online || partition.leadership.is_some(),
                    "partition {name}-{index} is online and was never led"
                );
            }
        }
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::super::super::state::{Broker, Partition, Topic};
    use super::super::super::step::{Io, Settings};
    use super::super::super::testbed::registration;
    use super::*;

    /// A controller with broker 1 and a topic of 600 partitions.
    fn controller() -> Core {
        let mut core = Core::new(Io::default(), Settings::new(1, "PLAINTEXT"), 0);
        core.check();
        core.leading = true;
        core.session_id = 1;
        core.controller = Some(1);
        let broker = Broker { epoch: 1, registration: registration(1) };
        core.cluster.brokers.insert(1, broker);
        let partitions = (0..600).map(|index| (index, Partition::default()));
        let topic = Topic { partitions: partitions.collect(), ..Topic::default() };
        core.cluster.topics.insert("t".to_owned(), topic);
        core.check();
        core
    }

    #[track_caller]
    fn broken(breaks: impl FnOnce(&mut Core)) {
        let mut core = controller();
        breaks(&mut core);
        core.check();
    }

    #[test]
    #[should_panic(expected = "an event has left requests unsent")]
    fn a_request_is_not_sent() {
        broken(|core| {
            let Core { batch, cluster, .. } = core;
            batch.update_metadata(cluster, [1], []);
        });
    }

    #[test]
    #[should_panic(expected = "the pause before the next look is 0 ms")]
    fn a_failure_is_tried_again_at_once() {
        broken(|core| core.rest_ms = 0);
    }

    #[test]
    #[should_panic(expected = "the controller, as the controller knows it")]
    fn another_is_controller() {
        broken(|core| core.controller = Some(2));
    }

    #[test]
    #[should_panic(expected = "the controller has no session")]
    fn an_office_without_a_session() {
        broken(|core| core.session_id = 0);
    }

    #[test]
    #[should_panic(expected = "1 brokers and 1 topics are known without the office")]
    fn memory_outlives_the_office() {
        broken(|core| core.leading = false);
    }

    #[test]
    #[should_panic(expected = "leaderships are to be balanced without the office")]
    fn balance_outlives_the_office() {
        let mut core = Core::new(Io::default(), Settings::new(1, "PLAINTEXT"), 0);
        core.next_rebalance_ms = Some(5);
        core.check();
    }

    #[test]
    #[should_panic(expected = "broker 2 is about to stop, and is gone already")]
    fn who_is_about_to_stop_is_gone() {
        broken(|core| _ = core.cluster.shutting_down.insert(2));
    }

    #[test]
    #[should_panic(expected = "broker 2 has failed directories, and is gone already")]
    fn whose_directories_failed_is_gone() {
        broken(|core| drop(core.cluster.offline_dirs.insert(2, Default::default())));
    }

    #[test]
    #[should_panic(expected = "topic t is known and cannot be read")]
    fn a_topic_is_known_and_is_not() {
        broken(|core| _ = core.cluster.unreadable.insert("t".to_owned()));
    }

    #[test]
    #[should_panic(expected = "topic t is being deleted, and waits to be")]
    fn a_deletion_waits_for_itself() {
        broken(|core| {
            let topic = core.cluster.topics.get_mut("t").expect("it is there");
            (topic.queued_for_deletion, topic.deletion_waits) = (true, true);
        });
    }

    #[test]
    fn every_partition_has_its_turn() {
        let mut core = controller();
        let topic = core.cluster.topics.get_mut("t").expect("it is there");
        topic.partitions.get_mut(&599).expect("it is there").phase = PartitionPhase::Online;
        core.check_from = None;
        core.check();
        assert_eq!(core.check_from, Some(("t".to_owned(), 256)));
        core.check();
        assert_eq!(core.check_from, Some(("t".to_owned(), 512)));
        let last = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| core.check()));
        let told = last.expect_err("the last one is broken");
        let told = told.downcast_ref::<String>().expect("a message");
        assert_eq!(told, "partition t-599 is online and was never led");
    }
}
