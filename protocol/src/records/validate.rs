//! What a leader demands of a produced record set before it appends it, and the one magic-2 batch
//! that comes of it. Knows nothing of the log: offsets are assigned afterwards. See Kafka's
//! `LogValidator`.
//!
//! The caller has checked the CRC (`RawBatch::verify`) and the size limits; here the records
//! themselves are read. A batch is kept as received unless its format or codec has to change.

use super::batch::{ATTR_LOG_APPEND_TIME, BatchHeader, HEADER_BYTES};
use super::builder::{BatchBuilder, BatchOptions};
use super::codec::{Codec, Limits};
use super::legacy::{Message, OpenMessage};
use super::record::RecordError;
pub use super::refusal::{REJECTIONS_MAX, RecordRejection, Refusal, ValidateError};
use super::refusal::{show_message, show_record, size_of};
use super::scan::{PlainScanner, ScannedRecord, Scanner};
use super::view::{Batches, OpenBatch, RawBatch, RecordsError};
use crate::ids::TimestampMs;

/// Who appends. Only clients are held to the rules for clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Client,
    /// The group or the transaction coordinator of this broker.
    Coordinator,
}

/// The topic's configuration as far as it decides about records.
#[derive(Debug, Clone)]
pub struct Rules {
    pub origin: Origin,
    /// `cleanup.policy` holds `compact`: every record needs a key.
    pub compacted: bool,
    /// `message.timestamp.type` is `LogAppendTime`.
    pub append_time: bool,
    /// `message.timestamp.before.max.ms`.
    pub before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub after_max_ms: i64,
    /// `compression.type`; `None` for `producer`.
    pub codec: Option<Codec>,
    /// `compression.*.level` of that codec.
    pub level: Option<i32>,
    pub now_ms: TimestampMs,
    pub limits: Limits,
}

/// A set that may be appended, as one batch at offset 0 and without leader epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validated {
    /// The batch to store instead of the received one.
    pub rebuilt: Option<Vec<u8>>,
    /// For a batch kept as received: attributes and largest timestamp to write with
    /// `batch::set_timestamps`. `None` if they hold already.
    pub timestamps: Option<(i16, TimestampMs)>,
    /// Offsets that the batch takes: its last offset delta + 1.
    pub offset_count: i32,
    pub record_count: i32,
    /// The batch's largest timestamp as stored: −1 for none, the time of append under append time.
    pub timestamp_max: TimestampMs,
    /// Offset delta of the first record with that timestamp; the last record's under append time,
    /// −1 if there is no timestamp.
    pub offset_delta_of_max: i32,
}

/// Checks one produced record set, which becomes one batch.
pub fn validate(set: &[u8], rules: &Rules) -> Result<Validated, ValidateError> {
    let mut batches = Batches::new(set);
    let first = batches.next().ok_or(ValidateError::NoBatch)??;
    if first.magic < 2 {
        return validate_legacy(set, &first, rules);
    }
    if batches.next().is_some() {
        return Err(ValidateError::ManyBatches);
    }
    let header = BatchHeader::parse(first.bytes)?;
    check_header(&header, rules)?;
    let source = header.codec_kind().map_err(RecordsError::from)?;
    let target = rules.codec.unwrap_or(source);
    // Control records stay uncompressed whatever the topic's codec.
    let keep = source == target || source == Codec::None && header.is_control();
    if keep {
        let found = scan(&first, &header, source, rules)?;
        // Kafka looks at this in compressed batches only.
        if !found.sequential && source != Codec::None {
            return Err(ValidateError::OffsetDeltas);
        }
        return Ok(kept(&header, &found, rules));
    }
    rebuild(&first, &header, target, rules)
}

fn check_header(header: &BatchHeader, rules: &Rules) -> Result<(), ValidateError> {
    if rules.origin != Origin::Client {
        return Ok(());
    }
    let (base, last, count) = (header.base_offset, header.last_offset(), header.record_count);
    if header.last_offset_delta < 0 {
        return Err(ValidateError::OffsetRange { base, last });
    }
    if count <= 0 {
        return Err(ValidateError::Count(count));
    }
    if i64::from(header.last_offset_delta) + 1 != i64::from(count) {
        return Err(ValidateError::CountOfRange { base, last, count });
    }
    if header.is_control() {
        return Err(ValidateError::Control);
    }
    if header.has_producer_id() && header.base_sequence < 0 {
        return Err(ValidateError::Sequence {
            sequence: header.base_sequence,
            producer_id: header.producer_id,
        });
    }
    Ok(())
}

