//! A simulated broker that stops cleanly: its leaderships go first, if the controller can be asked.

use protocol::ids::BrokerId;

use crate::broker::{Asked, Broker};
use crate::context::{Context, Timer};
use crate::message::{ControllerRequest, Flow, Node, Packet, Request, Response};

/// `controlled.shutdown.max.retries`.
const TRIES_MAX: u32 = 3;
const RETRY_MS: u64 = 500;
const CALL_TIMEOUT_MS: u64 = 3_000;

#[derive(Debug, Default)]
pub struct Stopping {
    tries: u32,
    /// Its logs are closed and its session is ended: the process goes.
    pub done: bool,
}

impl Broker {
    pub fn stop(&mut self, ctx: &mut Context<'_>) {
        if self.stopping.is_none() {
            self.stopping = Some(Stopping::default());
            self.shutdown_again(ctx);
        }
        self.pump(ctx);
    }

    pub fn shutdown_again(&mut self, ctx: &mut Context<'_>) {
        let controller: Option<BrokerId> = self.metadata.snapshot().controller_id;
        let Some(stopping) = &mut self.stopping else { return };
        stopping.tries += 1;
        let Some(controller) = controller.filter(|_| stopping.tries <= TRIES_MAX) else {
            return self.finish(ctx);
        };
        let id = ctx.fresh();
        let (broker, broker_epoch) = (self.id, self.broker_epoch);
        let request = Request::Controller(ControllerRequest::Shutdown { broker, broker_epoch });
        ctx.send(Node::Broker(controller), Flow::ToController(id), Packet::Call { id, request });
        self.ask(id, Asked::Shutdown, CALL_TIMEOUT_MS, ctx);
    }

    pub fn shutdown_answered(&mut self, response: Response, ctx: &mut Context<'_>) {
        match response {
            Response::Shutdown(Ok(left)) if left.is_empty() => self.finish(ctx),
            _ => ctx.wake_in(RETRY_MS, Timer::Shutdown),
        }
    }

    pub fn shutdown_unanswered(&mut self, ctx: &mut Context<'_>) {
        ctx.wake_in(RETRY_MS, Timer::Shutdown);
    }

    fn finish(&mut self, ctx: &mut Context<'_>) {
        self.close(ctx);
        if let Some(stopping) = &mut self.stopping {
            stopping.done = true;
        }
    }
}
