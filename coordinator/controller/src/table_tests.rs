//! The controller's behaviour as readable tables: what happens, and what it then does, in order.

use super::event::Event;
use super::testbed::{CONTROLLER_SESSION, Testbed};
use metadata::store::{ANY_VERSION, CreateMode, Op};
use metadata::znodes::{config, controller, controller_epoch, delete_topics, topic};

pub(super) fn expect(bed: &mut Testbed, lines: &str) {
    let expected: Vec<&str> = lines.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    assert_eq!(bed.take_log(), expected);
}

#[test]
fn one_broker_from_election_to_deletion() {
    let mut bed = Testbed::new();
    bed.register(1);
    bed.start();
    expect(
        &mut bed,
        "connect 1
         UMR 1: live 1
         controller 1",
    );
    bed.write_topic("t", "1;1");
    expect(
        &mut bed,
        "LISR 1: t-0 leader 1 epoch 0 isr 1 new; t-1 leader 1 epoch 0 isr 1 new
         UMR 1: live 1; t-0 leader 1; t-1 leader 1",
    );
    bed.write_topic("t", "1;1;1");
    expect(
        &mut bed,
        "LISR 1: t-2 leader 1 epoch 0 isr 1 new
         UMR 1: live 1; t-2 leader 1",
    );
    bed.mark_deleted("t");
    expect(
        &mut bed,
        "UMR 1: live 1; t-0 leader -2; t-1 leader -2; t-2 leader -2
         STOP 1: t-0 epoch -2; t-1 epoch -2; t-2 epoch -2
         STOP 1: t-0 epoch -2 delete; t-1 epoch -2 delete; t-2 epoch -2 delete",
    );
    for path in
        [topic::path("t"), delete_topics::path("t"), config::ConfigEntity::topic("t").path()]
    {
        assert!(bed.tree.node(&path).is_none(), "{path} is gone");
    }
}

#[test]
fn a_leader_dies_and_comes_back() {
    let mut bed = Testbed::new();
    for id in 1..=3 {
        bed.register(id);
    }
    bed.start();
    bed.write_topic("t", "2,3");
    bed.take_log();
    bed.unregister(2);
    expect(
        &mut bed,
        "disconnect 2
         LISR 3: t-0 leader 3 epoch 1 isr 3
         UMR 1: live 1,3; t-0 leader 3 offline 2
         UMR 3: live 1,3; t-0 leader 3 offline 2
         LISR 3: t-0 leader 3 epoch 1 isr 3
         UMR 1: live 1,3; t-0 leader 3 offline 2
         UMR 3: live 1,3; t-0 leader 3 offline 2",
    );
    bed.register(2);
    expect(
        &mut bed,
        "connect 2
         UMR 1: live 1,2,3
         UMR 3: live 1,2,3
         UMR 2: live 1,2,3; t-0 leader 3
         LISR 2: t-0 leader 3 epoch 1 isr 3
         UMR 1: live 1,2,3; t-0 leader 3
         UMR 2: live 1,2,3; t-0 leader 3
         UMR 3: live 1,2,3; t-0 leader 3",
    );
    bed.unregister(3);
    bed.take_log();
    let state = bed.state("t", 0).unwrap();
    assert_eq!((state.leader, state.isr), (-1, vec![3]), "2 lacks what was acknowledged");
    bed.register(3);
    assert_eq!(bed.state("t", 0).unwrap().leader, 3);
}

#[test]
fn a_new_controller_takes_over() {
    let mut bed = Testbed::new();
    bed.register(1);
    bed.start();
    bed.write_topic("t", "1");
    bed.take_log();
    // Its session is over, and its broker's with it; a later controller comes and goes.
    bed.event(Event::SessionExpired);
    expect(
        &mut bed,
        "disconnect 1
         follower of None",
    );
    let path = controller::PATH.to_owned();
    bed.apply(CONTROLLER_SESSION, &Op::Delete { path, version: ANY_VERSION }).unwrap();
    bed.start();
    expect(
        &mut bed,
        "connect 1
         UMR 1: live 1
         LISR 1: t-0 leader 1 epoch 0 isr 1
         UMR 1: live 1; t-0 leader 1
         controller 2",
    );
}

#[test]
fn an_office_given_up_is_taken_again_with_everything_told_anew() {
    let mut bed = Testbed::new();
    bed.register(1);
    bed.start();
    bed.take_log();
    bed.event(Event::GiveUp);
    expect(
        &mut bed,
        "disconnect 1
         follower of None
         connect 1
         UMR 1: live 1
         controller 2",
    );
}

#[test]
fn unclean_elections_are_held_once_they_are_allowed() {
    let mut bed = Testbed::new();
    bed.register(1);
    bed.register(2);
    bed.start();
    bed.write_topic("t", "2,1");
    // Nobody but 2 is in the ISR when it dies.
    bed.unregister(1);
    bed.register(1);
    bed.unregister(2);
    assert_eq!(bed.state("t", 0).unwrap().leader, -1);
    let mut settings = super::step::Settings::new(1, "PLAINTEXT");
    settings.unclean_leader_election_enable = true;
    bed.event(Event::SettingsChanged(settings));
    let state = bed.state("t", 0).unwrap();
    assert_eq!((state.leader, state.isr, state.recovering), (1, vec![1], true));
}

