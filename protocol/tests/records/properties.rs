//! Properties of record sets: what is written reads back, and no bytes do harm.

use proptest::prelude::*;
use protocol::records::batch::{self, BatchHeader, HEADER_BYTES};
use protocol::records::builder::{BatchBuilder, BatchOptions};
use protocol::records::codec::{Codec, CodecError, Limits};
use protocol::records::control::EndTxnMarker;
use protocol::records::convert::down_convert;
use protocol::records::record::Header;
use protocol::records::validate::{Origin, Refusal, Rules, ValidateError, validate};
use protocol::records::view::{Batches, OpenBatch, RecordsError};

type Field = Option<Vec<u8>>;

#[derive(Debug, Clone, PartialEq)]
struct Given {
    timestamp: i64,
    key: Field,
    value: Field,
    headers: Vec<(Vec<u8>, Field)>,
}

fn field() -> impl Strategy<Value = Field> {
    proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40))
}

fn record() -> impl Strategy<Value = Given> {
    let header = (proptest::collection::vec(any::<u8>(), 0..9), field());
    let headers = proptest::collection::vec(header, 0..4);
    (-1i64..=i64::MAX >> 1, field(), field(), headers)
        .prop_map(|(timestamp, key, value, headers)| Given { timestamp, key, value, headers })
}

fn build(options: BatchOptions, records: &[Given]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options);
    for r in records {
        let headers: Vec<_> =
            r.headers.iter().map(|(key, value)| Header { key, value: value.as_deref() }).collect();
        builder.append(r.timestamp, r.key.as_deref(), r.value.as_deref(), &headers).unwrap();
    }
    builder.finish().unwrap()
}

fn read(set: &[u8], limits: &Limits) -> Result<Vec<Given>, RecordsError> {
    let mut all = Vec::new();
    for raw in Batches::new(set) {
        for record in raw?.open(limits)?.records()? {
            let r = record?;
            let own = |field: Option<&[u8]>| field.map(<[u8]>::to_vec);
            let headers = r.headers.iter().map(|h| (h.key.to_vec(), own(h.value))).collect();
            all.push(Given {
                timestamp: r.timestamp,
                key: own(r.key),
                value: own(r.value),
                headers,
            });
        }
    }
    Ok(all)
}

fn rules(codec: Option<Codec>) -> Rules {
    Rules {
        origin: Origin::Client,
        compacted: false,
        append_time: false,
        before_max_ms: i64::MAX,
        after_max_ms: i64::MAX,
        codec,
        level: None,
        now_ms: 0,
        limits: Limits::default(),
    }
}

/// Header fields as they are, body exchanged, length and CRC put right.
fn with_body(batch: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = batch[..HEADER_BYTES].to_vec();
    out.extend_from_slice(body);
    let length = (out.len() - batch::LOG_OVERHEAD) as i32;
    out[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&out[batch::CRC_FROM..]);
    out[17..21].copy_from_slice(&crc.to_be_bytes());
    out
}

