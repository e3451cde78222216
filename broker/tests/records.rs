//! Records through a running broker: produced and fetched in every version, once and in order, with
//! sessions, waiting, errors and restarts. The controller's orders are given by hand.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use client::{Connection, Endpoint, Options, TcpTransport, Versions};
use protocol::error_code::ErrorCode;
use protocol::ids::Uuid;
use protocol::messages::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData,
};
use protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData,
};
use protocol::records::builder::{BatchBuilder, BatchOptions};
use protocol::records::codec::{Codec, Limits};
use protocol::records::legacy::{LegacyBuilder, LegacyTime};
use protocol::records::view::Batches;
use protocol::wire::Records;
use support::leading::{TOPIC, TOPIC_ID, lead};
use support::{PATIENCE, TestBroker};

const NOW_MS: i64 = 1_700_000_000_000;

async fn connect(broker: &TestBroker) -> Connection {
    let to = Endpoint::new("127.0.0.1", broker.address.port());
    let versions = Versions::Pinned(BTreeMap::new());
    let opened = Connection::open(&TcpTransport, &to, Options::default(), versions).await;
    let (connection, driver) = opened.expect("connected");
    tokio::spawn(driver);
    connection
}

async fn started() -> (TestBroker, Connection) {
    started_with(&[]).await
}

async fn started_with(settings: &[(&str, &str)]) -> (TestBroker, Connection) {
    let broker = support::start(settings).await;
    let owner = broker.running.broker.clone();
    tokio::task::spawn_blocking(move || lead(&owner)).await.expect("it leads");
    let connection = connect(&broker).await;
    (broker, connection)
}

fn batch(values: &[&str], options: BatchOptions) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options);
    for value in values {
        builder.append(NOW_MS, Some(b"k"), Some(value.as_bytes()), &[]).expect("a record");
    }
    builder.finish().expect("a batch")
}

fn legacy(magic: i8, codec: Codec, values: &[&str]) -> Vec<u8> {
    let mut builder = LegacyBuilder::new(magic, codec, LegacyTime::Create, 0);
    for (offset, value) in values.iter().enumerate() {
        builder
            .append(offset as i64, NOW_MS, Some(b"k"), Some(value.as_bytes()))
            .expect("a message");
    }
    let mut set = Vec::new();
    builder.finish(&mut set).expect("a set");
    set
}

fn produce_request(topic: &str, acks: i16, set: Vec<u8>) -> ProduceRequest {
    ProduceRequest {
        acks,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData {
            name: topic.into(),
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(Records::Bytes(Bytes::from(set))),
            }],
        }],
        ..Default::default()
    }
}

async fn produce(
    connection: &Connection,
    version: i16,
    acks: i16,
    set: Vec<u8>,
) -> PartitionProduceResponse {
    let request = produce_request(TOPIC, acks, set);
    let mut response = connection.call_in(&request, version).await.expect("an answer");
    response.responses.remove(0).partition_responses.remove(0)
}

fn fetch_request(version: i16, offset: i64) -> FetchRequest {
    let by_id = version >= 13;
    FetchRequest {
        max_wait_ms: 0,
        min_bytes: 1,
        topics: vec![FetchTopic {
            topic: if by_id { String::new() } else { TOPIC.into() },
            topic_id: if by_id { TOPIC_ID } else { Uuid::ZERO },
            partitions: vec![FetchPartition {
                fetch_offset: offset,
                partition_max_bytes: 1 << 20,
                ..Default::default()
            }],
        }],
        ..Default::default()
    }
}

fn partition_of(mut response: FetchResponse) -> PartitionData {
    assert_eq!(response.error_code, 0);
    response.responses.remove(0).partitions.remove(0)
}

