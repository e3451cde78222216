//! Loading a partition's directory: what compaction or a roll left half done, which segments are
//! rebuilt and which trusted, where the log ends. Knows one partition; the order among many is
//! `log_manager.rs`'s.

mod judge;
mod later;
pub(crate) mod partition_files;
pub(crate) mod replay;
mod split;

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::ids::{Offset, TimestampMs};

use crate::dirs::checkpoint::LEADER_EPOCH_FILE;
use crate::disk::{Durable, remove_if_there, replace_file};
use crate::error::{At, DiskError, ReadError, StorageError};
use crate::log::leader_epochs::LeaderEpochs;
use crate::log::{LogOptions, create_segment};
use crate::producers::producer_snapshot;
use crate::producers::producer_state::ProducerState;
use crate::recovery::judge::Judge;
use crate::recovery::partition_files::{finish_interrupted, list_files, walk};
use crate::recovery::replay::{apply_batch, epochs_of, has_epochs, read_epochs, replay};
use crate::recovery::split::split_overflowed;
use crate::segment::batch::{Scan, Torn};
use crate::segment::partition_dir::{PartitionDir, segment_file_name};
use crate::segment::{FileLengths, LOG_SUFFIX, Segment};

/// What a directory held.
pub(crate) struct Loaded {
    pub segments: Vec<Arc<Segment>>,
    pub log_start: Offset,
    pub log_end: Offset,
    pub recovery_point: Offset,
    pub epochs: LeaderEpochs,
    pub producers: ProducerState,
    pub snapshots: Vec<Offset>,
    /// Bytes that were no whole batches, nor zeros, and are cut off.
    pub cut_bytes: u64,
}

/// A read error met while loading.
pub(crate) fn unreadable(error: ReadError) -> StorageError {
    match error {
        ReadError::Disk(e) => StorageError::Disk(e),
        ReadError::Corrupt { path, reason } => StorageError::Corrupt { path, reason },
        ReadError::OffsetOutOfRange { .. } => unreachable!("no offset is asked for while loading"),
    }
}

struct Loader<'a> {
    dir: &'a Arc<PartitionDir>,
    options: &'a LogOptions,
    log_start: Offset,
    now_ms: TimestampMs,
    epochs: LeaderEpochs,
    producers: ProducerState,
    snapshots: Vec<Offset>,
    cut_bytes: u64,
}

/// Loads, and recovers where the log was not closed cleanly.
pub(crate) fn load(
    dir: &Arc<PartitionDir>,
    options: &LogOptions,
    now_ms: TimestampMs,
) -> Result<Loaded, StorageError> {
    let mut log_start = options.log_start;
    loop {
        finish_interrupted(dir)?;
        let (files, snapshots) = list_files(dir)?;
        if !may_start_at(dir, options, &files, log_start)? {
            log_start = 0;
        }
        let before = snapshots.clone();
        let mut loader = Loader {
            dir,
            options,
            log_start,
            now_ms,
            epochs: LeaderEpochs::default(),
            producers: ProducerState::default(),
            snapshots,
            cut_bytes: 0,
        };
        match loader.run(files) {
            Ok(loaded) => return Ok(loaded),
            // Each of its parts holds fewer offsets: this ends.
            Err(Stop::Overflow(base)) => split_overflowed(dir, base)?,
            Err(Stop::Start) => {
                log_start = 0;
                // They lack the producers below the start.
                loader.remove_snapshots(|offset| !before.contains(&offset))?;
            }
            Err(Stop::Failed(error)) => return Err(error),
        }
    }
}

/// Whether a checkpointed log start can be one: it never passes a log's end, and what was synced
/// does not vanish. Apache's broker removes every segment for one that is behind the end.
fn may_start_at(
    dir: &PartitionDir,
    options: &LogOptions,
    files: &BTreeMap<Offset, FileLengths>,
    log_start: Offset,
) -> Result<bool, StorageError> {
    if log_start <= options.recovery_point {
        return Ok(true);
    }
    let end = match files.last_key_value() {
        None => 0,
        Some((base, _)) if log_start <= *base => return Ok(true),
        Some((base, _)) => walk(dir, &segment_file_name(*base, LOG_SUFFIX), *base)?.0,
    };
    if log_start > end {
        tracing::warn!(path = %dir.path().display(), log_start, end,
            "passing over a checkpointed log start that is behind the log's end");
    }
    Ok(log_start <= end)
}

/// Why loading cannot go on.
enum Stop {
    Failed(StorageError),
    /// The checkpointed log start is behind what could be read.
    Start,
    /// The segment with this base holds offsets that its indexes cannot express.
    Overflow(Offset),
}

