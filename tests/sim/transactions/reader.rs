//! A consumer with `read_committed`: leaves out what the brokers say was aborted, as Kafka's
//! consumers do, and tells the checker of every offset that it passed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol::error_code::ErrorCode;
use protocol::ids::{Offset, ProducerId};

use crate::admin::LASTING;
use crate::checker::Fact;
use crate::client::{Bootstrap, Place, Places, call};
use crate::context::{Context, Timer};
use crate::message::{CallId, Consumed, Request, Response};
use crate::records::{self, Cell, Kind};

#[derive(Debug, Default)]
pub struct CommittedReader {
    bootstrap: Bootstrap,
    positions: Places<Offset>,
    calls: BTreeMap<CallId, Place>,
}

impl CommittedReader {
    pub fn go_on(&mut self, ctx: &mut Context<'_>) {
        self.bootstrap.refresh(ctx);
        if let Some(from) = self.bootstrap.pick(ctx)
            && from.leader >= 0
            && from.tp.topic == LASTING
        {
            let place = (from.tp.clone(), from.topic_id);
            let offset = *self.positions.entry(place.clone()).or_default();
            if !self.calls.values().any(|busy| *busy == place) {
                let leader_epoch = from.leader_epoch;
                let request =
                    Request::Consume { tp: from.tp, offset, leader_epoch, committed: true };
                let id = call(from.leader, request, ctx);
                self.calls.insert(id, place);
            }
        }
        let pause_ms = ctx.random.between(10, 60);
        ctx.wake_in(pause_ms, Timer::Client);
    }

    pub fn answered(&mut self, id: CallId, response: Response, ctx: &mut Context<'_>) {
        let Some(response) = self.bootstrap.take(id, response, ctx) else { return };
        let Some(place) = self.calls.remove(&id) else { return };
        match response {
            Response::Consumed(Ok(consumed)) => {
                let position = self.positions.entry(place.clone()).or_default();
                let from = *position;
                let (cells, next) = committed(&consumed, from);
                *position = next;
                if next > from {
                    ctx.learned.push(Fact::ReadCommitted { place, from, next, cells });
                }
            }
            Response::Consumed(Err(code)) => {
                self.bootstrap.stale = true;
                if code == ErrorCode::OFFSET_OUT_OF_RANGE {
                    let what = format!("{place:?} does not have what was read from it");
                    ctx.learned.push(Fact::Wrong(what));
                }
            }
            other => panic!("{other:?} answers a consumer's Fetch"),
        }
    }

    pub fn unanswered(&mut self, id: CallId) {
        if !self.bootstrap.lost(id) && self.calls.remove(&id).is_some() {
            self.bootstrap.stale = true;
        }
    }
}

/// The records from `from` on that were not aborted, and where to go on.
fn committed(consumed: &Consumed, from: Offset) -> (Vec<(Offset, Cell)>, Offset) {
    let mut aborted: Vec<(Offset, ProducerId)> =
        consumed.aborted.iter().map(|(producer, first)| (*first, *producer)).collect();
    aborted.sort_unstable();
    let mut aborted = VecDeque::from(aborted);
    let mut aborting: BTreeSet<ProducerId> = BTreeSet::new();
    let (mut found, mut next) = (Vec::new(), from);
    for (offset, cell) in records::cells(&consumed.records) {
        while let Some((first, producer)) = aborted.front().copied()
            && first <= offset
        {
            aborted.pop_front();
            aborting.insert(producer);
        }
        let wanted = match cell.kind {
            Kind::Plain => true,
            Kind::InTransaction => !aborting.contains(&cell.producer.id),
            Kind::Commit => false,
            Kind::Abort => {
                aborting.remove(&cell.producer.id);
                false
            }
        };
        if offset >= from {
            next = offset + 1;
            if wanted {
                found.push((offset, cell));
            }
        }
    }
    (found, next)
}