#[test]
fn a_deposed_controller_changes_nothing() {
    let mut bed = Testbed::new();
    bed.register(1);
    bed.start();
    bed.take_log();
    // Another took the office, and this one has not heard of it yet.
    bed.tree.open_session(200);
    let path = controller::PATH.to_owned();
    bed.apply(200, &Op::Delete { path: path.clone(), version: ANY_VERSION }).unwrap();
    let (data, mode) = (Some(controller::encode(2, 0)), CreateMode::Ephemeral);
    bed.apply(200, &Op::Create { path, data, mode }).unwrap();
    let (path, data) = (controller_epoch::PATH.to_owned(), Some(controller_epoch::encode(2)));
    bed.apply(200, &Op::Set { path, data, version: ANY_VERSION }).unwrap();
    bed.forget_events();
    bed.write_topic("t", "1");
    assert_eq!(bed.state("t", 0), None);
    let sent: Vec<_> = bed.take_log().into_iter().filter(|l| l.contains("LISR")).collect();
    assert_eq!(sent, Vec::<String>::new());
}

#[test]
fn answers_lost_with_the_connection_change_nothing() {
    for lost in 0..40 {
        let mut bed = Testbed::new();
        bed.register(1);
        bed.register(2);
        bed.lose_answers = lost;
        bed.start();
        bed.write_topic("t", "1,2;2,1");
        bed.unregister(2);
        let state = bed.state("t", 1).unwrap_or_else(|| panic!("{lost} answers lost: no state"));
        assert_eq!((state.leader, state.leader_epoch), (1, 1), "{lost} answers lost");
        assert_eq!(bed.controller_epoch(), 1, "{lost} answers lost");
    }
}

#[test]
fn a_dead_replica_holds_a_deletion_up() {
    let mut bed = Testbed::new();
    bed.register(1);
    bed.register(2);
    bed.start();
    bed.write_topic("t", "1,2");
    bed.unregister(2);
    bed.mark_deleted("t");
    assert!(bed.tree.node(&topic::path("t")).is_some(), "2 still has its log");
    bed.register(2);
    assert!(bed.tree.node(&topic::path("t")).is_none(), "2 has deleted it");
    assert!(bed.tree.node(&delete_topics::path("t")).is_none());
}

#[test]
fn a_failed_deletion_is_tried_again_when_the_broker_comes_back() {
    let mut bed = Testbed::new();
    bed.register(1);
    bed.register(2);
    bed.start();
    bed.write_topic("t", "2");
    bed.brokers_answer = false;
    bed.requests.clear();
    bed.mark_deleted("t");
    let delete = bed.requests.pop_back().unwrap();
    bed.answer(&delete, 56);
    assert!(bed.tree.node(&topic::path("t")).is_some());
    bed.brokers_answer = true;
    bed.requests.clear();
    bed.unregister(2);
    bed.register(2);
    assert!(bed.tree.node(&topic::path("t")).is_none());
}

#[test]
fn controlled_shutdown_moves_what_others_can_take() {
    let mut bed = Testbed::new();
    bed.register(1);
    bed.register(2);
    bed.start();
    bed.write_topic("t", "2,1;1,2;2");
    bed.take_log();
    let broker_epoch = bed.epoch_of(2);
    bed.event(Event::ControlledShutdown { ticket: 1, broker: 2, broker_epoch: broker_epoch - 1 });
    expect(&mut bed, "shutdown: the request comes from an earlier life of broker 2");
    bed.event(Event::ControlledShutdown { ticket: 2, broker: 2, broker_epoch });
    let log = bed.take_log();
    assert_eq!(log.last().map(String::as_str), Some("shutdown: 0 remain"), "{log:#?}");
    let leaders: Vec<_> = (0..3).map(|p| bed.state("t", p).unwrap().leader).collect();
    assert_eq!(leaders, [1, 1, 2], "what has no other replica stays");
    assert_eq!(bed.state("t", 1).unwrap().isr, [1]);
}

#[test]
fn leaderships_go_back_to_the_preferred() {
    let mut bed = Testbed::new();
    bed.register(1);
    bed.register(2);
    bed.start();
    bed.write_topic("t", "2,1");
    let broker_epoch = bed.epoch_of(2);
    bed.event(Event::ControlledShutdown { ticket: 1, broker: 2, broker_epoch });
    assert_eq!(bed.state("t", 0).unwrap().leader, 1);
    bed.unregister(2);
    bed.register(2);
    // The leader lets 2 in again; the store is told by hand.
    let tp = protocol::ids::TopicPartition::new("t", 0);
    let mut state = bed.state("t", 0).unwrap();
    state.isr = vec![1, 2];
    let path = metadata::znodes::partition_state::path(&tp);
    let data = Some(state.encode());
    bed.apply(CONTROLLER_SESSION, &Op::Set { path, data, version: ANY_VERSION }).unwrap();
    let path = "/isr_change_notification/isr_change_".to_owned();
    let data = Some(metadata::znodes::preferred_election::encode(&[tp].into_iter().collect()));
    let mode = metadata::store::CreateMode::PersistentSequential;
    bed.apply(CONTROLLER_SESSION, &Op::Create { path, data, mode }).unwrap();
    bed.settle();
    bed.now_ms += 300_000;
    bed.event(Event::Tick);
    assert_eq!(bed.state("t", 0).unwrap().leader, 2);
}
