//! The decoder's allowance, held against what it really allocates. Knows nothing of the allocator.

use bytes::{BufMut, Bytes, BytesMut};
use protocol::messages::catalog::{CATALOG, Entry};
use protocol::messages::{FetchRequest, MetadataRequest};
use protocol::wire::{Budget, Message, Reader, WireError};

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

#[test]
fn large_requests_of_honest_clients_fit() {
    // 2,000 partitions in the oldest and in the newest Fetch.
    let partitions = vec![Default::default(); 2000];
    for version in [0, 12, 17] {
        let topic = protocol::messages::fetch::FetchTopic {
            partitions: partitions.clone(),
            ..Default::default()
        };
        let request = FetchRequest { topics: vec![topic], ..Default::default() };
        let mut w = protocol::wire::Writer::new();
        request.encode(&mut w, version).expect("defaults fit every version");
        let bytes = w.finish().expect("small").into_bytes().expect("no payload");
        let budget = Budget::for_frame(bytes.len());
        assert_eq!(decode(entry::<FetchRequest>(), version, bytes, budget), Ok(()));
    }
}
