//! Which log is compacted next, by whom, and which are left alone (Kafka's `LogCleanerManager` and
//! `CleanerThread`). A [`Cleaner`] belongs to one of the caller's threads, the [`CleanerBoard`] to
//! all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use protocol::ids::{Offset, TimestampMs, TopicPartition};

use super::cleaning::{Cleaning, CleaningStats, Stop};
use super::range::{Cleanable, cleanable};
use crate::dirs::log_manager::LogManager;
use crate::error::StorageError;

/// Answers with the high watermark of partitions that have one.
pub type HighWatermarkOf<'a> = &'a dyn Fn(&TopicPartition) -> Option<Offset>;

/// Reads smaller than this are not worth their call.
const IO_BYTES_MIN: usize = 4096;

/// The keys `log.cleaner.*` that a step needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CleanerSettings {
    /// `log.cleaner.threads`: buffers are shared out among them.
    pub threads: usize,
    /// `log.cleaner.dedupe.buffer.size`; taken as it is needed.
    pub dedupe_buffer_bytes: u64,
    /// `log.cleaner.io.buffer.load.factor`.
    pub load_factor: f64,
    /// `log.cleaner.io.buffer.size`.
    pub io_buffer_bytes: u64,
    /// What a compaction writes goes on in another segment there: [`SEGMENT_BYTES_MAX`].
    pub segment_bytes_max: u64,
}

/// Positions in indexes have 31 bits.
pub const SEGMENT_BYTES_MAX: u64 = i32::MAX as u64;

impl CleanerSettings {
    pub(super) fn dedupe_bytes_per_thread(&self) -> u64 {
        (self.dedupe_buffer_bytes / self.threads.max(1) as u64).min(i32::MAX as u64)
    }

    /// Half for reading, half for writing, as Kafka shares it.
    pub(super) fn io_bytes_per_thread(&self) -> usize {
        let bytes = self.io_buffer_bytes / self.threads.max(1) as u64 / 2;
        (bytes as usize).clamp(IO_BYTES_MIN, i32::MAX as usize)
    }
}

/// What one step did.
#[derive(Debug, Default)]
pub struct CleanerStep {
    /// Read and written: what a throttle counts.
    pub moved_bytes: u64,
    /// Nothing wants a compaction now.
    pub idle: bool,
    /// A compaction was completed.
    pub finished: Option<(TopicPartition, CleaningStats)>,
    /// A file failed: its directory should be judged by the caller.
    pub error: Option<(TopicPartition, StorageError)>,
}

/// What gauges show of all cleaners.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CleanerGauges {
    /// Cleanable part of the dirtiest log, 0 to 1.
    pub max_dirty_ratio: f64,
    pub last_run_ms: TimestampMs,
    /// How far behind `max.compaction.lag.ms` the worst log is.
    pub max_compaction_delay_ms: i64,
}

#[derive(Debug, Default)]
struct State {
    in_progress: BTreeSet<TopicPartition>,
    /// Why they are not compacted any more until the next start.
    uncleanable: BTreeMap<TopicPartition, String>,
    gauges: CleanerGauges,
}

/// Shared by all cleaners of a process.
#[derive(Debug, Default)]
pub struct CleanerBoard {
    state: Mutex<State>,
}

impl CleanerBoard {
    /// Partitions whose compaction failed, and why: they stay as they are.
    pub fn uncleanable(&self) -> BTreeMap<TopicPartition, String> {
        self.state.lock().uncleanable.clone()
    }

    /// How many bytes of each of them would be compacted now. May read from the disk.
    pub fn uncleanable_bytes(
        &self,
        logs: &LogManager,
        high_watermark_of: HighWatermarkOf<'_>,
        now_ms: TimestampMs,
    ) -> BTreeMap<TopicPartition, u64> {
        let partitions: Vec<_> = self.state.lock().uncleanable.keys().cloned().collect();
        let bytes = |partition: &TopicPartition| {
            let (log, checkpoint) = (logs.log(partition)?, logs.cleaner_offset(partition));
            let found = cleanable(&log, checkpoint, high_watermark_of(partition)?, now_ms);
            // A log that is not even that readable is told by its count alone.
            Some(found.map_or(0, |found| found.cleanable_bytes))
        };
        partitions.into_iter().filter_map(|tp| Some((tp.clone(), bytes(&tp)?))).collect()
    }

    pub fn gauges(&self) -> CleanerGauges {
        self.state.lock().gauges
    }

