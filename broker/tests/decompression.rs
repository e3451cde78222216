//! `ottla.decompression.memory.bytes`: what all requests together hold of compressed records. The
//! budget is the process's, so this has a process of its own.

#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

mod support;

use std::collections::BTreeMap;

use bytes::Bytes;
use client::{Connection, Endpoint, Options, TcpTransport, Versions};
use protocol::error_code::ErrorCode;
use protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use protocol::records::builder::{BatchBuilder, BatchOptions};
use protocol::records::codec::{self, Codec, Limits};
use protocol::records::legacy::{LegacyBuilder, LegacyTime};
use protocol::wire::Records;
use support::leading::{TOPIC, lead};

const NOW_MS: i64 = 1_700_000_000_000;

fn batch(codec: Codec) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions { codec, ..Default::default() });
    builder.append(NOW_MS, Some(b"k"), Some(&[7; 5000]), &[]).unwrap();
    builder.finish().unwrap()
}

fn wrapper() -> Vec<u8> {
    let mut builder = LegacyBuilder::new(1, Codec::Gzip, LegacyTime::Create, 0);
    builder.append(0, NOW_MS, Some(b"k"), Some(&[7; 5000])).unwrap();
    let mut set = Vec::new();
    builder.finish(&mut set).unwrap();
    set
}

async fn produce(connection: &Connection, version: i16, set: Vec<u8>) -> ErrorCode {
    let records = Some(Records::Bytes(Bytes::from(set)));
    let partition_data = vec![PartitionProduceData { index: 0, records }];
    let topic_data = vec![TopicProduceData { name: TOPIC.into(), partition_data }];
    let request = ProduceRequest { acks: 1, timeout_ms: 5_000, topic_data, ..Default::default() };
    let mut response = connection.call_in(&request, version).await.unwrap();
    ErrorCode(response.responses.remove(0).partition_responses.remove(0).error_code)
}

/// As a consumer that knows no magic 2.
async fn fetch(connection: &Connection, offset: i64) -> (ErrorCode, usize) {
    let request = FetchRequest {
        max_bytes: 1 << 20,
        topics: vec![FetchTopic {
            topic: TOPIC.into(),
            partitions: vec![FetchPartition {
                fetch_offset: offset,
                partition_max_bytes: 1 << 20,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let mut response = connection.call_in(&request, 3).await.unwrap();
    let data = response.responses.remove(0).partitions.remove(0);
    let bytes = data.records.as_ref().and_then(Records::bytes).map_or(0, |bytes| bytes.len());
    (ErrorCode(data.error_code), bytes)
}

async fn offset_at(connection: &Connection, timestamp: i64) -> (ErrorCode, i64) {
    let partition = ListOffsetsPartition { timestamp, ..Default::default() };
    let topic = ListOffsetsTopic { name: TOPIC.into(), partitions: vec![partition] };
    let request = ListOffsetsRequest { topics: vec![topic], ..Default::default() };
    let mut response = connection.call_in(&request, 1).await.unwrap();
    let found = response.topics.remove(0).partitions.remove(0);
    (ErrorCode(found.error_code), found.offset)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_finds_no_room_is_refused_until_there_is() {
    let broker = support::start(&[("ottla.decompression.memory.bytes", "1048576")]).await;
    let owner = broker.running.broker.clone();
    tokio::task::spawn_blocking(move || lead(&owner)).await.unwrap();
    let to = Endpoint::new("127.0.0.1", broker.address.port());
    let versions = Versions::Pinned(BTreeMap::new());
    let opened = Connection::open(&TcpTransport, &to, Options::default(), versions).await;
    let (connection, driver) = opened.unwrap();
    tokio::spawn(driver);

    let mut packed = Vec::new();
    codec::compress(Codec::Gzip, None, 2, &[0; 1 << 20], &mut packed).unwrap();
    let others = codec::hold(Codec::Gzip, 2, &packed, &Limits::of_requests()).unwrap();
    // Read through a small window, neither holds anything.
    assert_eq!(produce(&connection, 7, batch(Codec::Gzip)).await, ErrorCode::NONE);
    assert_eq!(offset_at(&connection, NOW_MS).await, (ErrorCode::NONE, 0));
    assert_eq!(produce(&connection, 7, batch(Codec::None)).await, ErrorCode::NONE);
    assert_eq!(produce(&connection, 7, batch(Codec::Gzip)).await, ErrorCode::NONE);
    // Written anew, or with a codec that looks back.
    let refused = ErrorCode::NOT_ENOUGH_REPLICAS;
    assert_eq!(produce(&connection, 2, wrapper()).await, refused);
    assert_eq!(produce(&connection, 7, batch(Codec::Zstd)).await, refused);
    assert_eq!(fetch(&connection, 0).await, (ErrorCode::NOT_LEADER_OR_FOLLOWER, 0));
    let (error, alone) = fetch(&connection, 1).await;
    assert_eq!(error, ErrorCode::NONE, "what stands before the batch needs none");
    drop(others);
    let (error, all) = fetch(&connection, 1).await;
    assert!(error == ErrorCode::NONE && alone > 5000 && all > alone, "{alone} of {all} bytes");
    assert_eq!(fetch(&connection, 0).await.0, ErrorCode::NONE);
    assert_eq!(produce(&connection, 2, wrapper()).await, ErrorCode::NONE);
    assert_eq!(produce(&connection, 7, batch(Codec::Zstd)).await, ErrorCode::NONE);
    assert_eq!(codec::REQUESTS.taken(), 0);
}
