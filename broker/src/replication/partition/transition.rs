//! A partition's changes of role, as the controller orders them. Knows nothing of LeaderAndIsr's
//! message; which partitions exist is the manager's business.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use protocol::ids::{Offset, TimestampMs, Uuid};
use replica::partition::{MadeLeader, PartitionAssignment, Verdict};
use storage::{Log, StorageError};

use super::{AckOutcome, Inner, Partition};
use crate::delayed::fetch::{Moved, UNKNOWN_BYTES};

/// What an order of the controller changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Became {
    /// Leads, with the log end at which its epoch began if the epoch is new.
    Leader {
        new_epoch: bool,
    },
    Follower {
        new_epoch: bool,
    },
    /// The partition epoch is older than ours.
    Unchanged,
}

impl Partition {
    /// What to do with an order, by its leader epoch.
    pub fn judge(&self, assignment: &PartitionAssignment) -> Verdict {
        self.inner.read().state.judge(assignment)
    }

    /// Whether an id from outside may be this partition's: one of them is unknown, or they agree.
    pub fn is_consistent_with(&self, topic_id: Uuid) -> bool {
        topic_id.is_zero() || self.topic_id().is_none_or(|id| id == topic_id)
    }

    /// Gives the partition its log. `high_watermark` comes from the checkpoint and is bounded by
    /// the log.
    pub fn attach_log(&self, log: Arc<Log>, high_watermark: Offset) {
        let bounded = high_watermark.clamp(log.log_start_offset(), log.log_end_offset());
        let mut inner = self.inner.write();
        if inner.log.is_none() {
            self.high_watermark.store(bounded, Ordering::Release);
            log.on_high_watermark(bounded);
            inner.log = Some(log);
        }
    }

    /// Leads from now on. The log must be attached; a topic id that it lacks is written into it.
    pub fn lead(
        &self,
        assignment: &PartitionAssignment,
        topic_id: Uuid,
        now_ms: TimestampMs,
    ) -> Result<Became, StorageError> {
        let mut inner = self.inner.write();
        let Inner { state, log } = &mut *inner;
        let log = log.clone().expect("the manager attaches the log first");
        if !topic_id.is_zero() {
            log.assign_topic_id(topic_id)?;
        }
        if !state.is_leader() {
            log.recall_ended(self.high_watermark(), now_ms)?;
        }
        let had_others = state.replicas().len() > 1;
        let made = state.make_leader(assignment, log.log_end_offset(), now_ms);
        let became = match made {
            MadeLeader::Outdated => return Ok(Became::Unchanged),
            MadeLeader::SameEpoch => Became::Leader { new_epoch: false },
            MadeLeader::NewEpoch { epoch, start, .. } => {
                log.assign_epoch(epoch, start);
                tracing::info!(partition = ?self, epoch, start, "leads");
                Became::Leader { new_epoch: true }
            }
        };
        let inner = parking_lot::RwLockWriteGuard::downgrade(inner);
        self.advance_and_wake(&inner, &log, now_ms);
        self.sync_if_thin(&inner, &log, had_others);
        drop(inner);
        if became == (Became::Leader { new_epoch: true }) {
            // A fetch that waits with the former epoch is fenced now.
            self.fetches.wake_all();
        }
        Ok(became)
    }

    /// Follows another broker, or nobody. Whoever waits here is told to go elsewhere.
    pub fn follow(
        &self,
        assignment: &PartitionAssignment,
        topic_id: Uuid,
    ) -> Result<Became, StorageError> {
        let mut inner = self.inner.write();
        if let Some(log) = &inner.log
            && !topic_id.is_zero()
        {
            log.assign_topic_id(topic_id)?;
        }
        let Some(new_epoch) = inner.state.make_follower(assignment) else {
            return Ok(Became::Unchanged);
        };
        drop(inner);
        if new_epoch {
            self.release_waiters();
        }
        Ok(Became::Follower { new_epoch })
    }

    /// Writes a topic id into a log that has none.
    pub fn adopt_topic_id(&self, topic_id: Uuid) -> Result<(), StorageError> {
        match self.log() {
            Some(log) => log.assign_topic_id(topic_id),
            None => Ok(()),
        }
    }

    /// Ends everybody's wait: leadership went, or the partition does.
    pub fn release_waiters(&self) {
        self.acks.settle_all(&AckOutcome::NotLeader);
        self.deletions.settle_all(&None);
        self.fetches.wake_all();
    }

    /// Takes the log away, because it is deleted or its directory failed.
    pub fn detach_log(&self) -> Option<Arc<Log>> {
        let log = self.inner.write().log.take();
        self.release_waiters();
        log
    }

    /// Puts `future` in the log's place if it ends where the log does; `promote` does the same on
    /// disk, and nothing is appended meanwhile. Blocks on the disk.
    pub fn swap_log<E>(
        &self,
        future: &Arc<Log>,
        promote: impl FnOnce() -> Result<Arc<Log>, E>,
    ) -> Result<bool, E> {
        let mut inner = self.inner.write();
        let ends = |log: &Arc<Log>| log.log_end_offset() == future.log_end_offset();
        if !inner.log.as_ref().is_some_and(ends) {
            return Ok(false);
        }
        let log = promote()?;
        log.on_high_watermark(self.high_watermark());
        inner.log = Some(log);
        Ok(true)
    }

    /// Raises the watermark after something other than an append, and wakes who can read more.
    pub(super) fn advance_and_wake(&self, inner: &Inner, log: &Log, now_ms: TimestampMs) {
        if self.advance(inner, log, now_ms) {
            let moved = Moved { log_end: false, high_watermark: true, last_stable: true };
            self.fetches.grew(moved, UNKNOWN_BYTES);
        }
    }
}
