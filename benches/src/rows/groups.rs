//! Groups: how many offset commits a CPU second of the broker pays for, and how long it takes from
//! a member's first request to its first record. The same client for both, on this crate's own
//! connections, so that the client's own pauses are not measured.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use client::{Connection, Endpoint, Options, TcpTransport, Versions};
use protocol::api::ApiKey;
use protocol::error_code::ErrorCode;
use protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use protocol::messages::find_coordinator::FindCoordinatorRequest;
use protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use protocol::messages::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup};
use protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use tests::ottla;

use crate::subject::{KINDS, Kind, Subject};
use crate::table::{Goal, Row, median};

const TOPIC: &str = "groups";
const PROTOCOL: &str = "consumer";
const ASSIGNOR: &str = "range";
const PARTITIONS: i32 = 10;
const GROUPS: usize = 50;
const WARM_PASSES: usize = 2;
const PASSES: usize = 3;
/// Per group and pass.
const COMMITS: usize = 400;
const JOINS: usize = 100;

/// A coordinator, its partition and a member are ready within so long.
const LIMIT: Duration = Duration::from_secs(60);

/// A group's first rebalance waits for others by default; here the rest is to be seen.
const SETTINGS: &str = "group.initial.rebalance.delay.ms=0";

pub fn rows() -> Vec<Row> {
    let subjects = KINDS.map(|kind| Subject::start_with(kind, SETTINGS));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let (mut commits, mut joins) = (BTreeMap::new(), BTreeMap::new());
    for subject in &subjects {
        subject.create_topic(TOPIC, PARTITIONS as u32);
        let bootstrap = subject.bootstrap();
        let args = ["console-producer", "--bootstrap-server", &bootstrap, "--topic", TOPIC];
        ottla::tool(&args, "value\n".repeat(100).as_bytes()).ok();
    }
    for pass in 0..WARM_PASSES + PASSES {
        for subject in &subjects {
            let per_cpu_second = runtime.block_on(commit_pass(subject));
            let seconds = runtime.block_on(join_pass(subject, pass));
            eprintln!(
                "{:?} pass {pass}: {per_cpu_second:.0} commits per CPU second, {seconds:.4} s",
                subject.kind
            );
            if pass >= WARM_PASSES {
                let kind = subject.kind == Kind::Ottla;
                commits.entry(kind).or_insert_with(Vec::new).push(per_cpu_second);
                joins.entry(kind).or_insert_with(Vec::new).push(seconds * 1e3);
            }
        }
    }
    let row = |what: &str, unit, of: &BTreeMap<bool, Vec<f64>>, goal| Row {
        what: what.to_owned(),
        unit,
        apache: median(&of[&false]),
        ottla: median(&of[&true]),
        goal,
    };
    let commit = "offset commits of 10 partitions, 50 groups: commits per CPU second";
    let join = "a member's first request to its first record, no initial delay";
    vec![row(commit, "/s", &commits, Goal::AtLeast(2.0)), row(join, "ms", &joins, Goal::Ratio(1.0))]
}

async fn connect(subject: &Subject) -> Connection {
    let address = subject.bootstrap();
    let (host, port) = address.rsplit_once(':').expect("host:port");
    let to = Endpoint::new(host, port.parse().expect("a port"));
    // Topics by name; everything else as new as both have it.
    let versions = Versions::Pinned(BTreeMap::from([(ApiKey::Fetch, 12)]));
    let options = Options { inflight_max: 32, ..Options::default() };
    let opening = Connection::open(&TcpTransport, &to, options, versions);
    let (connection, driver) = opening.await.expect("the broker listens");
    tokio::spawn(driver);
    connection
}

/// One broker is the coordinator of all; its topic may have to be made first.
async fn until_coordinated(connection: &Connection, group: &str) {
    let request = FindCoordinatorRequest {
        coordinator_keys: vec![group.to_owned()],
        ..FindCoordinatorRequest::default()
    };
    until("a coordinator", Duration::from_millis(50), async || {
        let answer = connection.call(&request).await.expect("an answer");
        answer.coordinators[0].error_code == 0
    })
    .await;
}

/// Looks again and again, within a limit.
async fn until(what: &str, pause: Duration, probe: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !probe().await {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(pause).await;
    }
}

fn commit(group: &str, offset: i64) -> OffsetCommitRequest {
    let partition = |partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: offset,
        committed_metadata: Some(String::new()),
        ..OffsetCommitRequestPartition::default()
    };
    let partitions = (0..PARTITIONS).map(partition).collect();
    OffsetCommitRequest {
        group_id: group.to_owned(),
        topics: vec![OffsetCommitRequestTopic { name: TOPIC.to_owned(), partitions }],
        ..OffsetCommitRequest::default()
    }
}

