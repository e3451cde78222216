//! Record sets: the ones that cases send, and the ones in answers as trees.

use protocol::records::batch::{BatchError, BatchHeader, HEADER_BYTES, LOG_OVERHEAD, verify};
use protocol::records::builder::{BatchBuilder, BatchOptions};
use protocol::records::codec::{self, Codec, Limits};
use protocol::records::legacy::{LegacyBuilder, LegacyTime, Message};
use serde_json::{Value, json};

use super::tree::text;

/// The timestamp of every record that a case does not say another of.
pub const TIME_MS: i64 = 1_700_000_000_000;

/// A batch of format 2 with these values, keys counting from `k0`.
pub fn batch(values: &[&str], options: BatchOptions) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options);
    for (i, value) in values.iter().enumerate() {
        let key = format!("k{i}");
        builder
            .append(TIME_MS, Some(key.as_bytes()), Some(value.as_bytes()), &[])
            .expect("small records");
    }
    builder.finish().expect("small records")
}

/// The same without anything special, as a string of a tree.
pub fn plain(values: &[&str]) -> String {
    text(&batch(values, BatchOptions::default()))
}

/// Compressed.
pub fn packed(values: &[&str], codec: Codec) -> String {
    text(&batch(values, BatchOptions { codec, ..Default::default() }))
}

/// Of an idempotent or transactional producer.
pub fn produced(producer: (i64, i16), sequence: i32, transactional: bool) -> String {
    text(&batch(
        &["of a producer"],
        BatchOptions {
            producer_id: producer.0,
            producer_epoch: producer.1,
            base_sequence: sequence,
            transactional,
            ..Default::default()
        },
    ))
}

/// With this timestamp.
pub fn at(values: &[&str], timestamp_ms: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for value in values {
        builder.append(timestamp_ms, Some(b"k"), Some(value.as_bytes()), &[]).expect("small");
    }
    builder.finish().expect("small records")
}

/// Without keys.
pub fn keyless(values: &[&str]) -> String {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for value in values {
        builder.append(TIME_MS, None, Some(value.as_bytes()), &[]).expect("small");
    }
    text(&builder.finish().expect("small records"))
}

/// Gives a batch that was changed the CRC of what it is now.
pub fn sign(batch: &mut [u8]) {
    if let Err(BatchError::Crc { computed, .. }) = verify(batch) {
        batch[17..21].copy_from_slice(&computed.to_be_bytes());
    }
}

/// A message set of format 0 or 1.
pub fn legacy(magic: i8, codec: Codec, values: &[&str]) -> String {
    let mut builder = LegacyBuilder::new(magic, codec, LegacyTime::Create, 0);
    for (offset, value) in values.iter().enumerate() {
        builder.append(offset as i64, TIME_MS, None, Some(value.as_bytes())).expect("small");
    }
    let mut out = vec![];
    builder.finish(&mut out).expect("small");
    text(&out)
}

/// A record set of an answer: its batches, each with what its header says and its records
/// uncompressed, since two libraries need not compress alike.
pub fn tree(mut set: &[u8]) -> Value {
    let mut batches = vec![];
    while let Some(size) = size(set) {
        let (whole, rest) = set.split_at(size);
        batches.push(if whole[16] == 2 { modern(whole) } else { old(whole) });
        set = rest;
    }
    // Apache fills what a conversion leaves of a size that it promised; clients pass over it.
    let is_filler =
        set.starts_with(&[0xff; 8]) || (set.len() < 8 && set.iter().all(|b| *b == 0xff));
    if !set.is_empty() && !is_filler {
        batches.push(json!({ "cut": text(set) }));
    }
    batches.into()
}

/// The size of the first batch, if all of it is there.
fn size(set: &[u8]) -> Option<usize> {
    let length = i32::from_be_bytes(set.get(8..12)?.try_into().ok()?);
    let size = usize::try_from(length).ok()? + LOG_OVERHEAD;
    (size > 16 && size <= set.len()).then_some(size)
}

fn modern(whole: &[u8]) -> Value {
    let Ok(header) = BatchHeader::parse(whole) else { return text(whole).into() };
    let records = opened(header.codec(), 2, &whole[HEADER_BYTES.min(whole.len())..]);
    json!({
        "base_offset": header.base_offset,
        "leader_epoch": header.leader_epoch,
        "crc_ok": verify(whole).is_ok(),
        "attributes": header.attributes,
        "last_offset_delta": header.last_offset_delta,
        "base_timestamp": header.base_timestamp,
        "max_timestamp": header.max_timestamp,
        "producer_id": header.producer_id,
        "producer_epoch": header.producer_epoch,
        "base_sequence": header.base_sequence,
        "record_count": header.record_count,
        "records": records,
    })
}

fn old(whole: &[u8]) -> Value {
    let Ok(message) = Message::parse(whole) else { return text(whole).into() };
    let codec = message.codec().map_or(-1, Codec::id);
    let value = message.value.map(|value| match codec {
        0 => text(value).into(),
        _ => match decompressed(codec, message.magic, value) {
            Some(inner) => tree(&inner),
            None => text(value).into(),
        },
    });
    json!({
        "offset": message.offset,
        "magic": message.magic,
        "crc_ok": message.verify().is_ok(),
        "codec": codec,
        "timestamp": message.timestamp,
        "key": message.key.map(text),
        "value": value,
    })
}

fn opened(codec: i16, magic: i8, body: &[u8]) -> String {
    text(&decompressed(codec, magic, body).unwrap_or_else(|| body.to_vec()))
}

fn decompressed(codec: i16, magic: i8, body: &[u8]) -> Option<Vec<u8>> {
    let codec = Codec::from_id(codec).ok()?;
    codec::decompress(codec, magic, body, &Limits::default()).ok()
}
