//! What an answer means for each partition, and what becomes of its state once the order was
//! carried out. Knows nothing of how requests are built.

use std::collections::BTreeSet;

use protocol::error_code::ErrorCode;
use protocol::ids::{LeaderEpoch, Offset, TimestampMs, TopicPartition};
use protocol::messages::fetch::{FetchResponse, PartitionData};

use super::{Entry, Follower, Order, PartitionOrder, SessionFault, Stage};
use crate::truncation::EpochEnd;

impl Follower {
    /// Takes the answer to the last request. Orders come in the answer's order. After a fault all
    /// partitions stay as they are, or pause if it is not the first in a row.
    pub fn on_response(
        &mut self,
        response: FetchResponse,
        now_ms: TimestampMs,
    ) -> Result<Vec<PartitionOrder>, SessionFault> {
        let answered = self.accept(response).inspect_err(|fault| {
            self.faults += 1;
            let other_kind =
                *fault == SessionFault::Refused(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
            if self.faults > 1 || other_kind {
                self.delay_all(now_ms);
            }
        })?;
        self.faults = 0;
        let orders = answered.into_iter().filter_map(|(partition, data)| {
            let (leader_epoch, order) = self.judge(&partition, data, now_ms)?;
            Some(PartitionOrder { partition, leader_epoch, order })
        });
        Ok(orders.collect())
    }

    /// No answer came: the next request begins a new session, and every partition pauses.
    pub fn on_network_error(&mut self, now_ms: TimestampMs) {
        self.session.restart();
        self.delay_all(now_ms);
    }

    /// The answer is not waited for any longer: the next request begins a new session.
    pub fn on_given_up(&mut self) {
        self.session.restart();
    }

    /// The records of an `Append` are in the log; `next_offset` is its end then, `None` if there
    /// were none to append. `last_epoch` is the latest in the log, `high_watermark` the leader's.
    pub fn appended(
        &mut self,
        partition: &TopicPartition,
        leader_epoch: LeaderEpoch,
        next_offset: Option<Offset>,
        last_epoch: Option<LeaderEpoch>,
        high_watermark: Offset,
    ) {
        let Some(entry) = self.current(partition, leader_epoch) else { return };
        let state = &mut entry.state;
        let first = state.lag.is_none();
        state.pauses = 0;
        state.offset = next_offset.unwrap_or(state.offset);
        state.lag = Some((high_watermark - state.offset).max(0));
        if next_offset.is_some() {
            state.last_epoch = last_epoch.or(state.last_epoch);
        }
        if first || next_offset.is_some() {
            state.delayed_until_ms = None;
            self.move_to_end(partition);
        }
    }

    /// The log ends at `offset` now, in `last_epoch`.
    pub fn truncated(
        &mut self,
        partition: &TopicPartition,
        leader_epoch: LeaderEpoch,
        offset: Offset,
        last_epoch: Option<LeaderEpoch>,
    ) {
        let Some(entry) = self.current(partition, leader_epoch) else { return };
        entry.state.offset = offset;
        entry.state.last_epoch = last_epoch;
        entry.state.stage = Stage::Fetching;
    }

    /// An offset that was out of range has been settled: the log goes on at `offset`, `lag` before
    /// the leader's end.
    pub fn restarted(
        &mut self,
        partition: &TopicPartition,
        leader_epoch: LeaderEpoch,
        offset: Offset,
        last_epoch: Option<LeaderEpoch>,
        lag: i64,
    ) {
        self.truncated(partition, leader_epoch, offset, last_epoch);
        let Some(entry) = self.current(partition, leader_epoch) else { return };
        entry.state.lag = Some(lag);
        entry.state.delayed_until_ms = None;
        self.move_to_end(partition);
    }

    /// The leader did not tell its offsets, asked under `leader_epoch`.
    pub fn refused(
        &mut self,
        partition: &TopicPartition,
        leader_epoch: LeaderEpoch,
        code: ErrorCode,
        now_ms: TimestampMs,
    ) -> Order {
        if code == ErrorCode::FENCED_LEADER_EPOCH && self.fail(partition, leader_epoch) {
            return Order::Failed;
        }
        self.delay(partition, leader_epoch, now_ms);
        Order::Delayed(code)
    }

    /// Asks for the partition again after a pause.
    pub fn delay(
        &mut self,
        partition: &TopicPartition,
        leader_epoch: LeaderEpoch,
        now_ms: TimestampMs,
    ) {
        let backoff_ms = self.settings.backoff_ms;
        let Some(entry) = self.current(partition, leader_epoch) else { return };
        if !entry.state.is_delayed(now_ms) {
            entry.state.pause(backoff_ms, now_ms);
            self.move_to_end(partition);
        }
    }

    fn delay_all(&mut self, now_ms: TimestampMs) {
        for entry in self.entries.values_mut().filter(|entry| !entry.state.is_delayed(now_ms)) {
            entry.state.pause(self.settings.backoff_ms, now_ms);
        }
    }

    /// Follows the partition no more, until the controller orders it anew; `false` if it is not
    /// followed in that epoch.
    pub fn fail(&mut self, partition: &TopicPartition, leader_epoch: LeaderEpoch) -> bool {
        let current = self.current(partition, leader_epoch).is_some();
        if current {
            self.stop(partition);
        }
        current
    }

    /// Checks an answer as a whole and finds out which partitions it speaks of.
    fn accept(
        &mut self,
        response: FetchResponse,
    ) -> Result<Vec<(TopicPartition, PartitionData)>, SessionFault> {
        let code = ErrorCode(response.error_code);
        if code != ErrorCode::NONE {
            self.session.refused(code);
            return Err(SessionFault::Refused(code));
        }
        let full = self.session.is_full();
        if full && response.responses.is_empty() && response.throttle_time_ms > 0 {
            self.session.answered(0);
            return Err(SessionFault::Throttled);
        }
        let (session_id, answered) = (response.session_id, self.named(response));
        let fits = answered.as_ref().is_some_and(|answered| {
            let all = || answered.iter().map(|(partition, _)| partition).collect::<BTreeSet<_>>();
            answered.iter().all(|(partition, _)| self.is_in_session(partition))
                && (!full || all() == self.session_partitions())
        });
        match answered {
            Some(answered) if fits => {
                self.session.answered(session_id);
                Ok(answered)
            }
            _ => {
                match full {
                    true => self.session.answered(0),
                    false => self.session.restart(),
                }
                Err(SessionFault::Mismatch)
            }
        }
    }

    /// `None` if a topic id is not in the session.
    fn named(&self, response: FetchResponse) -> Option<Vec<(TopicPartition, PartitionData)>> {
        let mut answered = Vec::new();
        for topic in response.responses {
            let name = match self.by_id {
                false => topic.topic,
                true => self.names.get(&topic.topic_id)?.clone(),
            };
            for data in topic.partitions {
                let partition = TopicPartition::new(name.clone(), data.partition_index);
                answered.push((partition, data));
            }
        }
        Some(answered)
    }

    /// What to do with one partition's answer; `None` if it is about a state that is gone.
    fn judge(
        &mut self,
        partition: &TopicPartition,
        data: PartitionData,
        now_ms: TimestampMs,
    ) -> Option<(LeaderEpoch, Order)> {
        let entry = self.entry(partition).filter(|entry| is_answer_to(entry, now_ms))?;
        let (leader_epoch, offset) = (entry.state.leader_epoch, entry.state.offset);
        let diverging = &data.diverging_epoch;
        let order = match ErrorCode(data.error_code) {
            ErrorCode::NONE if diverging.epoch >= 0 => {
                let leader = EpochEnd { epoch: diverging.epoch, end_offset: diverging.end_offset };
                Order::Diverged { leader, offset }
            }
            ErrorCode::NONE => Order::Append {
                offset,
                records: data.records.unwrap_or_default(),
                high_watermark: data.high_watermark,
                log_start: data.log_start_offset,
            },
            ErrorCode::OFFSET_OUT_OF_RANGE => Order::OutOfRange,
            // Asked under the epoch that is still ours: the controller's word is on its way.
            ErrorCode::FENCED_LEADER_EPOCH => {
                self.fail(partition, leader_epoch);
                Order::Failed
            }
            code => {
                self.delay(partition, leader_epoch, now_ms);
                Order::Delayed(code)
            }
        };
        Some((leader_epoch, order))
    }
}

/// Whether the partition is still where it was when it was asked for.
fn is_answer_to(entry: &Entry, now_ms: TimestampMs) -> bool {
    entry.asked.as_ref().is_some_and(|asked| {
        asked.offset == entry.state.offset && asked.leader_epoch == entry.state.leader_epoch
    }) && entry.state.is_ready(now_ms)
}
