//! A partition's log while it follows: what its leader sends is appended, and what the leader does
//! not have is cut off. Knows nothing of requests; who fetches, and when, is the fetcher's
//! business.
//!
//! Every change names the leader epoch that it was fetched under and is refused in any other: a
//! fetcher that was told to stop may still be at work.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::RwLockReadGuard;
use protocol::ids::{LeaderEpoch, Offset, TimestampMs};
use replica::truncation::{self, EpochEnd};
use storage::log_manager::LogManager;
use storage::{AppendError, AppendInfo, Log, StorageError};

use super::{Inner, Partition};
use crate::delayed::fetch::{Moved, UNKNOWN_BYTES};

/// Records of a leader, and its offsets at the time of the read.
#[derive(Debug, Clone, Copy)]
pub struct Fetched<'a> {
    pub records: &'a [u8],
    /// Where they were asked for.
    pub offset: Offset,
    pub high_watermark: Offset,
    pub log_start: Offset,
}

/// Where a log is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    At(Offset),
    /// Where it leaves the leader's, which said so about a fetch at `offset`.
    Diverged {
        leader: EpochEnd,
        offset: Offset,
    },
    /// Everything goes; the log begins anew there.
    StartOver(Offset),
}

/// Where a follower's log ends after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowerEnd {
    pub offset: Offset,
    pub last_epoch: Option<LeaderEpoch>,
}

/// Why a follower's log is as it was.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    #[error("the partition does not follow in that leader epoch any more, or has no log")]
    Outdated,
    #[error("records of offset {fetched} where the log ends at {log_end}")]
    WrongOffset { fetched: Offset, log_end: Offset },
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Partition {
    /// Appends what was fetched under `leader_epoch` and takes the leader's high watermark and log
    /// start over. `None` if there was nothing to append.
    pub fn append_fetched(
        &self,
        leader_epoch: LeaderEpoch,
        fetched: &Fetched<'_>,
        logs: &LogManager,
        now_ms: TimestampMs,
    ) -> Result<(FollowerEnd, Option<AppendInfo>), FollowError> {
        let (_role, log) = self.following(leader_epoch)?;
        let log_end = log.log_end_offset();
        if fetched.offset != log_end {
            return Err(FollowError::WrongOffset { fetched: fetched.offset, log_end });
        }
        let info = match fetched.records {
            [] => None,
            records => Some(self.append_records(&log, records, leader_epoch, logs, now_ms)?),
        };
        // Of nothing but batches of a later epoch, nothing is left.
        let info = info.filter(|info| info.last_offset >= 0);
        let (log_start, log_end) = (log.log_start_offset(), log.log_end_offset());
        // It may be lower than what a former leader said.
        let high_watermark = fetched.high_watermark.clamp(log_start, log_end.max(log_start));
        let before = self.high_watermark.swap(high_watermark, Ordering::AcqRel);
        if before != high_watermark {
            log.on_high_watermark(high_watermark);
        }
        if fetched.log_start > log_start && fetched.log_start <= high_watermark {
            log.raise_log_start(fetched.log_start);
        }
        let moved = Moved {
            log_end: info.is_some(),
            high_watermark: before != high_watermark,
            last_stable: before != high_watermark,
        };
        if moved.any() {
            self.fetches.grew(moved, UNKNOWN_BYTES);
        }
        Ok((end_of(&log), info))
    }

    fn append_records(
        &self,
        log: &Log,
        records: &[u8],
        leader_epoch: LeaderEpoch,
        logs: &LogManager,
        now_ms: TimestampMs,
    ) -> Result<AppendInfo, FollowError> {
        match log.append_as_follower(records, leader_epoch, now_ms) {
            // The leader's log starts within a batch, and ours is empty: the batch comes whole.
            Err(AppendError::UnexpectedOffset { first, last, log_end })
                if log_end == log.log_start_offset()
                    && (0..log_end).contains(&first)
                    && last >= log_end =>
            {
                tracing::info!(partition = ?self, first, log_end, "starting within a batch");
                logs.truncate_fully_and_start_at(&self.name(), first, now_ms)?;
                Ok(log.append_as_follower(records, leader_epoch, now_ms)?)
            }
            appended => Ok(appended?),
        }
    }

    /// Cuts the log. Blocks on the disk.
    pub fn cut(
        &self,
        leader_epoch: LeaderEpoch,
        cut: Cut,
        logs: &LogManager,
        now_ms: TimestampMs,
    ) -> Result<FollowerEnd, FollowError> {
        let (_role, log) = self.following(leader_epoch)?;
        let (high_watermark, log_end) = (self.high_watermark(), log.log_end_offset());
        let offset = match cut {
            Cut::At(offset) | Cut::StartOver(offset) => offset,
            Cut::Diverged { leader, offset } => {
                truncation::truncation_point(&*log, leader, offset).offset
            }
        };
        if offset < 0 {
            return Err(FollowError::WrongOffset { fetched: offset, log_end });
        }
        tracing::info!(partition = ?self, offset, log_end, leader_epoch, ?cut, "truncating");
        if offset < high_watermark {
            tracing::warn!(partition = ?self, offset, high_watermark, "below the high watermark");
        }
        // Before the log is cut: no reader sees beyond its end.
        self.high_watermark.fetch_min(offset, Ordering::AcqRel);
        match cut {
            Cut::StartOver(_) => {
                logs.truncate_fully_and_start_at(&self.name(), offset, now_ms)?;
                self.high_watermark.store(offset, Ordering::Release);
            }
            _ => {
                logs.truncate_to(&self.name(), offset, now_ms)?;
            }
        }
        log.on_high_watermark(self.high_watermark());
        Ok(FollowerEnd { offset, last_epoch: log.latest_epoch() })
    }

    /// The log's end, if the partition follows in that epoch.
    pub fn follower_end(&self, leader_epoch: LeaderEpoch) -> Result<FollowerEnd, FollowError> {
        let (_role, log) = self.following(leader_epoch)?;
        Ok(end_of(&log))
    }

    /// The log, and the role kept as it is for so long.
    fn following(
        &self,
        leader_epoch: LeaderEpoch,
    ) -> Result<(RwLockReadGuard<'_, Inner>, Arc<Log>), FollowError> {
        let inner = self.inner.read();
        let state = &inner.state;
        match &inner.log {
            Some(log) if !state.is_leader() && state.leader_epoch() == leader_epoch => {
                let log = log.clone();
                Ok((inner, log))
            }
            _ => Err(FollowError::Outdated),
        }
    }
}

fn end_of(log: &Log) -> FollowerEnd {
    FollowerEnd { offset: log.log_end_offset(), last_epoch: log.latest_epoch() }
}
