//! A simulated broker's ISR changes: the real queue, driven as the broker's loops drive it. Knows
//! nothing of why an ISR changes.

use protocol::ids::TopicPartition;

use crate::broker::{Asked, Broker};
use crate::context::{Context, Timer};
use crate::message::{CallId, ControllerRequest, Flow, Node, Packet, Request, Response};

const RETRY_MS: i64 = 50;
const CALL_TIMEOUT_MS: u64 = 3_000;
/// The newest of AlterPartition, as two of ours speak it.
pub const VERSION: i16 = 3;

impl Broker {
    pub fn shrink_isrs(&mut self, now_ms: i64) {
        for partition in self.partitions() {
            partition.shrink_isr(now_ms);
        }
    }

    fn sync_waiting(&self, now_ms: i64) {
        let find = |tp: &TopicPartition| self.replicas.hosted(&tp.topic, tp.partition).ok();
        let failed = self.replicas.isr_changes().sync_waiting(find, now_ms);
        assert!(failed.is_empty(), "a healthy disk syncs: {failed:?}");
    }

    /// Syncs what waits for it and asks the controller, if nothing is under way.
    pub fn drive_isr_changes(&mut self, ctx: &mut Context<'_>) {
        self.sync_waiting(ctx.now_ms());
        let changes = self.replicas.isr_changes();
        if self.isr_asked.is_some() || changes.is_empty() {
            return;
        }
        if ctx.now_ms() < self.isr_retry_ms {
            return ctx.wake_at(self.isr_retry_ms as u64, Timer::IsrChanges);
        }
        let Some(controller) = self.metadata.snapshot().controller_id else {
            return self.isr_pause(ctx);
        };
        let Some((request, _)) = changes.next_request(self.id, self.broker_epoch, VERSION) else {
            return;
        };
        let id = ctx.fresh();
        self.isr_asked = Some(id);
        let request = Request::Controller(ControllerRequest::AlterPartition(Box::new(request)));
        let flow = Flow::ToController(self.isr_flow);
        ctx.send(Node::Broker(controller), flow, Packet::Call { id, request });
        self.ask(id, Asked::IsrChange, CALL_TIMEOUT_MS, ctx);
    }

    fn isr_pause(&mut self, ctx: &mut Context<'_>) {
        self.isr_retry_ms = ctx.now_ms() + RETRY_MS;
        ctx.wake_in(RETRY_MS as u64, Timer::IsrChanges);
    }

    pub fn isr_change_failed(&mut self, id: CallId, ctx: &mut Context<'_>) {
        if self.isr_asked == Some(id) {
            self.isr_asked = None;
            self.isr_flow = ctx.fresh();
            self.replicas.isr_changes().unanswered();
            self.isr_pause(ctx);
        }
    }

    pub fn isr_change_answered(&mut self, id: CallId, response: Response, ctx: &mut Context<'_>) {
        if self.isr_asked != Some(id) {
            return;
        }
        let Response::IsrChanged(response) = response else {
            return self.isr_change_failed(id, ctx);
        };
        self.isr_asked = None;
        let now_ms = ctx.now_ms();
        let find = |tp: &TopicPartition| self.replicas.hosted(&tp.topic, tp.partition).ok();
        if self.replicas.isr_changes().settle(find, &response, now_ms) {
            self.isr_pause(ctx);
        }
    }
}
