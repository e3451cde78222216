//! The controller of one simulated broker: what `controller::run` and the broker's
//! channels do around the core, without tasks. Knows nothing of what an event means.

use std::collections::{BTreeMap, VecDeque};

use broker::handlers::alter_partition::{as_asked, respond};
use controller::event::RequestError;
use controller::{
    Answer, ControlRequest, ControlResponse, Controller, Effect, Event, Input, Output, Settings,
    Ticket,
};
use metadata::store::{Reply, StoreError, StoreEvent};
use protocol::error_code::ErrorCode;
use protocol::ids::BrokerId;
use protocol::messages::alter_partition::AlterPartitionResponse;

use crate::broker::{Asked, Broker};
use crate::context::{Context, Timer};
use crate::isr;
use crate::message::{CallId, ControllerRequest, Flow, Node, Packet, Request, Response};
use crate::zookeeper_client::Owner;

/// Pause before a request is sent again.
const RETRY_MS: u64 = 100;
/// `controller.socket.timeout.ms` here.
const CALL_TIMEOUT_MS: u64 = 3_000;
const TICK_MS: u64 = 1_000;

/// Where an answer goes.
#[derive(Debug, Clone, Copy)]
pub struct ReplyTo {
    pub node: Node,
    pub flow: Flow,
    pub id: CallId,
}

pub struct ControllerLoop {
    core: Controller,
    /// The session that the core works in; 0 while there is none.
    session_id: i64,
    events: VecDeque<StoreEvent>,
    inbox: VecDeque<Event>,
    /// Operations are on their way; nothing is fed until they are back.
    open: bool,
    /// The broker is registered: from then on it takes part.
    pub running: bool,
    waiting: BTreeMap<Ticket, ReplyTo>,
    next_ticket: Ticket,
    channels: BTreeMap<BrokerId, Channel>,
}

struct Channel {
    queue: VecDeque<ControlRequest>,
    asked: Option<CallId>,
    flow: u64,
    /// Not before.
    retry_ms: i64,
}

impl ControllerLoop {
    pub fn new(settings: Settings, seed: u64) -> ControllerLoop {
        ControllerLoop {
            core: Controller::new(settings, seed),
            session_id: 0,
            events: VecDeque::new(),
            inbox: VecDeque::new(),
            open: false,
            running: false,
            waiting: BTreeMap::new(),
            next_ticket: 0,
            channels: BTreeMap::new(),
        }
    }

    pub fn tell(&mut self, event: StoreEvent) {
        if self.running {
            self.events.push_back(event);
        }
    }

    fn step(&mut self, input: Input, now_ms: i64) -> Output {
        self.core.step(input, now_ms)
    }
}

impl Broker {
    /// Registered: the loop begins with the session in force.
    pub fn start_controller(&mut self, ctx: &mut Context<'_>) {
        if !self.control.running {
            self.control.running = true;
            let session_id = self.zookeeper.session_id();
            self.control.events.push_back(StoreEvent::SessionStarted { session_id });
            ctx.wake_in(TICK_MS, Timer::Controller);
        }
    }

    pub fn controller_tick(&mut self, ctx: &mut Context<'_>) {
        self.control.inbox.push_back(Event::Tick);
        ctx.wake_in(TICK_MS, Timer::Controller);
    }

    /// Feeds one event, if there is one and the core can take it.
    pub fn feed_controller(&mut self, ctx: &mut Context<'_>) -> bool {
        if self.control.open {
            return false;
        }
        let event = match self.control.events.pop_front() {
            Some(StoreEvent::Changed { path, .. }) => Event::Changed { path },
            Some(StoreEvent::SessionStarted { session_id }) => {
                if session_id == 0 || session_id == self.control.session_id {
                    return true;
                }
                if self.control.session_id != 0 {
                    self.controller_session_over(ctx);
                }
                self.control.session_id = session_id;
                Event::SessionStarted { session_id }
            }
            Some(StoreEvent::SessionExpired) => {
                self.controller_session_over(ctx);
                return true;
            }
            Some(StoreEvent::Disconnected | StoreEvent::Reconnected) => return true,
            None => match self.control.inbox.pop_front() {
                Some(event) => event,
                None => return false,
            },
        };
        let output = self.control.step(Input::Event(event), ctx.now_ms());
        self.controller_output(output, ctx);
        true
    }

    pub fn controller_results(
        &mut self,
        results: Vec<Result<Reply, StoreError>>,
        ctx: &mut Context<'_>,
    ) {
        self.control.open = false;
        let output = self.control.step(Input::Results(results), ctx.now_ms());
        self.controller_output(output, ctx);
    }

    fn controller_session_over(&mut self, ctx: &mut Context<'_>) {
        self.control.session_id = 0;
        let output = self.control.step(Input::Event(Event::SessionExpired), ctx.now_ms());
        self.controller_output(output, ctx);
        // Who still waits learns that this is not the controller.
        for to in std::mem::take(&mut self.control.waiting).into_values() {
            ctx.send(
                to.node,
                to.flow,
                Packet::Answer { id: to.id, response: Response::NotController },
            );
        }
    }

