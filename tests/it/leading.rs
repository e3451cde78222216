//! Our broker leads, Apache's brokers follow and control: the ISR goes and comes through
//! AlterPartition, acks=all says what Kafka's says, and both hold the same bytes at the end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use client::{Connection, Options, TcpTransport, Versions};
use protocol::error_code::ErrorCode;
use protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use protocol::records::builder::{BatchBuilder, BatchOptions};
use protocol::wire::{Records, Request};
use tests::apache::ApacheBroker;
use tests::clients::kcat;
use tests::ottla::{self, Ottla};
use tests::process::Process;
use tests::zookeeper::{self, ZooKeeperServer};
use tests::{places, wait};

const LIMIT: Duration = Duration::from_secs(180);

/// Apache's broker 1 controls, ours is 2, Apache's 3 follows.
struct Scene {
    controller: ApacheBroker,
    ours: Ottla,
    follower: ApacheBroker,
    _zookeeper: ZooKeeperServer,
}

/// `lag_ms` is our `replica.lag.time.max.ms`. `None` if something is missing.
fn scene(lag_ms: u32, extra: &str) -> Option<Scene> {
    let needs = [
        ("Debian's zookeeper", zookeeper::jar()),
        ("Apache Kafka's jars", places::kafka_lib()),
        ("the broker", places::ottla()),
    ];
    if !places::have(&needs) {
        return None;
    }
    let zookeeper = ZooKeeperServer::start();
    let connect = format!("{}/kafka", zookeeper.connect());
    // The first one that comes is the controller.
    let controller = ApacheBroker::start(&connect, &format!("broker.rack=rack-1\n{extra}"));
    let lag = format!("broker.id=2\nbroker.rack=rack-2\nreplica.lag.time.max.ms={lag_ms}\n{extra}");
    let ours = Ottla::start(Some(&connect), &lag);
    let follower =
        ApacheBroker::start(&connect, &format!("broker.id=3\nbroker.rack=rack-3\n{extra}"));
    wait::until_true("three brokers", LIMIT, || {
        kcat(&ours.bootstrap(), &["-L"], b"").out.contains(" 3 brokers:")
    });
    Some(Scene { controller, ours, follower, _zookeeper: zookeeper })
}

impl Scene {
    fn create(&self, topic: &str, assignment: &str, configs: &[&str]) {
        let bootstrap = self.ours.bootstrap();
        let args = ["topics", "--bootstrap-server", &bootstrap, "--create", "--topic", topic];
        // The records' time is long ago.
        let configs = [&["retention.ms=-1"], configs].concat();
        let configs = configs.iter().flat_map(|config| ["--config", *config]);
        let args: Vec<&str> =
            args.into_iter().chain(["--replica-assignment", assignment]).chain(configs).collect();
        ottla::tool(&args, b"").ok();
        self.await_isr(topic, &assignment.replace(':', ","));
    }

    /// Waits until our broker says that partition 0 has this ISR.
    fn await_isr(&self, topic: &str, isr: &str) {
        let bootstrap = self.ours.bootstrap();
        let end = format!("isrs: {isr}\n");
        wait::until_true(&format!("{topic} to have ISR {isr}"), LIMIT, || {
            let listed = kcat(&bootstrap, &["-L", "-t", topic], b"").out;
            listed.lines().any(|l| format!("{l}\n").ends_with(&end))
        });
    }

    fn produce(&self, topic: &str, acks: i16, timeout_ms: i32, value: &str) -> ErrorCode {
        produce(&self.ours.bootstrap(), topic, acks, timeout_ms, value)
    }
}

/// One request in the newest version, on a connection of its own.
fn call<R: Request>(bootstrap: &str, request: &R) -> R::Response {
    call_in(bootstrap, request, R::MAX_VERSION)
}

fn call_in<R: Request>(bootstrap: &str, request: &R, version: i16) -> R::Response {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let endpoint = bootstrap.parse().expect("an endpoint");
        let options = Options::default();
        let opening = Connection::open(&TcpTransport, &endpoint, options, Versions::Negotiate);
        let (connection, driver) = opening.await.expect("a connection");
        tokio::spawn(driver);
        connection.call_in(request, version).await.expect("an answer")
    })
}

fn produce(bootstrap: &str, topic: &str, acks: i16, timeout_ms: i32, value: &str) -> ErrorCode {
    let mut batch = BatchBuilder::new(BatchOptions::default());
    batch.append(1_700_000_000_000, None, Some(value.as_bytes()), &[]).expect("a record");
    let records = Some(Records::Bytes(batch.finish().expect("a batch").into()));
    let data = PartitionProduceData { index: 0, records };
    let topic = TopicProduceData { name: topic.to_owned(), partition_data: vec![data] };
    let request =
        ProduceRequest { acks, timeout_ms, topic_data: vec![topic], ..ProduceRequest::default() };
    ErrorCode(call(bootstrap, &request).responses[0].partition_responses[0].error_code)
}

fn consume(bootstrap: &str, topic: &str) -> Vec<String> {
    let read = kcat(bootstrap, &["-C", "-t", topic, "-o", "beginning", "-e", "-q"], b"").ok();
    read.lines().map(str::to_owned).collect()
}

