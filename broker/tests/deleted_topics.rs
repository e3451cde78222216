//! Requests for a topic whose deletion has begun: it is gone from the cluster's metadata and still
//! led here. The codes are Apache's. The controller's orders are given by hand.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use broker::broker::Broker;
use bytes::Bytes;
use client::{Connection, Endpoint, Options, TcpTransport, Versions};
use protocol::error_code::ErrorCode;
use protocol::ids::Uuid;
use protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use protocol::messages::describe_producers::{DescribeProducersRequest, TopicRequest};
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
use protocol::records::codec::Codec;
use protocol::records::legacy::{LegacyBuilder, LegacyTime};
use protocol::wire::Records;
use support::TestBroker;
use support::leading::{TOPIC, TOPIC_ID, delete, forget, lead_in};

const NOW_MS: i64 = 1_700_000_000_000;
const WAIT_MS: i32 = 30_000;
const UNKNOWN: i16 = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.0;

async fn on_disk(broker: &TestBroker, work: impl FnOnce(&Broker) + Send + 'static) {
    let owner = broker.running.broker.clone();
    tokio::task::spawn_blocking(move || work(&owner)).await.expect("it is done");
}

async fn connect(broker: &TestBroker) -> Connection {
    let to = Endpoint::new("127.0.0.1", broker.address.port());
    let versions = Versions::Pinned(BTreeMap::new());
    let opened = Connection::open(&TcpTransport, &to, Options::default(), versions).await;
    let (connection, driver) = opened.expect("connected");
    tokio::spawn(driver);
    connection
}

/// One record in a format that the version may carry.
fn record(version: i16) -> Vec<u8> {
    if version >= 3 {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(NOW_MS, None, Some(b"v"), &[]).expect("a record");
        return builder.finish().expect("a batch");
    }
    let mut builder = LegacyBuilder::new(1, Codec::None, LegacyTime::Create, 0);
    builder.append(0, NOW_MS, None, Some(b"v")).expect("a message");
    let mut set = Vec::new();
    builder.finish(&mut set).expect("a set");
    set
}

async fn produce(connection: &Connection, version: i16, acks: i16) -> PartitionProduceResponse {
    let data = PartitionProduceData {
        index: 0,
        records: Some(Records::Bytes(Bytes::from(record(version)))),
    };
    let request = ProduceRequest {
        acks,
        timeout_ms: WAIT_MS,
        topic_data: vec![TopicProduceData { name: TOPIC.into(), partition_data: vec![data] }],
        ..Default::default()
    };
    let mut response = connection.call_in(&request, version).await.expect("an answer");
    response.responses.remove(0).partition_responses.remove(0)
}

fn fetch_request(version: i16, offset: i64) -> FetchRequest {
    let by_id = version >= 13;
    FetchRequest {
        min_bytes: 1,
        session_epoch: -1,
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

/// What ListOffsets says of the partition's end.
async fn end(connection: &Connection, version: i16) -> (i16, i64) {
    let partition = ListOffsetsPartition { timestamp: -1, ..Default::default() };
    let topic = ListOffsetsTopic { name: TOPIC.into(), partitions: vec![partition] };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
    let mut response = connection.call_in(&request, version).await.expect("an answer");
    let found = response.topics.remove(0).partitions.remove(0);
    (found.error_code, found.offset)
}

async fn delete_records(connection: &Connection, version: i16) -> (i16, i64) {
    let partition = DeleteRecordsPartition { partition_index: 0, offset: 1 };
    let request = DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic { name: TOPIC.into(), partitions: vec![partition] }],
        timeout_ms: WAIT_MS,
    };
    let mut response = connection.call_in(&request, version).await.expect("an answer");
    let result = response.topics.remove(0).partitions.remove(0);
    (result.error_code, result.low_watermark)
}

