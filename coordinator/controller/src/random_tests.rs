//! The controller under random events: brokers, topics, deletions, reassignments, ISR changes,
//! lost answers, new sessions and another controller. A failure prints the shortest list of acts
//! that fails and a seed, kept in `proptest-regressions`, with which the next run begins.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use protocol::ids::{BrokerId, TopicPartition};

use super::event::Event;
use super::isr::{AlterPartition, IsrChange, IsrMember, TopicKey};
use super::testbed::{CONTROLLER_SESSION, Testbed};
use metadata::store::{ANY_VERSION, CreateMode, Op};
use metadata::znodes::partition_state::{self, PartitionState};
use metadata::znodes::topic::{self, ReplicaAssignment, TopicAssignment};
use metadata::znodes::{controller, controller_epoch, delete_topics};

const BROKERS: std::ops::RangeInclusive<BrokerId> = 1..=4;
const TOPICS: [&str; 3] = ["t0", "t1", "t2"];
const PARTITIONS: i32 = 3;

/// Of another broker, which is controller for a while.
const OTHER_SESSION: i64 = 99;

#[derive(Debug, Clone)]
enum Act {
    Register(BrokerId),
    Unregister(BrokerId),
    Shutdown(BrokerId),
    Topic(usize, Vec<Vec<BrokerId>>),
    Delete(usize),
    /// The leader asks for an ISR of those assigned replicas that are up, or of itself alone.
    Isr(usize, i32, bool),
    Reassign(usize, i32, Option<Vec<BrokerId>>),
    Elect(usize, i32),
    NewSession,
    /// These go and come back while nobody is controller.
    BounceUnseen(Vec<BrokerId>),
    /// Another becomes controller and this one is not told.
    Depose,
    LoseAnswers(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let ids: Vec<BrokerId> = BROKERS.collect();
    let replicas = proptest::sample::subsequence(ids, 1..=3).prop_shuffle();
    let lists = proptest::collection::vec(replicas.clone(), 1..=PARTITIONS as usize);
    let (topic, partition) = (0..TOPICS.len(), 0..PARTITIONS);
    let act = prop_oneof![
        6 => BROKERS.prop_map(Act::Register),
        4 => BROKERS.prop_map(Act::Unregister),
        1 => BROKERS.prop_map(Act::Shutdown),
        4 => (topic.clone(), lists).prop_map(|(t, lists)| Act::Topic(t, lists)),
        1 => topic.clone().prop_map(Act::Delete),
        6 => (topic.clone(), partition.clone(), any::<bool>())
            .prop_map(|(t, p, all)| Act::Isr(t, p, all)),
        5 => (topic.clone(), partition.clone(), proptest::option::weighted(0.8, replicas))
            .prop_map(|(t, p, target)| Act::Reassign(t, p, target)),
        1 => (topic, partition).prop_map(|(t, p)| Act::Elect(t, p)),
        2 => Just(Act::NewSession),
        2 => proptest::sample::subsequence(BROKERS.collect::<Vec<_>>(), 1..=3)
            .prop_map(Act::BounceUnseen),
        1 => Just(Act::Depose),
        1 => (1..5usize).prop_map(Act::LoseAnswers),
    ];
    proptest::collection::vec(act, 1..60)
}

struct World {
    bed: Testbed,
    up: BTreeSet<BrokerId>,
    stopping: BTreeSet<BrokerId>,
    /// The last state written of each partition.
    states: BTreeMap<TopicPartition, PartitionState>,
    /// What the tree held below the topics when another became controller.
    deposed: Option<Vec<(String, Option<bytes::Bytes>)>>,
}

impl World {
    fn new() -> World {
        let mut bed = Testbed::new();
        bed.start();
        let (up, stopping, states) = Default::default();
        World { bed, up, stopping, states, deposed: None }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Register(id) => self.register(id),
            Act::Unregister(id) => self.unregister(id),
            Act::Shutdown(broker) if self.up.contains(&broker) => {
                self.stopping.insert(broker);
                let broker_epoch = self.bed.epoch_of(broker);
                self.bed.event(Event::ControlledShutdown { ticket: 0, broker, broker_epoch });
            }
            Act::Shutdown(_) => {}
            Act::Topic(t, lists) => {
                // Another controller's are not this test's.
                let there = self.bed.tree.node(&topic::path(TOPICS[t])).is_some();
                if !there && self.deposed.is_none() {
                    let join = |list: &Vec<BrokerId>| {
                        list.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
                    };
                    let lists: Vec<_> = lists.iter().map(join).collect();
                    self.bed.write_topic(TOPICS[t], &lists.join(";"));
                }
            }
            Act::Delete(t) => self.bed.mark_deleted(TOPICS[t]),
            Act::Isr(t, p, all) => self.change_isr(&TopicPartition::new(TOPICS[t], p), all),
            Act::Reassign(t, p, target) => {
                let targets = BTreeMap::from([(TopicPartition::new(TOPICS[t], p), target)]);
                self.bed.event(Event::AlterReassignments { ticket: 0, targets });
            }
            Act::Elect(t, p) => {
                let partitions = BTreeSet::from([TopicPartition::new(TOPICS[t], p)]);
                self.bed.event(Event::ElectLeaders { ticket: 0, partitions, unclean: false });
            }
            Act::NewSession => self.new_session(&[]),
            Act::BounceUnseen(ids) => self.new_session(&ids),
            Act::Depose => self.depose(),
            Act::LoseAnswers(n) => self.bed.lose_answers = n,
        }
    }