/// Offsets and values of the records in an answer, and the formats they came in.
fn records_of(data: &PartitionData) -> (Vec<(i64, String)>, Vec<i8>) {
    assert_eq!(data.error_code, 0);
    let set = data.records.as_ref().and_then(Records::bytes).expect("records");
    let (mut records, mut magics) = (Vec::new(), Vec::new());
    for raw in Batches::new(set) {
        let raw = raw.expect("a batch");
        raw.verify().expect("its CRC holds");
        magics.push(raw.magic);
        let open = raw.open(&Limits::default()).expect("readable");
        for record in open.records().expect("records") {
            let record = record.expect("a record");
            let value = String::from_utf8_lossy(record.value.expect("a value")).into_owned();
            records.push((record.offset, value));
        }
    }
    magics.dedup();
    (records, magics)
}

#[tokio::test]
async fn every_version_of_produce_and_fetch() {
    let (_broker, connection) = started().await;
    let mut expected = Vec::new();
    for version in 0..=11i16 {
        let values = [format!("{version}a"), format!("{version}b")];
        let values = [values[0].as_str(), values[1].as_str()];
        let set = match version {
            0..=1 => legacy(0, Codec::None, &values),
            2 => legacy(1, Codec::Gzip, &values),
            // zstd came with version 7.
            7.. => batch(&values, BatchOptions { codec: Codec::Zstd, ..Default::default() }),
            _ => batch(&values, BatchOptions { codec: Codec::Lz4, ..Default::default() }),
        };
        let base = expected.len() as i64;
        let answer = produce(&connection, version, [1, -1][version as usize % 2], set).await;
        assert_eq!((answer.error_code, answer.base_offset), (0, base), "v{version}");
        expected.extend(values.iter().zip(base..).map(|(value, at)| (at, value.to_string())));
    }
    // Old consumers cannot have zstd; what comes before it they get in their format.
    let old = expected[..14].to_vec();
    for version in 0..=17i16 {
        let request = fetch_request(version, 0);
        let answer = partition_of(connection.call_in(&request, version).await.expect("an answer"));
        let (records, magics) = records_of(&answer);
        let magic = [0, 0, 1, 1].get(version as usize).copied().unwrap_or(2);
        assert_eq!(magics, [magic], "v{version}");
        assert_eq!(records, if version < 4 { old.clone() } else { expected.clone() });
        assert_eq!(answer.high_watermark, expected.len() as i64);
        if version < 4 {
            let first_zstd = fetch_request(version, 14);
            let answer = connection.call_in(&first_zstd, version).await.expect("an answer");
            let refused = partition_of(answer).error_code;
            assert_eq!(refused, ErrorCode::UNSUPPORTED_COMPRESSION_TYPE.0, "v{version}");
        }
    }
}

#[tokio::test]
async fn an_idempotent_batch_sent_again_is_stored_once() {
    let (_broker, connection) = started().await;
    let of = |sequence, epoch| {
        let options = BatchOptions {
            producer_id: 4,
            producer_epoch: epoch,
            base_sequence: sequence,
            ..Default::default()
        };
        batch(&["a", "b"], options)
    };
    let table = [
        (0, 0, ErrorCode::NONE, 0),
        (2, 0, ErrorCode::NONE, 2),
        (0, 0, ErrorCode::NONE, 0),
        (2, 0, ErrorCode::NONE, 2),
        (5, 0, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, -1),
        (0, 1, ErrorCode::NONE, 4),
        (4, 0, ErrorCode::INVALID_PRODUCER_EPOCH, -1),
    ];
    for (sequence, epoch, code, base) in table {
        let answer = produce(&connection, 9, -1, of(sequence, epoch)).await;
        let found = (answer.error_code, answer.base_offset);
        assert_eq!(found, (code.0, base), "sequence {sequence} of epoch {epoch}");
    }
    let answer = partition_of(connection.call_in(&fetch_request(12, 0), 12).await.expect("all"));
    let offsets: Vec<_> = records_of(&answer).0.into_iter().map(|(offset, _)| offset).collect();
    assert_eq!(offsets, (0..6).collect::<Vec<i64>>());
}

