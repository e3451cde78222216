//! Answers to requests that are wrong or strange, to the letter of Apache Kafka 3.9.2: error codes,
//! texts and offsets. Topics are made through the broker's own controller.

mod orders;
mod produce;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use bytes::Bytes;
use client::{Connection, Endpoint, Options, TcpTransport, Versions};
use protocol::error_code::ErrorCode;
use protocol::messages::alter_replica_log_dirs::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic, AlterReplicaLogDirsRequest,
};
use protocol::messages::api_versions::ApiVersionsRequest;
use protocol::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use protocol::messages::create_acls::{AclCreation, CreateAclsRequest};
use protocol::messages::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use protocol::messages::delete_acls::{DeleteAclsFilter, DeleteAclsRequest};
use protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use protocol::messages::describe_acls::DescribeAclsRequest;
use protocol::messages::describe_producers::{DescribeProducersRequest, TopicRequest};
use protocol::messages::envelope::EnvelopeRequest;
use protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData};
use protocol::messages::find_coordinator::FindCoordinatorRequest;
use protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use protocol::messages::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestTopic};
use protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData,
};
use protocol::messages::update_features::{FeatureUpdateKey, UpdateFeaturesRequest};
use protocol::records::batch::set_timestamps;
use protocol::records::builder::{BatchBuilder, BatchOptions};
use protocol::records::codec::Codec;
use protocol::wire::Records;
use support::TestBroker;

const NOW_MS: i64 = 1_700_000_000_000;

async fn connect(broker: &TestBroker) -> Connection {
    let to = Endpoint::new("127.0.0.1", broker.address.port());
    let versions = Versions::Pinned(BTreeMap::new());
    let opened = Connection::open(&TcpTransport, &to, Options::default(), versions).await;
    let (connection, driver) = opened.expect("connected");
    tokio::spawn(driver);
    connection
}

/// A topic of two partitions.
async fn create(connection: &Connection, name: &str, configs: &[(&str, &str)]) {
    let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
        name: (*name).to_owned(),
        value: Some((*value).to_owned()),
    };
    let topic = CreatableTopic {
        name: name.to_owned(),
        num_partitions: 2,
        replication_factor: 1,
        configs: configs.iter().map(config).collect(),
        ..Default::default()
    };
    let request =
        CreateTopicsRequest { topics: vec![topic], timeout_ms: 60_000, ..Default::default() };
    // Nobody controls in the first moments.
    loop {
        let answer = connection.call_in(&request, 7).await.expect("an answer");
        match ErrorCode(answer.topics[0].error_code) {
            ErrorCode::NONE => return,
            ErrorCode::NOT_CONTROLLER => tokio::task::yield_now().await,
            code => panic!("{name}: {code:?} {:?}", answer.topics[0].error_message),
        }
    }
}

async fn started(topics: &[(&str, &[(&str, &str)])]) -> (TestBroker, Connection) {
    let broker = support::start(&[]).await;
    let connection = connect(&broker).await;
    for (topic, configs) in topics {
        create(&connection, topic, configs).await;
    }
    (broker, connection)
}

fn batch(values: usize, options: BatchOptions) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options);
    for _ in 0..values {
        builder.append(NOW_MS, Some(b"k"), Some(b"value"), &[]).expect("a record");
    }
    builder.finish().expect("a batch")
}

fn plain() -> Vec<u8> {
    batch(1, BatchOptions::default())
}

/// A batch with other bytes at some places; the CRC is set to what they give.
fn patched(mut set: Vec<u8>, patches: &[(usize, &[u8])]) -> Vec<u8> {
    for (at, bytes) in patches {
        set[*at..*at + bytes.len()].copy_from_slice(bytes);
    }
    let attributes = i16::from_be_bytes([set[21], set[22]]);
    let max_timestamp = i64::from_be_bytes(set[35..43].try_into().expect("eight bytes"));
    set_timestamps(&mut set, attributes, max_timestamp);
    set
}

type Sets<'a> = Vec<(&'a str, i32, Option<Vec<u8>>)>;

fn produce_request(acks: i16, sets: Sets<'_>) -> ProduceRequest {
    let topic = |(name, index, set): (&str, i32, Option<Vec<u8>>)| TopicProduceData {
        name: name.to_owned(),
        partition_data: vec![PartitionProduceData {
            index,
            records: set.map(|set| Records::Bytes(Bytes::from(set))),
        }],
    };
    ProduceRequest {
        acks,
        timeout_ms: 60_000,
        topic_data: sets.into_iter().map(topic).collect(),
        ..Default::default()
    }
}