/// What a walk over records found.
struct Found {
    count: i32,
    timestamp_max: TimestampMs,
    delta_of_max: i32,
    /// Offset deltas were 0, 1, 2, …
    sequential: bool,
    rejections: Vec<RecordRejection>,
    timestamps_bad: bool,
    /// Records before the current batch: rejections count from its start.
    before: i32,
}

impl Found {
    fn new() -> Found {
        Found {
            count: 0,
            timestamp_max: -1,
            delta_of_max: -1,
            sequential: true,
            rejections: Vec::new(),
            timestamps_bad: false,
            before: 0,
        }
    }

    /// `append_time` says what the producer's batch claims, not what the topic wants; it names the
    /// record.
    fn record(
        &mut self,
        record: &ScannedRecord,
        append_time: Option<&dyn Fn(&ScannedRecord) -> String>,
        rules: &Rules,
    ) {
        self.sequential &= record.offset_delta == self.count;
        if rules.compacted && !record.has_key() {
            let text = "Compacted topic cannot accept message without key";
            self.reject(text.to_owned(), true);
        } else if !rules.append_time && record.timestamp != -1 {
            self.check_timestamp(record, rules);
        } else if let Some(shown) = append_time {
            self.timestamps_bad = true;
            let text = format!(
                "Invalid timestamp type in message {}. Producer should not set timestamp type to \
                 LogAppendTime.",
                shown(record)
            );
            self.reject(text, false);
        }
        if record.timestamp > self.timestamp_max {
            self.timestamp_max = record.timestamp;
            self.delta_of_max = record.offset_delta;
        }
        self.count += 1;
    }

    fn check_timestamp(&mut self, record: &ScannedRecord, rules: &Rules) {
        // In Kafka's arithmetic, which wraps around.
        let age_ms = rules.now_ms.wrapping_sub(record.timestamp);
        if age_ms > rules.before_max_ms || age_ms.wrapping_neg() > rules.after_max_ms {
            let earliest = rules.now_ms.wrapping_sub(rules.before_max_ms);
            let latest = rules.now_ms.wrapping_add(rules.after_max_ms);
            self.timestamps_bad = true;
            let text = format!(
                "Timestamp {} of message with offset {} is out of range. The timestamp should be \
                 within [{earliest}, {latest}]",
                record.timestamp, record.offset_delta
            );
            self.reject(text, false);
        }
    }

    fn reject(&mut self, text: String, names_partition: bool) {
        if self.rejections.len() < REJECTIONS_MAX {
            let index = self.count - self.before;
            self.rejections.push(RecordRejection::new(index, text, names_partition));
        }
    }

    fn finish(self) -> Result<Found, ValidateError> {
        match (self.rejections.is_empty(), self.timestamps_bad) {
            (true, _) => Ok(self),
            (false, true) => Err(ValidateError::Timestamps(self.rejections)),
            (false, false) => Err(ValidateError::Rejected(self.rejections)),
        }
    }
}

/// Reads every record of a batch that will be kept, without keeping any.
fn scan(
    raw: &RawBatch<'_>,
    header: &BatchHeader,
    source: Codec,
    rules: &Rules,
) -> Result<Found, ValidateError> {
    let body = &raw.bytes[HEADER_BYTES..];
    let mut found = Found::new();
    let shown = |record: &ScannedRecord| show_record(record, source != Codec::None);
    let append_time: Option<&dyn Fn(&ScannedRecord) -> String> =
        if header.is_log_append_time() { Some(&shown) } else { None };
    if source == Codec::None {
        for record in PlainScanner::new(header, body).map_err(RecordsError::from)? {
            found.record(&record.map_err(RecordsError::from)?, append_time, rules);
        }
    } else if header.record_count != 0 {
        for record in Scanner::new(header, body, &rules.limits)? {
            found.record(&record?, append_time, rules);
        }
    }
    found.finish()
}

fn kept(header: &BatchHeader, found: &Found, rules: &Rules) -> Validated {
    let attributes = header.attributes & !ATTR_LOG_APPEND_TIME;
    let (attributes, timestamp_max, offset_delta_of_max) = match rules.append_time {
        true => (attributes | ATTR_LOG_APPEND_TIME, rules.now_ms, header.last_offset_delta),
        false => (attributes, found.timestamp_max, found.delta_of_max),
    };
    let hold = (header.attributes, header.max_timestamp) == (attributes, timestamp_max);
    Validated {
        rebuilt: None,
        timestamps: (!hold).then_some((attributes, timestamp_max)),
        offset_count: header.last_offset_delta.saturating_add(1),
        record_count: header.record_count,
        timestamp_max,
        offset_delta_of_max,
    }
}

