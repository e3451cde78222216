//! What can happen to ZooKeeper, or between it and a broker, and what the broker makes of it: it
//! controls nothing that it may have lost, and goes on serving.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::{Connection, Options, TcpTransport, Versions};
use metadata::store::{CreateMode, Op, Reply, StoreError};
use metadata::zookeeper as store;
use protocol::error_code::ErrorCode;
use protocol::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreateTopicsRequest,
};
use protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use protocol::messages::metadata::{MetadataRequest, MetadataResponse};
use protocol::wire::Request;
use tests::ensemble::Ensemble;
use tests::ottla::{Ottla, tool};
use tests::process::{self, Process};
use tests::proxy::ZooKeeperProxy;
use tests::zookeeper::{self, ZooKeeperServer};
use tests::{clients, places, wait};

use crate::session_loss::{goes_on, newest};

const LIMIT: Duration = Duration::from_secs(60);
const SESSION: &str = "zookeeper.session.timeout.ms=6000";

pub fn ready() -> bool {
    places::have(&[("Debian's zookeeper", zookeeper::jar()), ("ottla", places::ottla())])
}

pub fn chroot(zookeeper: &ZooKeeperServer) -> String {
    format!("{}/kafka", zookeeper.connect())
}

/// One request on a connection of its own; `None` if there was no answer within two seconds.
pub fn ask<R: Request>(bootstrap: &str, request: &R, version: i16) -> Option<R::Response> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let to = bootstrap.parse().expect("host:port");
        let answered = async {
            let versions = Versions::Negotiate;
            let opened = Connection::open(&TcpTransport, &to, Options::default(), versions);
            let (connection, driver) = opened.await.ok()?;
            tokio::spawn(driver);
            connection.call_in(request, version).await.ok()
        };
        tokio::time::timeout(Duration::from_secs(2), answered).await.ok().flatten()
    })
}

/// Asks for a topic of one partition on these replicas.
fn create(
    bootstrap: &str,
    topic: &str,
    replicas: &[i32],
    only_validate: bool,
) -> Option<ErrorCode> {
    let broker_ids = replicas.to_vec();
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: topic.to_owned(),
            num_partitions: -1,
            replication_factor: -1,
            assignments: vec![CreatableReplicaAssignment { partition_index: 0, broker_ids }],
            configs: vec![],
        }],
        timeout_ms: 1000,
        validate_only: only_validate,
    };
    ask(bootstrap, &request, 5).map(|answer| ErrorCode(answer.topics[0].error_code))
}

/// Until the topic is there, made by this or by an earlier try.
pub fn created(bootstrap: &str, topic: &str, replicas: &[i32]) {
    wait::until_true(&format!("topic {topic} to be made"), LIMIT, || {
        let code = create(bootstrap, topic, replicas, false);
        matches!(code, Some(ErrorCode::NONE | ErrorCode::TOPIC_ALREADY_EXISTS))
    });
    wait::until_true(&format!("the leader of {topic}"), LIMIT, || {
        list_offsets(bootstrap, topic) == Some(ErrorCode::NONE)
    });
}

fn resigned(bootstrap: &str) {
    wait::until_true("the controller to resign", LIMIT, || {
        create(bootstrap, "probe", &[1], true) == Some(ErrorCode::NOT_CONTROLLER)
    });
}

/// What the broker itself says of partition 0.
pub fn list_offsets(bootstrap: &str, topic: &str) -> Option<ErrorCode> {
    let partition =
        ListOffsetsPartition { partition_index: 0, timestamp: -1, ..Default::default() };
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic { name: topic.to_owned(), partitions: vec![partition] }],
        ..Default::default()
    };
    let answer = ask(bootstrap, &request, 5)?;
    Some(ErrorCode(answer.topics[0].partitions[0].error_code))
}

fn metadata(bootstrap: &str) -> Option<MetadataResponse> {
    ask(bootstrap, &MetadataRequest { topics: None, ..Default::default() }, 9)
}

fn live(bootstrap: &str) -> Vec<i32> {
    let brokers = metadata(bootstrap).map(|answer| answer.brokers).unwrap_or_default();
    let mut ids: Vec<i32> = brokers.iter().map(|broker| broker.node_id).collect();
    ids.sort_unstable();
    ids
}

pub fn produce(bootstrap: &str, topic: &str, text: &str) {
    let args = ["-P", "-t", topic, "-p", "0", "-X", "message.timeout.ms=20000"];
    clients::kcat(bootstrap, &args, text.as_bytes()).ok();
}

pub fn consume(bootstrap: &str, topic: &str) -> String {
    clients::kcat(bootstrap, &["-C", "-t", topic, "-p", "0", "-o", "0", "-e", "-q"], b"").ok()
}

