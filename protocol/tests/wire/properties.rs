//! Whatever the bytes, decoding ends in a message or an error: never in a panic, never in more
//! memory than the frame's allowance; and what was read is written again as it was.

use bytes::Bytes;
use proptest::prelude::*;
use protocol::frame;
use protocol::header::RequestHeader;
use protocol::messages::catalog::{CATALOG, Entry};
use protocol::wire::{Budget, Reader, WireError, Writer};

use crate::random::{self, Random};

fn message_type() -> impl Strategy<Value = (&'static Entry, i16)> {
    (0..CATALOG.len()).prop_flat_map(|at| {
        let entry = &CATALOG[at];
        (Just(entry), entry.min_version..=entry.max_version)
    })
}

fn sample(seed: u64, entry: &Entry, version: i16) -> Bytes {
    let flexible = version >= entry.flexible_from;
    random::message(&mut Random(seed), entry.schema, version, flexible).into()
}

/// Decodes and encodes; whatever is left over counts as an error here.
fn recode(entry: &Entry, version: i16, bytes: Bytes, budget: Budget) -> Result<Bytes, WireError> {
    let mut r = Reader::new(bytes, budget);
    let mut w = Writer::new();
    (entry.recode)(&mut r, version, &mut w)?;
    assert_eq!(r.remaining(), 0);
    Ok(w.finish()?.into_bytes().expect("decoded messages hold no payload"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn messages_round_trip((entry, version) in message_type(), seed: u64) {
        let bytes = sample(seed, entry, version);
        let budget = Budget::for_frame(bytes.len());
        prop_assert_eq!(recode(entry, version, bytes.clone(), budget), Ok(bytes));
    }

    #[test]
    fn a_message_cut_short_is_an_error((entry, version) in message_type(), seed: u64, cut: u64) {
        let bytes = sample(seed, entry, version);
        prop_assume!(!bytes.is_empty());
        let cut = bytes.slice(..(cut % bytes.len() as u64) as usize);
        let budget = Budget::for_frame(cut.len());
        prop_assert!(recode(entry, version, cut, budget).is_err());
    }

    #[test]
    fn a_message_with_flipped_bytes_is_read_or_refused(
        (entry, version) in message_type(),
        seed: u64,
        flips in prop::collection::vec(any::<(u64, u8)>(), 1..4),
    ) {
        let mut bytes = sample(seed, entry, version).to_vec();
        prop_assume!(!bytes.is_empty());
        for (at, value) in flips {
            let at = (at % bytes.len() as u64) as usize;
            bytes[at] = value;
        }
        let mut r = Reader::for_frame(bytes.into());
        // Malformed text and unknown tags do not come back as they were; only panics are wrong.
        let _ = (entry.recode)(&mut r, version, &mut Writer::new());
    }

    #[test]
    fn garbage_is_read_or_refused(
        (entry, version) in message_type(), garbage in prop::collection::vec(any::<u8>(), 0..300)
    ) {
        let mut r = Reader::new(garbage.into(), Budget::unauthenticated());
        let _ = (entry.recode)(&mut r, version, &mut Writer::new());
    }

    #[test]
    fn request_headers_of_garbage(garbage in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = RequestHeader::decode(&mut Reader::for_frame(garbage.into()));
    }

    #[test]
    fn frame_lengths_hold_their_limit(prefix: [u8; 4], max_bytes in 0usize..1 << 32) {
        if let Ok(len) = frame::frame_len(prefix, max_bytes) {
            prop_assert!(len <= max_bytes);
        }
    }
}

/// Every type and version, each with so many random messages: proptest alone would leave some out.
#[test]
fn every_type_and_version_round_trips() {
    let mut random = Random(1);
    for entry in CATALOG {
        for version in entry.min_version..=entry.max_version {
            for _ in 0..20 {
                let bytes = sample(random.next(), entry, version);
                let again = recode(entry, version, bytes.clone(), Budget::for_frame(bytes.len()));
                assert_eq!(again, Ok(bytes), "{} v{version}", entry.name);
            }
        }
    }
}
