//! Making appended records durable. Syncs run outside every lock that appends or reads need.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use protocol::ids::{Offset, TimestampMs};

use crate::dirs::checkpoint::LEADER_EPOCH_FILE;
use crate::disk::{Durable, OpenHow};
use crate::error::{At, DiskError, StorageError};
use crate::log::{Changes, Log};
use crate::producers::producer_snapshot;
use crate::segment::Segment;
use crate::segment::partition_dir::segment_file_name;

/// What one flush has to sync.
pub(crate) struct FlushWork {
    segments: Vec<Arc<Segment>>,
    /// Its indexes need no sync; `None` before a clean stop, after which they are trusted.
    active_base: Option<Offset>,
    snapshots: Vec<Offset>,
    dir: bool,
    up_to: Offset,
}

impl FlushWork {
    pub fn with_indexes(self) -> FlushWork {
        FlushWork { active_base: None, ..self }
    }
}

impl Log {
    /// Syncs everything that was appended before the call and raises the recovery point. After an
    /// error the log takes no more appends: a failed sync is never tried again.
    pub fn flush(&self, now_ms: TimestampMs) -> Result<(), StorageError> {
        let _flushing = self.flushing.lock();
        let work = {
            let mut changes = self.changes.lock();
            self.check_usable(&changes)?;
            changes.last_flush_ms = now_ms;
            self.flush_work(&mut changes)?
        };
        self.sync(&work)
            .inspect_err(|_| self.changes.lock().failed = true)
            .map_err(|error| self.explain(error.into()))
    }

    /// Has the system begin to write what a `flush` would wait for. Of no effect where it cannot.
    pub fn begin_flush(&self) {
        let from = self.recovery_point();
        let segments = {
            let view = self.view.read();
            view.segments[view.segment_at(from)..].to_vec()
        };
        for segment in segments {
            // What fails here fails in the flush too.
            let _ = segment.file().map(|file| file.begin_writing());
        }
    }

    /// Whether a closed segment or a record waits for a sync.
    pub fn is_dirty(&self) -> bool {
        self.recovery_point() < self.log_end_offset()
    }

    /// Whether a sync has reached into the active segment: what came since is little.
    pub fn is_tail_synced(&self) -> bool {
        let point = self.recovery_point();
        let view = self.view.read();
        let active = view.segments.last().expect("a log has a segment");
        point >= view.log_end || point > active.base_offset
    }

    /// Whether a closed segment waits for its sync, or `flush.ms` has passed with one waiting.
    pub fn is_flush_due(&self, now_ms: TimestampMs) -> bool {
        let point = self.recovery_point();
        let view = self.view.read();
        if point >= view.log_end {
            return false;
        }
        let active_base = view.segments.last().expect("a log has a segment").base_offset;
        drop(view);
        let changes = self.changes.lock();
        let silent_ms = now_ms.saturating_sub(changes.last_flush_ms);
        !changes.failed && (point < active_base || silent_ms >= self.config().flush_ms)
    }

    pub(crate) fn flush_work(&self, changes: &mut Changes) -> Result<FlushWork, DiskError> {
        // The epochs of what is below the recovery point are not rebuilt from batches.
        if changes.epochs_dirty {
            self.write_epochs(changes, Durable::Later)?;
        }
        changes.unflushed = 0;
        let from = self.recovery_point();
        let view = self.view.read();
        let first = view.segment_at(from);
        Ok(FlushWork {
            segments: view.segments[first..].to_vec(),
            active_base: view.segments.last().map(|s| s.base_offset),
            snapshots: std::mem::take(&mut changes.unsynced_snapshots),
            dir: std::mem::take(&mut changes.dir_dirty),
            up_to: view.log_end,
        })
    }

    pub(crate) fn sync(&self, work: &FlushWork) -> Result<(), DiskError> {
        for offset in &work.snapshots {
            let name = segment_file_name(*offset, producer_snapshot::SUFFIX);
            match self.dir.open(&name, OpenHow::Write) {
                Ok(file) => file.sync().at("sync", &self.dir.file_path(&name))?,
                // Its segment was deleted meanwhile.
                Err(e) if e.source.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        for segment in &work.segments {
            if Some(segment.base_offset) == work.active_base {
                // Its indexes are rebuilt after a crash: the recovery point lies in it.
                segment.file()?.sync().at("sync", &segment.log.path())?;
                segment.txn_index.sync()?;
            } else {
                segment.sync()?;
            }
        }
        if self.recovery_point() < work.up_to
            && let Ok(file) = self.dir.open(LEADER_EPOCH_FILE, OpenHow::Write)
        {
            file.sync().at("sync", &self.dir.file_path(LEADER_EPOCH_FILE))?;
        }
        if work.dir {
            self.dir.sync()?;
        }
        // A start would believe what lies below it. Whoever cuts the log waits for this.
        assert!(
            work.up_to <= self.log_end_offset(),
            "the recovery point goes to {}, beyond the log's end at {}",
            work.up_to,
            self.log_end_offset()
        );
        self.recovery_point.fetch_max(work.up_to, Ordering::AcqRel);
        Ok(())
    }
}

#[cfg(test)]
#[path = "flush_tests.rs"]
mod tests;