async fn produce(connection: &Connection, version: i16, set: Vec<u8>) -> PartitionProduceResponse {
    let request = produce_request(-1, vec![("t", 0, Some(set))]);
    let mut response = connection.call_in(&request, version).await.expect("an answer");
    response.responses.remove(0).partition_responses.remove(0)
}

async fn delete_records(
    connection: &Connection,
    topic: &str,
    entries: &[(i32, i64)],
) -> Vec<(i32, i64, i16)> {
    let partitions = entries.iter().map(|(partition_index, offset)| DeleteRecordsPartition {
        partition_index: *partition_index,
        offset: *offset,
    });
    let topic = DeleteRecordsTopic { name: topic.to_owned(), partitions: partitions.collect() };
    let empty = DeleteRecordsTopic { name: "empty".to_owned(), partitions: Vec::new() };
    let request = DeleteRecordsRequest { topics: vec![topic, empty], timeout_ms: 60_000 };
    let answer = connection.call_in(&request, 1).await.expect("an answer");
    assert!(answer.topics.len() == 1, "{answer:?}");
    let partitions = answer.topics[0].partitions.iter();
    partitions.map(|p| (p.partition_index, p.low_watermark, p.error_code)).collect()
}

#[tokio::test]
async fn a_partition_that_is_listed_twice_is_treated_once() {
    let (_broker, connection) = started(&[("t", &[])]).await;
    let two = batch(2, BatchOptions::default());
    let request = produce_request(
        -1,
        vec![("t", 0, Some(plain())), ("t", 1, Some(plain())), ("t", 0, Some(two))],
    );
    let answer = connection.call_in(&request, 7).await.expect("an answer");
    assert_eq!(answer.responses.len(), 1);
    let parts = &answer.responses[0].partition_responses;
    let found: Vec<_> = parts.iter().map(|p| (p.index, p.error_code, p.base_offset)).collect();
    assert_eq!(found, [(0, 0, 0), (1, 0, 0)]);
    // The last entry was stored: two records.
    assert_eq!(delete_records(&connection, "t", &[(0, 0), (0, 2)]).await, [(0, 2, 0)]);

    let find = FindCoordinatorRequest { key: "g".into(), ..Default::default() };
    while connection.call_in(&find, 2).await.expect("an answer").error_code != 0 {
        tokio::task::yield_now().await;
    }
    let entry = |partition_index, committed_offset| OffsetCommitRequestPartition {
        partition_index,
        committed_offset,
        committed_metadata: Some(String::new()),
        ..Default::default()
    };
    let topic = |name: &str, partitions| OffsetCommitRequestTopic { name: name.into(), partitions };
    let request = OffsetCommitRequest {
        group_id: "g".into(),
        topics: vec![
            topic("t", vec![entry(0, 1), entry(0, 2)]),
            topic("no", vec![entry(5, 1), entry(5, 1)]),
            topic("t", vec![entry(1, 7), entry(0, 3), entry(9, 1)]),
            topic("void", vec![]),
        ],
        ..Default::default()
    };
    let committed = loop {
        let answer = connection.call_in(&request, 7).await.expect("an answer");
        let found: Vec<(String, Vec<(i32, i16)>)> = answer
            .topics
            .into_iter()
            .map(|t| {
                (t.name, t.partitions.iter().map(|p| (p.partition_index, p.error_code)).collect())
            })
            .collect();
        let waits = [14, 15, 16];
        if !found.iter().flat_map(|(_, all)| all).any(|(_, code)| waits.contains(code)) {
            break found;
        }
    };
    let expected =
        [("t", vec![(0, 0), (1, 0), (9, 3)]), ("no", vec![(5, 3), (5, 3)]), ("void", vec![])];
    assert_eq!(committed, expected.map(|(name, codes)| (name.to_owned(), codes)));
    let topic = |partition_indexes| OffsetFetchRequestTopic { name: "t".into(), partition_indexes };
    let request = OffsetFetchRequest {
        group_id: "g".into(),
        topics: Some(vec![topic(vec![0, 0]), topic(vec![1, 0]), topic(vec![])]),
        ..Default::default()
    };
    let answer = connection.call_in(&request, 5).await.expect("an answer");
    let found: Vec<Vec<_>> = answer
        .topics
        .iter()
        .map(|t| t.partitions.iter().map(|p| (p.partition_index, p.committed_offset)).collect())
        .collect();
    assert_eq!(found, [vec![(0, 3), (1, 7)]]);
    assert_eq!(delete_records(&connection, "__consumer_offsets", &[(3, 0)]).await, [(3, -1, 17)]);
}

