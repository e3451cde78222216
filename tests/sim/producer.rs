//! A producer: one batch at a time in each partition, sent again until it is answered. With acks
//! −1 it is idempotent.

use std::collections::BTreeMap;

use coordinator::shard::Producer as Identity;
use protocol::error_code::ErrorCode;

use crate::admin::VOLATILE;
use crate::checker::Fact;
use crate::client::{Bootstrap, Place, Places, call};
use crate::context::{Context, Timer};
use crate::message::{CallId, PartitionMetadata, Request, Response};
use crate::records::{self, Sequence};

const RETRY_MS: i64 = 100;
/// The number of the producer that writes with acks −1.
pub const IDEMPOTENT: u32 = 2;

#[derive(Debug, Default)]
struct Sending {
    sequence: i32,
    values: Vec<u64>,
    asked: Option<CallId>,
    retry_ms: i64,
}

#[derive(Debug)]
pub struct Producer {
    number: u32,
    acks: i16,
    bootstrap: Bootstrap,
    sending: Places<Sending>,
    calls: BTreeMap<CallId, Place>,
    produced: u64,
    pub quiet: bool,
}

impl Producer {
    pub fn new(number: u32, acks: i16) -> Producer {
        Producer {
            number,
            acks,
            bootstrap: Bootstrap::default(),
            sending: BTreeMap::new(),
            calls: BTreeMap::new(),
            produced: 0,
            quiet: false,
        }
    }

    /// Whether the producer of this value is idempotent: the first of all.
    pub fn is_idempotent(value: u64) -> bool {
        value >> 40 == u64::from(IDEMPOTENT)
    }

    pub fn is_idle(&self) -> bool {
        self.sending.iter().all(|((tp, _), s)| s.values.is_empty() || tp.topic == VOLATILE)
    }

    pub fn go_on(&mut self, ctx: &mut Context<'_>) {
        self.bootstrap.refresh(ctx);
        if let Some(to) = self.bootstrap.pick(ctx)
            && to.leader >= 0
            && (self.acks == 1 || to.tp.topic != VOLATILE)
        {
            self.send(to, ctx);
        }
        let pause_ms = ctx.random.between(8, 40);
        ctx.wake_in(pause_ms, Timer::Client);
    }

    fn send(&mut self, to: PartitionMetadata, ctx: &mut Context<'_>) {
        let place = (to.tp.clone(), to.topic_id);
        let sending = self.sending.entry(place.clone()).or_default();
        if sending.asked.is_some() || ctx.now_ms() < sending.retry_ms {
            return;
        }
        if sending.values.is_empty() {
            if self.quiet {
                return;
            }
            for _ in 0..ctx.random.between(1, 4) {
                self.produced += 1;
                sending.values.push(u64::from(self.number) << 40 | self.produced);
            }
        }
        let producer = Identity { id: 1000 + i64::from(self.number), epoch: 0 };
        let sequence = Sequence { producer, first: sending.sequence, transactional: false };
        let sequence = (self.acks == -1).then_some(sequence);
        let records = records::batch(&sending.values, sequence, ctx.now_ms());
        let request =
            Request::Produce { tp: to.tp, acks: self.acks, records, transactional_id: None };
        let id = call(to.leader, request, ctx);
        sending.asked = Some(id);
        self.calls.insert(id, place);
    }

    pub fn answered(&mut self, id: CallId, response: Response, ctx: &mut Context<'_>) {
        let Some(response) = self.bootstrap.take(id, response, ctx) else { return };
        let Some(place) = self.calls.remove(&id) else { return };
        let Some(sending) = self.sending.get_mut(&place) else { return };
        sending.asked = None;
        match response {
            Response::Produced(Ok(offset)) => {
                let values = std::mem::take(&mut sending.values);
                sending.sequence += values.len() as i32;
                if self.acks == -1 {
                    ctx.learned.push(Fact::Acked { place, offset, values });
                }
            }
            Response::Produced(Err(code)) => {
                sending.retry_ms = ctx.now_ms() + RETRY_MS;
                self.bootstrap.stale = true;
                if code == ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER {
                    ctx.learned.push(Fact::OutOfOrder { place });
                }
            }
            other => panic!("{other:?} answers a Produce"),
        }
    }

    pub fn unanswered(&mut self, id: CallId, ctx: &mut Context<'_>) {
        if self.bootstrap.lost(id) {
            return;
        }
        let Some(place) = self.calls.remove(&id) else { return };
        if let Some(sending) = self.sending.get_mut(&place) {
            sending.asked = None;
            sending.retry_ms = ctx.now_ms() + RETRY_MS;
        }
        self.bootstrap.stale = true;
    }
}
