//! The prepared end of an active segment's log file: allocated, mapped and faulted in ahead of the
//! appends, which then are plain stores. Knows bytes and positions, not batches.
//!
//! Everything here is optional: where no window is ready, or can be had, an append uses pwrite on
//! the same file. Only the last segment may end in zeros, so a segment is retired (unmapped and
//! cut to its logical size) before the next one is made.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use protocol::ids::TimestampMs;

use crate::config::LogConfig;
use crate::disk::{DiskFile, PAGE_BYTES, Window};
use crate::error::{At, DiskError};
use crate::log::{Changes, Log};
use crate::segment::Segment;
use crate::segment::partition_dir::FileCache;

/// Larger appends are quicker by pwrite: its call costs no more than faulting in two pages, and the
/// kernel takes what comes in one call in larger pieces than pages.
pub const MAPPED_APPEND_BYTES_MAX: usize = 8 * 1024;
/// The smallest and the largest window; between them, what 50 ms of the partition's traffic fill.
const WINDOW_BYTES_MIN: u64 = 64 * 1024;
const WINDOW_BYTES_MAX: u64 = 8 * 1024 * 1024;
const WINDOW_MS: u64 = 50;
/// Appends in a row, each small enough for a window, after which a partition is worth one.
const WARM_APPENDS: u32 = 4;
/// Without an append for so long a partition lets go of windows, descriptors and index memory.
pub const IDLE_MS: i64 = 10_000;
/// Windows of all partitions; two per busy partition. The system allows 65,530 maps.
pub const WINDOWS_MAX: usize = 16_384;

/// A window that is counted.
#[derive(Debug)]
pub(crate) struct CountedWindow {
    window: Box<dyn Window>,
    files: Arc<FileCache>,
}

impl CountedWindow {
    /// Allocates, maps and faults in a range of a file; `None` if there are too many windows.
    pub fn make(
        files: &Arc<FileCache>,
        file: &dyn DiskFile,
        path: &Path,
        range: Range<u64>,
    ) -> Result<Option<CountedWindow>, DiskError> {
        if !files.take_window() {
            return Ok(None);
        }
        let made = file.allocate(range.clone()).at("allocate", path);
        match made.and_then(|()| file.map(range).at("map", path)) {
            Ok(window) => Ok(Some(CountedWindow { window, files: files.clone() })),
            Err(e) => {
                files.window_dropped();
                Err(e)
            }
        }
    }

    pub fn range(&self) -> Range<u64> {
        self.window.range()
    }

    pub fn store(&mut self, at: u64, bytes: &[u8]) {
        self.window.store(at, bytes);
    }
}

impl Drop for CountedWindow {
    fn drop(&mut self) {
        self.files.window_dropped();
    }
}

/// What the preparer and the appender of one segment share.
#[derive(Debug, Default)]
pub(crate) struct Growth {
    /// Held by the preparer over its disk work; the appender only tries it, a roll waits for it.
    next: Mutex<Next>,
}

#[derive(Debug, Default)]
struct Next {
    window: Option<CountedWindow>,
    /// No window may be made any more.
    retired: bool,
}

/// The appender's side: the window it stores into, and what it knows of the traffic.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    current: Option<CountedWindow>,
    /// Appends in a row that were small enough for a window.
    appends: u32,
    /// A window was asked for and has not been taken yet.
    asked: bool,
    /// When the last window was planned, and the bytes of small enough appends since then.
    since_ms: TimestampMs,
    since_bytes: u64,
    pub last_append_ms: TimestampMs,
}

impl Writer {
    /// Where the next window should begin.
    fn window_end(&self, size: u64) -> u64 {
        match &self.current {
            Some(c) if c.range().end >= size => c.range().end,
            _ => size / PAGE_BYTES * PAGE_BYTES,
        }
    }

    fn window_bytes(&self, now_ms: TimestampMs) -> u64 {
        let ms = now_ms.saturating_sub(self.since_ms).max(1) as u64;
        let bytes = self.since_bytes.saturating_mul(WINDOW_MS) / ms;
        bytes.clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX).next_multiple_of(PAGE_BYTES)
    }

    /// Stores as much of `bytes` at `at` as the windows cover; returns how much that is.
    fn store(&mut self, growth: &Growth, bytes: &[u8], at: u64) -> usize {
        let mut done = 0;
        while done < bytes.len() {
            let at = at + done as u64;
            let covers = |w: &CountedWindow| w.range().contains(&at);
            if !self.current.as_ref().is_some_and(covers) {
                // Whatever is behind is of no use any more.
                self.current = None;
                let Some(mut next) = growth.next.try_lock() else { break };
                match next.window.take() {
                    Some(window) if covers(&window) => {
                        self.current = Some(window);
                        self.asked = false;
                    }
                    Some(_) => {
                        self.asked = false;
                        break;
                    }
                    None => break,
                }
            }
            let counted = self.current.as_mut().expect("it was just put there");
            let room = (counted.range().end - at) as usize;
            let count = room.min(bytes.len() - done);
            counted.store(at, &bytes[done..done + count]);
            done += count;
        }
        done
    }
}

/// What the preparer is to do for one log.
struct Plan {
    segment: Arc<Segment>,
    range: Range<u64>,
}