#[tokio::test]
async fn refusals() {
    let (_broker, connection) = started().await;
    let good = || batch(&["a"], BatchOptions::default());
    let mut bad_crc = good();
    *bad_crc.last_mut().expect("bytes") ^= 1;
    let large = "x".repeat(1_100_000);
    let table = [
        ("acks", 5, good(), ErrorCode::INVALID_REQUIRED_ACKS),
        ("crc", 1, bad_crc, ErrorCode::CORRUPT_MESSAGE),
        ("size", 1, batch(&[&large], BatchOptions::default()), ErrorCode::MESSAGE_TOO_LARGE),
        ("magic", 1, legacy(1, Codec::None, &["a"]), ErrorCode::INVALID_RECORD),
        ("two", 1, [good(), good()].concat(), ErrorCode::INVALID_RECORD),
        ("none", 1, vec![], ErrorCode::INVALID_RECORD),
        (
            "control",
            1,
            batch(&["a"], BatchOptions { control: true, ..Default::default() }),
            ErrorCode::INVALID_RECORD,
        ),
        (
            "transactional without an id",
            1,
            batch(&["a"], BatchOptions { transactional: true, ..Default::default() }),
            ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        ),
    ];
    for (name, acks, set, code) in table {
        let answer = produce(&connection, 9, acks, set).await;
        assert_eq!((answer.error_code, answer.base_offset), (code.0, -1), "{name}");
    }
    let request = produce_request("nowhere", 1, good());
    let answer = connection.call_in(&request, 9).await.expect("an answer");
    let code = answer.responses[0].partition_responses[0].error_code;
    assert_eq!(code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.0);
    let beyond = partition_of(connection.call_in(&fetch_request(17, 9), 17).await.expect("one"));
    assert_eq!(beyond.error_code, ErrorCode::OFFSET_OUT_OF_RANGE.0);
    let mut unknown = fetch_request(17, 0);
    unknown.topics[0].topic_id = Uuid([9; 16]);
    let unknown = partition_of(connection.call_in(&unknown, 17).await.expect("an answer"));
    assert_eq!(unknown.error_code, ErrorCode::UNKNOWN_TOPIC_ID.0);
}

#[tokio::test]
async fn without_acks_an_error_closes_the_connection() {
    let (broker, connection) = started().await;
    let set = batch(&["a"], BatchOptions::default());
    connection.send(&produce_request(TOPIC, 0, set.clone())).await.expect("sent");
    // Requests of a connection start in order: the record is there when this is answered.
    let answer = partition_of(connection.call_in(&fetch_request(12, 0), 12).await.expect("it"));
    assert_eq!(records_of(&answer).0.len(), 1);
    connection.send(&produce_request("nowhere", 0, set)).await.expect("sent");
    let next = connection.call_in(&fetch_request(12, 0), 12).await;
    assert!(next.is_err(), "the connection is closed");
    assert!(connect(&broker).await.call_in(&fetch_request(12, 0), 12).await.is_ok());
}

#[tokio::test]
async fn a_waiting_fetch_gets_what_another_connection_produces() {
    let (broker, connection) = started().await;
    let producer = connect(&broker).await;
    let mut request = fetch_request(17, 0);
    request.max_wait_ms = i32::try_from(PATIENCE.as_millis()).expect("a minute");
    let waiting = connection.call_in(&request, 17);
    tokio::pin!(waiting);
    let early = tokio::time::timeout(Duration::from_millis(50), &mut waiting).await;
    assert!(early.is_err(), "there is nothing yet");
    produce(&producer, 9, 1, batch(&["a"], BatchOptions::default())).await;
    let answer = partition_of(waiting.await.expect("an answer"));
    assert_eq!(records_of(&answer).0, [(0, "a".to_owned())]);
}

