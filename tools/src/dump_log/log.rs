//! `.log` files: batches, and records if so asked. Knows nothing of indexes.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use protocol::records::batch::{self, BatchHeader};
use protocol::records::codec::Limits;
use protocol::records::control::{ControlType, EndTxnMarker};
use protocol::records::legacy::{Message, OpenMessage};
use protocol::records::record::Record;
use protocol::records::view::OpenBatch;

use super::decoder::Decoder;
use super::segment::{Segment, StoredBatch, unreadable};
use super::{Findings, Flags, base_offset};

pub fn dump(
    path: &Path,
    flags: &Flags,
    decoder: &Decoder,
    out: &mut impl Write,
    findings: &mut Findings,
) -> io::Result<()> {
    writeln!(out, "Log starting offset: {}", base_offset(path)?)?;
    let mut segment = Segment::open(path, flags.max_bytes)?;
    let deep = flags.deep_iteration || decoder.prints();
    let mut position = 0;
    let mut last = None;
    let mut gaps = Vec::new();
    while let Some(stored) = segment.batch(position)? {
        let about = About::of(&stored)?;
        writeln!(out, "{}", about.line(&stored))?;
        if deep {
            records(&stored, &about, flags, decoder, out, &mut |offset| {
                if let Some(before) = last
                    && offset != before + 1
                {
                    gaps.push((before, offset));
                }
                last = Some(offset);
            })?;
        }
        position += stored.bytes.len() as u64;
    }
    if segment.end() > position && flags.max_bytes.is_none() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let bytes = segment.end() - position;
        writeln!(out, "Found {bytes} invalid bytes at the end of {name}")?;
    }
    if !gaps.is_empty() {
        let _ = writeln!(findings.0, "Non-consecutive offsets in {}", path.display());
        for (before, after) in gaps {
            let _ = writeln!(findings.0, "  {before} is followed by {after}");
        }
    }
    Ok(())
}

/// What the line of a batch says.
enum About {
    V2(BatchHeader),
    Legacy { offset: i64, append_time: bool, timestamp: i64, codec: &'static str, crc: u32 },
}

impl About {
    fn of(stored: &StoredBatch) -> io::Result<About> {
        if stored.magic == 2 {
            return BatchHeader::parse(&stored.bytes).map(About::V2).map_err(unreadable);
        }
        let message = Message::parse(&stored.bytes).map_err(unreadable)?;
        Ok(About::Legacy {
            offset: message.offset,
            append_time: message.is_log_append_time(),
            timestamp: message.timestamp,
            codec: message.codec().map_err(unreadable)?.name(),
            crc: message.crc(),
        })
    }

    fn time_type(&self, magic: i8) -> &'static str {
        let append_time = match self {
            About::V2(header) => header.is_log_append_time(),
            About::Legacy { append_time, .. } => *append_time,
        };
        match (magic, append_time) {
            (0, _) => "NoTimestampType",
            (_, true) => "LogAppendTime",
            (_, false) => "CreateTime",
        }
    }

    fn line(&self, stored: &StoredBatch) -> String {
        let mut line = String::new();
        let (timestamp, codec, crc, valid) = match self {
            About::V2(h) => {
                let _ = write!(
                    line,
                    "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} \
                     producerId: {} producerEpoch: {} partitionLeaderEpoch: {} isTransactional: {} \
                     isControl: {} deleteHorizonMs: {}",
                    h.base_offset,
                    h.last_offset(),
                    h.record_count,
                    h.base_sequence,
                    h.last_sequence(),
                    h.producer_id,
                    h.producer_epoch,
                    h.leader_epoch,
                    h.is_transactional(),
                    h.is_control(),
                    java_optional(h.delete_horizon_ms())
                );
                let codec = h.codec_kind().map_or("unknown", |codec| codec.name());
                (h.max_timestamp, codec, h.crc, batch::verify(&stored.bytes).is_ok())
            }
            About::Legacy { offset, timestamp, codec, crc, .. } => {
                let _ = write!(line, "offset: {offset}");
                (*timestamp, *codec, *crc, stored.raw().verify().is_ok())
            }
        };
        let _ = write!(
            line,
            " position: {} {}: {timestamp} size: {} magic: {} compresscodec: {codec} crc: {crc} \
             isvalid: {valid}",
            stored.position,
            self.time_type(stored.magic),
            stored.bytes.len(),
            stored.magic
        );
        line
    }
}

/// As Java prints an `OptionalLong`.
pub fn java_optional(value: Option<i64>) -> String {
    value.map_or("OptionalLong.empty".to_owned(), |value| format!("OptionalLong[{value}]"))
}

fn records(
    stored: &StoredBatch,
    about: &About,
    flags: &Flags,
    decoder: &Decoder,
    out: &mut impl Write,
    seen: &mut impl FnMut(i64),
) -> io::Result<()> {
    let open = stored.raw().open(&Limits::default()).map_err(unreadable)?;
    let time_type = about.time_type(stored.magic);
    if let OpenBatch::Legacy(open) = &open {
        return messages(open, time_type, flags, decoder, out, seen);
    }
    let control = matches!(about, About::V2(header) if header.is_control());
    for record in open.records().map_err(unreadable)? {
        let record = record.map_err(unreadable)?;
        seen(record.offset);
        let mut line = String::new();
        if !flags.skip_record_metadata {
            metadata(&mut line, time_type, &record);
            let keys: Vec<String> = record
                .headers
                .iter()
                .map(|header| String::from_utf8_lossy(header.key).into_owned())
                .collect();
            let _ = write!(line, " sequence: {} headerKeys: [{}]", record.sequence, keys.join(","));
            if control {
                marker(&mut line, &record);
            }
        }
        if decoder.prints() && !control {
            decoder.write(&mut line, record.offset, record.key, record.value);
        }
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn messages(
    open: &OpenMessage<'_>,
    time_type: &str,
    flags: &Flags,
    decoder: &Decoder,
    out: &mut impl Write,
    seen: &mut impl FnMut(i64),
) -> io::Result<()> {
    for message in open.messages() {
        let message = message.map_err(unreadable)?;
        seen(message.offset);
        let mut line = String::new();
        if !flags.skip_record_metadata {
            metadata(&mut line, time_type, &message.record());
            // The brace is Kafka's.
            let valid = message.verify().is_ok();
            let _ = write!(line, " isValid: {valid} crc: {}}}", message.crc());
        }
        if decoder.prints() {
            decoder.write(&mut line, message.offset, message.key, message.value);
        }
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn metadata(line: &mut String, time_type: &str, record: &Record<'_>) {
    let size = |field: Option<&[u8]>| field.map_or(-1, |bytes| bytes.len() as i64);
    let _ = write!(
        line,
        "| offset: {} {time_type}: {} keySize: {} valueSize: {}",
        record.offset,
        record.timestamp,
        size(record.key),
        size(record.value)
    );
}

fn marker(line: &mut String, record: &Record<'_>) {
    let (key, value) = (record.key.unwrap_or_default(), record.value.unwrap_or_default());
    let _ = match (EndTxnMarker::parse(key, value), ControlType::parse(key)) {
        (Ok(Some(marker)), _) => {
            let kind = if marker.committed { "COMMIT" } else { "ABORT" };
            let epoch = marker.coordinator_epoch;
            write!(line, " endTxnMarker: {kind} coordinatorEpoch: {epoch}")
        }
        (_, Ok(ControlType::Other(other))) => write!(line, " controlType: UNKNOWN({other})"),
        (Err(error), _) => write!(line, " controlType: unreadable, {error}"),
        (_, other) => write!(line, " controlType: {other:?}"),
    };
}
