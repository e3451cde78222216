//! Offsets of a partition that are asked for: by time, by leader epoch, of its producers; and
//! deleting records below one. Knows nothing of messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::ids::{LeaderEpoch, Offset, ProducerId, TimestampMs};
use replica::partition::AccessError;
use storage::error::DeleteRecordsError;
use storage::producer_state::ProducerEntry;
use storage::{Log, StorageError};

use super::{Inner, Partition, ReadError};
use crate::authorizer::{Authorized, Topic, op};
use crate::delayed::fetch::Isolation;
use crate::delayed::offset::Countdown;

/// What a ListOffsets asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Latest,
    Earliest,
    /// The record with the largest timestamp.
    MaxTimestamp,
    /// The first record at or after a time.
    At(TimestampMs),
}

/// An offset that was found; −1 stands for an unknown time or epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundOffset {
    pub timestamp: TimestampMs,
    pub offset: Offset,
    pub leader_epoch: LeaderEpoch,
}

/// What deleting records came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deleted {
    /// The offset that was meant: −1 in a request means the high watermark.
    pub requested: Offset,
    /// Least log start of all living replicas.
    pub low_watermark: Offset,
}

/// Why records were not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    #[error("this broker does not lead the partition")]
    NotLeader,
    /// `cleanup.policy` does not delete.
    #[error("the topic's cleanup policy does not delete")]
    Policy,
    #[error(transparent)]
    Offset(#[from] DeleteRecordsError),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Partition {
    fn accessible_log(
        &self,
        current: LeaderEpoch,
        leader_only: bool,
    ) -> Result<(Arc<Log>, LeaderEpoch, Option<Offset>), ReadError> {
        let inner = self.inner.read();
        inner.state.check_access(current, leader_only)?;
        let log = inner.log.clone().ok_or(AccessError::NotLeader)?;
        Ok((log, inner.state.leader_epoch(), inner.state.epoch_start()))
    }

    /// Finds an offset. `isolation` is what the asker may read up to: `LogEnd` for replicas.
    /// Looking for a time reads the log and may block on the disk.
    pub fn find_offset(
        &self,
        authorized: &Authorized<'_, op::Describe, Topic>,
        wanted: Wanted,
        isolation: Isolation,
        current: LeaderEpoch,
        leader_only: bool,
    ) -> Result<Option<FoundOffset>, ReadError> {
        self.check(authorized);
        let (log, leader_epoch, epoch_start) = self.accessible_log(current, leader_only)?;
        let limit = self.limit_of(&log, isolation);
        // A new leader does not know yet what was committed under the former one.
        let lags = isolation != Isolation::LogEnd
            && epoch_start.is_some_and(|start| start > self.high_watermark());
        let found = match wanted {
            Wanted::Latest if lags => return Err(ReadError::OffsetNotAvailable),
            Wanted::Latest => {
                return Ok(Some(FoundOffset { timestamp: -1, offset: limit, leader_epoch }));
            }
            Wanted::Earliest => {
                let offset = log.log_start_offset();
                let leader_epoch = log.epoch_at(offset).unwrap_or(-1);
                return Ok(Some(FoundOffset { timestamp: -1, offset, leader_epoch }));
            }
            Wanted::MaxTimestamp => log.max_timestamp_offset()?,
            Wanted::At(timestamp) => log.offset_for_timestamp(timestamp)?,
        };
        match found.filter(|found| found.offset < limit) {
            Some(found) => Ok(Some(FoundOffset {
                timestamp: found.timestamp,
                offset: found.offset,
                leader_epoch: found.leader_epoch,
            })),
            None if lags => Err(ReadError::OffsetNotAvailable),
            None => Ok(None),
        }
    }

    /// Offsets as version 0 of ListOffsets gives them: segment bases and the log end, newest
    /// first, at most `count`. A consumer sees none above the high watermark.
    pub fn legacy_offsets(
        &self,
        authorized: &Authorized<'_, op::Describe, Topic>,
        wanted: Wanted,
        count: usize,
        consumer: bool,
        leader_only: bool,
    ) -> Result<Vec<Offset>, ReadError> {
        self.check(authorized);
        let (log, ..) = self.accessible_log(-1, leader_only)?;
        let mut entries = segment_starts(&log);
        let from = match wanted {
            Wanted::Latest | Wanted::MaxTimestamp => entries.len(),
            Wanted::Earliest => 1.min(entries.len()),
            Wanted::At(time) => {
                entries.iter().rposition(|(_, changed)| *changed <= time).map_or(0, |at| at + 1)
            }
        };
        entries.truncate(from);
        let offsets: Vec<Offset> =
            entries.into_iter().rev().map(|(offset, _)| offset).take(count).collect();
        let high_watermark = self.high_watermark();
        if consumer && offsets.iter().any(|offset| *offset > high_watermark) {
            let below = offsets.into_iter().filter(|offset| *offset <= high_watermark);
            return Ok(std::iter::once(high_watermark).chain(below).collect());
        }
        Ok(offsets)
    }

    /// The largest epoch at or below `epoch` and where it ends; −1 for both if it is unknown.
    pub fn end_offset_for_epoch(
        &self,
        authorized: &Authorized<'_, op::Describe, Topic>,
        current: LeaderEpoch,
        epoch: LeaderEpoch,
    ) -> Result<(LeaderEpoch, Offset), ReadError> {
        self.check(authorized);
        let (log, ..) = self.accessible_log(current, true)?;
        Ok(log.end_offset_for_epoch(epoch))
    }

    /// Every producer that the log knows; `None` without a log.
    pub fn producers(
        &self,
        authorized: &Authorized<'_, op::Read, Topic>,
    ) -> Option<BTreeMap<ProducerId, ProducerEntry>> {
        self.check(authorized);
        self.log().map(|log| log.producers())
    }

    /// Raises the log start to `offset`, −1 for the high watermark. `delete` does so, given the
    /// log, the offset and the high watermark, and makes it durable.
    pub fn delete_records(
        &self,
        authorized: &Authorized<'_, op::Delete, Topic>,
        offset: Offset,
        delete: impl FnOnce(&Log, Offset, Offset) -> Result<(), DeleteError>,
    ) -> Result<Deleted, DeleteError> {
        self.check(authorized);
        let inner = self.inner.read();
        let Inner { state, log: Some(log) } = &*inner else { return Err(DeleteError::NotLeader) };
        if !state.is_leader() {
            return Err(DeleteError::NotLeader);
        }
        if !log.config().cleanup_policy.delete {
            return Err(DeleteError::Policy);
        }
        let high_watermark = self.high_watermark();
        let requested = if offset == -1 { high_watermark } else { offset };
        delete(log, requested, high_watermark)?;
        self.settle_deletions(&inner, log);
        Ok(Deleted { requested, low_watermark: self.low_watermark(&inner, log) })
    }

    fn low_watermark(&self, inner: &Inner, log: &Log) -> Offset {
        inner
            .state
            .low_watermark(log.log_start_offset(), &|broker| self.around.cluster.is_alive(broker))
    }

    /// Enters part `part` of a request that waits until `offset` is deleted everywhere.
    pub fn await_deletion(
        &self,
        offset: Offset,
        request: &Arc<Countdown<Option<Offset>>>,
        part: usize,
    ) {
        self.deletions.enter(offset, request, part);
        let inner = self.inner.read();
        match &inner.log {
            Some(log) if inner.state.is_leader() => self.settle_deletions(&inner, log),
            _ => request.settle(part, None),
        }
    }

    pub(super) fn settle_deletions(&self, inner: &Inner, log: &Log) {
        if !self.deletions.is_empty() {
            let low = self.low_watermark(inner, log);
            self.deletions.reached(low, &Some(low));
        }
    }
}

/// Where each segment begins and when its file was last written, then the log end, as of no time.
fn segment_starts(log: &Log) -> Vec<(Offset, TimestampMs)> {
    let (path, log_start) = (log.path(), log.log_start_offset());
    let segments = log.segment_sizes();
    let mut starts: Vec<_> = segments
        .iter()
        .map(|(base, _)| {
            let changed = std::fs::metadata(path.join(format!("{base:020}.log")))
                .and_then(|file| file.modified())
                .ok()
                .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok())
                .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
            ((*base).max(log_start), changed)
        })
        .collect();
    if segments.last().is_some_and(|(_, size)| *size > 0) {
        starts.push((log.log_end_offset(), TimestampMs::MAX));
    }
    starts
}
