//! Reassignments from request to completion, as readable tables.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::{BrokerId, TopicPartition};

use super::event::Event;
use super::isr::{AlterPartition, IsrChange, IsrMember, TopicKey};
use super::table_tests::expect;
use super::testbed::{CONTROLLER_SESSION, Testbed};
use metadata::store::{ANY_VERSION, Op};
use metadata::znodes::topic::{self, TopicAssignment};
use metadata::znodes::{controller, partition_state, reassignment};

fn tp() -> TopicPartition {
    TopicPartition::new("t", 0)
}

/// Brokers 1 to `count`, and topic `t` with these replicas.
fn bed(count: BrokerId, replicas: &str) -> Testbed {
    let mut bed = Testbed::new();
    for id in 1..=count {
        bed.register(id);
    }
    bed.start();
    bed.write_topic("t", replicas);
    bed.take_log();
    bed
}

fn reassign(bed: &mut Testbed, target: Option<&[BrokerId]>) {
    let targets = BTreeMap::from([(tp(), target.map(<[BrokerId]>::to_vec))]);
    bed.event(Event::AlterReassignments { ticket: 1, targets });
}

/// The leader has this ISR from now on.
fn isr(bed: &mut Testbed, members: &[BrokerId]) {
    let state = bed.state("t", 0).expect("a state");
    let path = partition_state::path(&tp());
    let change = IsrChange {
        partition: 0,
        leader_epoch: state.leader_epoch,
        isr: members.iter().map(|id| IsrMember { broker: *id, broker_epoch: None }).collect(),
        recovering: state.recovering,
        partition_epoch: bed.tree.node(&path).expect("a state").version,
    };
    let broker = state.leader;
    let broker_epoch = bed.epoch_of(broker);
    let topics = vec![(TopicKey::Name("t".to_owned()), vec![change])];
    let request = AlterPartition { broker, broker_epoch, topics };
    bed.event(Event::AlterPartition { ticket: 2, request });
}

