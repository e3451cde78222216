//! A broker beside ZooKeeper that dies: its session ends with it, not by its timeout.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use tests::ottla::Ottla;
use tests::zookeeper::{self, ZooKeeperServer};
use tests::{places, wait};

use crate::session_loss::registered_by;

/// Far longer than any wait here: what ends sooner did not end by it.
const SESSION: &str = "zookeeper.session.timeout.ms=60000";
const LIMIT: Duration = Duration::from_secs(10);

fn start(extra: &str) -> Option<(ZooKeeperServer, Ottla)> {
    let needs =
        [("Debian's zookeeper", zookeeper::jar()), ("target/release/ottla", places::ottla())];
    if !places::have(&needs) {
        return None;
    }
    let zookeeper = ZooKeeperServer::start();
    let connect = format!("{}/kafka", zookeeper.connect());
    let broker = Ottla::start(Some(&connect), &format!("{SESSION}\n{extra}"));
    assert!(registered_by(zookeeper.port()).is_some());
    Some((zookeeper, broker))
}

/// The processes that `parent` started.
fn children(parent: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).expect("the broker runs");
    let lists = tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|l| l.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        .collect()
}

fn guard(broker: &Ottla) -> u32 {
    wait::until("the broker's guard", LIMIT, || children(broker.process().id()).first().copied())
}

fn descriptors(process: u32) -> BTreeSet<String> {
    let all = std::fs::read_dir(format!("/proc/{process}/fd")).expect("the process runs");
    let targets = all.flatten().filter_map(|fd| std::fs::read_link(fd.path()).ok());
    targets.map(|target| target.to_string_lossy().into_owned()).collect()
}

#[test]
fn a_killed_broker_is_gone_at_once_and_can_start_again() {
    let Some((zookeeper, mut broker)) = start("") else { return };
    for _ in 0..3 {
        let guard = guard(&broker);
        broker.kill9();
        let killed = Instant::now();
        wait::until_true("its registration to go", LIMIT, || {
            registered_by(zookeeper.port()).is_none()
        });
        println!("gone {:?} after the kill", killed.elapsed());
        wait::until_true("its guard to end", LIMIT, || {
            !Path::new(&format!("/proc/{guard}/cmdline")).exists()
        });
        broker.restart();
        assert!(killed.elapsed() < Duration::from_secs(30), "nobody waited for the session");
    }
}

#[test]
fn a_guard_holds_nothing_but_its_pipe_and_shows_no_secret() {
    let Some((_zookeeper, broker)) = start("") else { return };
    let guard = guard(&broker);
    let proc = |file: &str| std::fs::read(format!("/proc/{guard}/{file}")).expect("it runs");
    let id = broker.process().id();
    assert_eq!(proc("cmdline"), format!("ottla\0guard\0{id}\0").into_bytes());
    let environment = |process: u32| std::fs::read(format!("/proc/{process}/environ")).unwrap();
    assert_eq!(environment(guard), environment(id), "nothing is told by the environment");
    let shared: Vec<String> = descriptors(guard).intersection(&descriptors(id)).cloned().collect();
    let nowhere = |target: &String| target == "/dev/null" || target.starts_with("anon_inode:");
    let shared: Vec<String> = shared.into_iter().filter(|target| !nowhere(target)).collect();
    assert!(shared.len() == 1 && shared[0].starts_with("pipe:"), "{shared:?}");
}

#[test]
fn a_stop_dismisses_the_guard() {
    let Some((zookeeper, mut broker)) = start("") else { return };
    let guard = guard(&broker);
    broker.stop();
    assert!(!Path::new(&format!("/proc/{guard}")).exists(), "it went first");
    assert!(registered_by(zookeeper.port()).is_none());
}

#[test]
fn a_guard_that_dies_is_replaced() {
    dies_and_is_replaced("");
}

/// As with a kernel that has no descriptors of processes.
#[test]
fn a_guard_without_pidfd_does_the_same() {
    dies_and_is_replaced("ottla.io.disable=pidfd");
}

fn dies_and_is_replaced(extra: &str) {
    let Some((zookeeper, mut broker)) = start(extra) else { return };
    let first = guard(&broker);
    // SAFETY: the broker has not reaped it, so the id is still its own.
    unsafe { libc::kill(first as libc::pid_t, libc::SIGKILL) };
    wait::until_true("another guard", LIMIT, || {
        children(broker.process().id()).iter().any(|id| *id != first)
    });
    assert!(registered_by(zookeeper.port()).is_some(), "it does nothing while the broker lives");
    let words = |id: u32| std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let told = children(broker.process().id()).into_iter().map(words).any(|words| {
        let words = String::from_utf8_lossy(&words).into_owned();
        words.contains("guard") && words.contains("without-pidfd")
    });
    assert_eq!(told, extra.contains("pidfd"), "the key is passed on");
    broker.kill9();
    wait::until_true("the registration to go", LIMIT, || registered_by(zookeeper.port()).is_none());
}

#[test]
fn a_broker_without_a_guard_leaves_its_session_to_the_timeout() {
    let Some((zookeeper, mut broker)) = start("ottla.session.guard=false") else { return };
    assert!(children(broker.process().id()).is_empty());
    broker.kill9();
    let owner = registered_by(zookeeper.port());
    assert!(owner.is_some(), "nobody ends it");
}
