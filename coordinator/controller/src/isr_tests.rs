//! ISR changes that leaders ask for, from request to write and answer, as readable tables.

use protocol::ids::BrokerId;

use super::event::Event;
use super::isr::{AlterPartition, IsrChange, IsrMember, TopicKey};
use super::table_tests::expect;
use super::testbed::{CONTROLLER_SESSION, Testbed};
use metadata::store::{ANY_VERSION, Op};
use metadata::znodes::controller_epoch;

/// Brokers 1 to 3, and topic `t` with replicas `1,2,3` led by 1.
fn replicated() -> Testbed {
    let mut bed = Testbed::new();
    for id in 1..=3 {
        bed.register(id);
    }
    bed.start();
    bed.write_topic("t", "1,2,3");
    bed.take_log();
    bed
}

fn change(isr: &[BrokerId], partition_epoch: i32) -> IsrChange {
    let member = |id: &BrokerId| IsrMember { broker: *id, broker_epoch: None };
    IsrChange {
        partition: 0,
        leader_epoch: 0,
        isr: isr.iter().map(member).collect(),
        recovering: false,
        partition_epoch,
    }
}

fn ask(bed: &mut Testbed, broker: BrokerId, change: IsrChange) {
    let broker_epoch = bed.epoch_of(broker);
    let topics = vec![(TopicKey::Name("t".to_owned()), vec![change])];
    let request = AlterPartition { broker, broker_epoch, topics };
    bed.event(Event::AlterPartition { ticket: 1, request });
}

#[test]
fn an_isr_shrinks_and_grows_again() {
    let mut bed = replicated();
    ask(&mut bed, 1, change(&[1, 2], 0));
    expect(
        &mut bed,
        "UMR 1: live 1,2,3; t-0 leader 1
         UMR 2: live 1,2,3; t-0 leader 1
         UMR 3: live 1,2,3; t-0 leader 1
         ISR 0 1,2 at 1",
    );
    let state = bed.state("t", 0).unwrap();
    assert_eq!((state.isr, state.leader_epoch), (vec![1, 2], 0), "no other leader epoch");
    // Sent again, since its answer did not arrive: nothing is written, the answer is the same.
    ask(&mut bed, 1, change(&[1, 2], 0));
    assert_eq!(bed.take_log().last().map(String::as_str), Some("ISR 0 1,2 at 1"));
    ask(&mut bed, 1, change(&[1, 2, 3], 1));
    assert_eq!(bed.take_log().last().map(String::as_str), Some("ISR 0 1,2,3 at 2"));
    // Decided on what stood before.
    ask(&mut bed, 1, change(&[1], 1));
    assert_eq!(bed.take_log().last().map(String::as_str), Some("ISR 0 InvalidUpdateVersion"));
}

#[test]
fn who_is_about_to_stop_does_not_join() {
    let mut bed = replicated();
    ask(&mut bed, 1, change(&[1, 2], 0));
    let broker_epoch = bed.epoch_of(3);
    bed.event(Event::ControlledShutdown { ticket: 2, broker: 3, broker_epoch });
    bed.take_log();
    ask(&mut bed, 1, change(&[1, 2, 3], 1));
    assert_eq!(bed.take_log().last().map(String::as_str), Some("ISR 0 IneligibleReplica"));
}

#[test]
fn a_member_joins_in_its_present_life_only() {
    let mut bed = replicated();
    let before = bed.epoch_of(3);
    bed.unregister(3);
    bed.register(3);
    let (leader_epoch, partition_epoch) = (bed.state("t", 0).unwrap().leader_epoch, 1);
    let with = |epoch| {
        let mut change = change(&[1, 2, 3], partition_epoch);
        change.leader_epoch = leader_epoch;
        change.isr[2].broker_epoch = Some(epoch);
        change
    };
    bed.take_log();
    ask(&mut bed, 1, with(before));
    assert_eq!(bed.take_log().last().map(String::as_str), Some("ISR 0 IneligibleReplica"));
    let now = bed.epoch_of(3);
    ask(&mut bed, 1, with(now));
    assert_eq!(bed.take_log().last().map(String::as_str), Some("ISR 0 1,2,3 at 2"));
}

#[test]
fn only_the_present_life_of_a_registered_broker_is_heard() {
    let mut bed = replicated();
    let topics = vec![(TopicKey::Name("t".to_owned()), vec![change(&[1], 0)])];
    for (broker, broker_epoch) in [(1, bed.epoch_of(1) - 1), (1, -1), (9, 5)] {
        let request = AlterPartition { broker, broker_epoch, topics: topics.clone() };
        bed.event(Event::AlterPartition { ticket: 1, request });
        let stale = format!("ISR: the request comes from an earlier life of broker {broker}");
        expect(&mut bed, &stale);
    }
    let topics = vec![(TopicKey::Id(protocol::ids::Uuid([9; 16])), vec![change(&[1], 0)])];
    let request = AlterPartition { broker: 1, broker_epoch: bed.epoch_of(1), topics };
    bed.event(Event::AlterPartition { ticket: 1, request });
    assert_eq!(bed.take_log().last().map(String::as_str), Some("ISR 0 UnknownTopicId"));
}

#[test]
fn a_deposed_controller_changes_no_isr() {
    let mut bed = replicated();
    let (path, data) = (controller_epoch::PATH.to_owned(), Some(controller_epoch::encode(2)));
    bed.apply(CONTROLLER_SESSION, &Op::Set { path, data, version: ANY_VERSION }).unwrap();
    ask(&mut bed, 1, change(&[1, 2], 0));
    assert_eq!(bed.take_log()[0], "ISR: this broker is not the controller");
    assert_eq!(bed.state("t", 0).unwrap().isr, [1, 2, 3]);
}

#[test]
fn an_answer_lost_with_the_connection_is_no_conflict() {
    let mut bed = replicated();
    bed.lose_answers = 1;
    ask(&mut bed, 1, change(&[1, 2], 0));
    assert_eq!(bed.take_log().last().map(String::as_str), Some("ISR 0 1,2 at 1"));
}
