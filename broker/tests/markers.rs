//! Transactions as a partition's leader sees them: records, markers, fencing, and what readers of
//! committed data get. The coordinator is the test; the controller's orders are given by hand.

mod support;

use std::collections::BTreeMap;

use bytes::Bytes;
use client::{Connection, Endpoint, Options, TcpTransport, Versions};
use protocol::error_code::ErrorCode;
use protocol::messages::describe_producers::{DescribeProducersRequest, TopicRequest};
use protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData};
use protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use protocol::messages::write_txn_markers::{
    WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest,
};
use protocol::records::builder::{BatchBuilder, BatchOptions};
use protocol::wire::Records;
use support::TestBroker;
use support::leading::{TOPIC, TOPIC_ID, lead};

const NOW_MS: i64 = 1_700_000_000_000;
const READ_COMMITTED: i8 = 1;
const LATEST: i64 = -1;

async fn started() -> (TestBroker, Connection) {
    // Nobody would vouch for a transaction of this test's.
    let unverified = [("transaction.partition.verification.enable", "false")];
    let broker = support::start(&unverified).await;
    let owner = broker.running.broker.clone();
    tokio::task::spawn_blocking(move || lead(&owner)).await.expect("it leads");
    let to = Endpoint::new("127.0.0.1", broker.address.port());
    let versions = Versions::Pinned(BTreeMap::new());
    let opened = Connection::open(&TcpTransport, &to, Options::default(), versions).await;
    let (connection, driver) = opened.expect("connected");
    tokio::spawn(driver);
    (broker, connection)
}

/// One record of a transaction; the code.
async fn produce(
    connection: &Connection,
    producer_id: i64,
    epoch: i16,
    sequence: i32,
) -> ErrorCode {
    let mut builder = BatchBuilder::new(BatchOptions {
        producer_id,
        producer_epoch: epoch,
        base_sequence: sequence,
        transactional: true,
        ..BatchOptions::default()
    });
    builder.append(NOW_MS, Some(b"k"), Some(b"v"), &[]).expect("a record");
    let set = builder.finish().expect("a batch");
    let request = ProduceRequest {
        transactional_id: Some("tx".into()),
        acks: -1,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData {
            name: TOPIC.into(),
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(Records::Bytes(Bytes::from(set))),
            }],
        }],
    };
    let answer = connection.call_in(&request, 9).await.expect("an answer");
    ErrorCode(answer.responses[0].partition_responses[0].error_code)
}

/// The codes of partitions 0 and 9.
async fn end(
    connection: &Connection,
    producer: (i64, i16),
    commit: bool,
    coordinator_epoch: i32,
    version: i16,
) -> [ErrorCode; 2] {
    let topic = WritableTxnMarkerTopic { name: TOPIC.into(), partition_indexes: vec![0, 9] };
    let marker = WritableTxnMarker {
        producer_id: producer.0,
        producer_epoch: producer.1,
        transaction_result: commit,
        topics: vec![topic],
        coordinator_epoch,
    };
    let request = WriteTxnMarkersRequest { markers: vec![marker] };
    let answer = connection.call_in(&request, version).await.expect("an answer");
    assert_eq!(answer.markers[0].producer_id, producer.0);
    let partitions = &answer.markers[0].topics[0].partitions;
    assert_eq!((partitions[0].partition_index, partitions[1].partition_index), (0, 9));
    [ErrorCode(partitions[0].error_code), ErrorCode(partitions[1].error_code)]
}

async fn fetch(connection: &Connection) -> PartitionData {
    let request = FetchRequest {
        replica_id: -1,
        max_bytes: 1 << 20,
        isolation_level: READ_COMMITTED,
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic: TOPIC.into(),
            topic_id: TOPIC_ID,
            partitions: vec![FetchPartition {
                current_leader_epoch: -1,
                partition_max_bytes: 1 << 20,
                ..Default::default()
            }],
        }],
        ..Default::default()
    };
    let mut answer = connection.call_in(&request, 12).await.expect("an answer");
    answer.responses.remove(0).partitions.remove(0)
}