/// Operations as a client of `connect`, which names a chroot.
pub fn zk(connect: &str, ops: Vec<Op>) -> Vec<Result<Reply, StoreError>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let started = Instant::now();
        let clock = Arc::new(move || u64::try_from(started.elapsed().as_millis()).unwrap_or(0));
        let connect = connect.parse().expect("host:port/chroot");
        let (store, driver) = store::connect(store::Config::new(connect, clock));
        let driver = tokio::spawn(driver.run());
        let results = store.submit(ops).await;
        store.close().await;
        driver.await.expect("the driver ends with the store");
        results
    })
}

fn set(path: &str, data: impl Into<Vec<u8>>) -> Op {
    Op::Set { path: path.to_owned(), data: Some(data.into().into()), version: -1 }
}

fn make(path: &str, data: impl Into<Vec<u8>>) -> Op {
    let mode = CreateMode::Persistent;
    Op::Create { path: path.to_owned(), data: Some(data.into().into()), mode }
}

fn read(connect: &str, path: &str) -> String {
    let get = Op::Get { path: path.to_owned(), watch: false };
    match zk(connect, vec![get]).pop() {
        Some(Ok(Reply::Data { data, .. })) => {
            String::from_utf8_lossy(&data.unwrap_or_default()).into_owned()
        }
        other => panic!("{path}: {other:?}"),
    }
}

fn epoch(connect: &str) -> i32 {
    read(connect, "/controller_epoch").parse().expect("a number")
}

/// The server stands still, so nothing but the broker's own clock can end its office.
#[test]
fn a_controller_that_hears_nothing_resigns_and_serves_on() {
    if !ready() {
        return;
    }
    let zookeeper = ZooKeeperServer::start();
    let broker = Ottla::start(Some(&chroot(&zookeeper)), SESSION);
    let bootstrap = broker.bootstrap();
    created(&bootstrap, "t", &[1]);
    assert_eq!(create(&bootstrap, "probe", &[1], true), Some(ErrorCode::NONE));
    zookeeper.process().signal(libc::SIGSTOP);
    resigned(&bootstrap);
    produce(&bootstrap, "t", "while nobody controls\n");
    assert_eq!(consume(&bootstrap, "t"), "while nobody controls\n");
    zookeeper.process().signal(libc::SIGCONT);
    created(&bootstrap, "later", &[1]);
    produce(&bootstrap, "t", "afterwards\n");
    assert_eq!(consume(&bootstrap, "t"), "while nobody controls\nafterwards\n");
}

#[test]
fn fenced_leaders_serve_only_with_a_session() {
    if !ready() {
        return;
    }
    let zookeeper = ZooKeeperServer::start();
    let extra = format!("{SESSION}\nottla.fence.on.session.loss=true");
    let broker = Ottla::start(Some(&chroot(&zookeeper)), &extra);
    let bootstrap = broker.bootstrap();
    created(&bootstrap, "t", &[1]);
    produce(&bootstrap, "t", "before\n");
    zookeeper.process().signal(libc::SIGSTOP);
    wait::until_true("the leader to stop serving", LIMIT, || {
        list_offsets(&bootstrap, "t") == Some(ErrorCode::NOT_LEADER_OR_FOLLOWER)
    });
    let args = ["-P", "-t", "t", "-p", "0", "-X", "message.timeout.ms=2000"];
    let refused = clients::kcat(&bootstrap, &args, b"into the void\n");
    assert_ne!(refused.code, Some(0), "{refused:?}");
    zookeeper.process().signal(libc::SIGCONT);
    wait::until_true("the leader to serve again", LIMIT, || {
        list_offsets(&bootstrap, "t") == Some(ErrorCode::NONE)
    });
    produce(&bootstrap, "t", "after\n");
    assert_eq!(consume(&bootstrap, "t"), "before\nafter\n");
}

/// Cut off from ZooKeeper alone: another broker is elected, the former controller takes no part but
/// leads on what nobody else can, and both agree once the way is free.
#[test]
fn a_controller_cut_off_is_replaced_and_comes_back_as_a_broker() {
    if !ready() {
        return;
    }
    let zookeeper = ZooKeeperServer::start();
    let proxy = ZooKeeperProxy::start(zookeeper.port());
    let first = Ottla::start(Some(&format!("{}/kafka", proxy.connect())), SESSION);
    let second = Ottla::start(Some(&chroot(&zookeeper)), &format!("broker.id=2\n{SESSION}"));
    let (one, two) = (first.bootstrap(), second.bootstrap());
    wait::until_true("both brokers", LIMIT, || live(&two) == [1, 2] && live(&one) == [1, 2]);
    created(&one, "t", &[1]);
    let before = epoch(&chroot(&zookeeper));
    proxy.cut();
    wait::until_true("another controller", LIMIT, || {
        metadata(&two).is_some_and(|answer| answer.controller_id == 2)
    });
    assert_eq!(create(&one, "probe", &[1], true), Some(ErrorCode::NOT_CONTROLLER));
    assert_eq!(live(&two), [2]);
    produce(&one, "t", "led without a session\n");
    created(&two, "u", &[2]);
    proxy.heal();
    wait::until_true("both brokers again", LIMIT, || live(&two) == [1, 2] && live(&one) == [1, 2]);
    wait::until_true("one view of who controls", LIMIT, || {
        metadata(&one).is_some_and(|answer| answer.controller_id == 2)
    });
    assert_eq!(epoch(&chroot(&zookeeper)), before + 1, "nobody else was elected");
    wait::until_true("t to be led again", LIMIT, || {
        list_offsets(&one, "t") == Some(ErrorCode::NONE)
    });
    assert_eq!(consume(&two, "t"), "led without a session\n");
}