async fn fetch(
    connection: &Connection,
    version: i16,
    topic: &str,
    partition: FetchPartition,
) -> PartitionData {
    let request = FetchRequest {
        max_wait_ms: 0,
        min_bytes: 1,
        max_bytes: 1 << 20,
        topics: vec![FetchTopic {
            topic: topic.into(),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    };
    let mut answer = connection.call_in(&request, version).await.expect("an answer");
    answer.responses.remove(0).partitions.remove(0)
}

#[tokio::test]
async fn strange_fetches() {
    let topics: [(&str, &[(&str, &str)]); 3] = [
        ("t", &[]),
        ("z", &[("compression.type", "zstd")]),
        ("n", &[("message.downconversion.enable", "false")]),
    ];
    let (_broker, connection) = started(&topics).await;
    for topic in ["t", "z", "n"] {
        let sets = vec![(topic, 0, Some(batch(50, BatchOptions::default())))];
        connection.call_in(&produce_request(-1, sets), 9).await.expect("an answer");
    }
    let zstd = batch(3, BatchOptions { codec: Codec::Zstd, ..Default::default() });
    let sets = vec![("t", 0, Some(zstd))];
    connection.call_in(&produce_request(-1, sets), 9).await.expect("an answer");
    let ask = |partition_max_bytes| FetchPartition { partition_max_bytes, ..Default::default() };
    let size = |data: &PartitionData| {
        data.records.as_ref().map(|records| records.bytes().map_or(0, |bytes| bytes.len()))
    };
    for version in 0..=2 {
        for bytes in [1, 100, 500] {
            let data = fetch(&connection, version, "t", ask(bytes)).await;
            assert_eq!((data.error_code, size(&data)), (0, Some(0)), "v{version} {bytes}");
        }
    }
    for version in 0..=3 {
        // Up to the zstd batch, which no old format has.
        let data = fetch(&connection, version, "t", ask(1 << 20)).await;
        assert_eq!(data.error_code, 0);
        assert!(size(&data) > Some(1000), "v{version}: {:?}", size(&data));
        let ask = FetchPartition { fetch_offset: 50, ..ask(1 << 20) };
        let data = fetch(&connection, version, "t", ask).await;
        assert_eq!((data.error_code, size(&data)), (76, None), "v{version}");
    }
    for version in [0, 2, 4, 11] {
        let data = fetch(&connection, version, "t", ask(-1)).await;
        assert_eq!(data.error_code, -1, "v{version}");
        let at_end = FetchPartition { fetch_offset: 53, ..ask(-1) };
        assert_eq!(fetch(&connection, version, "t", at_end).await.error_code, 0);
    }
    let epoch = FetchPartition { current_leader_epoch: -2, last_fetched_epoch: -2, ..ask(1 << 20) };
    assert_eq!(fetch(&connection, 12, "t", epoch).await.error_code, 0);
    for (version, topic, code) in [(9, "z", 76), (1, "z", 76), (1, "n", 35), (3, "n", 35)] {
        let data = fetch(&connection, version, topic, ask(1 << 20)).await;
        assert_eq!((data.error_code, size(&data)), (code, None), "v{version} {topic}");
        let beyond = FetchPartition { fetch_offset: 999, ..ask(1 << 20) };
        assert_eq!(fetch(&connection, version, topic, beyond).await.error_code, code);
    }
    assert_eq!(fetch(&connection, 4, "n", ask(1 << 20)).await.error_code, 0);
}

#[tokio::test]
async fn admin_answers() {
    let (broker, connection) = started(&[("t", &[]), ("u", &[])]).await;
    let topic = |name: &str| TopicRequest { name: name.into(), partition_indexes: vec![0, 0] };
    let request = DescribeProducersRequest { topics: vec![topic("a b"), topic("no"), topic("t")] };
    let answer = connection.call_in(&request, 0).await.expect("an answer");
    let told: Vec<_> = answer.topics.iter().map(|t| t.partitions[1].error_code).collect();
    assert_eq!(told, [17, 3, 0]);
    let text = answer.topics[0].partitions[0].error_message.as_deref().unwrap_or_default();
    assert!(text.starts_with("Topic name is invalid: 'a b' contains one or more"), "{text}");
    assert!(answer.topics[1].partitions[0].error_message.is_some());

    let dirs = broker.running.broker.replicas.logs().dirs()[0].path().display().to_string();
    let topic = |name: &str| AlterReplicaLogDirTopic { name: name.into(), partitions: vec![0, 0] };
    let dir = AlterReplicaLogDir { path: dirs, topics: vec![topic("no"), topic("t")] };
    let request = AlterReplicaLogDirsRequest { dirs: vec![dir] };
    let answer = connection.call_in(&request, 2).await.expect("an answer");
    let told: Vec<_> = answer
        .results
        .iter()
        .flat_map(|t| t.partitions.iter().map(|p| (t.topic_name.as_str(), p.error_code)))
        .collect();
    assert_eq!(told, [("no", 3), ("t", 0)]);

    let name = |name: Option<&str>| DeleteTopicState {
        name: name.map(str::to_owned),
        ..Default::default()
    };
    let request = DeleteTopicsRequest {
        topics: vec![name(None), name(Some("u")), name(Some("u")), name(Some("no"))],
        timeout_ms: 0,
        ..Default::default()
    };
    let answer = connection.call_in(&request, 6).await.expect("an answer");
    let told: Vec<_> = answer.responses.iter().map(|r| r.error_code).collect();
    assert_eq!(told, [29, 7, 0, 3]);

    let request = ConsumerGroupHeartbeatRequest { group_id: "g".into(), ..Default::default() };
    let answer = connection.call_in(&request, 0).await.expect("an answer");
    assert_eq!((answer.error_code, answer.error_message), (35, None));

    let update =
        FeatureUpdateKey { feature: "f".into(), max_version_level: 1, ..Default::default() };
    let request = UpdateFeaturesRequest { feature_updates: vec![update], ..Default::default() };
    let answer = connection.call_in(&request, 1).await.expect("an answer");
    assert_eq!((answer.error_code, answer.results.len()), (0, 1));
    assert_eq!(answer.results[0].error_code, ErrorCode::INVALID_REQUEST.0);
}

#[tokio::test]
async fn security_is_disabled_and_nothing_is_forwarded() {
    let (broker, connection) = started(&[]).await;
    let filter = DescribeAclsRequest {
        resource_type_filter: 1,
        pattern_type_filter: 1,
        operation: 1,
        permission_type: 1,
        ..Default::default()
    };
    let disabled = ErrorCode::SECURITY_DISABLED.0;
    for version in 1..=3 {
        let answer = connection.call_in(&filter, version).await.expect("an answer");
        let text = answer.error_message.as_deref();
        let expected = (disabled, Some("No Authorizer is configured on the broker"));
        assert_eq!((answer.error_code, text), expected);
        let creation = AclCreation {
            resource_type: 2,
            resource_pattern_type: 3,
            operation: 3,
            permission_type: 3,
            ..Default::default()
        };
        let request = CreateAclsRequest { creations: vec![creation.clone(), creation] };
        let answer = connection.call_in(&request, version).await.expect("an answer");
        let text = answer.results[1].error_message.as_deref();
        let expected = (disabled, Some("No Authorizer is configured."));
        assert_eq!((answer.results[1].error_code, text), expected);
        let filter = DeleteAclsFilter {
            resource_type_filter: 1,
            pattern_type_filter: 1,
            operation: 1,
            permission_type: 1,
            ..Default::default()
        };
        let request = DeleteAclsRequest { filters: vec![filter] };
        let answer = connection.call_in(&request, version).await.expect("an answer");
        let text = answer.filter_results[0].error_message.as_deref();
        assert_eq!((answer.filter_results[0].error_code, text), expected);
    }
    let request = ApiVersionsRequest {
        client_software_name: "a".into(),
        client_software_version: "1".into(),
    };
    let answer = connection.call_in(&request, 3).await.expect("an answer");
    let keys: Vec<i16> = answer.api_keys.iter().map(|key| key.api_key).collect();
    for key in [29, 30, 31, 57, 58] {
        assert!(keys.contains(&key), "{key}");
    }
    let unknown = DescribeAclsRequest { operation: 0, ..filter };
    assert!(connection.call_in(&unknown, 2).await.is_err(), "the connection is closed");
    let connection = connect(&broker).await;
    let envelope = EnvelopeRequest::default();
    assert!(connection.call_in(&envelope, 0).await.is_err(), "the connection is closed");
}