    fn register(&mut self, id: BrokerId) {
        if self.up.insert(id) {
            self.bed.register(id);
        }
    }

    fn unregister(&mut self, id: BrokerId) {
        if self.up.remove(&id) {
            self.stopping.remove(&id);
            self.bed.unregister(id);
        }
    }

    fn change_isr(&mut self, tp: &TopicPartition, all: bool) {
        let (Some(state), Some(a)) = (self.bed.state(&tp.topic, tp.partition), self.assignment(tp))
        else {
            return;
        };
        if !self.up.contains(&state.leader) {
            return;
        }
        let wanted = |id: &BrokerId| {
            *id == state.leader || all && (self.up.contains(id) || state.isr.contains(id))
        };
        let mut isr: Vec<_> = state.isr.iter().copied().filter(wanted).collect();
        let joining = a.replicas.iter().copied().filter(|id| wanted(id) && !state.isr.contains(id));
        isr.extend(joining);
        let member = |broker| IsrMember { broker, broker_epoch: None };
        let version = self.bed.tree.node(&partition_state::path(tp)).expect("a state").version;
        let change = IsrChange {
            partition: tp.partition,
            leader_epoch: state.leader_epoch,
            isr: isr.into_iter().map(member).collect(),
            recovering: false,
            partition_epoch: version,
        };
        let (broker, broker_epoch) = (state.leader, self.bed.epoch_of(state.leader));
        let topics = vec![(TopicKey::Name(tp.topic.clone()), vec![change])];
        let request = AlterPartition { broker, broker_epoch, topics };
        self.bed.event(Event::AlterPartition { ticket: 0, request });
    }

    fn assignment(&self, tp: &TopicPartition) -> Option<ReplicaAssignment> {
        let node = self.bed.tree.node(&topic::path(&tp.topic))?;
        let found = TopicAssignment::decode(&tp.topic, node.data.as_deref()).expect("a topic");
        found.partitions.get(&tp.partition).cloned()
    }

    fn delete_controller(&mut self) {
        let path = controller::PATH.to_owned();
        let gone = Op::Delete { path, version: ANY_VERSION };
        let _ = self.bed.apply(CONTROLLER_SESSION, &gone);
    }

    fn new_session(&mut self, bounced: &[BrokerId]) {
        self.bed.event(Event::SessionExpired);
        self.delete_controller();
        let bounced: Vec<_> = bounced.iter().copied().filter(|id| self.up.contains(id)).collect();
        self.bed.bounce(&bounced);
        self.stopping.retain(|id| !bounced.contains(id));
        self.bed.forget_events();
        self.deposed = None;
        let before = self.counted_on();
        self.bed.start();
        for (tp, (returned, somebody_stayed)) in before {
            let Some(state) = self.bed.state(&tp.topic, tp.partition) else { continue };
            let trusted = state.isr.iter().any(|id| returned.contains(id));
            assert!(!somebody_stayed || !trusted, "{tp}: {returned:?} have returned: {state:?}");
        }
    }