struct Quorum {
    // Declared in the order of their ends.
    load: Process,
    broker: Ottla,
    ensemble: Ensemble,
    _dir: tempfile::TempDir,
}

/// One broker beside three servers, with a producer and a consumer that no error may reach.
fn quorum() -> Option<Quorum> {
    if !ready() || !places::have(&[("the Python clients", places::python())]) {
        return None;
    }
    let ensemble = Ensemble::start();
    let broker = Ottla::start(Some(&format!("{}/kafka", ensemble.connect())), SESSION);
    created(&broker.bootstrap(), "steady", &[1]);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut python = clients::python_command("steady", &[&broker.bootstrap(), "steady"]);
    let mut load = Process::start("steady", dir.path(), &mut python);
    load.ready(LIMIT, |p| (newest(p, "read") > 20).then_some(()));
    Some(Quorum { load, broker, ensemble, _dir: dir })
}

#[test]
fn a_lost_quorum_stops_nothing_but_changes() {
    let Some(mut quorum) = quorum() else { return };
    let bootstrap = quorum.broker.bootstrap();
    quorum.ensemble.kill9(0);
    quorum.ensemble.kill9(1);
    resigned(&bootstrap);
    let lost = Instant::now();
    while lost.elapsed() < Duration::from_secs(12) {
        goes_on(&quorum.load);
    }
    quorum.ensemble.restart(0);
    quorum.ensemble.restart(1);
    created(&bootstrap, "later", &[1]);
    goes_on(&quorum.load);
}

#[test]
fn zookeepers_leader_is_killed_and_paused_again_and_again() {
    let Some(mut quorum) = quorum() else { return };
    let bootstrap = quorum.broker.bootstrap();
    for round in 0..3 {
        let leads = || quorum.ensemble.leader();
        let leader = wait::until("a leader of the ensemble", LIMIT, leads);
        quorum.ensemble.kill9(leader);
        created(&bootstrap, &format!("killed-{round}"), &[1]);
        goes_on(&quorum.load);
        quorum.ensemble.restart(leader);
        quorum.ensemble.wait_ready(leader);
        let leads = || quorum.ensemble.leader();
        let leader = wait::until("a leader of the ensemble", LIMIT, leads);
        quorum.ensemble.pause(leader);
        goes_on(&quorum.load);
        created(&bootstrap, &format!("paused-{round}"), &[1]);
        quorum.ensemble.resume(leader);
        goes_on(&quorum.load);
    }
}

fn copy(from: &Path, to: &Path) {
    let mut copy = Command::new("cp");
    process::run(copy.arg("-a").arg(from).arg(to), b"", LIMIT).ok();
}

#[test]
fn a_zookeeper_of_the_past_is_refused() {
    if !ready() {
        return;
    }
    let mut zookeeper = ZooKeeperServer::start();
    let mut broker = Ottla::start(Some(&chroot(&zookeeper)), "");
    created(&broker.bootstrap(), "t", &[1]);
    broker.stop();
    zookeeper.kill9();
    let kept = tempfile::tempdir().expect("a temporary directory");
    copy(&zookeeper.data_dir(), kept.path());
    zookeeper.restart();
    broker.restart();
    created(&broker.bootstrap(), "u", &[1]);
    let mark = broker.data_dir().join("ottla-metadata-mark");
    wait::until_true("the mark of the second controller epoch", LIMIT, || {
        std::fs::read_to_string(&mark).is_ok_and(|text| text.contains("controller.epoch=2\n"))
    });
    broker.kill9();
    zookeeper.kill9();
    std::fs::remove_dir_all(zookeeper.data_dir()).expect("the newer data");
    copy(&kept.path().join("data"), &zookeeper.data_dir());
    zookeeper.restart();
    let (code, said) = broker.restart_in_vain();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("the metadata is older than what this broker has seen"), "{said}");
    // Whoever knows better can say so.
    std::fs::remove_file(mark).expect("the mark");
    broker.restart();
}

