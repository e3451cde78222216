//! What the controller makes of odd things in the tree: notices, marks and elections left by
//! others, nodes that cannot be read, and offices that are not its own.

use protocol::ids::TopicPartition;

use super::event::{ControlResponse, Event};
use super::step::Settings;
use super::testbed::{CONTROLLER_SESSION, Testbed};
use metadata::store::{ANY_VERSION, CreateMode, Op};
use metadata::znodes::topic::TopicAssignment;
use metadata::znodes::{
    controller, delete_topics, feature, log_dir_event, migration, partition_state,
    preferred_election, topic,
};

fn leading(brokers: &[i32]) -> Testbed {
    let mut bed = Testbed::new();
    for id in brokers {
        bed.register(*id);
    }
    bed.start();
    bed
}

#[test]
fn a_kraft_controller_is_left_alone() {
    let mut bed = Testbed::new();
    bed.put(controller::PATH, r#"{"version":2,"brokerid":3000,"kraftControllerEpoch":5}"#);
    bed.start();
    assert_eq!(bed.take_log(), ["follower of Some(3000)"]);
    let mut bed = Testbed::new();
    bed.put(migration::PATH, r#"{"version":0,"kraft_controller_id":3000}"#);
    bed.start();
    assert_eq!(bed.take_log(), Vec::<String>::new());
    assert!(bed.tree.node(controller::PATH).is_none());
    // Whoever goes back to ZooKeeper deletes the node at last.
    let path = migration::PATH.to_owned();
    bed.apply(CONTROLLER_SESSION, &Op::Delete { path, version: ANY_VERSION }).unwrap();
    bed.settle();
    assert_eq!(bed.take_log().last().map(String::as_str), Some("controller 1"));
}

#[test]
fn a_node_of_a_former_session_is_no_office() {
    let mut bed = Testbed::new();
    bed.register(1);
    bed.put(controller::PATH, r#"{"version":2,"brokerid":1,"timestamp":"1"}"#);
    bed.start();
    assert_eq!(bed.take_log(), ["follower of None"]);
    // The former session ends at last.
    let path = controller::PATH.to_owned();
    bed.apply(CONTROLLER_SESSION, &Op::Delete { path, version: ANY_VERSION }).unwrap();
    bed.settle();
    assert_eq!(bed.take_log().last().map(String::as_str), Some("controller 1"));
}

#[test]
fn who_is_not_eligible_does_not_stand() {
    let mut bed = Testbed::new();
    bed.register(1);
    bed.event(Event::SettingsChanged(Settings { eligible: false, ..Settings::new(1, "X") }));
    bed.start();
    assert!(bed.tree.node(controller::PATH).is_none());
}

#[test]
fn who_is_not_eligible_sees_who_controls() {
    let mut bed = Testbed::new();
    bed.register(1);
    bed.event(Event::SettingsChanged(Settings { eligible: false, ..Settings::new(1, "X") }));
    bed.start();
    for _ in 0..2 {
        bed.put(controller::PATH, r#"{"version":2,"brokerid":9,"timestamp":"1"}"#);
        bed.settle();
        let path = controller::PATH.to_owned();
        bed.apply(CONTROLLER_SESSION, &Op::Delete { path, version: ANY_VERSION }).unwrap();
        bed.settle();
        assert_eq!(bed.take_log(), ["follower of Some(9)", "follower of None"]);
        assert!(bed.tree.node(controller::PATH).is_none(), "it leaves the office to others");
    }
}

#[test]
fn a_broker_whose_listener_moved_is_told_everything_anew() {
    let mut bed = leading(&[1, 2]);
    bed.write_topic("t", "2,1");
    bed.take_log();
    let elsewhere = super::testbed::registration(9999).encode();
    bed.put(&metadata::znodes::broker::path(2), std::str::from_utf8(&elsewhere).unwrap());
    bed.settle();
    assert_eq!(
        bed.take_log(),
        [
            "UMR 1: live 1,2",
            "UMR 2: live 1,2",
            "disconnect 2",
            "connect 2",
            "UMR 2: live 1,2; t-0 leader 2",
            "LISR 2: t-0 leader 2 epoch 0 isr 2,1",
            "UMR 1: live 1,2; t-0 leader 2",
            "UMR 2: live 1,2; t-0 leader 2",
        ]
    );
}

/// Whichever operation fails, five seconds later everything is as if none had.
#[test]
fn what_could_not_be_dealt_with_is_looked_at_again() {
    for after in 0..25 {
        let mut bed = leading(&[1, 2, 3]);
        bed.write_topic("t", "2,1");
        bed.write_topic("u", "3");
        let rest = |bed: &mut Testbed| {
            bed.refuse_after = None;
            bed.now_ms += 5_000;
            bed.event(Event::Tick);
        };
        bed.refuse_after = Some(after);
        bed.unregister(2);
        rest(&mut bed);
        let state = bed.state("t", 0).unwrap();
        assert_eq!((state.leader, state.isr), (1, vec![1]), "after {after} operations");
        bed.unregister(3);
        bed.refuse_after = Some(after);
        bed.register(3);
        rest(&mut bed);
        assert_eq!(bed.state("u", 0).unwrap().leader, 3, "after {after} operations");
        bed.refuse_after = Some(after);
        bed.write_topic("new", "1,3");
        rest(&mut bed);
        let state = bed.state("new", 0).unwrap();
        assert_eq!((state.leader, state.isr), (1, vec![1, 3]), "after {after} operations");
    }
    // Nor is an election lost.
    for after in 0..25 {
        let mut bed = Testbed::new();
        bed.register(1);
        bed.refuse_after = Some(after);
        bed.start();
        bed.refuse_after = None;
        bed.now_ms += 5_000;
        bed.event(Event::Tick);
        assert!(bed.tree.node(controller::PATH).is_some(), "after {after} operations");
        let log = bed.take_log();
        assert!(log.iter().any(|line| line.starts_with("controller")), "{after}: {log:#?}");
    }
}

/// While nothing gets through the looks become rarer; what else fails does not put them off.
#[test]
fn looks_in_vain_become_rarer() {
    let mut bed = leading(&[1]);
    let fail = |bed: &mut Testbed, event: Event| {
        bed.refuse_after = Some(0);
        bed.event(event);
        bed.refuse_after.take().is_none()
    };
    let brokers_changed = || Event::Changed { path: metadata::znodes::broker::IDS_PATH.to_owned() };
    assert!(fail(&mut bed, brokers_changed()));
    let (mut pauses, mut since) = (Vec::new(), bed.now_ms);
    for _ in 0..960 {
        bed.now_ms += 1_000;
        if fail(&mut bed, Event::Tick) {
            pauses.push((bed.now_ms - since) / 1_000);
            since = bed.now_ms;
        }
        assert!(fail(&mut bed, brokers_changed()));
    }
    assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 320]);
    bed.now_ms += 320_000;
    bed.event(Event::Tick);
    assert!(fail(&mut bed, brokers_changed()));
    bed.now_ms += 5_000;
    assert!(fail(&mut bed, Event::Tick), "once all went well, the next look is soon");
}

#[test]
fn an_office_that_cannot_be_given_back_is_taken_anew() {
    let mut bed = leading(&[1]);
    bed.write_topic("t", "1");
    bed.take_log();
    bed.refuse_after = Some(0);
    bed.event(Event::GiveUp);
    assert_eq!(bed.take_log(), ["disconnect 1", "follower of None"]);
    bed.now_ms += 5_000;
    bed.event(Event::Tick);
    let log = bed.take_log();
    assert!(log.contains(&"LISR 1: t-0 leader 1 epoch 0 isr 1".to_owned()), "{log:?}");
    assert!(log.contains(&"controller 1".to_owned()), "{log:?}");
}

#[test]
fn an_office_that_cannot_be_filled_is_given_back() {
    let mut bed = Testbed::new();
    // What it reads once it is elected.
    bed.refuse_after = Some(12);
    bed.start();
    assert_eq!((bed.refuse_after, bed.controller_epoch()), (None, 1));
    let log = bed.take_log();
    assert!(!log.iter().any(|line| line.starts_with("controller")), "{log:?}");
    assert!(bed.tree.node(controller::PATH).is_none());
    // It stands again after a while.
    bed.event(Event::Tick);
    assert!(bed.tree.node(controller::PATH).is_none());
    bed.now_ms += 5_000;
    bed.event(Event::Tick);
    assert_eq!(bed.take_log().last().map(String::as_str), Some("controller 2"));
}

#[test]
fn features_are_enabled_once() {
    let bed = leading(&[1]);
    let node = bed.tree.node(feature::PATH).unwrap();
    assert_eq!(node.data.as_deref(), Some(&br#"{"features":{},"version":2,"status":1}"#[..]));
    let mut bed = Testbed::new();
    bed.put(feature::PATH, r#"{"features":{},"version":2,"status":0}"#);
    bed.start();
    let node = bed.tree.node(feature::PATH).unwrap();
    assert!(feature::Features::decode(node.data.as_deref()).unwrap().enabled);
    // Of a release before 3.3, and on: written anew, and only once.
    let mut bed = Testbed::new();
    bed.put(feature::PATH, r#"{"features":{},"version":1,"status":1}"#);
    bed.start();
    bed.event(Event::GiveUp);
    let node = bed.tree.node(feature::PATH).unwrap();
    assert_eq!(node.data.as_deref(), Some(&br#"{"features":{},"version":2,"status":1}"#[..]));
    assert_eq!((node.version, bed.controller_epoch()), (1, 2));
}

#[test]
fn lost_events_are_made_up_for() {
    let mut bed = leading(&[1, 2]);
    bed.write_topic("t", "1,2");
    bed.write_topic("gone", "1");
    bed.take_log();
    // Everything below happens unseen.
    let path = partition_state::partitions_path("gone");
    for path in [
        format!("{path}/0/state"),
        format!("{path}/0"),
        path,
        topic::path("gone"),
        metadata::znodes::broker::path(2),
    ] {
        bed.apply(CONTROLLER_SESSION, &Op::Delete { path, version: ANY_VERSION }).unwrap();
    }
    bed.put(&topic::path("new"), r#"{"version":1,"partitions":{"0":[1]}}"#);
    bed.lose_events();
    assert_eq!(bed.state("t", 0).unwrap().isr, [1], "2 has gone");
    assert_eq!(bed.state("new", 0).unwrap().leader, 1);
    let log = bed.take_log();
    assert!(log.contains(&"disconnect 2".to_owned()), "{log:?}");
    assert!(!log.iter().any(|line| line.contains("gone")), "{log:?}");
    bed.write_topic("later", "1");
    assert_eq!(bed.state("later", 0).unwrap().leader, 1, "the watches are set again");
}

#[test]
fn topics_of_old_releases_get_an_id() {
    let mut bed = leading(&[1]);
    bed.put(&topic::path("old"), r#"{"version":1,"partitions":{"0":[1]}}"#);
    bed.settle();
    let node = bed.tree.node(&topic::path("old")).unwrap();
    let assignment = TopicAssignment::decode("old", node.data.as_deref()).unwrap();
    let id = assignment.topic_id.expect("an id");
    assert_eq!((id.0[6] >> 4, id.0[8] >> 6), (4, 2), "a random UUID");
    assert_eq!(bed.state("old", 0).unwrap().leader, 1);
}

#[test]
fn what_cannot_be_read_stops_nothing_else() {
    let mut bed = leading(&[1]);
    bed.put(&topic::path("broken"), "{");
    bed.put("/brokers/ids/7", "[]");
    bed.write_topic("t", "1");
    assert_eq!(bed.state("t", 0).unwrap().leader, 1);
    let tp = TopicPartition::new("t", 0);
    bed.put(&partition_state::path(&tp), "not a state");
    bed.register(2);
    bed.write_topic("u", "2");
    assert_eq!(bed.state("u", 0).unwrap().leader, 2);
}

#[test]
fn a_topic_on_its_way_out_does_not_grow() {
    let mut bed = leading(&[1, 2]);
    bed.write_topic("t", "1,2");
    bed.unregister(2);
    bed.mark_deleted("t");
    bed.write_topic("t", "1,2;1,2");
    let node = bed.tree.node(&topic::path("t")).unwrap();
    let assignment = TopicAssignment::decode("t", node.data.as_deref()).unwrap();
    assert_eq!(assignment.partitions.len(), 1);
}

#[test]
fn marks_for_nothing_are_taken_away() {
    let mut bed = leading(&[1]);
    bed.mark_deleted("unknown");
    assert!(bed.tree.node(&delete_topics::path("unknown")).is_none());
    let off = Settings { delete_topic_enable: false, ..Settings::new(1, "PLAINTEXT") };
    bed.event(Event::SettingsChanged(off));
    bed.write_topic("kept", "1");
    bed.mark_deleted("kept");
    assert!(bed.tree.node(&delete_topics::path("kept")).is_none());
    assert!(bed.tree.node(&topic::path("kept")).is_some());
}

#[test]
fn an_old_tool_asks_for_preferred_leaders() {
    let mut bed = leading(&[1, 2]);
    bed.write_topic("t", "2,1");
    let tp = TopicPartition::new("t", 0);
    let mut state = bed.state("t", 0).unwrap();
    state.leader = 1;
    let data = state.encode();
    bed.put(&partition_state::path(&tp), std::str::from_utf8(&data).unwrap());
    // A later controller reads that 1 leads.
    bed.event(Event::GiveUp);
    assert_eq!(bed.state("t", 0).unwrap().leader, 1);
    let wanted = preferred_election::encode(&[tp].into_iter().collect());
    for _ in 0..2 {
        bed.put(preferred_election::PATH, std::str::from_utf8(&wanted).unwrap());
        bed.settle();
        assert_eq!(bed.state("t", 0).unwrap().leader, 2);
        assert!(bed.tree.node(preferred_election::PATH).is_none());
    }
}

#[test]
fn a_failed_directory_moves_its_leaders() {
    let mut bed = leading(&[1, 2]);
    bed.write_topic("t", "2,1");
    bed.brokers_answer = false;
    bed.requests.clear();
    let path = log_dir_event::path_to_create();
    let (data, mode) = (Some(log_dir_event::encode(2)), CreateMode::PersistentSequential);
    bed.apply(CONTROLLER_SESSION, &Op::Create { path, data, mode }).unwrap();
    bed.settle();
    let asked = bed.requests.pop_front().unwrap();
    assert_eq!(asked.broker, 2, "it is told its replicas again");
    bed.answer(&asked, 56);
    let state = bed.state("t", 0).unwrap();
    assert_eq!((state.leader, state.isr), (1, vec![1]));
    let left = bed.tree.nodes().filter(|(path, _)| path.contains("log_dir_event_0")).count();
    assert_eq!(left, 0, "the notice is taken away");
    // From an earlier life of the broker: says nothing any more.
    bed.take_log();
    let response = ControlResponse::LeaderAndIsr { error: 0, partitions: Vec::new() };
    bed.event(Event::Answered { broker: 2, broker_epoch: -5, response });
    assert_eq!(bed.take_log(), Vec::<String>::new());
}
