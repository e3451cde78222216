//! What the fuzzer, and the test that replays its corpus, do with bytes that claim to be record
//! sets. Knows nothing of where the bytes come from.

use protocol::records::batch;
use protocol::records::codec::{Codec, Limits};
use protocol::records::convert::down_convert;
use protocol::records::validate::{Origin, Rules, validate};
use protocol::records::view::{Batches, RecordsError};

/// Small, so that bombs are met often.
const LIMITS: Limits =
    Limits { bytes_max: 1 << 20, ratio_max: 64, bytes_free: 64 << 10, budget: None };

/// One byte that chooses the topic's rules, then a record set. What a leader accepts, a consumer
/// must be able to read; what it writes anew must hold, and hold the same records.
pub fn batches(data: &[u8]) {
    let Some((choice, set)) = data.split_first() else { return };
    let read = read(set);
    for magic in [0, 1] {
        if let Ok(older) = down_convert(set, magic, 0, &LIMITS) {
            assert!(Batches::new(&older).flatten().all(|raw| raw.magic <= magic));
        }
    }
    let Ok(validated) = validate(set, &rules(*choice)) else { return };
    let Ok(count) = read else { panic!("accepted, yet unreadable") };
    assert!(validated.record_count >= 0);
    match validated.rebuilt {
        None => assert_eq!(count, validated.record_count as usize),
        Some(rebuilt) => {
            let header = batch::verify(&rebuilt).expect("written here");
            assert_eq!(header.record_count, validated.record_count);
            // What is written may be larger than what these small limits allow to read.
            if let Ok(written) = self::read(&rebuilt) {
                assert_eq!(written, count);
            }
        }
    }
}

fn rules(choice: u8) -> Rules {
    let codec = Codec::from_id(i16::from(choice & 7)).ok();
    Rules {
        origin: if choice & 8 == 0 { Origin::Client } else { Origin::Coordinator },
        compacted: choice & 16 != 0,
        append_time: choice & 32 != 0,
        before_max_ms: i64::MAX,
        after_max_ms: if choice & 64 == 0 { i64::MAX } else { 1_000 },
        codec,
        level: None,
        now_ms: 1_700_000_000_000,
        limits: LIMITS,
    }
}

/// The number of records in all whole batches.
fn read(set: &[u8]) -> Result<usize, RecordsError> {
    let mut count = 0;
    for raw in Batches::new(set) {
        let raw = raw?;
        let _ = raw.verify();
        for record in raw.open(&LIMITS)?.records()? {
            let record = record?;
            count += 1;
            let headers = record.headers.iter().count();
            assert_eq!(headers, record.headers.len());
        }
    }
    Ok(count)
}
