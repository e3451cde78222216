//! Frames whose insides lie: counts that nothing can hold, varints without end, tags by the
//! million, and batches that unpack to more than they may. The connection is closed or the error is
//! the protocol's own, memory stays bounded, and others are served. Over real sockets.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use protocol::frame::request_frame;
use protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use protocol::records::builder::{BatchBuilder, BatchOptions};
use protocol::records::codec::Codec;
use protocol::wire::Records;
use support::leading::{TOPIC, lead};
use support::{answer, ask, connect_from, request, resident_bytes, start};
use tokio::io::AsyncWriteExt;

const GOOD: [u8; 4] = [127, 0, 0, 1];
const BAD: [u8; 4] = [127, 0, 0, 2];
const METADATA: i16 = 3;
const API_VERSIONS: i16 = 18;

/// These tests measure the memory of their process: one at a time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The most memory that this process had while something ran.
struct Watch {
    before: usize,
    most: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Watch {
    fn begin() -> Watch {
        let before = resident_bytes();
        let most = Arc::new(AtomicUsize::new(before));
        let over = Arc::new(AtomicBool::new(false));
        let (seen, stop) = (most.clone(), over.clone());
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                seen.fetch_max(resident_bytes(), Ordering::Relaxed);
                std::thread::yield_now();
            }
        });
        Watch { before, most, over, thread }
    }

    fn grown(self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("it only looks");
        self.most.load(Ordering::Relaxed) - self.before
    }
}

/// A body after a version 2 header: no tags, then `body`.
fn flexible(body: &[u8]) -> Vec<u8> {
    [&[0], body].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_that_nothing_can_hold_close_the_connection() {
    let _alone = ALONE.lock().await;
    let broker = start(&[]).await;
    let huge = i32::MAX.to_be_bytes();
    let endless = [0xff; 12];
    let table: Vec<(&str, Vec<u8>)> = vec![
        ("an array of two billion", request(METADATA, 1, 1, &huge)),
        (
            "an array as long as the rest has bytes",
            request(METADATA, 1, 1, &[&1000i32.to_be_bytes()[..], &[0; 1000]].concat()),
        ),
        ("a string longer than the frame", request(METADATA, 1, 1, &[0, 0, 0, 1, 0x7f, 0xff])),
        ("a null where a name must be", request(METADATA, 1, 1, &[0, 0, 0, 1, 0xff, 0xff])),
        (
            "a compact array of four billion",
            request(METADATA, 9, 1, &flexible(&[0xff, 0xff, 0xff, 0xff, 0x0f])),
        ),
        ("a varint without end", request(METADATA, 9, 1, &flexible(&endless))),
        (
            "twenty million tags that are not there",
            request(API_VERSIONS, 3, 1, &flexible(&[2, b'a', 2, b'b', 0x80, 0xda, 0xc4, 0x09])),
        ),
        (
            "a tag longer than the frame",
            request(API_VERSIONS, 3, 1, &flexible(&[2, b'a', 2, b'b', 1, 7, 0xff, 0x7f])),
        ),
    ];
    let watch = Watch::begin();
    for (what, frame) in table {
        let mut offender = connect_from(BAD, broker.address).await.expect("connected");
        offender.write_all(&frame).await.expect("sent");
        assert_eq!(answer(&mut offender).await, None, "{what}");
        let mut good = connect_from(GOOD, broker.address).await.expect("connected");
        assert!(ask(&mut good, 1).await.is_some(), "after {what}");
    }
    let grown = watch.grown();
    assert!(grown < 32 << 20, "{grown} bytes for frames of a few");
    broker.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_million_tags_cost_no_more_than_their_bytes() {
    let _alone = ALONE.lock().await;
    const TAGS: usize = 5_000_000;
    let broker = start(&[]).await;
    let mut body = vec![0, 2, b'a', 2, b'b', 0xc0, 0x96, 0xb1, 0x02];
    body.resize(body.len() + 2 * TAGS, 0);
    for tag in body[9..].chunks_mut(2) {
        tag[0] = 9;
    }
    let frame = request(API_VERSIONS, 3, 5, &body);
    let mut offender = connect_from(BAD, broker.address).await.expect("connected");
    let watch = Watch::begin();
    offender.write_all(&frame).await.expect("sent");
    let answered = answer(&mut offender).await;
    let grown = watch.grown();
    assert!(grown < 4 * frame.len() + (8 << 20), "{grown} bytes for a frame of {}", frame.len());
    assert_eq!(answered.map(|(id, _)| id), Some(5), "unknown tags are passed by");
    broker.running.stop().await;
}

/// One record of zeros, as large as no frame may be, in some kilobytes.
fn bomb(codec: Codec, value_bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions { codec, ..Default::default() });
    let zeros = vec![0; value_bytes];
    builder.append(1_700_000_000_000, None, Some(&zeros), &[]).expect("fits");
    let set = Bytes::from(builder.finish().expect("a batch"));
    let data = PartitionProduceData { index: 0, records: Some(Records::Bytes(set)) };
    let request = ProduceRequest {
        acks: 1,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData { name: TOPIC.into(), partition_data: vec![data] }],
        ..Default::default()
    };
    let rope = request_frame(8, 3, Some("test"), &request).expect("legal");
    rope.into_bytes().expect("memory").to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_that_unpack_to_a_hundred_times_their_size_take_no_such_memory() {
    let _alone = ALONE.lock().await;
    const VALUE_BYTES: usize = 256 << 20;
    let broker = start(&[]).await;
    let owner = broker.running.broker.clone();
    tokio::task::spawn_blocking(move || lead(&owner)).await.expect("it leads");
    for codec in [Codec::Zstd, Codec::Gzip, Codec::Lz4] {
        let frame = tokio::task::spawn_blocking(move || bomb(codec, VALUE_BYTES));
        let frame = frame.await.expect("built");
        assert!(frame.len() < VALUE_BYTES / 100, "{codec:?}: {} bytes", frame.len());
        let mut offender = connect_from(BAD, broker.address).await.expect("connected");
        let watch = Watch::begin();
        offender.write_all(&frame).await.expect("sent");
        // Whether it is refused or stored, it is answered.
        assert!(answer(&mut offender).await.is_some(), "{codec:?}");
        let grown = watch.grown();
        assert!(grown < 96 << 20, "{codec:?}: {grown} bytes for a frame of {}", frame.len());
        let mut good = connect_from(GOOD, broker.address).await.expect("connected");
        assert!(ask(&mut good, 1).await.is_some(), "after {codec:?}");
    }
    broker.running.stop().await;
}