proptest! {
    #[test]
    fn what_is_written_reads_back(
        records in proptest::collection::vec(record(), 1..30),
        codec in 0i16..5,
        base_offset in 0i64..1 << 40,
        target in proptest::option::of(0i16..5),
    ) {
        let codec = Codec::from_id(codec).unwrap();
        let batch = build(BatchOptions { codec, base_offset, ..Default::default() }, &records);
        let header = batch::verify(&batch).unwrap();
        prop_assert_eq!(header.record_count as usize, records.len());
        prop_assert_eq!(header.last_offset(), base_offset + records.len() as i64 - 1);
        prop_assert_eq!(&read(&batch, &Limits::default()).unwrap(), &records);

        let target = target.map(|id| Codec::from_id(id).unwrap());
        let mut produced = batch.clone();
        batch::assign(&mut produced, 0, -1);
        let validated = validate(&produced, &rules(target)).unwrap();
        let timestamp_max = records.iter().map(|r| r.timestamp).max().unwrap();
        prop_assert_eq!(validated.timestamp_max, timestamp_max);
        prop_assert_eq!(validated.rebuilt.is_some(), target.is_some_and(|t| t != codec));
        if let Some(rebuilt) = &validated.rebuilt {
            let header = batch::verify(rebuilt).unwrap();
            prop_assert_eq!(header.codec_kind().ok(), target);
            prop_assert_eq!(&read(rebuilt, &Limits::default()).unwrap(), &records);
        }
    }

    #[test]
    fn garbage_behind_a_valid_header_never_panics(
        codec in 0i16..8,
        count in -1i32..40,
        body in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut batch = build(BatchOptions::default(), &[]);
        batch[21..23].copy_from_slice(&codec.to_be_bytes());
        batch[23..27].copy_from_slice(&(count - 1).to_be_bytes());
        batch[57..61].copy_from_slice(&count.to_be_bytes());
        let batch = with_body(&batch, &body);
        let _ = read(&batch, &Limits::default());
        let _ = validate(&batch, &rules(None));
        let _ = validate(&batch, &rules(Some(Codec::Gzip)));
        let _ = down_convert(&batch, 1, 0, &Limits::default());
    }

    #[test]
    fn a_scan_and_a_full_read_refuse_the_same_damage(
        records in proptest::collection::vec(record(), 1..8),
        at: prop::sample::Index,
        byte: u8,
    ) {
        // One byte of the records changed, then compressed: the walk that keeps nothing must be as
        // strict as the reader that a consumer uses.
        let plain = build(BatchOptions::default(), &records);
        let mut body = plain[HEADER_BYTES..].to_vec();
        let at = at.index(body.len());
        body[at] = byte;
        let mut packed = Vec::new();
        protocol::records::codec::compress(Codec::Lz4, None, 2, &body, &mut packed).unwrap();
        let mut batch = plain.clone();
        batch[22] = Codec::Lz4 as u8;
        let batch = with_body(&batch, &packed);
        let readable = read(&batch, &Limits::default()).is_ok();
        match validate(&batch, &rules(None)) {
            Ok(_) => prop_assert!(readable),
            // A timestamp below −1 or strange offsets are readable, yet refused.
            Err(ValidateError::Records(_)) => prop_assert!(!readable),
            Err(_) => {}
        }
    }

    #[test]
    fn any_bytes_split_without_panic(set: Vec<u8>) {
        let _ = read(&set, &Limits::default());
        let _ = validate(&set, &rules(None));
    }
}

#[test]
fn bombs_stop_in_every_reader() {
    let zeros = vec![0u8; 4 << 20];
    let records = [Given { timestamp: 5, key: None, value: Some(zeros), headers: Vec::new() }];
    let limits =
        Limits { bytes_max: 1 << 20, ratio_max: 2_000, bytes_free: 64 << 10, budget: None };
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let batch = build(BatchOptions { codec, ..Default::default() }, &records);
        let refused = read(&batch, &limits).unwrap_err();
        assert!(matches!(refused, RecordsError::Codec(CodecError::TooLarge { .. })), "{refused}");
        for target in [None, Some(Codec::None)] {
            let refused = validate(&batch, &Rules { limits, ..rules(target) }).unwrap_err();
            let ValidateError::Records(RecordsError::Codec(CodecError::TooLarge { .. })) = refused
            else {
                panic!("{refused}")
            };
            assert_eq!(refused.refusal(), Refusal::InvalidRecord);
        }
    }
}

#[test]
fn markers_stay_plain_and_clients_may_not_write_them() {
    let marker = EndTxnMarker { committed: false, coordinator_epoch: 4 };
    let batch = marker.batch(0, 17, -1, 6, 1).unwrap();
    let refused = validate(&batch, &rules(Some(Codec::Gzip))).unwrap_err();
    assert_eq!(refused, ValidateError::Control);
    let ours = Rules { origin: Origin::Coordinator, ..rules(Some(Codec::Gzip)) };
    let validated = validate(&batch, &ours).unwrap();
    assert_eq!(validated.rebuilt, None);
    assert_eq!(down_convert(&batch, 1, 0, &Limits::default()).unwrap(), b"");
}

#[test]
fn an_empty_batch_of_compaction_opens_with_every_codec() {
    for codec in Codec::ALL {
        let batch = build(BatchOptions { codec, ..Default::default() }, &[]);
        let header = BatchHeader::parse(&batch).unwrap();
        assert_eq!((header.record_count, header.max_timestamp), (0, -1));
        let open = OpenBatch::open_v2(&batch, &Limits::default()).unwrap();
        assert_eq!(open.records().unwrap().count(), 0);
    }
}