/// One of `ReplicaManager`'s metrics of our broker.
fn counted(http: &str, name: &str) -> u64 {
    let mut stream = TcpStream::connect(http).expect("the metrics page");
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("the page");
    let name = format!("kafka_server_replicamanager_{name} ");
    let line = page.lines().find_map(|line| line.strip_prefix(&name));
    line.unwrap_or_else(|| panic!("{name}is shown")).parse().expect("a number")
}

fn log_bytes(data_dir: &Path, topic: &str) -> Vec<u8> {
    let file = data_dir.join(format!("{topic}-0/00000000000000000000.log"));
    std::fs::read(file).expect("the only segment")
}

#[test]
fn the_isr_goes_and_comes_with_apaches_follower() {
    let http = format!("127.0.0.1:{}", places::free_port());
    let Some(mut scene) = scene(10_000, &format!("ottla.http.listener={http}")) else { return };
    scene.create("two", "2:3", &["min.insync.replicas=2"]);
    scene.create("one", "2:3", &[]);
    for topic in ["two", "one"] {
        assert_eq!(scene.produce(topic, -1, 30_000, "a"), ErrorCode::NONE, "{topic}");
    }

    scene.follower.kill9();
    assert_eq!(scene.produce("two", -1, 200, "b"), ErrorCode::REQUEST_TIMED_OUT);
    scene.await_isr("two", "2");
    scene.await_isr("one", "2");
    assert_eq!(scene.produce("two", -1, 30_000, "c"), ErrorCode::NOT_ENOUGH_REPLICAS);
    let counts = [
        ("leadercount", 2),
        ("underreplicatedpartitions", 2),
        ("underminisrpartitioncount", 1),
        ("atminisrpartitioncount", 1),
    ];
    for (name, expected) in counts {
        assert_eq!(counted(&http, name), expected, "{name}");
    }
    assert_eq!(scene.produce("two", 1, 30_000, "d"), ErrorCode::NONE);
    assert_eq!(scene.produce("one", -1, 30_000, "b"), ErrorCode::NONE);
    // Nobody may read what the ISR was too small for.
    let bootstrap = scene.ours.bootstrap();
    assert_eq!(consume(&bootstrap, "two"), ["a"]);
    assert_eq!(consume(&bootstrap, "one"), ["a", "b"]);

    scene.follower.restart();
    scene.await_isr("two", "2,3");
    scene.await_isr("one", "2,3");
    // The leader counts when it has heard of what ZooKeeper shows already. Of `one` the follower
    // had everything, so that the controller took it out and the leader counts no shrink. A busy
    // machine may have seen the follower lag before.
    wait::until_true("the ISR's changes to be counted", LIMIT, || {
        let lacking = ["underreplicatedpartitions", "underminisrpartitioncount"];
        counted(&http, "isrshrinks_total") >= 1
            && counted(&http, "isrexpands_total") >= 2
            && lacking.iter().all(|name| counted(&http, name) == 0)
    });
    for topic in ["two", "one"] {
        assert_eq!(scene.produce(topic, -1, 30_000, "e"), ErrorCode::NONE, "{topic}");
    }
    assert_eq!(consume(&bootstrap, "two"), ["a", "b", "d", "e"]);
    assert_eq!(consume(&bootstrap, "one"), ["a", "b", "e"]);

    scene.follower.stop();
    scene.ours.stop();
    scene.controller.kill9();
    for topic in ["two", "one"] {
        let (ours, theirs) = (
            log_bytes(&scene.ours.data_dir(), topic),
            log_bytes(&scene.follower.data_dir(), topic),
        );
        assert!(!ours.is_empty() && ours == theirs, "{topic}: {} {}", ours.len(), theirs.len());
    }
}

/// Commits for a group without members.
fn commit(bootstrap: &str, offset: i64) -> ErrorCode {
    let partition = OffsetCommitRequestPartition {
        committed_offset: offset,
        ..OffsetCommitRequestPartition::default()
    };
    let topic = OffsetCommitRequestTopic { name: "t".to_owned(), partitions: vec![partition] };
    let request = OffsetCommitRequest {
        group_id: "g".to_owned(),
        topics: vec![topic],
        ..OffsetCommitRequest::default()
    };
    ErrorCode(call_in(bootstrap, &request, 8).topics[0].partitions[0].error_code)
}

/// What the group has committed, once this broker coordinates it.
fn committed(bootstrap: &str) -> Option<i64> {
    let topic = OffsetFetchRequestTopics { name: "t".to_owned(), partition_indexes: vec![0] };
    let group = OffsetFetchRequestGroup {
        group_id: "g".to_owned(),
        topics: Some(vec![topic]),
        ..OffsetFetchRequestGroup::default()
    };
    let request = OffsetFetchRequest { groups: vec![group], ..OffsetFetchRequest::default() };
    let response = call_in(bootstrap, &request, 8);
    let group = &response.groups[0];
    (group.error_code == 0).then(|| group.topics[0].partitions[0].committed_offset)
}