/// Writes the batch anew with another codec; offset deltas are counted anew.
fn rebuild(
    raw: &RawBatch<'_>,
    header: &BatchHeader,
    target: Codec,
    rules: &Rules,
) -> Result<Validated, ValidateError> {
    let open = OpenBatch::open_v2(raw.bytes, &rules.limits)?;
    let mut found = Found::new();
    let mut builder = BatchBuilder::new(BatchOptions {
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        transactional: header.is_transactional(),
        control: header.is_control(),
        ..options(target, rules)
    });
    let shown = |record: &ScannedRecord| show_record(record, false);
    let append_time: Option<&dyn Fn(&ScannedRecord) -> String> =
        if header.is_log_append_time() { Some(&shown) } else { None };
    for record in open.records()? {
        let record = record?;
        let scanned = ScannedRecord {
            offset_delta: found.count,
            timestamp: record.timestamp,
            key_size: size_of(record.key),
            value_size: size_of(record.value),
        };
        found.record(&scanned, append_time, rules);
        if found.rejections.is_empty() {
            builder.append_record(builder.next_offset(), &record)?;
        }
    }
    built(builder, found.finish()?, rules)
}

/// Messages of format 0 or 1 become one magic-2 batch.
fn validate_legacy(
    set: &[u8],
    first: &RawBatch<'_>,
    rules: &Rules,
) -> Result<Validated, ValidateError> {
    let mut source = Codec::None;
    let mut outers = 0;
    for raw in Batches::new(set) {
        let raw = raw?;
        if raw.magic != first.magic {
            return Err(ValidateError::MixedMagic { found: raw.magic, first: first.magic });
        }
        outers += 1;
        let codec = raw.codec()?;
        source = if codec == Codec::None { source } else { codec };
    }
    if source != Codec::None && outers > 1 {
        return Err(ValidateError::ManyBatches);
    }
    let mut builder = BatchBuilder::new(options(rules.codec.unwrap_or(source), rules));
    let mut found = Found::new();
    for raw in Batches::new(set) {
        let outer = Message::parse(raw?.bytes).map_err(RecordsError::from)?;
        let open = OpenMessage::open(outer, &rules.limits).map_err(RecordsError::from)?;
        for message in open.messages() {
            let message = message.map_err(RecordsError::from)?;
            if source != Codec::None {
                message.verify().map_err(RecordsError::from)?;
            }
            let scanned = ScannedRecord {
                offset_delta: found.count,
                timestamp: message.timestamp,
                key_size: size_of(message.key),
                value_size: size_of(message.value),
            };
            let shown = |_: &ScannedRecord| show_message(&message);
            if message.magic != outer.magic {
                let shown = shown(&scanned);
                let text =
                    format!("Record {shown}'s magic does not match outer magic {}", outer.magic);
                found.reject(text, true);
                found.count += 1;
                continue;
            }
            let append_time: Option<&dyn Fn(&ScannedRecord) -> String> =
                if outer.is_log_append_time() { Some(&shown) } else { None };
            found.record(&scanned, append_time, rules);
            if found.rejections.is_empty() {
                builder.append(message.timestamp, message.key, message.value, &[])?;
            }
        }
        if !found.rejections.is_empty() {
            break;
        }
        found.before = found.count;
    }
    built(builder, found.finish()?, rules)
}

fn options(codec: Codec, rules: &Rules) -> BatchOptions {
    BatchOptions {
        codec,
        level: rules.level,
        append_time_ms: rules.append_time.then_some(rules.now_ms),
        ..BatchOptions::default()
    }
}

fn built(builder: BatchBuilder, found: Found, rules: &Rules) -> Result<Validated, ValidateError> {
    if found.count == 0 {
        return Err(RecordsError::Record(RecordError::Count(0)).into());
    }
    let (timestamp_max, offset_delta_of_max) = match rules.append_time {
        true => (rules.now_ms, found.count - 1),
        false => (found.timestamp_max, found.delta_of_max),
    };
    Ok(Validated {
        rebuilt: Some(builder.finish()?),
        timestamps: None,
        offset_count: found.count,
        record_count: found.count,
        timestamp_max,
        offset_delta_of_max,
    })
}
