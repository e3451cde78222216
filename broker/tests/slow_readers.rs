//! Consumers that ask for much and read nothing: their answers wait in the log's files, not in
//! memory, and others do not notice. Over real sockets.

mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol::frame::request_frame;
use protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use protocol::records::builder::{BatchBuilder, BatchOptions};
use protocol::wire::{Records, Request};
use support::leading::{TOPIC, lead};
use support::{PATIENCE, TestBroker, answer, connect_from, resident_bytes, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const GOOD: [u8; 4] = [127, 0, 0, 1];
const BAD: [u8; 4] = [127, 0, 0, 2];
/// The log holds as many MiB.
const BATCHES: usize = 50;

fn frame<R: Request>(version: i16, id: i32, request: &R) -> Vec<u8> {
    let rope = request_frame(version, id, Some("test"), request).expect("legal");
    rope.into_bytes().expect("memory").to_vec()
}

fn produce(id: i32, value_bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(1_700_000_000_000, None, Some(&vec![b'x'; value_bytes]), &[]).expect("fits");
    let set = Bytes::from(builder.finish().expect("a batch"));
    let data = PartitionProduceData { index: 0, records: Some(Records::Bytes(set)) };
    let request = ProduceRequest {
        acks: 1,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData { name: TOPIC.into(), partition_data: vec![data] }],
        ..Default::default()
    };
    frame(8, id, &request)
}

fn fetch(id: i32, fetch_offset: i64, bytes_max: i32) -> Vec<u8> {
    let partition =
        FetchPartition { fetch_offset, partition_max_bytes: bytes_max, ..Default::default() };
    let request = FetchRequest {
        max_wait_ms: 1000,
        min_bytes: 1,
        max_bytes: bytes_max,
        topics: vec![FetchTopic {
            topic: TOPIC.into(),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    };
    frame(11, id, &request)
}

/// A broker whose log holds `BATCHES` of a MiB.
async fn filled() -> (TestBroker, TcpStream) {
    let broker = start(&[("message.max.bytes", "2000000")]).await;
    let owner = broker.running.broker.clone();
    tokio::task::spawn_blocking(move || lead(&owner)).await.expect("it leads");
    let mut stream = connect_from(GOOD, broker.address).await.expect("connected");
    for id in 0..BATCHES as i32 {
        stream.write_all(&produce(id, 1 << 20)).await.expect("sent");
        let (_, body) = answer(&mut stream).await.expect("an answer");
        // Topic count, name, partition count, index, then the error code.
        assert_eq!(body[4 + 2 + TOPIC.len() + 4 + 4..][..2], [0, 0]);
    }
    (broker, stream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_reads_take_no_memory_and_hold_nobody_up() {
    let (broker, mut good) = filled().await;
    let before = resident_bytes();
    let mut offenders = Vec::new();
    for _ in 0..20 {
        let mut offender = connect_from(BAD, broker.address).await.expect("connected");
        for id in 0..5 {
            offender.write_all(&fetch(id, 0, 50 << 20)).await.expect("sent");
        }
        offenders.push(offender);
    }
    let mut slowest = Duration::ZERO;
    for id in 0..50 {
        let asked = Instant::now();
        good.write_all(&produce(id, 100)).await.expect("sent");
        assert!(answer(&mut good).await.is_some());
        good.write_all(&fetch(id, (BATCHES as i64) + i64::from(id), 1 << 20)).await.expect("sent");
        assert!(answer(&mut good).await.is_some());
        slowest = slowest.max(asked.elapsed());
    }
    assert!(slowest < Duration::from_secs(2), "{slowest:?} for a small produce and fetch");
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "5 GB of answers wait, {grown} bytes taken");
    // Whoever reads after all gets all of it.
    let late = offenders.first_mut().expect("there are some");
    for id in 0..5 {
        let read = async {
            let length = late.read_i32().await.expect("a length") as u64;
            assert_eq!(late.read_i32().await.expect("an id"), id);
            let mut rest = (&mut *late).take(length - 4);
            let copied = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
            (length, copied.expect("the whole answer"))
        };
        let (length, copied) = tokio::time::timeout(PATIENCE, read).await.expect("in time");
        assert!(copied == length - 4 && length > 49 << 20, "{copied} of {length}");
    }
    drop(offenders);
    broker.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_produces_larger_than_the_buffers_are_all_answered() {
    let broker = start(&[
        ("message.max.bytes", "2000000"),
        ("ottla.request.memory.bytes", "3000000"),
        ("queued.max.request.bytes", "-1"),
        ("socket.request.max.bytes", "2500000"),
    ])
    .await;
    let owner = broker.running.broker.clone();
    tokio::task::spawn_blocking(move || lead(&owner)).await.expect("it leads");
    // Eight connections with 10 MiB under way each, through a pool of three megabytes.
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut stream = connect_from(GOOD, broker.address).await.expect("connected");
        clients.push(tokio::spawn(async move {
            let (mut reader, mut writer) = stream.split();
            let send = async {
                for id in 0..10 {
                    writer.write_all(&produce(id, 1 << 20)).await.expect("sent");
                }
            };
            let receive = async {
                for id in 0..10 {
                    let length = reader.read_i32().await.expect("a length");
                    assert_eq!(reader.read_i32().await.expect("an id"), id);
                    let mut body = vec![0; length as usize - 4];
                    reader.read_exact(&mut body).await.expect("a body");
                    assert_eq!(body[4 + 2 + TOPIC.len() + 4 + 4..][..2], [0, 0]);
                }
            };
            tokio::join!(send, receive);
        }));
    }
    for client in clients {
        tokio::time::timeout(PATIENCE, client).await.expect("in time").expect("all answered");
    }
    broker.running.stop().await;
}