impl<E: Into<StorageError>> From<E> for Stop {
    fn from(error: E) -> Stop {
        Stop::Failed(error.into())
    }
}

/// How far a segment could be rebuilt.
enum Rebuilt {
    Whole,
    Torn(Torn),
    Overflow,
}

impl Loader<'_> {
    fn run(&mut self, files: BTreeMap<Offset, FileLengths>) -> Result<Loaded, Stop> {
        let bases: Vec<Offset> = files.keys().copied().collect();
        self.remove_stray_snapshots(&bases)?;
        let epochs_before = read_epochs(self.dir)?;
        self.epochs = epochs_before.clone().unwrap_or_default();
        let (mut segments, recovered) = self.open_segments(&files)?;
        let none_known = epochs_before.as_ref().is_none_or(|epochs| epochs.latest().is_none());
        if epochs_before.is_none() || none_known && has_epochs(&segments)? {
            self.epochs = epochs_of(&segments)?;
        }
        let mut log_start = self.log_start;
        let found_end = match segments.last() {
            Some(last) => Some(last.next_offset().map_err(unreadable)?),
            None => None,
        };
        // `may_start_at` did not know what would be cut.
        if log_start > found_end.unwrap_or(0).max(self.options.recovery_point) {
            return Err(Stop::Start);
        }
        let mut log_end = found_end.unwrap_or(log_start);
        self.judge().check_end(&self.dir.path(), log_end)?;
        if !segments.is_empty() && log_end < log_start {
            tracing::warn!(path = %self.dir.path().display(), log_end, log_start,
                "the log ends before its checkpointed start; starting over there");
            self.remove_segments(&segments)?;
            self.remove_snapshots(|_| true)?;
            self.epochs.clear();
            segments.clear();
            log_end = log_start;
        }
        if segments.is_empty() {
            segments.push(create_segment(self.dir, log_start, self.now_ms)?);
        }
        log_start = log_start.max(segments[0].base_offset);
        let trusted = self.options.clean && recovered.is_none();
        let recovery_point =
            if trusted { log_end } else { self.options.recovery_point.clamp(0, log_end) };
        self.epochs.truncate_from_end(log_end);
        self.epochs.truncate_from_start(log_start);
        if Some(&self.epochs) != epochs_before.as_ref() {
            let path = self.dir.file_path(LEADER_EPOCH_FILE);
            let text = self.epochs.to_text();
            replace_file(&*self.dir.disk, &path, text.as_bytes(), Durable::Later)?;
        }
        self.load_producers(&segments, log_start, log_end)?;
        // Nobody uses it yet: an idle partition holds no descriptor.
        segments.iter().for_each(|segment| segment.close_files());
        Ok(Loaded {
            segments,
            log_start,
            log_end,
            recovery_point,
            epochs: std::mem::take(&mut self.epochs),
            producers: std::mem::take(&mut self.producers),
            snapshots: std::mem::take(&mut self.snapshots),
            cut_bytes: self.cut_bytes,
        })
    }

    /// Opens all segments, recovering those that must be; the base of the first that was.
    fn open_segments(
        &mut self,
        files: &BTreeMap<Offset, FileLengths>,
    ) -> Result<(Vec<Arc<Segment>>, Option<Offset>), Stop> {
        let from = self.recover_from(files);
        let mut segments: Vec<Arc<Segment>> = Vec::new();
        let mut recovered = None;
        let (mut cut, mut covered) = (false, Offset::MIN);
        for (base, lengths) in files {
            cut |= self.is_hole(recovered, *base)?;
            if cut || *base < covered {
                let segment = Segment::new(self.dir, *base, self.now_ms);
                tracing::warn!(path = %segment.log.path().display(), bytes = lengths.log,
                    "removing a segment behind a torn one, or inside another one");
                self.remove_segments(&[Arc::new(segment)])?;
                self.remove_snapshots(|snapshot| snapshot >= *base)?;
                continue;
            }
            let following = files
                .range(base.saturating_add(1)..)
                .find(|(other, _)| *other > base)
                .map(|(base, _)| *base);
            let opened = Segment::existing(self.dir, *base, lengths, self.now_ms);
            let segment = match opened {
                Ok(segment)
                    if *base < from && segment.is_sound(lengths, following.is_none())? =>
                {
                    segment
                }
                Ok(_) | Err(StorageError::Corrupt { .. }) => {
                    recovered.get_or_insert(*base);
                    let found = (*base, lengths.log, following);
                    let (segment, was_cut) = self.recover(&segments, found)?;
                    cut = was_cut;
                    segment
                }
                Err(e) => return Err(e.into()),
            };
            covered = self.inside_others(&segment, following, files)?.unwrap_or(covered);
            segments.push(Arc::new(segment));
        }
        Ok((segments, recovered))
    }

    /// Base of the first segment that is read again whatever its indexes say.
    fn recover_from(&self, files: &BTreeMap<Offset, FileLengths>) -> Offset {
        let point = self.options.recovery_point;
        let unsynced = files.range(..=point).next_back().or(files.iter().next());
        let from = match (self.options.clean, self.options.kept) {
            _ if self.options.suspicion.was_refused => files.first_key_value(),
            (true, _) => None,
            // A segment is complete before the next one is made.
            (false, true) => files.last_key_value(),
            (false, false) => unsynced,
        };
        from.map_or(Offset::MAX, |(base, _)| *base)
    }

    /// Whether records are missing between the segment that was just recovered and the one at
    /// `base`. Only compaction, here or on the leader, makes such holes on purpose.
    fn is_hole(&self, recovered: Option<Offset>, base: Offset) -> Result<bool, StorageError> {
        let next = self.producers.end_offset;
        if recovered.is_none() || self.options.config.cleanup_policy.compact || next >= base {
            return Ok(false);
        }
        self.judge().ends_at_gap(&self.dir.path(), next, base)
    }

    /// The segment's end, if the one behind it begins below: that one hides records, and where it
    /// is the last one their offsets would be given out again. Looking at every end would read
    /// every file at a start, so only those count that were recovered, the last but one, and one
    /// before an empty one, which nothing writes on purpose.
    fn inside_others(
        &self,
        segment: &Segment,
        following: Option<Offset>,
        files: &BTreeMap<Offset, FileLengths>,
    ) -> Result<Option<Offset>, StorageError> {
        let Some(behind) = following else { return Ok(None) };
        let is_last = files.keys().next_back() == Some(&behind);
        let is_empty = files.get(&behind).is_some_and(|lengths| lengths.log == 0);
        if !is_last && !is_empty && self.producers.end_offset <= behind {
            return Ok(None);
        }
        let end = match segment.next_offset() {
            Ok(end) if end > behind => end,
            // What cannot be read there is told to whoever reads it.
            Ok(_) | Err(ReadError::Corrupt { .. }) => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        self.judge().begins_inside(&self.dir.path(), end, behind)?;
        Ok(Some(end))
    }

    fn judge(&self) -> Judge<'_> {
        Judge { options: self.options }
    }

    /// Rebuilds one segment from its log; `true` if bytes were cut off its end.
    fn recover(
        &mut self,
        earlier: &[Arc<Segment>],
        (base, file_len, following): (Offset, u64, Option<Offset>),
    ) -> Result<(Segment, bool), Stop> {
        self.producers_at(earlier, base)?;
        let segment = Segment::new(self.dir, base, self.now_ms);
        for file in segment.index_files() {
            remove_if_there(&*self.dir.disk, &file.path())?;
        }
        let (end, next, rebuilt) = self.rebuild(&segment, base, file_len)?;
        segment.set_size(end);
        if matches!(rebuilt, Rebuilt::Overflow) {
            segment.close_files();
            return Err(Stop::Overflow(base));
        }
        if let Rebuilt::Torn(torn) = &rebuilt {
            let place = (end, next);
            let rest = (file_len, following);
            self.cut_bytes += self.judge().torn_tail(&segment, place, rest, torn)?;
            let file = segment.file()?;
            file.set_len(end).at("truncate", &segment.log.path())?;
        }
        segment.close_indexes()?;
        self.producers.end_offset = next.max(base);
        self.snapshot_now()?;
        Ok((segment, matches!(rebuilt, Rebuilt::Torn(_))))
    }

    /// Walks over the batches; returns where the good ones end, the next offset, and whether
    /// something ended them before the file's end.
    fn rebuild(
        &mut self,
        segment: &Segment,
        base: Offset,
        file_len: u64,
    ) -> Result<(u64, Offset, Rebuilt), StorageError> {
        let file = segment.file()?;
        let path = segment.log.path();
        let interval = self.options.config.index_interval_bytes as u64;
        let mut scan = Scan::new(&*file, 0, file_len);
        let (mut next, mut since_index) = (base, 0);
        loop {
            let (batch, at) = match scan.next_verified().at("read", &path)? {
                None => return Ok((scan.position(), next, Rebuilt::Whole)),
                Some(Err(torn)) => return Ok((scan.position(), next, Rebuilt::Torn(torn))),
                Some(Ok(found)) => found,
            };
            let first = if batch.magic >= 2 { batch.base_offset } else { batch.last_offset };
            if first < next || batch.last_offset < first || batch.last_offset == Offset::MAX {
                let reason = format!("offsets {first}..={} after {next}", batch.last_offset);
                return Ok((at, next, Rebuilt::Torn(Torn::Header(reason))));
            }
            if batch.last_offset - base > i64::from(i32::MAX) {
                return Ok((at, next, Rebuilt::Overflow));
            }
            segment.index_batch(&batch, at, &mut since_index, interval)?;
            segment.set_size(at + batch.size);
            if self.epochs.latest().is_none_or(|l| batch.leader_epoch > l.epoch) {
                self.epochs.assign(batch.leader_epoch, batch.base_offset);
            }
            let aborted =
                apply_batch(&mut self.producers, &batch, &mut scan, at).at("read", &path)?;
            for txn in aborted {
                segment.txn_index.append(txn)?;
            }
            next = batch.next_offset();
        }
    }

    /// Brings the producer state to `base`, from a snapshot and the segments before.
    fn producers_at(&mut self, earlier: &[Arc<Segment>], base: Offset) -> Result<(), StorageError> {
        if self.producers.end_offset == base && base > 0 {
            return Ok(());
        }
        let first = earlier.first().map_or(base, |s| s.base_offset);
        self.producers = self.newest_snapshot(first.max(self.log_start), base)?;
        replay(earlier, &mut self.producers, base)
    }

    fn newest_snapshot(
        &mut self,
        log_start: Offset,
        up_to: Offset,
    ) -> Result<ProducerState, DiskError> {
        let expiration_ms = self.options.config.producer_id_expiration_ms;
        let found = producer_snapshot::load_newest(
            self.dir,
            &mut self.snapshots,
            log_start,
            up_to,
            self.now_ms,
            expiration_ms,
        )?;
        Ok(found.unwrap_or_else(|| ProducerState::starting_at(log_start)))
    }

    /// The producer state at the log's end; snapshots are written where Kafka's loader does.
    fn load_producers(
        &mut self,
        segments: &[Arc<Segment>],
        log_start: Offset,
        log_end: Offset,
    ) -> Result<(), StorageError> {
        self.remove_snapshots(|snapshot| snapshot > log_end)?;
        if self.options.clean && self.snapshots.is_empty() {
            self.producers = ProducerState::starting_at(log_end);
            if log_end > log_start {
                self.snapshot_now()?;
            }
            return Ok(());
        }
        // A snapshot holds only each producer's last batch. What a recovery has just replayed knows
        // more of them, so that a batch whose acknowledgement the crash took is recognised.
        if self.options.clean || self.producers.end_offset != log_end {
            self.producers = self.newest_snapshot(log_start, log_end)?;
        }
        let recent = segments.iter().rev().take(2).map(|s| s.base_offset);
        let mut stops: Vec<Offset> = recent.filter(|base| *base > log_start).collect();
        stops.reverse();
        stops.push(log_end);
        for stop in stops {
            if stop > self.producers.end_offset {
                replay(segments, &mut self.producers, stop)?;
                self.snapshot_now()?;
            }
        }
        Ok(())
    }

    fn snapshot_now(&mut self) -> Result<(), DiskError> {
        let offset = self.producers.end_offset;
        let Err(at) = self.snapshots.binary_search(&offset) else { return Ok(()) };
        match producer_snapshot::write(self.dir, &self.producers, Durable::Later) {
            Ok(()) => self.snapshots.insert(at, offset),
            // It only shortens the next start.
            Err(error) if error.is_full() => {
                tracing::warn!(%error, "no room for a producer snapshot");
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Kept are one per segment base and the newest other one, if it is behind the last base.
    fn remove_stray_snapshots(&mut self, bases: &[Offset]) -> Result<(), DiskError> {
        let is_base = |o: &Offset| bases.binary_search(o).is_ok();
        let newest_stray = self.snapshots.iter().rev().find(|o| !is_base(o)).copied();
        let kept_stray = newest_stray.filter(|o| bases.last().is_some_and(|last| o > last));
        let bases = bases.to_vec();
        self.remove_snapshots(move |o| bases.binary_search(&o).is_err() && Some(o) != kept_stray)
    }

    fn remove_snapshots(&mut self, which: impl Fn(Offset) -> bool) -> Result<(), DiskError> {
        for offset in self.snapshots.iter().filter(|o| which(**o)) {
            let name = segment_file_name(*offset, producer_snapshot::SUFFIX);
            remove_if_there(&*self.dir.disk, &self.dir.file_path(&name))?;
        }
        self.snapshots.retain(|o| !which(*o));
        Ok(())
    }

    fn remove_segments(&self, segments: &[Arc<Segment>]) -> Result<(), DiskError> {
        for segment in segments {
            segment.close_files();
            remove_if_there(&*self.dir.disk, &segment.log.path())?;
            for file in segment.index_files() {
                remove_if_there(&*self.dir.disk, &file.path())?;
            }
        }
        Ok(())
    }
}
