//! Answers to requests that are wrong or strange, to the letter of Apache Kafka 3.9.2: error codes,
//! texts and offsets. Topics are made through the broker's own controller.

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
async fn a_refused_produce_says_what_apache_says() {
    let (_broker, connection) = started(&[("t", &[])]).await;
    let of = |producer_epoch, base_sequence| {
        batch(
            1,
            BatchOptions { producer_id: 77, producer_epoch, base_sequence, ..Default::default() },
        )
    };
    for sequence in 0..3 {
        assert_eq!(produce(&connection, 8, of(1, sequence)).await.error_code, 0);
    }
    assert_eq!(delete_records(&connection, "t", &[(0, 2)]).await, [(0, 2, 0)]);
    let gzip = batch(9, BatchOptions { codec: Codec::Gzip, ..Default::default() });
    let torn = patched(gzip.clone(), &[(70, &[0xff; 4])]);
    let mut bad_crc = plain();
    *bad_crc.last_mut().expect("bytes") ^= 1;
    let large = {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(NOW_MS, None, Some(&[b'x'; 1_100_000]), &[]).expect("a record");
        builder.finish().expect("a batch")
    };
    let magic = |magic: u8| patched(plain(), &[(16, &[magic])]);
    let short = |length: i32| patched(plain(), &[(8, &length.to_be_bytes())]);
    let codec = |id: u8| patched(plain(), &[(22, &[id])]);
    let append_time = || patched(plain(), &[(22, &[8]), (35, &(-1i64).to_be_bytes())]);
    let with_size = "Record size 0 is less than the minimum record overhead (14)";
    // Version, records, code, base offset, log start, text.
    let table: Vec<(&str, i16, Vec<u8>, i16, i64, i64, Option<&str>)> = vec![
        ("sequence", 8, of(1, 9), 45, -1, 2, None),
        ("epoch", 8, of(0, 0), 47, -1, 2, None),
        ("base offset", 8, patched(plain(), &[(0, &1000i64.to_be_bytes())]), 87, -1, 2, None),
        ("size", 8, large, 10, -1, -1, None),
        ("crc", 8, bad_crc, 2, -1, -1, None),
        ("magic 3", 8, magic(3), 2, -1, -1, Some("Invalid magic found in record: 3")),
        ("magic -1", 3, magic(255), 2, -1, -1, None),
        ("length 0", 11, short(0), 2, -1, -1, Some(with_size)),
        ("cut in its header", 8, short(30)[..42].to_vec(), -1, -1, -1, None),
        ("junk behind a short batch", 8, short(30), 2, -1, -1, None),
        ("two batches", 8, [plain(), plain()].concat(), 87, -1, -1, None),
        ("cut", 8, plain()[..40].to_vec(), 87, -1, -1, None),
        ("none", 8, vec![], 87, -1, -1, None),
        ("old magic", 8, patched(plain(), &[(16, &[1])]), 87, -1, -1, None),
        ("codec 5 of v6", 6, codec(5), -1, -1, -1, None),
        ("codec 5 of v8", 8, codec(5), -1, -1, 2, None),
        ("zstd of v6", 6, codec(4), 76, -1, -1, None),
        ("torn gzip", 8, torn, -1, -1, 2, None),
        ("count", 8, patched(plain(), &[(57, &5i32.to_be_bytes())]), 87, -1, 2, None),
        (
            "append time",
            8,
            append_time(),
            32,
            -1,
            2,
            Some("One or more records have been rejected due to invalid timestamp"),
        ),
        ("empty of v2", 2, vec![], 0, -1, -1, None),
        ("cut of v0", 0, plain()[..40].to_vec(), 0, -1, -1, None),
        ("good", 8, plain(), 0, 3, 2, None),
    ];
    for (name, version, set, code, base, log_start, text) in table {
        let answer = produce(&connection, version, set).await;
        let found = (answer.error_code, answer.base_offset, answer.log_start_offset);
        assert_eq!(found, (code, base, log_start), "{name}");
        assert_eq!(answer.error_message.as_deref(), text, "{name}");
    }
    let rejected = produce(&connection, 8, append_time()).await;
    let text = "Invalid timestamp type in message DefaultRecord(offset=0, timestamp=-1, key=1 \
                bytes, value=5 bytes). Producer should not set timestamp type to LogAppendTime.";
    let told = &rejected.record_errors[0];
    assert_eq!((told.batch_index, told.batch_index_error_message.as_deref()), (0, Some(text)));
}

#[tokio::test]
async fn one_bad_partition_may_end_a_whole_produce() {
    let (_broker, connection) =
        started(&[("t", &[]), ("c", &[("cleanup.policy", "compact")])]).await;
    let codes = async |version, acks, sets| {
        let request = produce_request(acks, sets);
        let answer = connection.call_in(&request, version).await.expect("an answer");
        let of_topic = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
        of_topic.map(|p| p.error_code).collect::<Vec<_>>()
    };
    let bad = patched(plain(), &[(16, &[7])]);
    let good = || Some(plain());
    let both = |other| vec![("t", 0, good()), ("t", 1, other), ("no", 0, good())];
    assert_eq!(codes(8, -1, both(Some(bad))).await, [2, 2, 2]);
    assert_eq!(codes(8, -1, both(None)).await, [-1, -1, -1]);
    assert_eq!(codes(8, 5, both(good())).await, [21, 21, 3]);
    assert_eq!(
        codes(8, -1, vec![("__consumer_offsets", 0, good()), ("t", 0, good())]).await,
        [3, 0]
    );
    assert_eq!(codes(8, -1, both(good())).await, [0, 0, 3]);
    let keyless = {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        for _ in 0..4 {
            builder.append(NOW_MS, None, Some(b"v"), &[]).expect("a record");
        }
        builder.finish().expect("a batch")
    };
    let request = produce_request(-1, vec![("c", 1, Some(keyless))]);
    let answer = connection.call_in(&request, 8).await.expect("an answer");
    let refused = &answer.responses[0].partition_responses[0];
    assert_eq!((refused.error_code, refused.log_start_offset), (87, 0));
    let one = "Compacted topic cannot accept message without key in topic partition c-1";
    let shown: Vec<_> =
        (0..3).map(|at| format!("RecordError(batchIndex={at}, message='{one}')")).collect();
    let whole = format!(
        "One or more records have been rejected due to 4 record errors in total, and only showing \
         the first three errors at most: [{}]",
        shown.join(", ")
    );
    assert_eq!(refused.error_message.as_deref(), Some(whole.as_str()));
    assert_eq!(refused.record_errors[3].batch_index_error_message.as_deref(), Some(one));
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
