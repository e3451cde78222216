//! Putting compacted segments in the place of those they were made from, so that a kill at any step
//! leaves all the old ones or all the new ones (Kafka's `LocalLog.replaceSegments`).

use std::sync::Arc;

use protocol::ids::TimestampMs;

use crate::error::{At, StorageError};
use crate::log::{Changes, Log};
use crate::recovery::partition_files::SWAP_SUFFIX;
use crate::segment::Segment;

impl Log {
    /// Replaces neighbouring closed segments by others, the first of the first one's base, whose
    /// files are complete under `.cleaned` names and synced. `false`, and nothing done, if they
    /// are not what the log holds any more: retention or a truncation came first.
    pub(super) fn replace_segments(
        &self,
        cleaned: &[Arc<Segment>],
        old: &[Arc<Segment>],
        now_ms: TimestampMs,
    ) -> Result<bool, StorageError> {
        let _flushing = self.flushing.lock();
        let mut changes = self.changes.lock();
        self.check_usable(&changes)?;
        let segments = self.segments();
        let first = segments.partition_point(|s| s.base_offset < old[0].base_offset);
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
        cleaned: &[Arc<Segment>],
        old: &[Arc<Segment>],
        first: usize,
        now_ms: TimestampMs,
    ) -> Result<(), StorageError> {
        // The last one first: a `.swap` above a `.cleaned` is undone by a start.
        cleaned.iter().rev().try_for_each(|segment| segment.rename_files(SWAP_SUFFIX))?;
        let path = self.dir.path();
        // From here on a start goes on with the new segments.
        self.dir.disk.sync_dir(&path).at("sync", &path)?;
        {
            let mut view = self.view.write();
            let mut segments = view.segments.to_vec();
            segments.splice(first..first + old.len(), cleaned.iter().cloned());
            view.segments = Arc::new(segments);
            // Positions in the old files.
            view.forget_recent();
        }
        self.condemn(changes, old, now_ms)?;
        cleaned.iter().try_for_each(|segment| segment.rename_files(""))?;
        self.dir.disk.sync_dir(&path).at("sync", &path)?;
        let has = |segments: &[Arc<Segment>], at| segments.iter().any(|s| s.base_offset == at);
        self.remove_snapshots(changes, |at| has(old, at) && !has(cleaned, at))?;
        Ok(())
    }
}