#[test]
fn nodes_without_sense_change_nothing() {
    if !ready() {
        return;
    }
    let zookeeper = ZooKeeperServer::start();
    let connect = chroot(&zookeeper);
    let broker = Ottla::start(Some(&connect), SESSION);
    let bootstrap = broker.bootstrap();
    created(&bootstrap, "t", &[1]);
    created(&bootstrap, "u", &[1]);
    let huge = vec![b'['; 2 << 20];
    let negative = r#"{"controller_epoch":-4,"leader":1,"version":1,"leader_epoch":-9,"isr":[1]}"#;
    let changed = r#"{"version":2,"entity_path":"topics/t"}"#;
    let strange = vec![
        set("/brokers/topics/t", huge.clone()),
        set("/brokers/topics/t/partitions/0/state", huge.clone()),
        set("/brokers/topics/u/partitions/0/state", negative),
        set("/config/topics/t", huge.clone()),
        make("/config/changes/config_change_9999999990", changed),
        make("/config/changes/config_change_9999999991", huge.clone()),
        make("/config/changes/nonsense", "?"),
        make("/brokers/ids/7", huge.clone()),
        make("/brokers/ids/eight", ""),
        make("/brokers/topics/no-topic", "{\"partitions\":{\"-1\":[-3]},\"version\":3}"),
        make("/isr_change_notification/isr_change_0000000001", huge.clone()),
        make("/log_dir_event_notification/log_dir_event_0000000001", "{\"event\":\"x\"}"),
        make("/admin/preferred_replica_election", huge.clone()),
        make("/admin/delete_topics/unheard-of", huge),
    ];
    for (index, result) in zk(&connect, strange).into_iter().enumerate() {
        assert!(result.is_ok(), "{index}: {result:?}");
    }
    created(&bootstrap, "while-strange", &[1]);
    produce(&bootstrap, "t", "good\n");
    assert_eq!(consume(&bootstrap, "t"), "good\n");
    // A controller that finds all that at its start.
    let before = epoch(&connect);
    let delete = Op::Delete { path: "/controller".to_owned(), version: -1 };
    zk(&connect, vec![delete]).pop().expect("an answer").expect("it was there");
    wait::until_true("another election", LIMIT, || epoch(&connect) > before);
    created(&bootstrap, "after-an-election", &[1]);
    produce(&bootstrap, "t", "and kept\n");
    assert_eq!(consume(&bootstrap, "t"), "good\nand kept\n");
    assert_eq!(list_offsets(&bootstrap, "u"), Some(ErrorCode::NONE));
}

fn set_acl(zookeeper: &ZooKeeperServer, path: &str, permissions: &str) {
    let mut java = Command::new("java");
    java.args(["-Xmx64m", "-XX:TieredStopAtLevel=1", "-cp"]).arg(zookeeper::jar());
    java.args(["org.apache.zookeeper.ZooKeeperMain", "-server", &zookeeper.connect()]);
    java.args(["setAcl", path, &format!("world:anyone:{permissions}")]);
    process::run(&mut java, b"", LIMIT).ok();
}

#[test]
fn what_zookeeper_forbids_fails_and_leaves_nothing_half_done() {
    if !ready() {
        return;
    }
    let zookeeper = ZooKeeperServer::start();
    let connect = chroot(&zookeeper);
    let broker = Ottla::start(Some(&connect), SESSION);
    let bootstrap = broker.bootstrap();
    created(&bootstrap, "t", &[1]);
    set_acl(&zookeeper, "/kafka/brokers/topics", "ra");
    let refused = create(&bootstrap, "forbidden", &[1], false);
    assert!(refused.is_some_and(|code| code != ErrorCode::NONE), "{refused:?}");
    set_acl(&zookeeper, "/kafka/config/topics/t", "ra");
    let alter = ["configs", "--bootstrap-server", &bootstrap, "--alter"];
    let of = ["--entity-type", "topics", "--entity-name", "t", "--add-config", "retention.ms=7"];
    let altered = tool(&[&alter[..], &of].concat(), b"");
    assert_ne!(altered.code, Some(0), "{altered:?}");
    produce(&bootstrap, "t", "served\n");
    assert_eq!(consume(&bootstrap, "t"), "served\n");
    let names = metadata(&bootstrap).expect("an answer").topics;
    assert!(names.iter().all(|topic| topic.name.as_deref() != Some("forbidden")), "{names:?}");
    assert!(!read(&connect, "/config/topics/t").contains("retention"));
    set_acl(&zookeeper, "/kafka/brokers/topics", "cdrwa");
    created(&bootstrap, "forbidden", &[1]);
}