    /// Of each partition, the members of its ISR that registered after its state was written, and
    /// whether some live member did not.
    fn counted_on(&self) -> BTreeMap<TopicPartition, (Vec<BrokerId>, bool)> {
        let of = |tp: TopicPartition| {
            let state = self.bed.state(&tp.topic, tp.partition)?;
            let assigned = self.assignment(&tp)?.replicas;
            let written = self.bed.tree.node(&partition_state::path(&tp))?.mzxid;
            let live = state.isr.into_iter().filter(|id| self.up.contains(id));
            let (returned, stayed): (Vec<_>, Vec<_>) =
                live.partition(|id| self.bed.epoch_of(*id) > written);
            let somebody_stayed = stayed.iter().any(|id| assigned.contains(id));
            Some((tp, (returned, somebody_stayed)))
        };
        let named = |name: &'static str| (0..PARTITIONS).map(move |p| TopicPartition::new(name, p));
        TOPICS.into_iter().flat_map(named).filter_map(of).collect()
    }

    fn depose(&mut self) {
        if self.deposed.is_some() {
            return;
        }
        self.delete_controller();
        self.bed.tree.open_session(OTHER_SESSION);
        let (path, data) = (controller::PATH.to_owned(), Some(controller::encode(9, 0)));
        let mode = CreateMode::Persistent;
        self.bed.apply(OTHER_SESSION, &Op::Create { path, data, mode }).expect("elected");
        let data = Some(controller_epoch::encode(self.bed.controller_epoch() + 1));
        let (path, version) = (controller_epoch::PATH.to_owned(), ANY_VERSION);
        self.bed.apply(OTHER_SESSION, &Op::Set { path, data, version }).expect("elected");
        self.bed.forget_events();
        self.deposed = Some(self.below_topics());
    }

    fn below_topics(&self) -> Vec<(String, Option<bytes::Bytes>)> {
        let nodes = self.bed.tree.nodes();
        nodes
            .filter(|(path, _)| path.starts_with(topic::TOPICS_PATH))
            .map(|(path, node)| (path.to_string(), node.data.clone()))
            .collect()
    }

    fn check(&mut self) {
        let epoch = self.bed.controller_epoch();
        for written in self.bed.take_states() {
            let (tp, state) = (written.tp, written.state);
            assert!(written.fenced, "{tp}: written without a check");
            assert!(state.controller_epoch <= epoch, "{tp}: by a controller of this time");
            assert!(!state.isr.is_empty(), "{tp}: an ISR never empties");
            assert!(state.leader == -1 || state.isr.contains(&state.leader), "{tp}: {state:?}");
            assert!(!state.recovering, "{tp}: nothing unclean was allowed");
            if let Some(before) = self.states.get(&tp)
                && state.leader_epoch > 0
            {
                assert!(state.leader_epoch >= before.leader_epoch, "{tp}: epochs only grow");
                assert!(state.controller_epoch >= before.controller_epoch, "{tp}: epochs grow");
                let clean = state.leader == -1 || before.isr.contains(&state.leader);
                assert!(clean, "{tp}: {} was not in sync: {before:?}", state.leader);
                let led_anew = state.leader != before.leader;
                assert!(!led_anew || state.leader_epoch > before.leader_epoch, "{tp}: one leader");
            }
            self.states.insert(tp, state);
        }
        if let Some(before) = &self.deposed {
            assert_eq!(before, &self.below_topics(), "a deposed controller changes nothing");
        }
    }

    /// Every broker is up, every replica catches up: everything comes to its end.
    fn settle(&mut self) {
        self.bed.lose_answers = 0;
        if self.deposed.is_some() {
            self.new_session(&[]);
        }
        for id in BROKERS {
            if self.stopping.contains(&id) {
                self.unregister(id);
            }
            self.register(id);
        }
        for _ in 0..3 {
            for name in TOPICS {
                for partition in 0..PARTITIONS {
                    self.change_isr(&TopicPartition::new(name, partition), true);
                }
            }
        }
        self.check();
        for name in TOPICS {
            let mark = self.bed.tree.node(&delete_topics::path(name));
            assert!(mark.is_none(), "{name} is deleted");
            for partition in 0..PARTITIONS {
                let tp = TopicPartition::new(name, partition);
                let Some(assignment) = self.assignment(&tp) else { continue };
                assert!(!assignment.is_being_reassigned(), "{tp}: {assignment:?}");
                let state = self.bed.state(name, partition).expect("a state");
                assert!(state.leader >= 0, "{tp} has a leader: {state:?}");
                let ids = |list: &[BrokerId]| list.iter().copied().collect::<BTreeSet<_>>();
                assert_eq!(ids(&state.isr), ids(&assignment.replicas), "{tp}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn nothing_is_lost(acts in acts()) {
        let mut world = World::new();
        for act in acts {
            world.act(act);
            world.check();
        }
        world.settle();
    }
}
