//! How a broker beside ZooKeeper ends, or does not begin: told twice to stop, while it controls,
//! and with an id that another broker has.

use std::time::{Duration, Instant};

use protocol::error_code::ErrorCode;
use tests::ottla::Ottla;
use tests::wait;
use tests::znodes::Znodes;
use tests::zookeeper::ZooKeeperServer;

use crate::zookeeper_faults::{chroot, created, list_offsets, ready};

const LIMIT: Duration = Duration::from_secs(30);

/// The controller does not answer, so an ordered stop takes its time.
#[test]
fn a_second_signal_stops_at_once() {
    if !ready() {
        return;
    }
    let zookeeper = ZooKeeperServer::start();
    let controller = Ottla::start(Some(&chroot(&zookeeper)), "broker.id=2");
    let mut broker = Ottla::start(Some(&chroot(&zookeeper)), "");
    controller.process().signal(libc::SIGSTOP);
    broker.process().signal(libc::SIGTERM);
    wait::until_true("the stop to begin", LIMIT, || broker.process().stderr().contains("stopping"));
    std::thread::sleep(Duration::from_millis(200));
    assert!(broker.ended().is_none(), "one signal is not enough");
    broker.process().signal(libc::SIGTERM);
    let told = Instant::now();
    let status = wait::until("its end", LIMIT, || broker.ended());
    assert_eq!(status.code(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(3), "{:?}", told.elapsed());
    assert!(
        !broker.data_dir().join(".kafka_cleanshutdown").exists(),
        "nobody vouches for the logs"
    );
    controller.process().signal(libc::SIGCONT);
    broker.restart();
}

/// Its office goes first: another moves its leaderships away, and stays to tell everybody.
#[test]
fn a_controller_leaves_by_its_successor() {
    if !ready() {
        return;
    }
    let zookeeper = ZooKeeperServer::start();
    let mut first = Ottla::start(Some(&chroot(&zookeeper)), "");
    let one_try = "controlled.shutdown.max.retries=1\ncontrolled.shutdown.retry.backoff.ms=60000";
    let extra = format!("broker.id=2\n{one_try}");
    let mut second = Ottla::start(Some(&chroot(&zookeeper)), &extra);
    created(&first.bootstrap(), "t", &[1, 2]);
    first.process().signal(libc::SIGTERM);
    let status = wait::until("its end", LIMIT, || first.ended());
    assert_eq!(status.code(), Some(0));
    let said = second.process().stderr();
    assert!(said.contains("moving its leaderships away"), "{said}");
    let znodes = Znodes::connect(&chroot(&zookeeper));
    assert_eq!(znodes.controller(), Some(2));
    let state = znodes.partition("t", 0).expect("a state");
    assert_eq!((state.leader, state.isr), (2, vec![2]));
    wait::until_true("the new leader to serve", LIMIT, || {
        list_offsets(&second.bootstrap(), "t") == Some(ErrorCode::NONE)
    });
    // Nobody is left to lead it: after the last try there is nothing to wait for.
    second.process().signal(libc::SIGTERM);
    let status = wait::until("its end", LIMIT, || second.ended());
    assert_eq!(status.code(), Some(0));
    assert!(second.process().stderr().contains("leaderships were not moved"));
}

/// Nobody else wants the office: it moves its own leaderships.
#[test]
fn a_controller_without_a_successor_stays_in_office() {
    if !ready() {
        return;
    }
    let zookeeper = ZooKeeperServer::start();
    let mut first = Ottla::start(Some(&chroot(&zookeeper)), "");
    let unwilling = "broker.id=2\nottla.controller.eligible=false";
    let second = Ottla::start(Some(&chroot(&zookeeper)), unwilling);
    created(&first.bootstrap(), "t", &[1, 2]);
    first.process().signal(libc::SIGTERM);
    let status = wait::until("its end", LIMIT, || first.ended());
    assert_eq!(status.code(), Some(0));
    assert!(!second.process().stderr().contains("elected as controller"));
    let znodes = Znodes::connect(&chroot(&zookeeper));
    let state = znodes.partition("t", 0).expect("a state");
    assert_eq!((state.leader, state.isr), (2, vec![2]));
}

/// It leaves nothing to the ensemble and closes its logs all the same, whether the servers are gone
/// or silent.
#[test]
fn a_stop_beside_a_dead_ensemble_is_clean_and_does_not_wait_for_it() {
    if !ready() {
        return;
    }
    let mut zookeeper = ZooKeeperServer::start();
    let mut broker = Ottla::start(Some(&chroot(&zookeeper)), "");
    let mut second = Ottla::start(Some(&chroot(&zookeeper)), "broker.id=2");
    created(&broker.bootstrap(), "t", &[1, 2]);
    zookeeper.process().signal(libc::SIGSTOP);
    stops_cleanly(&mut broker);
    zookeeper.process().signal(libc::SIGCONT);
    zookeeper.kill9();
    stops_cleanly(&mut second);
}

fn stops_cleanly(broker: &mut Ottla) {
    broker.process().signal(libc::SIGTERM);
    let told = Instant::now();
    let status = wait::until("its end", LIMIT, || broker.ended());
    assert_eq!(status.code(), Some(0), "{}", broker.process().stderr());
    // Apache's takes two and a half seconds; this one waited for a session's timeout, 18 s.
    assert!(told.elapsed() < Duration::from_secs(8), "{:?}", told.elapsed());
    assert!(broker.data_dir().join(".kafka_cleanshutdown").exists());
}

#[test]
fn an_id_that_is_taken_is_exit_code_5() {
    if !ready() {
        return;
    }
    let zookeeper = ZooKeeperServer::start();
    let session = "zookeeper.session.timeout.ms=2000";
    let first = Ottla::start(Some(&chroot(&zookeeper)), session);
    created(&first.bootstrap(), "t", &[1]);
    let (code, said) = Ottla::start_in_vain(Some(&chroot(&zookeeper)), session);
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("broker id 1 is taken"), "{said}");
    created(&first.bootstrap(), "u", &[1]);
}
