//! What of a log may be compacted and how badly it wants to be (Kafka's
//! `LogCleanerManager.cleanableOffsets` and `LogToClean`). Reads, changes nothing.

use std::sync::Arc;

use protocol::ids::{Offset, TimestampMs};

use crate::error::{At, StorageError};
use crate::log::Log;
use crate::segment::Segment;

/// The cleanable part of a log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cleanable {
    /// Where the last compaction ended.
    pub first_dirty: Offset,
    /// Base of the first segment that must stay as it is.
    pub first_uncleanable: Offset,
    pub clean_bytes: u64,
    pub cleanable_bytes: u64,
    /// How long ago `max.compaction.lag.ms` asked for a compaction; 0 if it does not.
    pub delay_ms: i64,
    /// The checkpoint was impossible; it is to be replaced by `first_dirty`.
    pub reset: bool,
}

impl Cleanable {
    /// Cleanable part of all bytes, 0 to 1.
    pub fn ratio(&self) -> f64 {
        let total = self.clean_bytes + self.cleanable_bytes;
        if total == 0 { 0.0 } else { self.cleanable_bytes as f64 / total as f64 }
    }

    /// Whether the rules ask for a compaction now.
    pub fn is_due(&self, ratio_min: f64) -> bool {
        (self.delay_ms > 0 && self.cleanable_bytes > 0) || self.ratio() > ratio_min
    }
}

/// The segments from the one that holds `from` up to the last that begins below `to`.
pub(super) fn span(segments: &[Arc<Segment>], from: Offset, to: Offset) -> &[Arc<Segment>] {
    let first = segments.partition_point(|s| s.base_offset <= from).saturating_sub(1);
    let end = segments.partition_point(|s| s.base_offset < to);
    if from < to { segments.get(first..end).unwrap_or(&[]) } else { &[] }
}

/// `checkpoint` is the last compaction's end, if there was one.
pub(crate) fn cleanable(
    log: &Log,
    checkpoint: Option<Offset>,
    high_watermark: Offset,
    now_ms: TimestampMs,
) -> Result<Cleanable, StorageError> {
    let config = log.config();
    let segments = log.segments();
    let (active, closed) = segments.split_last().expect("a log has a segment");
    let (log_start, log_end) = (log.log_start_offset(), log.log_end_offset());
    let checkpoint = checkpoint.unwrap_or(log_start);
    let reset = checkpoint < log_start || checkpoint > log_end;
    if reset && !config.cleanup_policy.delete {
        tracing::warn!(partition = %log.partition(), checkpoint, log_start, log_end,
            "compaction begins anew: its checkpoint is outside the log");
    }
    let first_dirty = if reset { log_start } else { checkpoint };
    let dirty = span(closed, first_dirty, active.base_offset);
    let mut uncleanable = log.last_stable_offset(high_watermark).min(active.base_offset);
    if config.min_compaction_lag_ms > 0 {
        let youngest_ms = now_ms.saturating_sub(config.min_compaction_lag_ms);
        for segment in dirty {
            if largest_timestamp(log, segment)? > youngest_ms {
                uncleanable = uncleanable.min(segment.base_offset);
                break;
            }
        }
    }
    let uncleanable = uncleanable.max(first_dirty);
    let first_uncleanable = span(closed, uncleanable, active.base_offset)
        .first()
        .map_or(active.base_offset, |segment| segment.base_offset);
    let bytes = |segments: &[Arc<Segment>]| segments.iter().map(|s| s.size()).sum();
    let from = first_dirty.min(first_uncleanable);
    Ok(Cleanable {
        first_dirty,
        first_uncleanable,
        clean_bytes: bytes(span(&segments, -1, first_dirty)),
        cleanable_bytes: bytes(span(&segments, from, first_uncleanable)),
        delay_ms: delay_ms(dirty, config.max_compaction_lag_ms, now_ms)?,
        reset,
    })
}

fn delay_ms(
    dirty: &[Arc<Segment>],
    lag_max_ms: i64,
    now_ms: TimestampMs,
) -> Result<i64, StorageError> {
    let clean_until_ms = now_ms.saturating_sub(lag_max_ms.max(0));
    let mut earliest = TimestampMs::MAX;
    for segment in dirty {
        let first = segment.first_timestamp()?.filter(|first| *first > 0);
        earliest = earliest.min(first.unwrap_or(TimestampMs::MAX));
    }
    Ok(clean_until_ms.saturating_sub(earliest).max(0))
}

/// Of its records; of its file if none has one.
fn largest_timestamp(log: &Log, segment: &Segment) -> Result<TimestampMs, StorageError> {
    match segment.max_timestamp()?.timestamp {
        timestamp if timestamp >= 0 => Ok(timestamp),
        _ => modified_ms(log, segment),
    }
}

pub(super) fn modified_ms(log: &Log, segment: &Segment) -> Result<TimestampMs, StorageError> {
    let path = segment.log.path();
    Ok(log.dir.disk.stat(&path).at("stat", &path)?.map_or(0, |stat| stat.modified_ms))
}

/// Neighbours that become one segment: each group is within the limits of one.
pub(super) fn groups(
    segments: &[Arc<Segment>],
    segment_bytes_max: u64,
    index_bytes_max: u64,
    first_uncleanable: Offset,
) -> Vec<Vec<Arc<Segment>>> {
    let mut groups: Vec<Vec<Arc<Segment>>> = Vec::new();
    let mut sums = [0; 3];
    for (i, segment) in segments.iter().enumerate() {
        let sizes =
            [segment.size(), segment.offset_index.bytes_len(), segment.time_index.bytes_len()];
        let limits = [segment_bytes_max, index_bytes_max, index_bytes_max];
        let end = segments.get(i + 1).map_or(first_uncleanable, |next| next.base_offset);
        let fits = groups.last().is_some_and(|group: &Vec<Arc<Segment>>| {
            let reach = end - 1 - group[0].base_offset;
            (0..3).all(|k| sums[k] + sizes[k] <= limits[k])
                && (segment.size() == 0 || reach <= i64::from(i32::MAX))
        });
        if fits {
            groups.last_mut().expect("it fits into one").push(segment.clone());
            (0..3).for_each(|k| sums[k] += sizes[k]);
        } else {
            groups.push(vec![segment.clone()]);
            sums = sizes;
        }
    }
    groups
}
