//! What a leader demands of a produced record set, and the one batch that it stores of it. Knows
//! the topic's rules, nothing of the log.

use protocol::ids::{LeaderEpoch, Offset, TimestampMs};
use protocol::records::batch::{self, BatchError, CRC_FROM, HEADER_BYTES};
use protocol::records::codec::{Codec, Limits};
use protocol::records::validate::{Origin, Rules, ValidateError, Validated, validate};
use protocol::records::view::{Batches, RawBatch, RecordsError};

use crate::config::{LogConfig, TimestampType, TopicCompression};
use crate::error::AppendError;
use crate::producers::producer_state::AppendOrigin;

/// A produced batch that passed every check that needs no lock.
pub(crate) struct Checked<'a> {
    /// The header as it will be stored, but for offset, epoch and CRC.
    pub header: [u8; HEADER_BYTES],
    body: Body<'a>,
    timestamps_changed: bool,
    pub max_timestamp: TimestampMs,
}

enum Body<'a> {
    Received(&'a [u8]),
    Rebuilt(Vec<u8>),
}

impl Checked<'_> {
    pub fn records(&self) -> &[u8] {
        match &self.body {
            Body::Received(bytes) => &bytes[HEADER_BYTES..],
            Body::Rebuilt(bytes) => &bytes[HEADER_BYTES..],
        }
    }

    fn size(&self) -> usize {
        HEADER_BYTES + self.records().len()
    }
}

/// Everything about a produced record set that the log's state does not decide. `None` if no whole
/// batch is in it.
pub(crate) fn check<'a>(
    records: &'a [u8],
    origin: AppendOrigin,
    now_ms: TimestampMs,
    config: &LogConfig,
) -> Result<Option<Checked<'a>>, AppendError> {
    let size_max = config.max_message_bytes as usize;
    let mut valid = 0;
    for raw in Batches::new(records) {
        let raw = raw.map_err(RecordsError::from)?;
        check_one(&raw, origin, size_max)?;
        valid += raw.bytes.len();
    }
    if valid == 0 {
        return Ok(None);
    }
    let set = &records[..valid];
    let validated = validate(set, &rules(config, origin, now_ms))?;
    let checked = assemble(set, validated)?;
    if matches!(checked.body, Body::Rebuilt(_)) && checked.size() > size_max {
        return Err(AppendError::MessageTooLarge { size: checked.size(), max: size_max });
    }
    if checked.size() > config.segment_bytes as usize {
        let max = config.segment_bytes as usize;
        return Err(AppendError::RecordListTooLarge { size: checked.size(), max });
    }
    Ok(Some(checked))
}

/// Base offset, size, CRC, codec: in the order in which Kafka asks.
fn check_one(raw: &RawBatch<'_>, origin: AppendOrigin, max: usize) -> Result<(), AppendError> {
    if raw.magic >= 2 && origin == AppendOrigin::Client {
        let base = raw.base_offset();
        if base != 0 {
            return Err(AppendError::BaseOffset(base));
        }
    }
    if raw.bytes.len() > max {
        return Err(AppendError::MessageTooLarge { size: raw.bytes.len(), max });
    }
    raw.verify_crc()?;
    // Not `Corrupt`: the bytes are those that the producer sent.
    Codec::from_id(raw.codec_id()).map(drop).map_err(|error| ValidateError::from(error).into())
}

fn rules(config: &LogConfig, origin: AppendOrigin, now_ms: TimestampMs) -> Rules {
    let (codec, level) = match config.compression_type {
        TopicCompression::Producer => (None, None),
        TopicCompression::None => (Some(Codec::None), None),
        TopicCompression::Gzip => (Some(Codec::Gzip), Some(config.compression_gzip_level)),
        TopicCompression::Snappy => (Some(Codec::Snappy), None),
        TopicCompression::Lz4 => (Some(Codec::Lz4), Some(config.compression_lz4_level)),
        TopicCompression::Zstd => (Some(Codec::Zstd), Some(config.compression_zstd_level)),
    };
    let limits = match origin {
        AppendOrigin::Client => Limits::of_requests(),
        AppendOrigin::Coordinator | AppendOrigin::Replication => Limits::default(),
    };
    Rules {
        origin: match origin {
            AppendOrigin::Client => Origin::Client,
            AppendOrigin::Coordinator | AppendOrigin::Replication => Origin::Coordinator,
        },
        compacted: config.cleanup_policy.compact,
        append_time: config.message_timestamp_type == TimestampType::LogAppendTime,
        before_max_ms: config.timestamp_before_max_ms(),
        after_max_ms: config.timestamp_after_max_ms(),
        codec,
        level,
        now_ms,
        limits,
    }
}

fn assemble<'a>(set: &'a [u8], validated: Validated) -> Result<Checked<'a>, AppendError> {
    let body = match validated.rebuilt {
        Some(bytes) => Body::Rebuilt(bytes),
        None => Body::Received(set),
    };
    let bytes = match &body {
        Body::Received(bytes) => bytes,
        Body::Rebuilt(bytes) => bytes.as_slice(),
    };
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
        let short = BatchError::Short { have: bytes.len(), need: HEADER_BYTES };
        return Err(ValidateError::from(short).into());
    };
    let mut header = *header;
    if let Some((attributes, max_timestamp)) = validated.timestamps {
        header[21..23].copy_from_slice(&attributes.to_be_bytes());
        header[35..43].copy_from_slice(&max_timestamp.to_be_bytes());
    }
    Ok(Checked {
        header,
        body,
        timestamps_changed: validated.timestamps.is_some(),
        max_timestamp: validated.timestamp_max,
    })
}

/// Writes offset and epoch, which the CRC does not cover, and the CRC if it must change.
pub(crate) fn seal_header(checked: &mut Checked<'_>, base: Offset, leader_epoch: LeaderEpoch) {
    batch::assign(&mut checked.header, base, leader_epoch);
    if checked.timestamps_changed {
        let crc = crc32c::crc32c(&checked.header[CRC_FROM..]);
        let crc = crc32c::crc32c_append(crc, checked.records());
        checked.header[17..21].copy_from_slice(&crc.to_be_bytes());
    }
}
