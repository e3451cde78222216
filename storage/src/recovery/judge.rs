//! What a start makes of a log that is not as it was left: an interrupted write, whose rest is cut
//! off, or damage, which is never thrown away silently. Reads, changes nothing.

use std::path::Path;

use protocol::ids::Offset;

use crate::error::{At, StorageError};
use crate::log::LogOptions;
use crate::recovery::later::Tail;
use crate::segment::Segment;
use crate::segment::batch::{Torn, only_zeros};

/// Knows what is known of a log from before.
pub(crate) struct Judge<'a> {
    pub options: &'a LogOptions,
}

impl Judge<'_> {
    /// Whether everything that was ever written can be read: no write was lost, at most the last
    /// one was interrupted.
    pub fn is_all_there(&self) -> bool {
        self.options.clean || self.options.kept || self.options.suspicion.was_refused
    }

    /// Where the log must end at least. A clean stop leaves the recovery point at the log's end;
    /// after another one a follower may have been cut before that was written.
    fn must_reach(&self) -> Offset {
        let stopped_at = if self.options.clean { self.options.recovery_point } else { 0 };
        stopped_at.max(self.options.suspicion.expected_end)
    }

    /// Refuses the log, unless its loss is accepted.
    fn damage(
        &self,
        path: &Path,
        reason: String,
        expected_end: Offset,
    ) -> Result<(), StorageError> {
        if self.options.accept_loss {
            tracing::error!(path = %path.display(), reason, "accepting loss as configured");
            return Ok(());
        }
        let expected_end = expected_end.max(self.must_reach());
        Err(StorageError::Damaged { path: path.to_owned(), reason, expected_end })
    }

    /// A log that ends below where it must has lost synced records, and as a leader's it would
    /// make the followers lose them too.
    pub fn check_end(&self, path: &Path, log_end: Offset) -> Result<(), StorageError> {
        let expected = self.must_reach();
        if log_end >= expected {
            return Ok(());
        }
        let reason = format!("the log ends at {log_end}, but it ended at {expected}");
        self.damage(path, reason, expected)
    }

    /// Whether what follows a gap between two segments is to go: the first one's end was lost, and
    /// no write was interrupted between two segments. Else an earlier compaction left the gap.
    pub fn ends_at_gap(
        &self,
        path: &Path,
        next: Offset,
        base: Offset,
    ) -> Result<bool, StorageError> {
        let synced = self.options.recovery_point.max(self.options.suspicion.expected_end);
        if next < synced {
            let reason = format!("offsets {next}..{base} are missing, but they were synced");
            self.damage(path, reason, synced)?;
        }
        Ok(!self.is_all_there())
    }

    /// A segment begins below the end of the one before, which no write leaves. After a power loss
    /// it may be one that was removed and came back: then it goes, as it does if the loss is
    /// accepted.
    pub fn begins_inside(
        &self,
        path: &Path,
        end: Offset,
        base: Offset,
    ) -> Result<(), StorageError> {
        let synced = self.options.recovery_point.max(self.options.suspicion.expected_end);
        if !self.is_all_there() && end >= synced {
            return Ok(());
        }
        let reason = format!("a segment begins at {base} inside the one that ends at {end}");
        self.damage(path, reason, end)
    }

    /// A torn tail above the recovery point is an interrupted write. Below it the bytes were synced
    /// once, and where everything that was written is there, nothing follows an interrupted write:
    /// that is damage. The bytes to cut, 0 if they are zeros. `following`: the base of the segment
    /// behind.
    pub fn torn_tail(
        &self,
        segment: &Segment,
        (end, next): (u64, Offset),
        (file_len, following): (u64, Option<Offset>),
        torn: &Torn,
    ) -> Result<u64, StorageError> {
        let path = segment.log.path();
        let file = segment.file()?;
        let synced = self.options.recovery_point;
        let expected = self.options.suspicion.expected_end;
        let damage = if next < synced {
            Some((format!("but all below {synced} were synced"), synced))
        } else if !self.is_all_there() {
            None
        } else if let Some(base) = following {
            Some(("but another segment follows".to_owned(), base))
        } else {
            let tail = Tail { file: &*file, from: end, end: file_len, next };
            tail.later_batch().at("read", &path)?.map(|(at, batch)| {
                let why = format!("but a whole batch of {} is at byte {at}", batch.base_offset);
                (why, batch.next_offset())
            })
        };
        let damage = damage.or_else(|| {
            (next < expected).then(|| (format!("but the log ended at {expected} before"), expected))
        });
        if let Some((why, expected)) = damage {
            let reason = format!("at byte {end}: {torn}; offsets from {next} on are lost, {why}");
            self.damage(&path, reason, expected)?;
        } else if only_zeros(&*file, end, file_len).at("read", &path)? {
            return Ok(0);
        } else {
            tracing::warn!(path = %path.display(), at_byte = end, next_offset = next,
                bytes = file_len - end, reason = %torn, "cutting a torn tail");
        }
        Ok(file_len - end)
    }
}
