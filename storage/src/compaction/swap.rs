//! Putting a compacted segment in the place of those it was made from, so that a kill at any step
//! leaves the old ones or the new one (Kafka's `LocalLog.replaceSegments`).

use std::sync::Arc;

use protocol::ids::TimestampMs;

use crate::error::{At, StorageError};
use crate::log::{Changes, Log};
use crate::partition_files::SWAP_SUFFIX;
use crate::segment::Segment;

impl Log {
    /// Replaces neighbouring closed segments by one of the first one's base, whose files are
    /// complete under `.cleaned` names and synced. `false`, and nothing done, if they are not
    /// what the log holds any more: retention or a truncation came first.
    pub(super) fn replace_segments(
        &self,
        cleaned: &Arc<Segment>,
        old: &[Arc<Segment>],
        now_ms: TimestampMs,
    ) -> Result<bool, StorageError> {
        let _flushing = self.flushing.lock();
        let mut changes = self.changes.lock();
        self.check_usable(&changes)?;
        let segments = self.segments();
        let first = segments.partition_point(|s| s.base_offset < cleaned.base_offset);
        let here = segments.get(first..first + old.len()).unwrap_or(&[]);
        let same = here.len() == old.len()
            && here.iter().zip(old).all(|(a, b)| Arc::ptr_eq(a, b))
            && first + old.len() < segments.len();
        if !same {
            return Ok(false);
        }
        self.swap(&mut changes, cleaned, old, first, now_ms)
            .inspect_err(|_| changes.failed = true)?;
        Ok(true)
    }

    fn swap(
        &self,
        changes: &mut Changes,
        cleaned: &Arc<Segment>,
        old: &[Arc<Segment>],
        first: usize,
        now_ms: TimestampMs,
    ) -> Result<(), StorageError> {
        cleaned.rename_files(SWAP_SUFFIX)?;
        let path = self.dir.path();
        // From here on a start goes on with the new segment.
        self.dir.disk.sync_dir(&path).at("sync", &path)?;
        {
            let mut view = self.view.write();
            let mut segments = view.segments.to_vec();
            segments.splice(first..first + old.len(), [cleaned.clone()]);
            view.segments = Arc::new(segments);
            // Positions in the old files.
            view.forget_recent();
        }
        self.condemn(changes, old, now_ms)?;
        cleaned.rename_files("")?;
        self.dir.disk.sync_dir(&path).at("sync", &path)?;
        let merged = &old[1..];
        self.remove_snapshots(changes, |at| merged.iter().any(|s| s.base_offset == at))?;
        Ok(())
    }
}