async fn describe_producers(connection: &Connection) -> i16 {
    let topic = TopicRequest { name: TOPIC.into(), partition_indexes: vec![0] };
    let request = DescribeProducersRequest { topics: vec![topic] };
    let mut response = connection.call_in(&request, 0).await.expect("an answer");
    response.topics.remove(0).partitions.remove(0).error_code
}

#[tokio::test]
async fn what_the_metadata_no_longer_has_is_refused_although_it_is_led_here() {
    let broker = support::start(&[]).await;
    on_disk(&broker, |broker| lead_in(broker, 0, &[1])).await;
    let connection = connect(&broker).await;
    assert_eq!(produce(&connection, 9, -1).await.error_code, 0);
    let full = FetchRequest { session_epoch: 0, ..fetch_request(17, 1) };
    let session = connection.call_in(&full, 17).await.expect("an answer");
    assert!(session.session_id > 0);
    forget(&broker.running.broker);

    for version in 0..=11 {
        for acks in [1, -1] {
            let answer = produce(&connection, version, acks).await;
            let found = (answer.error_code, answer.base_offset, answer.log_append_time_ms);
            assert_eq!(found, (UNKNOWN, -1, -1), "Produce v{version} acks={acks}");
        }
    }
    for version in 0..=17 {
        let request = fetch_request(version, 0);
        let answer = connection.call_in(&request, version).await.expect("an answer");
        let answer = partition_of(answer);
        let code = if version >= 13 { ErrorCode::UNKNOWN_TOPIC_ID.0 } else { UNKNOWN };
        assert_eq!((answer.error_code, answer.high_watermark), (code, -1), "Fetch v{version}");
    }
    // The session has known the topic's name since it was opened.
    let next = FetchRequest {
        session_id: session.session_id,
        session_epoch: 1,
        topics: vec![],
        max_wait_ms: WAIT_MS,
        ..full
    };
    let news = partition_of(connection.call_in(&next, 17).await.expect("an answer"));
    assert_eq!(news.error_code, UNKNOWN);
    for version in 0..=2 {
        let found = delete_records(&connection, version).await;
        assert_eq!(found, (UNKNOWN, -1), "DeleteRecords v{version}");
    }
    assert_eq!(describe_producers(&connection).await, UNKNOWN);
    // ListOffsets asks the replica first, as Apache's does: nothing was appended.
    for version in 1..=9 {
        assert_eq!(end(&connection, version).await, (0, 1), "ListOffsets v{version}");
    }
    on_disk(&broker, delete).await;
    assert_eq!(end(&connection, 9).await, (UNKNOWN, -1));
    assert_eq!(produce(&connection, 9, -1).await.error_code, UNKNOWN);
}

#[tokio::test]
async fn who_waits_for_a_partition_that_is_deleted_is_told_that_it_is_unknown() {
    let broker = support::start(&[]).await;
    // The other replica never fetches.
    on_disk(&broker, |broker| lead_in(broker, 0, &[1, 2])).await;
    let (producer, deleter) = (connect(&broker).await, connect(&broker).await);
    let consumer = connect(&broker).await;
    let producing = tokio::spawn(async move { produce(&producer, 9, -1).await.error_code });
    let request = FetchRequest { max_wait_ms: WAIT_MS, ..fetch_request(12, 0) };
    let fetching = tokio::spawn(async move { consumer.call_in(&request, 12).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!producing.is_finished() && !fetching.is_finished());
    // The high watermark is 0: that is how far records can be deleted.
    assert_eq!(delete_records(&deleter, 2).await.0, ErrorCode::OFFSET_OUT_OF_RANGE.0);
    forget(&broker.running.broker);
    on_disk(&broker, delete).await;
    assert_eq!(producing.await.expect("an answer"), UNKNOWN);
    let fetched = partition_of(fetching.await.expect("it ends").expect("an answer"));
    assert_eq!((fetched.error_code, fetched.high_watermark), (UNKNOWN, -1));
}