/// Replicas, those that come and those that go, such as `2,1 +2 -1`.
fn assignment(bed: &Testbed) -> String {
    let node = bed.tree.node(&topic::path("t")).expect("the topic");
    let found = TopicAssignment::decode("t", node.data.as_deref()).expect("an assignment");
    let a = &found.partitions[&0];
    let ids = |ids: &[BrokerId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    format!("{} +{} -{}", ids(&a.replicas), ids(&a.adding), ids(&a.removing))
}

fn state(bed: &Testbed) -> (BrokerId, i32, Vec<BrokerId>) {
    let state = bed.state("t", 0).expect("a state");
    (state.leader, state.leader_epoch, state.isr)
}

fn without_metadata(bed: &mut Testbed) -> Vec<String> {
    bed.take_log().into_iter().filter(|line| !line.starts_with("UMR")).collect()
}

#[test]
fn from_one_broker_to_another() {
    let mut bed = bed(2, "1");
    reassign(&mut bed, Some(&[2]));
    expect(
        &mut bed,
        "LISR 1: t-0 leader 1 epoch 1 isr 1
         LISR 2: t-0 leader 1 epoch 1 isr 1 new
         UMR 1: live 1,2; t-0 leader 1
         UMR 2: live 1,2; t-0 leader 1
         LISR 2: t-0 leader 1 epoch 1 isr 1 new
         UMR 1: live 1,2; t-0 leader 1
         UMR 2: live 1,2; t-0 leader 1
         reassigned: t-0 ok",
    );
    assert_eq!(assignment(&bed), "2,1 +2 -1");
    bed.event(Event::ListReassignments { ticket: 1, of: None });
    expect(&mut bed, "reassignments: t-0 2,1 +2 -1");
    isr(&mut bed, &[1, 2]);
    assert_eq!(
        without_metadata(&mut bed),
        [
            "ISR 0 1,2 at 2",
            // Nothing but memory changes for the new replica; then 2 leads, 1 leaves and deletes.
            "LISR 2: t-0 leader 2 epoch 2 isr 1,2",
            "LISR 2: t-0 leader 2 epoch 3 isr 2",
            "STOP 1: t-0 epoch 3",
            "STOP 1: t-0 epoch 3 delete",
        ]
    );
    assert_eq!(assignment(&bed), "2 + -");
    assert_eq!(state(&bed), (2, 3, vec![2]));
    bed.event(Event::ListReassignments { ticket: 1, of: Some(BTreeSet::from([tp()])) });
    assert_eq!(bed.take_log(), ["reassignments: "]);
}

#[test]
fn as_written_when_it_is_cancelled() {
    let mut bed = bed(2, "1");
    reassign(&mut bed, Some(&[2]));
    bed.take_log();
    reassign(&mut bed, None);
    assert_eq!(
        without_metadata(&mut bed),
        [
            "LISR 1: t-0 leader 1 epoch 1 isr 1",
            "STOP 2: t-0 epoch 1",
            "STOP 2: t-0 epoch 1 delete",
            "LISR 1: t-0 leader 1 epoch 2 isr 1",
            "reassigned: t-0 ok",
        ]
    );
    assert_eq!(assignment(&bed), "1 + -");
    assert_eq!(state(&bed), (1, 2, vec![1]));
    reassign(&mut bed, None);
    expect(&mut bed, "reassigned: t-0 No partition reassignment is in progress.");
}

#[test]
fn a_second_one_replaces_the_first() {
    let mut bed = bed(4, "1,2");
    reassign(&mut bed, Some(&[3, 2]));
    bed.take_log();
    reassign(&mut bed, Some(&[4, 2]));
    let log = without_metadata(&mut bed);
    assert!(log.contains(&"STOP 3: t-0 epoch 1 delete".to_owned()), "{log:#?}");
    assert_eq!(assignment(&bed), "4,2,1 +4 -1");
    isr(&mut bed, &[1, 2, 4]);
    assert_eq!(assignment(&bed), "4,2 + -");
    assert_eq!(state(&bed), (4, 4, vec![2, 4]));
}

#[test]
fn another_order_and_fewer_replicas_need_no_catching_up() {
    let mut bed = bed(3, "1,2,3");
    reassign(&mut bed, Some(&[3, 1, 2]));
    assert_eq!((assignment(&bed), state(&bed)), ("3,1,2 + -".into(), (1, 1, vec![1, 2, 3])));
    reassign(&mut bed, Some(&[3, 2]));
    assert_eq!((assignment(&bed), state(&bed)), ("3,2 + -".into(), (3, 3, vec![2, 3])));
}

#[test]
fn what_cannot_be_is_refused() {
    let mut bed = bed(3, "1,2");
    bed.unregister(3);
    bed.take_log();
    let refused = |target: &[BrokerId], bed: &mut Testbed| {
        reassign(bed, Some(target));
        bed.take_log().remove(0)
    };
    let text = "reassigned: t-0 Empty replica list specified in partition reassignment.";
    assert_eq!(refused(&[], &mut bed), text);
    assert!(refused(&[1, 1], &mut bed).contains("Duplicate replica ids"));
    assert!(refused(&[-1], &mut bed).contains("Invalid broker id"));
    assert!(refused(&[1, 3], &mut bed).contains("brokers that are not alive"));
    assert_eq!(assignment(&bed), "1,2 + -");
    let targets = BTreeMap::from([(TopicPartition::new("no", 0), Some(vec![1]))]);
    bed.event(Event::AlterReassignments { ticket: 1, targets });
    expect(&mut bed, "reassigned: no-0 The partition does not exist.");
}

#[test]
fn the_last_copy_is_kept() {
    let mut bed = bed(3, "1");
    reassign(&mut bed, Some(&[2, 3]));
    isr(&mut bed, &[1, 2]);
    bed.unregister(1);
    assert_eq!(state(&bed), (2, 2, vec![2]));
    bed.take_log();
    reassign(&mut bed, None);
    let text = "reassigned: t-0 Unable to revert the assignment: it would require an unclean \
                leader election.";
    assert_eq!(bed.take_log(), [text]);
    assert_eq!(assignment(&bed), "2,3,1 +2,3 -1");
}

#[test]
fn a_new_controller_goes_on() {
    let mut bed = bed(2, "1");
    reassign(&mut bed, Some(&[2]));
    bed.event(Event::SessionExpired);
    let path = controller::PATH.to_owned();
    bed.apply(CONTROLLER_SESSION, &Op::Delete { path, version: ANY_VERSION }).unwrap();
    bed.take_log();
    bed.start();
    let told: Vec<_> = bed
        .take_log()
        .into_iter()
        .filter(|l| l == "LISR 2: t-0 leader 1 epoch 2 isr 1 new")
        .collect();
    assert_eq!(told.len(), 1);
    isr(&mut bed, &[1, 2]);
    assert_eq!(assignment(&bed), "2 + -");
}

#[test]
fn it_waits_for_its_broker() {
    let mut bed = bed(3, "1,2");
    reassign(&mut bed, Some(&[1, 3]));
    bed.unregister(3);
    bed.take_log();
    bed.register(3);
    let log = without_metadata(&mut bed);
    // As any replica of a broker that joins, and then by the reassignment in a new epoch.
    let told: Vec<_> = log.iter().filter(|l| l.starts_with("LISR 3")).collect();
    assert!(told.iter().any(|l| l.ends_with("new")), "{log:#?}");
    isr(&mut bed, &[1, 2, 3]);
    assert_eq!(assignment(&bed), "1,3 + -");
}

#[test]
fn an_old_tool_asks() {
    let mut bed = bed(3, "1;1");
    let other = TopicPartition::new("t", 1);
    let unknown = TopicPartition::new("no", 1);
    let targets = BTreeMap::from([(tp(), vec![2]), (other.clone(), vec![3]), (unknown, vec![1])]);
    let node = |bed: &Testbed| {
        let node = bed.tree.node(reassignment::PATH)?;
        Some(reassignment::decode(node.data.as_deref()).expect("a list"))
    };
    bed.put(reassignment::PATH, std::str::from_utf8(&reassignment::encode(&targets)).unwrap());
    bed.settle();
    let left = BTreeMap::from([(tp(), vec![2]), (other, vec![3])]);
    assert_eq!(node(&bed), Some(left), "what does not exist is taken out");
    assert_eq!(assignment(&bed), "2,1 +2 -1");
    bed.take_log();
    isr(&mut bed, &[1, 2]);
    assert_eq!(assignment(&bed), "2 + -");
    assert_eq!(node(&bed).map(|left| left.len()), Some(1));
    let log = bed.take_log();
    let again = log.iter().any(|l| l.starts_with("LISR") && l.contains("t-1"));
    assert!(!again, "the other one is under way already: {log:#?}");
    // The API's word counts over the node's.
    let targets = BTreeMap::from([(TopicPartition::new("t", 1), None)]);
    bed.event(Event::AlterReassignments { ticket: 1, targets });
    assert_eq!(node(&bed), None);
    // And it is watched again.
    let targets = BTreeMap::from([(tp(), vec![1])]);
    bed.put(reassignment::PATH, std::str::from_utf8(&reassignment::encode(&targets)).unwrap());
    bed.settle();
    assert_eq!(assignment(&bed), "1,2 +1 -2");
}

#[test]
fn deletion_waits_for_it() {
    let mut bed = bed(2, "1");
    reassign(&mut bed, Some(&[2]));
    bed.mark_deleted("t");
    assert!(bed.tree.node(&topic::path("t")).is_some());
    isr(&mut bed, &[1, 2]);
    assert!(bed.tree.node(&topic::path("t")).is_none(), "complete, then deleted");
}

#[test]
fn a_deletion_later_on_is_not_held_up() {
    let mut bed = bed(2, "1");
    reassign(&mut bed, Some(&[2]));
    isr(&mut bed, &[1, 2]);
    bed.mark_deleted("t");
    assert!(bed.tree.node(&topic::path("t")).is_none());
}

#[test]
fn nobody_ever_led_it() {
    let mut bed = bed(1, "2");
    assert_eq!(bed.state("t", 0), None);
    reassign(&mut bed, Some(&[1]));
    assert_eq!(assignment(&bed), "1 + -");
    assert_eq!(state(&bed).0, 1);
}

#[test]
fn partitions_added_meanwhile_are_kept() {
    let mut bed = bed(2, "1");
    // Written by another broker; the controller has not looked yet.
    let node = bed.tree.node(&topic::path("t")).expect("the topic");
    let mut grown = TopicAssignment::decode("t", node.data.as_deref()).unwrap();
    grown.partitions.insert(1, topic::ReplicaAssignment::settled(vec![1]));
    let (path, data) = (topic::path("t"), Some(grown.encode()));
    bed.apply(CONTROLLER_SESSION, &Op::Set { path, data, version: ANY_VERSION }).unwrap();
    bed.event_first(Event::AlterReassignments {
        ticket: 1,
        targets: BTreeMap::from([(tp(), Some(vec![2]))]),
    });
    assert_eq!(assignment(&bed), "2,1 +2 -1");
    assert_eq!(bed.state("t", 1).unwrap().leader, 1, "the new partition has its leader");
}

#[test]
fn answers_lost_with_the_connection_change_nothing() {
    for lost in 0..12 {
        let mut bed = bed(2, "1");
        bed.lose_answers = lost;
        reassign(&mut bed, Some(&[2]));
        assert_eq!(state(&bed), (1, 1, vec![1]), "{lost} answers lost");
        isr(&mut bed, &[1, 2]);
        bed.lose_answers = 0;
        assert_eq!(assignment(&bed), "2 + -", "{lost} answers lost");
        assert_eq!(state(&bed), (2, 3, vec![2]), "{lost} answers lost");
    }
}
