//! Who is in sync with this leader: followers' fetches, the ISR's changes and what the controller
//! answers. Knows nothing of how the controller is reached.

use std::sync::Arc;

use protocol::ids::{BrokerId, Offset, TimestampMs};
use replica::fetch_session::FetchAsk;
use replica::isr::{IsrAnswer, IsrChange, IsrOutcome};
use replica::partition::AccessError;
use replica::watermark::FollowerFetch;
use storage::Log;

use super::{Inner, Partition, min_isr};

impl Partition {
    /// Notes where a follower is by its fetch; `leader_end` was the log end when it was read. It
    /// may join the ISR by it.
    pub(super) fn follower_fetched(
        &self,
        follower: (BrokerId, i64),
        ask: &FetchAsk,
        leader_end: Offset,
        now_ms: TimestampMs,
    ) -> Result<(), AccessError> {
        let mut inner = self.inner.write();
        let Inner { state, log: Some(log) } = &mut *inner else {
            return Err(AccessError::NotLeader);
        };
        let (replica, broker_epoch) = follower;
        let log_start = ask.log_start;
        let fetch = FollowerFetch { offset: ask.fetch_offset, log_start, leader_end, broker_epoch };
        let log = log.clone();
        let moved = state.follower_fetched(replica, &fetch, now_ms)?;
        let offsets = self.offsets(&log);
        let alive = |broker| self.around.cluster.is_alive(broker);
        if let Some(change) = state.expand_isr(replica, &offsets, &alive) {
            let (before, after) = (state.isr().members(), &change.new_isr);
            tracing::info!(partition = ?self, ?before, ?after, "expanding the ISR");
            self.around.isr_changes.submit(self.name(), log.topic_id(), change);
        }
        let inner = parking_lot::RwLockWriteGuard::downgrade(inner);
        // Who held the watermark back may have stopped doing so since: it counts as caught up no
        // more, or it is gone.
        if moved || fetch.offset > offsets.high_watermark {
            self.advance_and_wake(&inner, &log, now_ms);
        }
        self.settle_deletions(&inner, &log);
        Ok(())
    }

    /// Asks for those who lag to leave the ISR; if the rest is thin, after the log is on disk.
    pub fn shrink_isr(&self, now_ms: TimestampMs) {
        let lag_ms = self.around.cluster.max_lag_ms();
        let mut inner = self.inner.write();
        let Inner { state, log: Some(log) } = &mut *inner else { return };
        let offsets = self.offsets(log);
        let Some(change) = state.shrink_isr(offsets.end, lag_ms, now_ms) else { return };
        let (before, after) = (state.isr().members(), &change.new_isr);
        tracing::info!(partition = ?self, ?before, ?after, ?offsets, "shrinking the ISR");
        let (name, topic_id) = (self.name(), log.topic_id());
        let changes = &self.around.isr_changes;
        if state.is_isr_thin(change.new_isr.len(), min_isr(log)) && log.is_dirty() {
            changes.sync_and_submit(name, topic_id, change);
        } else {
            changes.submit(name, topic_id, change);
        }
    }

    /// The controller confirmed this leader epoch: a change that it refused as of another state,
    /// such as another topic id, is asked for once more. Apache's leader waits for a new epoch.
    pub fn ask_isr_again(&self) {
        let mut inner = self.inner.write();
        let Inner { state, log: Some(log) } = &mut *inner else { return };
        if let Some(change) = state.ask_isr_again() {
            self.around.isr_changes.submit(self.name(), log.topic_id(), change);
        }
    }

    /// Takes the controller's answer to a change.
    pub fn isr_answered(
        &self,
        asked: &IsrChange,
        answer: &IsrAnswer,
        now_ms: TimestampMs,
    ) -> IsrOutcome {
        let mut inner = self.inner.write();
        let before = inner.state.isr().members().len();
        let outcome = inner.state.isr_answered(asked, answer);
        let members = inner.state.isr().members();
        self.around.isr_changes.count(outcome, before, members.len());
        tracing::info!(partition = ?self, ?outcome, ?members, "the controller answered");
        let Some(log) = inner.log.clone() else { return outcome };
        if matches!(outcome, IsrOutcome::Committed | IsrOutcome::Reverted) {
            let inner = parking_lot::RwLockWriteGuard::downgrade(inner);
            self.advance_and_wake(&inner, &log, now_ms);
            // What was appended since, and is committed by this answer.
            self.sync_if_thin(&inner, &log, false);
        }
        outcome
    }

    /// The log was synced: what waited for it may be committed.
    pub fn synced(&self, now_ms: TimestampMs) {
        let inner = self.inner.read();
        if let Some(log) = inner.log.clone() {
            self.advance_and_wake(&inner, &log, now_ms);
        }
    }

    /// Has the log synced if too few others hold it. `had_others`: there were more replicas before.
    pub(super) fn sync_if_thin(&self, inner: &Inner, log: &Arc<Log>, had_others: bool) {
        let isr_len = inner.state.isr().members().len();
        let thin = inner.state.is_isr_thin(isr_len, min_isr(log)) || (had_others && isr_len < 2);
        if thin && log.is_dirty() {
            self.around.isr_changes.sync(self.name());
        }
    }
}
