//! Nodes that hold anything but what they should, whoever wrote it: a controller is elected all the
//! same, and goes on with everything else.

use bytes::Bytes;

use super::event::Event;
use super::testbed::{CONTROLLER_SESSION, Testbed};
use metadata::store::{ANY_VERSION, CreateMode, Op};
use metadata::znodes::topic::{self, TopicAssignment};
use metadata::znodes::{
    broker, config, controller, controller_epoch, delete_topics, feature, isr_change,
    log_dir_event, migration, partition_state, preferred_election, producer_ids, reassignment,
};

/// What a node may hold instead. `None`: null data.
fn shapes() -> Vec<Option<Bytes>> {
    let texts = [
        "",
        "null",
        "not JSON",
        "{",
        "[]",
        "7",
        r#""text""#,
        "{}",
        r#"{"version":99}"#,
        r#"{"version":"1","brokerid":"1","status":"1","features":[],"partitions":7,"config":[]}"#,
        r#"{"version":1,"partitions":[{"topic":7,"partition":"0"}],"isr":1,"broker":"1"}"#,
        r#"{"version":1,"partitions":null,"endpoints":null,"config":null,"isr":null}"#,
    ];
    let oversized = format!(r#"{{"version":1,"config":{{}},"more":"{}"}}"#, "x".repeat(900_000));
    let texts = texts.into_iter().map(Bytes::from).chain([oversized.into()]);
    std::iter::once(None).chain(texts.map(Some)).collect()
}

/// As if by an operator's shell.
fn scribble(bed: &mut Testbed, path: &str, data: Option<Bytes>) {
    let path = path.to_owned();
    let op = match bed.tree.node(&path) {
        Some(_) => Op::Set { path, data, version: ANY_VERSION },
        None => Op::Create { path, data, mode: CreateMode::Persistent },
    };
    bed.apply(CONTROLLER_SESSION, &op).expect("the parents are there");
}

fn remove(bed: &mut Testbed, path: &str) {
    let op = Op::Delete { path: path.to_owned(), version: ANY_VERSION };
    bed.apply(CONTROLLER_SESSION, &op).expect("it is there");
    bed.settle();
}

/// Brokers 1 to 3; the topics `well` and `victim` on 2 and 1.
fn leading() -> Testbed {
    let mut bed = Testbed::new();
    for id in [1, 2, 3] {
        bed.register(id);
    }
    bed.start();
    bed.write_topic("well", "2,1");
    bed.write_topic("victim", "2,1");
    bed.take_log();
    bed
}

fn state_path(topic: &str) -> String {
    format!("{}/0/state", partition_state::partitions_path(topic))
}

/// Everything that is not about the node goes on: elections, new topics, deletions.
fn goes_on(bed: &mut Testbed, what: &str) {
    let leads = |bed: &Testbed, topic: &str| bed.state(topic, 0).map(|state| state.leader);
    bed.unregister(2);
    assert_eq!(leads(bed, "well"), Some(1), "{what}: with 2 gone");
    bed.register(2);
    bed.write_topic("new", "3,1");
    assert_eq!(leads(bed, "new"), Some(3), "{what}: a new topic");
    bed.mark_deleted("new");
    assert!(bed.tree.node(&topic::path("new")).is_none(), "{what}: a topic deleted");
}

fn elected_since(bed: &mut Testbed) -> bool {
    bed.take_log().iter().any(|line| line.starts_with("controller "))
}

#[test]
fn no_node_keeps_a_controller_from_its_work() {
    let below = |path: String| format!("{path}/below");
    let nodes: Vec<Vec<String>> = vec![
        vec![migration::PATH.to_owned()],
        vec![feature::PATH.to_owned()],
        vec![broker::path(7)],
        vec![format!("{}/seven", broker::IDS_PATH)],
        vec![broker::SEQUENCE_PATH.to_owned()],
        vec![topic::path("victim")],
        vec![topic::path("foreign")],
        vec![state_path("victim")],
        vec![config::ConfigEntity::topic("well").path()],
        vec![config::ConfigEntity::topic("victim").path()],
        vec![delete_topics::path("nothing")],
        vec![delete_topics::path("nothing"), below(delete_topics::path("nothing"))],
        vec![reassignment::PATH.to_owned()],
        vec![preferred_election::PATH.to_owned()],
        vec![isr_change::path("isr_change_0000000000")],
        vec![isr_change::path("isr_change_1"), below(isr_change::path("isr_change_1"))],
        vec![isr_change::path("x"), below(isr_change::path("x"))],
        vec![log_dir_event::path("log_dir_event_0000000000")],
        vec![log_dir_event::path("log_dir_event_1"), below(log_dir_event::path("log_dir_event_1"))],
        vec![producer_ids::PATH.to_owned()],
    ];
    for paths in nodes {
        for shape in shapes() {
            let start = shape.as_deref().unwrap_or(b"(null)").iter().take(60).copied();
            let start = start.collect::<Vec<_>>();
            let what = format!("{paths:?} {}", String::from_utf8_lossy(&start));
            let mut bed = leading();
            for path in &paths {
                scribble(&mut bed, path, shape.clone());
            }
            bed.settle();
            goes_on(&mut bed, &format!("{what}, in office"));
            bed.event(Event::GiveUp);
            assert!(elected_since(&mut bed), "{what}: no controller");
            goes_on(&mut bed, &format!("{what}, the next controller"));
            assert!(!elected_since(&mut bed), "{what}: the office changed once more");
        }
    }
}

#[test]
fn a_registration_that_is_scribbled_on_is_no_death() {
    for shape in shapes() {
        let mut bed = leading();
        scribble(&mut bed, &broker::path(2), shape);
        bed.settle();
        bed.unregister(3);
        bed.register(3);
        assert_eq!(bed.state("well", 0).unwrap().leader, 2);
        bed.unregister(2);
        assert_eq!(bed.state("well", 0).unwrap().leader, 1);
    }
}

/// Nobody can be elected while `/controller` stands, nor with an epoch that is not known; both
/// are looked at again as soon as they change.
#[test]
fn the_office_is_taken_once_it_can_be() {
    for shape in shapes() {
        for path in [controller::PATH, controller_epoch::PATH] {
            if path == controller_epoch::PATH && shape.as_deref() == Some(b"7") {
                continue;
            }
            let mut bed = Testbed::new();
            bed.register(1);
            scribble(&mut bed, path, shape.clone());
            bed.start();
            bed.write_topic("t", "1");
            assert!(!elected_since(&mut bed) && bed.state("t", 0).is_none());
            if path == controller::PATH {
                remove(&mut bed, path);
            } else {
                scribble(&mut bed, path, Some("41".into()));
                bed.settle();
                assert_eq!(bed.controller_epoch(), 42);
            }
            assert!(elected_since(&mut bed));
            assert_eq!(bed.state("t", 0).unwrap().leader, 1);
        }
    }
}

#[test]
fn a_controller_whose_epoch_is_scribbled_on_begins_a_new_term() {
    for shape in shapes().into_iter().chain(["1", "57"].map(|text| Some(text.into()))) {
        let known = match shape.as_deref() {
            Some(b"57") => 57,
            Some(b"7") => 7,
            _ => 1,
        };
        let mut bed = leading();
        scribble(&mut bed, controller_epoch::PATH, shape);
        goes_on_after_one_event(&mut bed);
        assert_eq!(bed.controller_epoch(), known + 1);
    }
    let mut bed = leading();
    remove(&mut bed, controller_epoch::PATH);
    goes_on_after_one_event(&mut bed);
    assert_eq!(bed.controller_epoch(), 2);
}

/// The first write after it finds out, and its event is made up for by what a new term reads.
fn goes_on_after_one_event(bed: &mut Testbed) {
    bed.unregister(2);
    assert!(elected_since(bed));
    assert_eq!(bed.state("well", 0).unwrap().leader, 1);
    bed.register(2);
    goes_on(bed, "in the new term");
    assert!(!elected_since(bed));
}

#[test]
fn scribbling_on_the_own_office_is_no_other_controller() {
    for shape in shapes() {
        let mut bed = leading();
        scribble(&mut bed, controller::PATH, shape);
        bed.settle();
        goes_on(&mut bed, "with its node overwritten");
        remove(&mut bed, controller::PATH);
        assert!(elected_since(&mut bed));
        goes_on(&mut bed, "elected again");
    }
}

/// A topic that a new controller could not read lives on from its states once it is mended; what it
/// was marked for meanwhile happens then.
#[test]
fn a_mended_topic_lives_on() {
    for shape in shapes().into_iter().filter(|shape| !is_empty_topic(shape.as_deref())) {
        for (marked, seen) in [(false, true), (false, false), (true, true)] {
            let mut bed = leading();
            let before = bed.tree.node(&topic::path("victim")).unwrap().data.clone();
            let state = bed.state("victim", 0).unwrap();
            scribble(&mut bed, &topic::path("victim"), shape.clone());
            bed.settle();
            bed.event(Event::GiveUp);
            bed.take_log();
            if marked {
                bed.mark_deleted("victim");
                assert!(bed.tree.node(&delete_topics::path("victim")).is_some());
            }
            if seen {
                scribble(&mut bed, &topic::path("victim"), before);
                bed.settle();
            } else {
                let (path, data) = (topic::path("victim"), before);
                let set = Op::Set { path, data, version: ANY_VERSION };
                bed.apply(CONTROLLER_SESSION, &set).unwrap();
                bed.lose_events();
            }
            if marked {
                assert!(bed.tree.node(&topic::path("victim")).is_none());
                continue;
            }
            assert_eq!(bed.state("victim", 0), Some(state.clone()), "nobody was elected");
            let log = bed.take_log();
            let told = "LISR 2: victim-0 leader 2 epoch 0 isr 2,1";
            assert!(log.iter().any(|line| line.contains(told)), "{log:#?}");
            bed.unregister(2);
            assert_eq!(bed.state("victim", 0).unwrap().leader, 1);
        }
    }
}

/// Apache's controller leaves such a topic half deleted.
#[test]
fn a_broken_state_does_not_hold_a_deletion_up() {
    for shape in shapes() {
        let mut bed = leading();
        scribble(&mut bed, &state_path("victim"), shape);
        bed.mark_deleted("victim");
        assert!(bed.tree.node(&topic::path("victim")).is_none());
        assert!(bed.tree.node(&delete_topics::path("victim")).is_none());
    }
}

/// JSON without partitions is a topic without partitions.
fn is_empty_topic(data: Option<&[u8]>) -> bool {
    TopicAssignment::decode("t", data).is_ok()
}

/// The assignment that a controller in office knows is written over what cannot be read.
#[test]
fn a_reassignment_mends_its_topics_node() {
    for shape in shapes().into_iter().filter(|shape| !is_empty_topic(shape.as_deref())) {
        let mut bed = leading();
        let id = |bed: &Testbed| {
            let node = bed.tree.node(&topic::path("victim")).unwrap();
            TopicAssignment::decode("victim", node.data.as_deref()).unwrap().topic_id
        };
        let before = id(&bed);
        scribble(&mut bed, &topic::path("victim"), shape);
        bed.settle();
        let tp = protocol::ids::TopicPartition::new("victim", 0);
        let targets = [(tp, Some(vec![1, 2]))].into();
        bed.event(Event::AlterReassignments { ticket: 1, targets });
        let log = bed.take_log();
        assert!(log.contains(&"reassigned: victim-0 ok".to_owned()), "{log:#?}");
        let node = bed.tree.node(&topic::path("victim")).unwrap();
        let mended = TopicAssignment::decode("victim", node.data.as_deref()).unwrap();
        assert_eq!(mended.partitions[&0].replicas, [1, 2]);
        assert_eq!(id(&bed), before);
    }
}

/// Only who asks is refused: nothing else is looked at again because of it.
#[test]
fn no_producer_ids_from_a_node_that_does_not_say_the_last() {
    for shape in shapes().into_iter().filter(Option::is_some) {
        let mut bed = leading();
        scribble(&mut bed, producer_ids::PATH, shape);
        let broker_epoch = bed.epoch_of(2);
        let ask = Event::AllocateProducerIds { ticket: 1, broker: 2, broker_epoch };
        bed.event(ask.clone());
        let log = bed.take_log();
        assert_eq!(log.len(), 1, "{log:?}");
        assert!(log[0].starts_with("producer ids: node /latest_producer_id_block"), "{log:?}");
        bed.now_ms += 400_000;
        bed.event(Event::Tick);
        assert_eq!(bed.take_log(), Vec::<String>::new());
        let mended = r#"{"version":1,"broker":1,"block_start":"0","block_end":"999"}"#;
        bed.put(producer_ids::PATH, mended);
        bed.event(ask);
        assert_eq!(bed.take_log(), ["producer ids 1000..=1999"]);
    }
}