/// Where a consumer in `rack` is sent; −1: nowhere else.
fn preferred(bootstrap: &str, rack: &str) -> i32 {
    let partition = FetchPartition { partition_max_bytes: 1 << 20, ..FetchPartition::default() };
    let topic =
        FetchTopic { topic: "t".to_owned(), partitions: vec![partition], ..FetchTopic::default() };
    let request = FetchRequest {
        max_bytes: 1 << 20,
        rack_id: rack.to_owned(),
        topics: vec![topic],
        ..FetchRequest::default()
    };
    let partition = &call_in(bootstrap, &request, 11).responses[0].partitions[0];
    assert_eq!(partition.error_code, 0);
    let is_empty = partition.records.as_ref().is_none_or(|records| records.is_empty());
    assert_eq!(is_empty, partition.preferred_read_replica >= 0, "records or another broker");
    partition.preferred_read_replica
}

#[test]
fn what_replicas_share_besides_records() {
    let extra = "offsets.topic.num.partitions=1\nreplica.selector.class=\
                 org.apache.kafka.common.replica.RackAwareReplicaSelector";
    let Some(mut scene) = scene(5000, extra) else { return };
    let ours = scene.ours.bootstrap();
    scene.create("t", "2:3", &[]);
    for value in ["a", "b", "c"] {
        assert_eq!(scene.produce("t", -1, 30_000, value), ErrorCode::NONE);
    }

    // A consumer is sent to its rack, and finds everything there.
    wait::until_true("the follower to be in the ISR with all records", LIMIT, || {
        preferred(&ours, "rack-3") == 3
    });
    for (rack, expected) in [("rack-2", -1), ("rack-9", -1), ("", -1)] {
        assert_eq!(preferred(&ours, rack), expected, "{rack:?}");
    }
    let near = ["-C", "-t", "t", "-o", "beginning", "-c", "3", "-q", "-X", "client.rack=rack-3"];
    assert_eq!(kcat(&ours, &near, b"").ok(), "a\nb\nc\n");

    // Records are deleted when the follower has deleted them too.
    let partition = DeleteRecordsPartition { partition_index: 0, offset: 2 };
    let topic = DeleteRecordsTopic { name: "t".to_owned(), partitions: vec![partition] };
    let request = DeleteRecordsRequest { topics: vec![topic], timeout_ms: 60_000 };
    let deleted = call(&ours, &request).topics[0].partitions[0].clone();
    assert_eq!((deleted.error_code, deleted.low_watermark), (0, 2));
    assert_eq!(consume(&ours, "t"), ["c"]);

    // Apache's broker takes the groups over with their offsets.
    scene.create("__consumer_offsets", "2:3", &["cleanup.policy=compact"]);
    wait::until_true("the first commit", LIMIT, || commit(&ours, 2) == ErrorCode::NONE);
    assert_eq!(commit(&ours, 3), ErrorCode::NONE);
    assert_eq!(committed(&ours), Some(3));
    scene.ours.kill9();
    let theirs = scene.follower.bootstrap();
    wait::until_true("the groups at broker 3", LIMIT, || committed(&theirs) == Some(3));
    assert_eq!(commit(&theirs, 4), ErrorCode::NONE);
}

#[test]
fn the_groups_come_to_us_when_apaches_broker_dies() {
    let extra = "offsets.topic.num.partitions=1\nzookeeper.session.timeout.ms=6000";
    let Some(mut scene) = scene(5000, extra) else { return };
    let (ours, theirs) = (scene.ours.bootstrap(), scene.follower.bootstrap());
    scene.create("t", "3:2", &[]);
    scene.create("__consumer_offsets", "3:2", &["cleanup.policy=compact"]);
    wait::until_true("the first commit", LIMIT, || commit(&theirs, 2) == ErrorCode::NONE);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let brokers = format!("{ours},{theirs}");
    let mut member = Command::new("kcat");
    member.args(["-b", &brokers, "-u", "-G", "live", "-X", "auto.offset.reset=earliest", "t"]);
    let mut member = Process::start("member", dir.path(), &mut member);
    assert_eq!(produce(&theirs, "t", -1, 30_000, "before"), ErrorCode::NONE);
    member.ready(LIMIT, |p| p.stdout().contains("before").then_some(()));

    scene.follower.kill9();
    wait::until_true("the groups at our broker", LIMIT, || committed(&ours) == Some(2));
    wait::until_true("a record at our broker", LIMIT, || {
        produce(&ours, "t", -1, 30_000, "after") == ErrorCode::NONE
    });
    member.ready(LIMIT, |p| p.stdout().contains("after").then_some(()));
    assert_eq!(commit(&ours, 3), ErrorCode::NONE);
    assert_eq!(committed(&ours), Some(3));

    // Back again, it follows; what we acknowledge from then on is there too.
    scene.follower.restart();
    scene.await_isr("__consumer_offsets", "2,3");
    assert_eq!(commit(&ours, 4), ErrorCode::NONE);
    scene.ours.kill9();
    wait::until_true("the groups at Apache's broker", LIMIT, || committed(&theirs) == Some(4));
}