#[tokio::test]
async fn a_session_names_only_what_is_new() {
    let (_broker, connection) = started().await;
    let mut request = FetchRequest { session_epoch: 0, ..fetch_request(17, 0) };
    let first = connection.call_in(&request, 17).await.expect("an answer");
    assert!(first.session_id > 0);
    assert_eq!(first.responses.len(), 1);
    request =
        FetchRequest { session_id: first.session_id, session_epoch: 1, topics: vec![], ..request };
    let nothing = connection.call_in(&request, 17).await.expect("an answer");
    assert_eq!((nothing.session_id, nothing.responses.len()), (first.session_id, 0));
    produce(&connection, 9, 1, batch(&["a"], BatchOptions::default())).await;
    request.session_epoch = 2;
    let news = connection.call_in(&request, 17).await.expect("an answer");
    assert_eq!(records_of(&partition_of(news)).0.len(), 1);
    let stale = connection.call_in(&request, 17).await.expect("an answer");
    assert_eq!(stale.error_code, ErrorCode::INVALID_FETCH_SESSION_EPOCH.0);
    request.session_id = first.session_id.wrapping_add(1).max(1);
    let unknown = connection.call_in(&request, 17).await.expect("an answer");
    assert_eq!(unknown.error_code, ErrorCode::FETCH_SESSION_ID_NOT_FOUND.0);
}

#[tokio::test]
async fn every_version_of_list_offsets() {
    let (_broker, connection) = started().await;
    produce(&connection, 9, 1, batch(&["a", "b"], BatchOptions::default())).await;
    for version in 0..=9i16 {
        for (timestamp, expected) in [(-1, 2), (-2, 0), (NOW_MS, 0)] {
            let request = ListOffsetsRequest {
                replica_id: -1,
                topics: vec![ListOffsetsTopic {
                    name: TOPIC.into(),
                    partitions: vec![ListOffsetsPartition { timestamp, ..Default::default() }],
                }],
                ..Default::default()
            };
            let answer = connection.call_in(&request, version).await.expect("an answer");
            let found = &answer.topics[0].partitions[0];
            assert_eq!(found.error_code, 0);
            match (version, timestamp) {
                // By file times, which are later than the records': nothing.
                (0, NOW_MS) => assert_eq!(found.old_style_offsets, Vec::<i64>::new()),
                (0, _) => assert_eq!(found.old_style_offsets, [expected]),
                _ => assert_eq!(found.offset, expected, "v{version} {timestamp}"),
            }
        }
    }
}

#[tokio::test]
async fn older_segments_are_read_too() {
    let (_broker, connection) = started_with(&[("log.segment.bytes", "300")]).await;
    for value in 0..20 {
        let set = batch(&[value.to_string().as_str(); 3], BatchOptions::default());
        assert_eq!(produce(&connection, 9, -1, set).await.error_code, 0);
    }
    let mut found = Vec::new();
    while found.len() < 60 {
        let request = fetch_request(12, found.len() as i64);
        let answer = connection.call_in(&request, 12).await.expect("an answer");
        let (records, _) = records_of(&partition_of(answer));
        assert!(!records.is_empty(), "a segment ends, the log does not: {}", found.len());
        found.extend(records);
    }
    let expected: Vec<_> = (0..60).map(|at| (at, (at / 3).to_string())).collect();
    assert_eq!(found, expected);
    for version in [0, 3] {
        let answer = connection.call_in(&fetch_request(version, 30), version).await.expect("one");
        assert_eq!(records_of(&partition_of(answer)).0[0], expected[30], "v{version}");
    }
}

#[tokio::test]
async fn with_a_sync_for_every_message_acknowledged_is_synced() {
    let (broker, connection) = started_with(&[("log.flush.interval.messages", "1")]).await;
    for (acks, end) in [(1, 1), (-1, 2), (0, 3)] {
        let set = batch(&["a"], BatchOptions::default());
        if acks == 0 {
            connection.send(&produce_request(TOPIC, 0, set)).await.expect("sent");
        } else {
            assert_eq!(produce(&connection, 9, acks, set).await.error_code, 0);
        }
        // Nobody sees the record before it is synced, so a reader of it waits for that.
        let mut request = fetch_request(12, end - 1);
        request.max_wait_ms = i32::try_from(PATIENCE.as_millis()).expect("a minute");
        let answer = partition_of(connection.call_in(&request, 12).await.expect("an answer"));
        assert_eq!(answer.high_watermark, end);
        let partition = broker.running.broker.replicas.find(TOPIC, 0).expect("hosted");
        assert_eq!(partition.log().expect("a log").recovery_point(), end);
    }
}