    /// The log that wants it most, now counted as being compacted.
    fn grab(
        &self,
        logs: &LogManager,
        settings: &CleanerSettings,
        high_watermark_of: HighWatermarkOf<'_>,
        now_ms: TimestampMs,
    ) -> Result<Option<Cleaning>, (TopicPartition, StorageError)> {
        let mut state = self.state.lock();
        state.uncleanable.retain(|partition, _| logs.log(partition).is_some());
        state.gauges = CleanerGauges { last_run_ms: now_ms, ..CleanerGauges::default() };
        let mut best: Option<(f64, Arc<crate::log::Log>, Cleanable)> = None;
        for log in logs.logs() {
            let partition = log.partition().clone();
            let config = log.config();
            if !config.cleanup_policy.compact
                || state.in_progress.contains(&partition)
                || state.uncleanable.contains_key(&partition)
            {
                continue;
            }
            let Some(high_watermark) = high_watermark_of(&partition) else { continue };
            let checkpoint = logs.cleaner_offset(&partition);
            let found = cleanable(&log, checkpoint, high_watermark, now_ms);
            let found = found.map_err(|error| (partition.clone(), error))?;
            if found.reset {
                let reset = logs.set_cleaner_offset(&partition, found.first_dirty);
                reset.map_err(|error| (partition, error))?;
            }
            let gauges = &mut state.gauges;
            gauges.max_dirty_ratio = gauges.max_dirty_ratio.max(found.ratio());
            gauges.max_compaction_delay_ms = gauges.max_compaction_delay_ms.max(found.delay_ms);
            let wins = best.as_ref().is_none_or(|(ratio, _, _)| found.ratio() > *ratio);
            if found.is_due(config.min_cleanable_dirty_ratio) && wins {
                best = Some((found.ratio(), log, found));
            }
        }
        let Some((_, log, found)) = best else { return Ok(None) };
        let partition = log.partition().clone();
        let begun = Cleaning::begin(log, found, settings, now_ms);
        let cleaning = begun.map_err(|error| (partition.clone(), error))?;
        state.in_progress.insert(partition);
        Ok(Some(cleaning))
    }

    fn give_up(&self, partition: &TopicPartition, error: &StorageError) {
        tracing::error!(%partition, %error, "a partition cannot be compacted; leaving it as it is");
        self.state.lock().uncleanable.insert(partition.clone(), error.to_string());
    }
}

/// One thread's work: at most one log at a time.
#[derive(Debug, Default)]
pub struct Cleaner {
    current: Option<Cleaning>,
}

impl Cleaner {
    /// Goes on with the log in hand, or takes the next one: about `budget_bytes` are moved.
    pub fn step(
        &mut self,
        logs: &LogManager,
        board: &CleanerBoard,
        settings: &CleanerSettings,
        high_watermark_of: HighWatermarkOf<'_>,
        (budget_bytes, now_ms): (u64, TimestampMs),
    ) -> CleanerStep {
        let mut step = CleanerStep::default();
        if self.current.is_none() {
            match board.grab(logs, settings, high_watermark_of, now_ms) {
                Ok(Some(cleaning)) => self.current = Some(cleaning),
                Ok(None) => step.idle = true,
                Err((partition, error)) => judge(board, partition, error, &mut step),
            }
        }
        let Some(cleaning) = &mut self.current else { return step };
        let partition = cleaning.log.partition().clone();
        let hosted = logs.log(&partition).is_some_and(|log| Arc::ptr_eq(&log, &cleaning.log));
        let compacted = cleaning.log.config().cleanup_policy.compact;
        let result = match hosted && compacted {
            true => cleaning.step(budget_bytes, &mut step.moved_bytes),
            false => Err(Stop::Aborted),
        };
        match result {
            Ok(None) => return step,
            Ok(Some(first_dirty)) => {
                let stats = cleaning.stats;
                match logs.set_cleaner_offset(&partition, first_dirty) {
                    Ok(()) => step.finished = Some((partition, stats)),
                    Err(error) => judge(board, partition, error, &mut step),
                }
            }
            Err(Stop::Aborted) => {
                tracing::info!(%partition, "a compaction was given up: the log has changed");
                self.stop(board);
            }
            Err(Stop::Failed(error)) => match cleaning.log.explain(error) {
                error @ StorageError::Gone(_) => {
                    tracing::info!(%error, "a compaction was given up")
                }
                error => judge(board, partition, error, &mut step),
            },
        }
        self.stop(board);
        step
    }

    /// Whether a log is in hand.
    pub fn is_busy(&self) -> bool {
        self.current.is_some()
    }

    /// Lets go of the log in hand; what was written of it so far is removed.
    pub fn stop(&mut self, board: &CleanerBoard) {
        let Some(mut cleaning) = self.current.take() else { return };
        if let Err(error) = cleaning.discard() {
            tracing::warn!(%error, "a start will remove what a compaction left");
        }
        board.state.lock().in_progress.remove(cleaning.log.partition());
    }
}

/// A failing file takes its directory with it; anything else is the partition's own fault.
fn judge(
    board: &CleanerBoard,
    partition: TopicPartition,
    error: StorageError,
    step: &mut CleanerStep,
) {
    match error {
        StorageError::Disk(_) => step.error = Some((partition, error)),
        _ => board.give_up(&partition, &error),
    }
}
