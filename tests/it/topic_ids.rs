//! Topic ids that change below a broker: by a tool older than 2.8 that writes a topic's znode
//! without one, by a deletion while the broker is away, and by znodes removed past the controller.
//! `OTTLA_TEST_SUBJECT=apache` asks Apache's broker the same.

use std::time::{Duration, Instant};

use bytes::Bytes;
use metadata::store::{CreateMode, Op};
use metadata::znodes::partition_state::partitions_path;
use metadata::znodes::topic::{self, ReplicaAssignment, TopicAssignment};
use metadata::znodes::{delete_topics, partition_state};
use protocol::error_code::ErrorCode;
use protocol::ids::{TopicPartition, Uuid};
use protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use protocol::records::builder::{BatchBuilder, BatchOptions};
use protocol::wire::Records;
use tests::apache::ApacheBroker;
use tests::ottla::Ottla;
use tests::znodes::Znodes;
use tests::zookeeper::ZooKeeperServer;
use tests::{Cluster, Store, places, wait};

use crate::zookeeper_faults::{ask, chroot, created, list_offsets, ready};

const TOPIC: &str = "t";
const LIMIT: Duration = Duration::from_secs(60);
const NOT_LEADER: i16 = ErrorCode::NOT_LEADER_OR_FOLLOWER.0;

/// What a topic's znode says; version 2, which has no ids, if there is none.
fn write(znodes: &Znodes, topic_id: Option<Uuid>, is_new: bool) {
    let partitions = [(0, ReplicaAssignment::settled(vec![1]))].into();
    let data = TopicAssignment { topic_id, partitions }.encode();
    let data = match topic_id {
        Some(_) => data,
        None => {
            Bytes::from(String::from_utf8_lossy(&data).replace("\"version\":3", "\"version\":2"))
        }
    };
    let path = topic::path(TOPIC);
    if is_new {
        let op = Op::Create { path, data: Some(data), mode: CreateMode::Persistent };
        znodes.ask(op).expect("ZooKeeper answers").expect("it is made");
    } else {
        znodes.set(&path, &data).expect("it is there");
    }
}

/// The code and the base offset.
fn produce(cluster: &Cluster) -> (i16, i64) {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(1_700_000_000_000, None, Some(b"v"), &[]).expect("a record");
    let set = builder.finish().expect("a batch");
    let records = Some(Records::Bytes(Bytes::from(set)));
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 1000,
        topic_data: vec![TopicProduceData {
            name: TOPIC.to_owned(),
            partition_data: vec![PartitionProduceData { index: 0, records }],
        }],
        ..Default::default()
    };
    let mut answer = ask(&cluster.bootstrap(), &request, 9).expect("an answer");
    let part = answer.responses.remove(0).partition_responses.remove(0);
    (part.error_code, part.base_offset)
}

/// The code and the high watermark: by name, or from version 13 on by id.
fn fetch(cluster: &Cluster, topic_id: Option<Uuid>) -> (i16, i64) {
    let request = FetchRequest {
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic: if topic_id.is_none() { TOPIC.to_owned() } else { String::new() },
            topic_id: topic_id.unwrap_or(Uuid::ZERO),
            partitions: vec![FetchPartition { partition_max_bytes: 1000, ..Default::default() }],
        }],
        ..Default::default()
    };
    let version = if topic_id.is_some() { 13 } else { 12 };
    let mut answer = ask(&cluster.bootstrap(), &request, version).expect("an answer");
    let part = answer.responses.remove(0).partitions.remove(0);
    (part.error_code, part.high_watermark)
}

/// The topic's id, once the broker knows one that is not `former` and a leader.
fn id_after(cluster: &Cluster, former: Option<Uuid>) -> Uuid {
    let topic = MetadataRequestTopic { name: Some(TOPIC.to_owned()), ..Default::default() };
    let request = MetadataRequest { topics: Some(vec![topic]), ..Default::default() };
    let mut id = Uuid::ZERO;
    wait::until_true("the topic's metadata", LIMIT, || {
        let Some(answer) = ask(&cluster.bootstrap(), &request, 10) else { return false };
        let topic = &answer.topics[0];
        id = topic.topic_id;
        topic.partitions.first().is_some_and(|p| p.leader_id == 1) && Some(id) != former
    });
    id
}

/// Directories of the partition, whatever they are called now, but for those on their way out.
fn directories(cluster: &Cluster) -> Vec<String> {
    let entries = std::fs::read_dir(cluster.data_dir()).expect("a directory");
    let names = entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("t-0") && !name.ends_with("-delete")).collect()
}

fn gone(znodes: &Znodes) -> bool {
    znodes.get(&topic::path(TOPIC)).is_none()
}

