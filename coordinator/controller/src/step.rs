//! The controller as a state machine: one input, the effects, and perhaps operations on the store
//! whose results are the next input. Knows nothing of time or of how operations are carried out.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use protocol::ids::{BrokerId, TimestampMs};

use super::core::Core;
use super::effect::{Effect, Role};
use super::event::Event;
use metadata::store::{Op, Reply, StoreError};

/// The configuration that the controller minds.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// This broker.
    pub broker_id: BrokerId,
    /// Name of the listener that brokers use among themselves.
    pub inter_broker_listener: String,
    /// `ottla.controller.eligible`: whether this broker takes part in elections.
    pub eligible: bool,
    /// `delete.topic.enable`.
    pub delete_topic_enable: bool,
    /// `unclean.leader.election.enable`, where a topic says nothing itself.
    pub unclean_leader_election_enable: bool,
    /// `auto.leader.rebalance.enable`.
    pub auto_leader_rebalance_enable: bool,
    /// `leader.imbalance.check.interval.seconds`, in milliseconds.
    pub leader_imbalance_check_interval_ms: i64,
    /// `leader.imbalance.per.broker.percentage`.
    pub leader_imbalance_per_broker_percentage: i32,
}

impl Settings {
    /// Kafka's defaults.
    pub fn new(broker_id: BrokerId, inter_broker_listener: impl Into<String>) -> Self {
        Self {
            broker_id,
            inter_broker_listener: inter_broker_listener.into(),
            eligible: true,
            delete_topic_enable: true,
            unclean_leader_election_enable: false,
            auto_leader_rebalance_enable: true,
            leader_imbalance_check_interval_ms: 300_000,
            leader_imbalance_per_broker_percentage: 10,
        }
    }
}

/// What is fed in.
#[derive(Debug)]
pub enum Input {
    /// Not while operations are open, except [`Event::SessionExpired`].
    Event(Event),
    /// One result for each operation of the last output, in order.
    Results(Vec<Result<Reply, StoreError>>),
}

/// What comes out of a step.
#[derive(Debug, Default, PartialEq)]
pub struct Output {
    /// To be carried out in order, before anything else is fed in.
    pub effects: Vec<Effect>,
    /// To be submitted to the store; [`Input::Results`] is then the next input.
    pub ops: Option<Vec<Op>>,
}

/// The controller's part of one broker.
pub struct Controller {
    wire: Io,
    settings: Settings,
    seed: u64,
    /// The handlers, stopped where they wait for an event or for the store.
    handlers: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Controller {
    /// `seed` feeds the topic ids that the controller gives to topics of old releases.
    pub fn new(settings: Settings, seed: u64) -> Self {
        let wire = Io::default();
        let handlers = start(&wire, &settings, seed);
        Self { wire, settings, seed, handlers }
    }

    pub fn step(&mut self, input: Input, now_ms: TimestampMs) -> Output {
        match &input {
            Input::Event(Event::SessionExpired) => return self.forget_all(now_ms),
            Input::Event(Event::SettingsChanged(settings)) => self.settings = settings.clone(),
            _ => {}
        }
        {
            let mut cell = self.wire.0.lock();
            cell.now_ms = now_ms;
            let waiting = cell.ops_open;
            assert_eq!(waiting, matches!(input, Input::Results(_)), "results follow operations");
            cell.ops_open = false;
            cell.input = Some(input);
        }
        let mut context = Context::from_waker(Waker::noop());
        let state = self.handlers.as_mut().poll(&mut context);
        assert!(state.is_pending(), "handlers wait for the next event for ever");
        self.wire.0.lock().take_output()
    }

    /// Kafka's rule: with the session everything is void, and only a new session starts anew.
    fn forget_all(&mut self, now_ms: TimestampMs) -> Output {
        let connected = std::mem::take(&mut self.wire.0.lock().connected);
        self.seed = self.seed.wrapping_mul(6364136223846793005).wrapping_add(now_ms as u64 | 1);
        self.wire = Io::default();
        self.handlers = start(&self.wire, &self.settings, self.seed);
        let mut effects: Vec<_> =
            connected.into_iter().map(|broker| Effect::Disconnect { broker }).collect();
        effects.push(Effect::Role(Role::Follower { controller: None }));
        Output { effects, ops: None }
    }
}

fn start(wire: &Io, settings: &Settings, seed: u64) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let mut handlers = Box::pin(Core::new(wire.clone(), settings.clone(), seed).run());
    // Up to the first wait for an event.
    let _ = handlers.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    handlers
}

/// The handlers' side of a step: the only two things that they can wait for.
#[derive(Clone, Default)]
pub(super) struct Io(Arc<Mutex<Cell>>);

#[derive(Default)]
struct Cell {
    now_ms: TimestampMs,
    input: Option<Input>,
    ops: Option<Vec<Op>>,
    ops_open: bool,
    effects: Vec<Effect>,
    connected: std::collections::BTreeSet<BrokerId>,
}

impl Cell {
    fn take_output(&mut self) -> Output {
        Output { effects: std::mem::take(&mut self.effects), ops: self.ops.take() }
    }
}

impl Io {
    /// When the current step began.
    pub(super) fn now_ms(&self) -> TimestampMs {
        self.0.lock().now_ms
    }

    pub(super) fn effect(&self, effect: Effect) {
        let mut cell = self.0.lock();
        match &effect {
            Effect::Connect { broker, .. } => {
                cell.connected.insert(*broker);
            }
            Effect::Disconnect { broker } => {
                cell.connected.remove(broker);
            }
            _ => {}
        }
        cell.effects.push(effect);
    }

    pub(super) async fn event(&self) -> Event {
        poll_fn(|_| match self.0.lock().input.take() {
            Some(Input::Event(event)) => Poll::Ready(event),
            Some(Input::Results(_)) => unreachable!("step lets no results in without operations"),
            None => Poll::Pending,
        })
        .await
    }

    /// One result for each operation, in order.
    pub(super) async fn submit(&self, ops: Vec<Op>) -> Vec<Result<Reply, StoreError>> {
        if ops.is_empty() {
            return Vec::new();
        }
        let expected = ops.len();
        {
            let mut cell = self.0.lock();
            cell.ops = Some(ops);
            cell.ops_open = true;
        }
        let results = poll_fn(|_| match self.0.lock().input.take() {
            Some(Input::Results(results)) => Poll::Ready(results),
            Some(Input::Event(_)) => {
                unreachable!("step lets no event in while operations are open")
            }
            None => Poll::Pending,
        })
        .await;
        assert_eq!(results.len(), expected, "one result for each operation");
        results
    }
}