async fn latest(connection: &Connection) -> i64 {
    let partition =
        ListOffsetsPartition { current_leader_epoch: -1, timestamp: LATEST, ..Default::default() };
    let request = ListOffsetsRequest {
        replica_id: -1,
        isolation_level: READ_COMMITTED,
        topics: vec![ListOffsetsTopic { name: TOPIC.into(), partitions: vec![partition] }],
    };
    let answer = connection.call_in(&request, 5).await.expect("an answer");
    answer.topics[0].partitions[0].offset
}

/// Where the producer's open transaction begins; −1 without one.
async fn open_since(connection: &Connection, producer_id: i64) -> i64 {
    let topic = TopicRequest { name: TOPIC.into(), partition_indexes: vec![0] };
    let request = DescribeProducersRequest { topics: vec![topic] };
    let answer = connection.call_in(&request, 0).await.expect("an answer");
    let producers = &answer.topics[0].partitions[0].active_producers;
    let found = producers.iter().find(|p| p.producer_id == producer_id);
    found.expect("a known producer").current_txn_start_offset
}

#[tokio::test]
async fn readers_of_committed_data_wait_for_markers() {
    let (_broker, connection) = started().await;
    let ok = [ErrorCode::NONE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION];
    assert_eq!(produce(&connection, 1, 0, 0).await, ErrorCode::NONE);
    assert_eq!(produce(&connection, 2, 0, 0).await, ErrorCode::NONE);
    assert_eq!(open_since(&connection, 2).await, 1);
    let seen = fetch(&connection).await;
    assert_eq!((seen.high_watermark, seen.last_stable_offset), (2, 0));
    assert_eq!(latest(&connection).await, 0);
    assert_eq!(end(&connection, (2, 0), false, 5, 0).await, ok);
    assert_eq!(fetch(&connection).await.last_stable_offset, 0, "the first is open still");
    assert_eq!(end(&connection, (1, 0), true, 5, 1).await, ok);
    let seen = fetch(&connection).await;
    assert_eq!((seen.high_watermark, seen.last_stable_offset), (4, 4));
    let aborted = seen.aborted_transactions.expect("a list");
    let aborted: Vec<_> = aborted.iter().map(|txn| (txn.producer_id, txn.first_offset)).collect();
    assert_eq!(aborted, [(2, 1)]);
    assert_eq!(latest(&connection).await, 4);
    assert_eq!(open_since(&connection, 2).await, -1);
}

#[tokio::test]
async fn old_producers_and_old_coordinators_are_fenced() {
    let (_broker, connection) = started().await;
    assert_eq!(produce(&connection, 1, 3, 0).await, ErrorCode::NONE);
    assert_eq!(end(&connection, (1, 2), false, 5, 1).await[0], ErrorCode::INVALID_PRODUCER_EPOCH);
    // A coordinator that fences raises the epoch with its marker.
    assert_eq!(end(&connection, (1, 4), false, 5, 1).await[0], ErrorCode::NONE);
    assert_eq!(produce(&connection, 1, 3, 1).await, ErrorCode::INVALID_PRODUCER_EPOCH);
    assert_eq!(produce(&connection, 1, 4, 1).await, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(produce(&connection, 1, 4, 0).await, ErrorCode::NONE);
    let fenced = ErrorCode::TRANSACTION_COORDINATOR_FENCED;
    assert_eq!(end(&connection, (1, 4), true, 4, 1).await[0], fenced);
    assert_eq!(end(&connection, (1, 4), true, 5, 1).await[0], ErrorCode::NONE);
    assert_eq!(end(&connection, (1, 4), true, 6, 1).await[0], ErrorCode::NONE, "nothing is open");
    assert_eq!(latest(&connection).await, 5);
}
