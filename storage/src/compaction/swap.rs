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
        assert_eq!(cleaned[0].base_offset, old[0].base_offset, "where the new segments begin");
        // A log whose batches are not in order could make others.
        let behind = segments[first + old.len()].base_offset;
        let bases = || cleaned.iter().map(|segment| segment.base_offset);
        if !bases().zip(bases().skip(1).chain([behind])).all(|(base, next)| base < next) {
            let bases: Vec<_> = bases().collect();
            let reason = format!("compacted to segments of {bases:?}, which {behind} follows");
            return Err(StorageError::Corrupt { path: self.dir.path(), reason });
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

#[cfg(test)]
mod tests {
    use protocol::ids::TopicPartition;
    use protocol::records::builder::{BatchBuilder, BatchOptions};

    use super::*;
    use crate::disk::{Disk, OsDisk};
    use crate::log_dir::LogDir;
    use crate::log_manager::LogManager;
    use crate::producer_state::AppendOrigin;

    const NOW: TimestampMs = 1_700_000_000_000;

    /// Puts segments of `bases`, made of nothing, in the place of the first of three, which begin
    /// at 0, 1 and 2.
    fn replace(bases: &[i64]) -> Result<bool, StorageError> {
        let temp = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(OsDisk::default());
        let dir = LogDir::open(disk.clone(), temp.path()).unwrap();
        let manager = LogManager::new(disk, vec![dir], false, NOW).unwrap();
        let tp = TopicPartition::new("t", 0);
        let log = manager.get_or_create(&tp, Arc::default(), None, NOW).unwrap();
        for _ in 0..2 {
            let mut builder = BatchBuilder::new(BatchOptions::default());
            builder.append(NOW, None, Some(b"v"), &[]).unwrap();
            let records = builder.finish().unwrap();
            log.append_as_leader(&records, 0, AppendOrigin::Client, NOW).unwrap();
            log.roll(NOW).unwrap();
        }
        let made = |base: &i64| Arc::new(Segment::new(&log.dir, *base, NOW));
        let cleaned: Vec<_> = bases.iter().map(made).collect();
        let result = log.replace_segments(&cleaned, &log.segments()[..1], NOW);
        assert_eq!(log.segments().len(), 3, "nothing was done");
        result
    }

    #[test]
    #[should_panic(expected = "where the new segments begin")]
    fn new_segments_begin_elsewhere() {
        let _ = replace(&[5]);
    }

    #[test]
    fn new_segments_that_do_not_rise_are_refused() {
        for bases in [&[0, 1][..], &[0, 0], &[0, 7]] {
            let refused = replace(bases);
            assert!(matches!(refused, Err(StorageError::Corrupt { .. })), "{refused:?}");
        }
    }
}