#[test]
fn a_log_of_another_topic_id_is_left_alone_until_the_id_is_mended() {
    let Some(mut cluster) = Cluster::start(Store::ZooKeeper, "") else { return };
    let connect = format!("{}/kafka", cluster.zookeeper().expect("it has one").connect());
    let znodes = Znodes::connect(&connect);
    let first = Uuid([7; 16]);
    write(&znodes, Some(first), true);
    assert_eq!(id_after(&cluster, None), first);
    assert_eq!([produce(&cluster), produce(&cluster)], [(0, 0), (0, 1)]);

    // The next controller, which is the same broker, draws an id.
    cluster.stop();
    write(&znodes, None, false);
    cluster.restart();
    let drawn = id_after(&cluster, None);
    assert_ne!(drawn, first);
    for _ in 0..2 {
        assert_eq!(produce(&cluster), (NOT_LEADER, -1));
        assert_eq!(fetch(&cluster, None), (NOT_LEADER, -1));
        let inconsistent = ErrorCode::INCONSISTENT_TOPIC_ID.0;
        assert_eq!(fetch(&cluster, Some(drawn)), (inconsistent, -1));
        assert_eq!(directories(&cluster), ["t-0"]);
        cluster.stop();
        cluster.restart();
        assert_eq!(id_after(&cluster, None), drawn);
    }
    cluster.stop();
    write(&znodes, Some(first), false);
    cluster.restart();
    assert_eq!(id_after(&cluster, None), first);
    assert_eq!(produce(&cluster), (0, 2), "behind what was acknowledged before");
    assert_eq!(fetch(&cluster, Some(first)), (0, 3));

    // A deletion waits for the broker, which then has nothing left of that name.
    cluster.stop();
    let path = delete_topics::path(TOPIC);
    let op = Op::Create { path, data: None, mode: CreateMode::Persistent };
    znodes.ask(op).expect("ZooKeeper answers").expect("it is made");
    cluster.restart();
    wait::until_true("the deletion", LIMIT, || gone(&znodes));
    write(&znodes, Some(Uuid([8; 16])), true);
    assert_eq!(id_after(&cluster, None), Uuid([8; 16]));
    assert_eq!(produce(&cluster), (0, 0));

    // Nobody told the broker of this deletion.
    cluster.stop();
    let partition = TopicPartition::new(TOPIC, 0);
    let state = partition_state::path(&partition);
    let above = state.strip_suffix("/state").expect("a state").to_owned();
    for path in [state, above, partitions_path(TOPIC), topic::path(TOPIC)] {
        znodes.delete(&path).expect("it is there");
    }
    write(&znodes, Some(Uuid([9; 16])), true);
    cluster.restart();
    assert_eq!(id_after(&cluster, None), Uuid([9; 16]));
    assert_eq!(produce(&cluster), (NOT_LEADER, -1));
    cluster.stop();
    std::fs::remove_dir_all(cluster.data_dir().join("t-0")).expect("an operator may");
    cluster.restart();
    wait::until_true("a new log", LIMIT, || produce(&cluster) == (0, 0));
}

/// `replica.lag.time.max.ms`.
const LAG: Duration = Duration::from_millis(1500);

/// A broker of either kind.
enum Member {
    Ottla(Ottla),
    Apache(ApacheBroker),
}

impl Member {
    fn start(zookeeper: &str, id: i32) -> Member {
        let lag_ms = LAG.as_millis();
        let extra = format!(
            "broker.id={id}\nreplica.lag.time.max.ms={lag_ms}\nreplica.fetch.wait.max.ms=100"
        );
        match std::env::var("OTTLA_TEST_SUBJECT").as_deref() {
            Ok("apache") => Member::Apache(ApacheBroker::start(zookeeper, &extra)),
            _ => Member::Ottla(Ottla::start(Some(zookeeper), &extra)),
        }
    }

    fn bootstrap(&self) -> String {
        match self {
            Member::Ottla(broker) => broker.bootstrap(),
            Member::Apache(broker) => broker.bootstrap(),
        }
    }

    fn stop(&mut self) {
        match self {
            Member::Ottla(broker) => broker.stop(),
            Member::Apache(broker) => broker.stop(),
        }
    }
}

/// With another id everybody keeps the role that he has, and the in-sync replicas stay: they fetch
/// by name of the log that they have. An ordered stop moves the leadership without delay, to one
/// who does not take it.
#[test]
fn with_an_id_that_changes_below_all_brokers_each_keeps_its_role() {
    if !ready() || !places::have(&[("Apache Kafka's jars", places::kafka_lib())]) {
        return;
    }
    let zookeeper = ZooKeeperServer::start();
    let connect = chroot(&zookeeper);
    let mut leader = Member::start(&connect, 1);
    let follower = Member::start(&connect, 2);
    let znodes = Znodes::connect(&connect);
    created(&leader.bootstrap(), TOPIC, &[1, 2]);
    let known = znodes.assignment(TOPIC).expect("it is there").topic_id;
    let old =
        r#"{"version":2,"partitions":{"0":[1,2]},"adding_replicas":{},"removing_replicas":{}}"#;
    znodes.set(&topic::path(TOPIC), old.as_bytes()).expect("it is there");
    znodes.delete("/controller").expect("it is there");
    wait::until_true("an id by the next controller", LIMIT, || {
        let drawn = znodes.assignment(TOPIC).expect("it is there").topic_id;
        drawn.is_some() && drawn != known
    });
    // Longer than the lag that an in-sync replica may have.
    std::thread::sleep(LAG * 2);
    assert_eq!(list_offsets(&leader.bootstrap(), TOPIC), Some(ErrorCode::NONE));
    let state = znodes.partition(TOPIC, 0).expect("a state");
    assert_eq!((state.leader, state.isr), (1, vec![1, 2]));
    let begun = Instant::now();
    leader.stop();
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    let state = znodes.partition(TOPIC, 0).expect("a state");
    assert_eq!((state.leader, state.isr), (2, vec![2]));
    let refused = Some(ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!(list_offsets(&follower.bootstrap(), TOPIC), refused);
}