    fn controller_output(&mut self, output: Output, ctx: &mut Context<'_>) {
        for effect in output.effects {
            self.perform(effect, ctx);
        }
        if let Some(ops) = output.ops {
            self.control.open = true;
            let session = self.control.session_id;
            let happened = self.zookeeper.submit(Owner::Controller, session, ops, ctx);
            self.happened.extend(happened);
        }
    }

    fn perform(&mut self, effect: Effect, ctx: &mut Context<'_>) {
        match effect {
            Effect::Answer { ticket, answer } => {
                if let Some(to) = self.control.waiting.remove(&ticket) {
                    let response = response_of(answer);
                    ctx.send(to.node, to.flow, Packet::Answer { id: to.id, response });
                }
            }
            Effect::Role(_) => {}
            Effect::Connect { broker, .. } => {
                let channel =
                    Channel { queue: VecDeque::new(), asked: None, flow: ctx.fresh(), retry_ms: 0 };
                self.control.channels.insert(broker, channel);
            }
            Effect::Disconnect { broker } => drop(self.control.channels.remove(&broker)),
            Effect::Send(request) => {
                let broker = request.broker;
                if let Some(channel) = self.control.channels.get_mut(&broker) {
                    channel.queue.push_back(request);
                    self.drive_link(broker, ctx);
                }
            }
        }
    }

    /// Sends the next request to a broker, if its channel is free.
    pub fn drive_link(&mut self, broker: BrokerId, ctx: &mut Context<'_>) {
        let Some(channel) = self.control.channels.get_mut(&broker) else { return };
        if channel.asked.is_some() {
            return;
        }
        if channel.retry_ms > ctx.now_ms() {
            return ctx.wake_at(channel.retry_ms as u64, Timer::Link(broker));
        }
        let Some(request) = channel.queue.front().cloned() else { return };
        let flow = Flow::Control(channel.flow);
        let id = ctx.fresh();
        channel.asked = Some(id);
        let call = Packet::Call { id, request: Request::Control(request) };
        ctx.send(Node::Broker(broker), flow, call);
        self.ask(id, Asked::Link(broker), CALL_TIMEOUT_MS, ctx);
    }

    pub fn link_answered(
        &mut self,
        broker: BrokerId,
        id: CallId,
        response: ControlResponse,
        ctx: &mut Context<'_>,
    ) {
        let Some(channel) = self.control.channels.get_mut(&broker) else { return };
        if channel.asked != Some(id) {
            return;
        }
        channel.asked = None;
        let Some(request) = channel.queue.pop_front() else { return };
        let broker_epoch = request.broker_epoch;
        self.control.inbox.push_back(Event::Answered { broker, broker_epoch, response });
        self.drive_link(broker, ctx);
    }

    pub fn link_failed(&mut self, broker: BrokerId, id: CallId, ctx: &mut Context<'_>) {
        let Some(channel) = self.control.channels.get_mut(&broker) else { return };
        if channel.asked == Some(id) {
            channel.asked = None;
            channel.flow = ctx.fresh();
            channel.retry_ms = ctx.now_ms() + RETRY_MS as i64;
            ctx.wake_in(RETRY_MS, Timer::Link(broker));
        }
    }

    /// A request that only the controller can answer.
    pub fn serve_controller(
        &mut self,
        request: ControllerRequest,
        to: ReplyTo,
        _ctx: &mut Context<'_>,
    ) {
        let ticket = self.control.next_ticket;
        self.control.next_ticket += 1;
        self.control.waiting.insert(ticket, to);
        self.control.inbox.push_back(match request {
            ControllerRequest::Shutdown { broker, broker_epoch } => {
                Event::ControlledShutdown { ticket, broker, broker_epoch }
            }
            ControllerRequest::AlterPartition(request) => {
                Event::AlterPartition { ticket, request: as_asked(isr::VERSION, *request) }
            }
        });
    }
}

fn response_of(answer: Answer) -> Response {
    match answer {
        Answer::Shutdown(result) => Response::Shutdown(result),
        Answer::Isr(Ok(answers)) => Response::IsrChanged(Box::new(respond(isr::VERSION, answers))),
        Answer::Isr(Err(RequestError::NotController)) => Response::NotController,
        Answer::Isr(Err(error)) => {
            let error_code = match error {
                RequestError::Failed(_) => ErrorCode::UNKNOWN_SERVER_ERROR,
                _ => ErrorCode::STALE_BROKER_EPOCH,
            };
            let response =
                AlterPartitionResponse { error_code: error_code.0, ..Default::default() };
            Response::IsrChanged(Box::new(response))
        }
        other => panic!("nobody asked for {other:?}"),
    }
}