/// Every group commits again and again, one commit at a time; gives commits per CPU second.
async fn commit_pass(subject: &Subject) -> f64 {
    let mut connections = Vec::new();
    for index in 0..GROUPS {
        let connection = connect(subject).await;
        let group = format!("commits-{index}");
        until_coordinated(&connection, &group).await;
        connections.push((connection, group));
    }
    // Its partition may still be loading.
    for (connection, group) in &connections {
        until("a loaded partition", Duration::from_millis(50), async || {
            let answer = connection.call(&commit(group, 0)).await.expect("an answer");
            answer.topics[0].partitions[0].error_code == 0
        })
        .await;
    }
    let before = subject.cpu_seconds();
    let mut running = Vec::new();
    for (connection, group) in connections {
        running.push(tokio::spawn(async move {
            for offset in 0..COMMITS {
                let answer = connection.call(&commit(&group, offset as i64)).await;
                let answer = answer.expect("an answer");
                assert_eq!(answer.topics[0].partitions[0].error_code, 0);
            }
        }));
    }
    for task in running {
        task.await.expect("every commit is stored");
    }
    (GROUPS * COMMITS) as f64 / (subject.cpu_seconds() - before)
}

/// New groups of one member, one after the other; gives the median of their seconds.
async fn join_pass(subject: &Subject, pass: usize) -> f64 {
    let mut seconds = Vec::new();
    for index in 0..JOINS {
        let connection = connect(subject).await;
        let group = format!("joins-{pass}-{index}");
        until_coordinated(&connection, &group).await;
        let start = Instant::now();
        let probe = async || joined(&connection, &group).await;
        until("a first record", Duration::from_millis(10), probe).await;
        seconds.push(start.elapsed().as_secs_f64());
    }
    median(&seconds)
}

/// To the one topic, in version 0 of `ConsumerProtocolSubscription`.
fn subscription() -> Bytes {
    let length = i16::try_from(TOPIC.len()).expect("a short name").to_be_bytes();
    let (version, topics, no_user_data) = ([0, 0], [0, 0, 0, 1], [0xff; 4]);
    [&version[..], &topics, &length, TOPIC.as_bytes(), &no_user_data].concat().into()
}

/// Join, sync, offsets, first record; false if the coordinator is not ready.
async fn joined(connection: &Connection, group: &str) -> bool {
    let mut join = JoinGroupRequest {
        group_id: group.to_owned(),
        session_timeout_ms: 45_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: PROTOCOL.to_owned(),
        protocols: vec![JoinGroupRequestProtocol {
            name: ASSIGNOR.to_owned(),
            metadata: subscription(),
        }],
        ..JoinGroupRequest::default()
    };
    let mut answer = connection.call(&join).await.expect("an answer");
    if answer.error_code == ErrorCode::MEMBER_ID_REQUIRED.0 {
        join.member_id = answer.member_id;
        answer = connection.call(&join).await.expect("an answer");
    }
    if answer.error_code != 0 {
        return false;
    }
    let sync = SyncGroupRequest {
        group_id: group.to_owned(),
        generation_id: answer.generation_id,
        member_id: answer.member_id.clone(),
        protocol_type: Some(PROTOCOL.to_owned()),
        protocol_name: Some(ASSIGNOR.to_owned()),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: answer.member_id,
            assignment: Bytes::from_static(b"all"),
        }],
        ..SyncGroupRequest::default()
    };
    let synced = connection.call(&sync).await.expect("an answer");
    assert_eq!(synced.error_code, 0);
    let offsets = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            topics: None,
            ..OffsetFetchRequestGroup::default()
        }],
        ..OffsetFetchRequest::default()
    };
    let fetched = connection.call(&offsets).await.expect("an answer");
    assert_eq!(fetched.groups[0].error_code, 0);
    let partition = |partition| FetchPartition {
        partition,
        fetch_offset: 0,
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    };
    let topic = FetchTopic {
        topic: TOPIC.to_owned(),
        partitions: (0..PARTITIONS).map(partition).collect(),
        ..FetchTopic::default()
    };
    let fetch = FetchRequest {
        max_wait_ms: 500,
        min_bytes: 1,
        topics: vec![topic],
        ..FetchRequest::default()
    };
    let records = connection.call(&fetch).await.expect("an answer");
    assert_eq!(records.error_code, 0);
    true
}
