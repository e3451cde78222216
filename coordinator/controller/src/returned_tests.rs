//! A new controller and brokers that went and came back before it looked.

use protocol::ids::BrokerId;

use super::event::Event;
use super::table_tests::expect;
use super::testbed::{CONTROLLER_SESSION, Testbed};
use metadata::store::{ANY_VERSION, Op};
use metadata::znodes::controller;

fn bed(replicas: &str) -> Testbed {
    let mut bed = Testbed::new();
    for id in 1..=3 {
        bed.register(id);
    }
    bed.start();
    bed.write_topic("t", replicas);
    bed
}

/// The controller's session ends; then these brokers go and come back, and it is elected again.
fn unseen(bed: &mut Testbed, returned: &[BrokerId]) {
    bed.event(Event::SessionExpired);
    let path = controller::PATH.to_owned();
    bed.apply(CONTROLLER_SESSION, &Op::Delete { path, version: ANY_VERSION }).unwrap();
    bed.bounce(returned);
    bed.take_log();
    bed.forget_events();
    bed.start();
}

fn state(bed: &Testbed) -> (BrokerId, i32, Vec<BrokerId>) {
    let state = bed.state("t", 0).expect("a state");
    (state.leader, state.leader_epoch, state.isr)
}

#[test]
fn a_leader_that_went_unseen_leads_no_more() {
    let mut bed = bed("3,1,2");
    unseen(&mut bed, &[3]);
    expect(
        &mut bed,
        "connect 1
         connect 2
         connect 3
         UMR 1: live 1,2,3
         UMR 2: live 1,2,3
         UMR 3: live 1,2,3
         LISR 1: t-0 leader 1 epoch 1 isr 1,2
         LISR 2: t-0 leader 1 epoch 1 isr 1,2
         LISR 3: t-0 leader 1 epoch 1 isr 1,2
         UMR 1: live 1,2,3; t-0 leader 1
         UMR 2: live 1,2,3; t-0 leader 1
         UMR 3: live 1,2,3; t-0 leader 1
         controller 2",
    );
    assert!(bed.take_states().iter().all(|written| written.fenced));
    // The next controller finds it as it is to be.
    unseen(&mut bed, &[]);
    assert_eq!(state(&bed), (1, 1, vec![1, 2]));
}

#[test]
fn a_follower_that_went_unseen_is_not_in_sync() {
    let mut bed = bed("3,1,2");
    unseen(&mut bed, &[1]);
    assert_eq!(state(&bed), (3, 1, vec![3, 2]));
}

#[test]
fn a_leader_is_found_among_those_who_stayed_and_live() {
    let mut bed = bed("3,1,2");
    bed.event(Event::SessionExpired);
    bed.unregister(1);
    unseen(&mut bed, &[3]);
    let (leader, _, isr) = state(&bed);
    assert_eq!((leader, isr), (2, vec![2]));
}

#[test]
fn where_nobody_stayed_nothing_changes() {
    let mut whole = bed("3,1,2");
    unseen(&mut whole, &[1, 2, 3]);
    assert_eq!(state(&whole), (3, 0, vec![3, 1, 2]));
    let mut alone = bed("3");
    unseen(&mut alone, &[3]);
    assert_eq!(state(&alone), (3, 0, vec![3]));
    // The other in-sync replica is away: better one that may lack records than none.
    let mut pair = bed("3,1");
    pair.event(Event::SessionExpired);
    pair.unregister(1);
    unseen(&mut pair, &[3]);
    assert_eq!(state(&pair), (3, 1, vec![3]));
}

#[test]
fn whoever_left_in_order_is_no_case() {
    let mut bed = bed("3,1,2");
    let broker_epoch = bed.epoch_of(1);
    bed.event(Event::ControlledShutdown { ticket: 1, broker: 1, broker_epoch });
    assert_eq!(state(&bed), (3, 1, vec![3, 2]));
    unseen(&mut bed, &[1]);
    assert_eq!(state(&bed), (3, 1, vec![3, 2]));
}

#[test]
fn a_lost_answer_is_not_written_twice() {
    for lost in 1..4 {
        let mut bed = bed("3,1,2");
        bed.event(Event::SessionExpired);
        bed.lose_answers = lost;
        unseen(&mut bed, &[3]);
        assert_eq!(state(&bed), (1, 1, vec![1, 2]), "{lost} answers lost");
    }
}

/// The controller sees a broker go and come back at once, and fails halfway: it has not forgotten
/// that the broker went.
#[test]
fn a_bounce_half_dealt_with_is_remembered() {
    for after in 0..30 {
        let mut bed = bed("3,1,2");
        bed.refuse_after = Some(after);
        bed.bounce(&[3]);
        bed.settle();
        bed.refuse_after = None;
        bed.now_ms += 5_000;
        bed.event(Event::Tick);
        let (leader, epoch, isr) = state(&bed);
        assert_eq!((leader, isr), (1, vec![1, 2]), "after {after} operations");
        let log = bed.take_log();
        let told = |id: i32| {
            let last = log.iter().rfind(|line| line.starts_with(&format!("LISR {id}:")));
            last.is_some_and(|line| line.ends_with(&format!("leader 1 epoch {epoch} isr 1,2")))
        };
        assert!((1..=3).all(told), "after {after} operations: {log:#?}");
    }
}