impl Log {
    /// Writes the parts one after the other at `at`, the active segment's end.
    pub(crate) fn write_end(
        &self,
        changes: &mut Changes,
        config: &LogConfig,
        active: &Segment,
        parts: &[&[u8]],
        at: u64,
        now_ms: TimestampMs,
    ) -> Result<(), DiskError> {
        let len: usize = parts.iter().map(|p| p.len()).sum();
        let writer = &mut changes.writer;
        writer.last_append_ms = now_ms;
        if len > MAPPED_APPEND_BYTES_MAX || config.asks_for_syncs() || !self.dir.disk.can_map() {
            // A large one goes past whatever window there is: what is small between two such, as a
            // transaction's marker, is not worth making one.
            writer.appends = 0;
            return active.file()?.write_at(parts, at).at_path("write", || active.log.path());
        }
        writer.since_bytes += len as u64;
        writer.appends = writer.appends.saturating_add(1);
        let mut done = 0;
        let mut rest: Vec<&[u8]> = Vec::new();
        for part in parts {
            let stored = match rest.is_empty() {
                true => writer.store(&active.growth, part, at + done),
                false => 0,
            };
            done += stored as u64;
            if stored < part.len() {
                rest.push(&part[stored..]);
            }
        }
        if !rest.is_empty() {
            active.file()?.write_at(&rest, at + done).at_path("write", || active.log.path())?;
        }
        self.ask_for_window(changes, at + len as u64);
        Ok(())
    }

    /// Asks the preparer for the next window once half of this one is used.
    fn ask_for_window(&self, changes: &mut Changes, end: u64) {
        let writer = &mut changes.writer;
        if writer.asked || writer.appends < WARM_APPENDS {
            return;
        }
        let half_used = writer.current.as_ref().is_none_or(|c| {
            let range = c.range();
            end >= range.start + (range.end - range.start) / 2
        });
        if half_used {
            writer.asked = true;
            self.dir.files().ask(&self.partition);
        }
    }

    /// Prepares the window that was asked for: allocates, maps, faults in. Blocks on the disk, but
    /// holds nothing meanwhile that an append waits for. A full disk is no error here: appends
    /// go on with pwrite and get their own answer.
    pub fn prepare(&self, now_ms: TimestampMs) -> Result<(), DiskError> {
        let Some(plan) = self.plan(now_ms) else { return Ok(()) };
        let growth = &plan.segment.growth;
        let mut next = growth.next.lock();
        if next.retired || next.window.is_some() {
            return Ok(());
        }
        match self.make_window(&plan) {
            Ok(window) => next.window = window,
            Err(e) if e.is_full() => {}
            Err(e) if e.source.kind() == std::io::ErrorKind::Unsupported => {}
            Err(e) => return Err(e),
        }
        if next.window.is_none() {
            // The appender asks again when it has been busy for a while.
            drop(next);
            let writer = &mut self.changes.lock().writer;
            (writer.asked, writer.appends) = (false, 0);
        }
        Ok(())
    }

    fn plan(&self, now_ms: TimestampMs) -> Option<Plan> {
        let mut changes = self.changes.lock();
        if changes.failed || !self.dir.disk.can_map() {
            return None;
        }
        let segment = self.active();
        let writer = &mut changes.writer;
        let start = writer.window_end(segment.size());
        let bytes = writer.window_bytes(now_ms);
        writer.since_ms = now_ms;
        writer.since_bytes = 0;
        let segment_end = (self.config().segment_bytes as u64).next_multiple_of(PAGE_BYTES);
        let range = start..(start + bytes).min(segment_end);
        if range.is_empty() {
            return None;
        }
        Some(Plan { segment, range })
    }

    fn make_window(&self, plan: &Plan) -> Result<Option<CountedWindow>, DiskError> {
        let path = plan.segment.log.path();
        let file = plan.segment.file()?;
        CountedWindow::make(self.dir.files(), &*file, &path, plan.range.clone())
    }

    /// Unmaps the segment and cuts its file to what it holds; no window is made for it again
    /// unless `revivable`.
    pub(crate) fn retire(
        &self,
        changes: &mut Changes,
        segment: &Segment,
        revivable: bool,
    ) -> Result<(), DiskError> {
        changes.writer =
            Writer { last_append_ms: changes.writer.last_append_ms, ..Writer::default() };
        let mut next = segment.growth.next.lock();
        next.window = None;
        next.retired = !revivable;
        let path = segment.log.path();
        let file = segment.file()?;
        if file.len().at("stat", &path)? != segment.size() {
            file.set_len(segment.size()).at("truncate", &path)?;
        }
        Ok(())
    }

    /// Lets go of what an idle partition does not need: windows, the zeros behind its end, index
    /// memory, and descriptors and maps that no reader used since the last call. `true` if there
    /// was something.
    pub fn retire_if_idle(&self, now_ms: TimestampMs) -> Result<bool, DiskError> {
        let mut changes = self.changes.lock();
        if now_ms.saturating_sub(changes.writer.last_append_ms) < IDLE_MS {
            return Ok(false);
        }
        let active = self.active();
        let grown = !changes.failed && active.indexes_active();
        if grown {
            let result = self.retire(&mut changes, &active, true).and_then(|()| {
                active.offset_index.seal()?;
                active.time_index.seal()
            });
            match result {
                // Its index's last entries have no room yet: they stay in memory.
                Err(error) if error.is_full() => return Ok(false),
                other => other.inspect_err(|_| changes.failed = true)?,
            }
            active.close_files();
        }
        drop(changes);
        let unused = self.segments().iter().fold(false, |any, s| s.close_unused_files() | any);
        Ok(grown || unused)
    }
}
