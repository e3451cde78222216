//! The decoder's allowance, held against what it really allocates. Knows nothing of the allocator.

use bytes::{BufMut, Bytes, BytesMut};
use protocol::messages::catalog::{CATALOG, Entry};
use protocol::messages::{
    FetchRequest, LeaderAndIsrRequest, MetadataRequest, ProduceRequest, UpdateMetadataRequest,
};
use protocol::messages::{fetch, leader_and_isr, produce, update_metadata};
use protocol::wire::{Budget, Message, Reader, WireError, Writer};

use crate::allocations;
use crate::random::{self, Random};

/// Decodes `frame` and holds the allocations to `budget`.
fn decode(entry: &Entry, version: i16, frame: Bytes, budget: Budget) -> Result<(), WireError> {
    let mut r = Reader::new(frame, budget);
    let most = r.budget_left();
    let (result, allocated) = allocations::during(|| (entry.decode)(&mut r, version));
    assert!(allocated <= most, "{} v{version}: {allocated} of {most} bytes", entry.name);
    let charged = most - r.budget_left();
    assert!(allocated <= charged, "{} v{version}: {allocated}, {charged} charged", entry.name);
    result
}

/// A frame as a connection makes it: shared already, since it was cut out of what was received.
fn frame(bytes: &[u8]) -> Bytes {
    let mut received = BytesMut::from(bytes);
    received.split_to(bytes.len()).freeze()
}

#[test]
fn what_is_allocated_was_charged() {
    let mut random = Random(2);
    for entry in CATALOG {
        for version in entry.min_version..=entry.max_version {
            let flexible = version >= entry.flexible_from;
            for _ in 0..20 {
                let mut bytes = random::message(&mut random, entry.schema, version, flexible);
                let budget = Budget::for_frame(bytes.len());
                assert_eq!(decode(entry, version, frame(&bytes), budget), Ok(()));
                for _ in 0..10 {
                    if let Some(last) = bytes.len().checked_sub(1) {
                        bytes[random.below(last as u64 + 1) as usize] = random.next() as u8;
                    }
                    let _ = decode(entry, version, frame(&bytes), Budget::for_frame(bytes.len()));
                    let _ = decode(entry, version, frame(&bytes), Budget::unauthenticated());
                }
            }
        }
    }
}

fn entry<M: Message>() -> &'static Entry {
    CATALOG.iter().find(|entry| entry.name == M::NAME).expect("the catalog has every message")
}

#[test]
fn an_array_of_tiny_elements_is_refused_before_it_is_allocated() {
    // 100,000 topics with an empty name: 200 kB that would take 4 MB.
    let mut bytes = BytesMut::new();
    bytes.put_i32(100_000);
    bytes.put_bytes(0, 2 * 100_000);
    let bytes = frame(&bytes);
    for budget in [Budget::for_frame(bytes.len()), Budget::unauthenticated()] {
        let ((), allocated) = allocations::during(|| {
            let error = decode(entry::<MetadataRequest>(), 1, bytes.clone(), budget);
            assert!(matches!(error, Err(WireError::OverBudget { .. })), "{error:?}");
        });
        assert_eq!(allocated, 0);
    }
}

#[test]
fn a_count_that_the_frame_cannot_hold_is_refused() {
    for count in [i32::MAX, 1001] {
        let mut bytes = BytesMut::new();
        bytes.put_i32(count);
        // A topic takes at least one byte.
        bytes.put_bytes(0, 1000);
        let error = decode(entry::<MetadataRequest>(), 1, bytes.freeze(), Budget::for_frame(1004));
        assert!(matches!(error, Err(WireError::Short { have: 1000, .. })), "{error:?}");
    }
}

#[test]
fn millions_of_unknown_tags_cost_nothing() {
    let tags = 3_000_000;
    let mut bytes = BytesMut::new();
    // An ApiVersions v3 body: two empty names, then the tags, all of them tag 9 without bytes.
    bytes.put_slice(&[1, 1, 0x80 | 0x40, 0x80 | 0x0d, 0x80 | 0x37, 1]);
    for _ in 0..tags {
        bytes.put_slice(&[9, 0]);
    }
    let entry = CATALOG.iter().find(|e| e.name == "ApiVersionsRequest").expect("in the catalog");
    let frame = frame(&bytes);
    let (result, allocated) =
        allocations::during(|| decode(entry, 3, frame, Budget::unauthenticated()));
    assert_eq!((result, allocated), (Ok(()), 0));
}

fn encoded<M: Message>(message: &M, version: i16) -> Bytes {
    let mut w = Writer::new();
    message.encode(&mut w, version).expect("fits the version");
    frame(&w.finish().expect("small").into_bytes().expect("no payload"))
}

fn fits<M: Message>(message: &M, version: i16) {
    let bytes = encoded(message, version);
    let budget = Budget::for_frame(bytes.len());
    assert_eq!(decode(entry::<M>(), version, bytes, budget), Ok(()));
}

#[test]
fn large_requests_of_honest_peers_fit() {
    let topic =
        fetch::FetchTopic { partitions: vec![Default::default(); 10_000], ..Default::default() };
    let request = FetchRequest { topics: vec![topic], ..Default::default() };
    for version in [0, 12, 17] {
        fits(&request, version);
    }

    let state = leader_and_isr::LeaderAndIsrPartitionState {
        isr: vec![1],
        replicas: vec![1],
        ..Default::default()
    };
    let topic = leader_and_isr::LeaderAndIsrTopicState {
        partition_states: vec![state; 50_000],
        ..Default::default()
    };
    fits(&LeaderAndIsrRequest { topic_states: vec![topic], ..Default::default() }, 7);

    let state = update_metadata::UpdateMetadataPartitionState {
        isr: vec![1],
        replicas: vec![1],
        ..Default::default()
    };
    let topic = update_metadata::UpdateMetadataTopicState {
        partition_states: vec![state; 200_000],
        ..Default::default()
    };
    fits(&UpdateMetadataRequest { topic_states: vec![topic], ..Default::default() }, 8);
}

#[test]
fn a_produce_request_allocates_its_arrays_and_names_only() {
    let partition = produce::PartitionProduceData {
        records: Some(Bytes::from(vec![7; 10_000]).into()),
        ..Default::default()
    };
    let topic =
        produce::TopicProduceData { name: "topic".into(), partition_data: vec![partition; 10] };
    let request = ProduceRequest { topic_data: vec![topic; 3], ..Default::default() };
    let arrays = 3 * size_of::<produce::TopicProduceData>()
        + 3 * 10 * size_of::<produce::PartitionProduceData>();
    for version in [3, 11] {
        let bytes = encoded(&request, version);
        let mut r = Reader::for_frame(bytes.clone());
        let (decoded, allocated) =
            allocations::during(|| ProduceRequest::decode(&mut r, version).expect("well-formed"));
        assert_eq!(allocated, arrays + 3 * "topic".len());
        assert_eq!(decoded, request);
        let records = decoded.topic_data[2].partition_data[9].records.as_ref().expect("not null");
        let at = records.bytes().expect("decoded records are bytes").as_ptr();
        assert!(bytes.as_ptr_range().contains(&at), "a slice of the frame");
    }
}
