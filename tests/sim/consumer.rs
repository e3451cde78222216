//! A consumer: reads every partition from its beginning, each record once and in order.

use std::collections::BTreeMap;

use protocol::error_code::ErrorCode;
use protocol::ids::Offset;

use crate::admin::VOLATILE;
use crate::checker::Fact;
use crate::client::{Bootstrap, Place, Places, call};
use crate::context::{Context, Timer};
use crate::message::{CallId, Request, Response};
use crate::records;

#[derive(Debug, Default)]
pub struct Consumer {
    bootstrap: Bootstrap,
    positions: Places<Offset>,
    calls: BTreeMap<CallId, Place>,
}

impl Consumer {
    pub fn go_on(&mut self, ctx: &mut Context<'_>) {
        self.bootstrap.refresh(ctx);
        if let Some(from) = self.bootstrap.pick(ctx)
            && from.leader >= 0
        {
            let place = (from.tp.clone(), from.topic_id);
            let offset = *self.positions.entry(place.clone()).or_default();
            if !self.calls.values().any(|busy| *busy == place) {
                let leader_epoch = from.leader_epoch;
                let request =
                    Request::Consume { tp: from.tp, offset, leader_epoch, committed: false };
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
        let position = self.positions.entry(place.clone()).or_default();
        match response {
            Response::Consumed(Ok(consumed)) => {
                for (offset, cell) in records::cells(&consumed.records) {
                    if offset >= *position {
                        *position = offset + 1;
                        let place = place.clone();
                        ctx.learned.push(Fact::Consumed { place, offset, cell });
                    }
                }
            }
            Response::Consumed(Err(code)) => {
                self.bootstrap.stale = true;
                if code == ErrorCode::OFFSET_OUT_OF_RANGE && place.0.topic != VOLATILE {
                    let what = format!("{place:?} does not have what was consumed from it");
                    ctx.learned.push(Fact::Wrong(what));
                }
            }
            other => panic!("{other:?} answers a consumer's Fetch"),
        }
    }

    pub fn unanswered(&mut self, id: CallId, _ctx: &mut Context<'_>) {
        if !self.bootstrap.lost(id) && self.calls.remove(&id).is_some() {
            self.bootstrap.stale = true;
        }
    }
}
