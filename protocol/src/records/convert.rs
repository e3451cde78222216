//! Record sets for consumers of an older message format (Fetch v0 to v3). Knows nothing of
//! fetching. See Kafka's `RecordsUtil.downConvert`.

use super::batch::BatchError;
use super::codec::{Codec, CodecError, Limits};
use super::legacy::{LegacyBuilder, LegacyError, LegacyTime};
use super::view::{Batches, OpenBatch, RawBatch, RecordsError};
use crate::ids::Offset;

/// Why a set cannot be given in an older format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// Kafka answers UNSUPPORTED_COMPRESSION_TYPE: no old client knows zstd.
    #[error("a zstd batch has no older format")]
    Zstd,
    #[error(transparent)]
    Records(#[from] RecordsError),
}

impl ConvertError {
    /// Whether what stands before the batch can be given without it.
    fn comes_later(&self) -> bool {
        match self {
            ConvertError::Zstd => true,
            ConvertError::Records(error) => error.is_busy(),
        }
    }
}

impl From<BatchError> for ConvertError {
    fn from(error: BatchError) -> Self {
        ConvertError::Records(error.into())
    }
}

impl From<LegacyError> for ConvertError {
    fn from(error: LegacyError) -> Self {
        ConvertError::Records(error.into())
    }
}

impl From<CodecError> for ConvertError {
    fn from(error: CodecError) -> Self {
        ConvertError::Records(error.into())
    }
}

/// Rewrites `set` so that nothing in it is newer than `magic` (0 or 1).
///
/// Record headers and, in format 0, timestamps are lost. Control batches are left out. Records
/// below `first_offset`, the offset asked for, are left out of uncompressed batches only: old
/// clients skip them in a compressed set but not otherwise. A cut-off last batch is dropped. A zstd
/// batch ends the set, and so does one for which there is no room now; it is an error only if
/// nothing comes before it.
pub fn down_convert(
    set: &[u8],
    magic: i8,
    first_offset: Offset,
    limits: &Limits,
) -> Result<Vec<u8>, ConvertError> {
    let mut out = Vec::with_capacity(set.len());
    for raw in Batches::new(set) {
        let raw = raw?;
        if raw.magic <= magic {
            out.extend_from_slice(raw.bytes);
        } else {
            match down_convert_batch(&raw, magic, first_offset, limits, &mut out) {
                Err(error) if error.comes_later() && !out.is_empty() => break,
                converted => converted?,
            }
        }
    }
    Ok(out)
}

fn down_convert_batch(
    raw: &RawBatch<'_>,
    magic: i8,
    first_offset: Offset,
    limits: &Limits,
    out: &mut Vec<u8>,
) -> Result<(), ConvertError> {
    if raw.magic == 2 && super::batch::BatchHeader::parse(raw.bytes)?.is_control() {
        return Ok(());
    }
    let codec = raw.codec()?;
    if codec == Codec::Zstd {
        return Err(ConvertError::Zstd);
    }
    let open = raw.open(limits)?;
    let time = match &open {
        OpenBatch::V2 { header, .. } if header.is_log_append_time() => {
            LegacyTime::Append(header.max_timestamp)
        }
        OpenBatch::Legacy(open) if open.outer().is_log_append_time() => {
            LegacyTime::Append(open.outer().timestamp)
        }
        _ => LegacyTime::Create,
    };
    let mut builder: Option<LegacyBuilder> = None;
    for record in open.records()? {
        let record = record?;
        if codec == Codec::None && record.offset < first_offset {
            continue;
        }
        builder
            .get_or_insert_with(|| LegacyBuilder::new(magic, codec, time, record.offset))
            .append(record.offset, record.timestamp, record.key, record.value)?;
    }
    if let Some(builder) = builder {
        builder.finish(out)?;
    }
    Ok(())
}
