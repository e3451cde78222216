//! The controller's requests on the wire: one connection and one queue per broker, this one
//! included, one request at a time, in order, again until it is answered. Knows nothing of why
//! they are sent.

mod message;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::{Connection, Endpoint, Options, Versions};
use controller::run::{ControllerHandle, Shell, controller};
use controller::{ControlRequest, ControlResponse, Effect, Settings};
use futures::future::BoxFuture;
use metadata::store::MetadataStore;
use metadata::znodes::broker;
use parking_lot::Mutex;
use protocol::api::ApiKey;
use protocol::ids::BrokerId;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use self::message::ControlMessage;
use crate::clock::Clock;
use crate::config::BrokerConfig;
use crate::dialer::Dialer;
use crate::identity::Identity;
use crate::metadata_cache::MetadataCache;
use crate::random;
use crate::tasks::Tasks;

/// Most effects between the controller's loop and the channels.
const EFFECTS_MAX: usize = 1000;

/// Most requests that wait for one broker. One that is registered and does not answer for so long
/// is told everything anew instead.
const QUEUE_MAX: usize = 100_000;

/// Pause before a request is sent again, as in Kafka.
const RETRY: Duration = Duration::from_millis(100);

/// The versions of `inter.broker.protocol.version` 3.9; the controller never asks for others.
const VERSIONS: [(ApiKey, i16); 3] =
    [(ApiKey::LeaderAndIsr, 7), (ApiKey::StopReplica, 4), (ApiKey::UpdateMetadata, 8)];

/// How long a start waits for the controller's first word. A cluster may have no controller for a
/// while; the broker then serves what it can.
const FIRST_WORD_TIMEOUT: Duration = Duration::from_secs(10);

/// The controller of this broker before it runs.
pub struct IdleController {
    pub handle: ControllerHandle,
    /// Requests of this broker's controller to this very broker that it has not answered.
    to_self: watch::Sender<usize>,
    parts: Mutex<Option<Parts>>,
}

struct Parts {
    run: BoxFuture<'static, ()>,
    effects: mpsc::Receiver<Effect>,
}

/// What the controller minds of a broker's configuration.
pub fn settings(config: &BrokerConfig, broker_id: BrokerId) -> Settings {
    Settings {
        eligible: config.bool("ottla.controller.eligible"),
        delete_topic_enable: config.bool("delete.topic.enable"),
        unclean_leader_election_enable: config.bool("unclean.leader.election.enable"),
        auto_leader_rebalance_enable: config.bool("auto.leader.rebalance.enable"),
        leader_imbalance_check_interval_ms: config
            .long("leader.imbalance.check.interval.seconds")
            .saturating_mul(1000),
        leader_imbalance_per_broker_percentage: config
            .int("leader.imbalance.per.broker.percentage"),
        ..Settings::new(broker_id, config.inter_broker_listener())
    }
}

/// Makes the controller; `start` lets it run.
pub fn prepare(
    config: &BrokerConfig,
    clock: Clock,
    store: Arc<dyn MetadataStore>,
    broker_id: BrokerId,
) -> IdleController {
    let (links, effects) = mpsc::channel(EFFECTS_MAX);
    let (handle, run) = controller(Shell {
        store,
        settings: settings(config, broker_id),
        seed: random::seed(),
        clock: Box::new(move || clock.now_ms()),
        boot_clock: Arc::new(move || clock.boot_ms()),
        links,
    });
    let parts = Mutex::new(Some(Parts { run: Box::pin(run), effects }));
    IdleController { handle, to_self: watch::Sender::new(0), parts }
}

/// Lets the controller run until the broker stops: from here on this broker may be elected. To be
/// called once, when the broker is registered.
pub fn start(
    controller: &IdleController,
    config: &BrokerConfig,
    identity: &Identity,
    dialer: &Dialer,
    tasks: &Arc<Tasks>,
) {
    let Some(Parts { run, effects }) = controller.parts.lock().take() else { return };
    let timeout = config.long("controller.socket.timeout.ms");
    let links = Links {
        handle: controller.handle.clone(),
        tasks: tasks.clone(),
        dialer: dialer.clone(),
        request_timeout: Duration::from_millis(u64::try_from(timeout).unwrap_or(0).max(1)),
        broker_id: identity.broker_id,
        to_self: controller.to_self.clone(),
        own: identity.own_endpoint(identity.broker_id),
        channels: BTreeMap::new(),
    };
    tasks.spawn_until_stop(run);
    tasks.spawn_until_stop(links.run(effects));
}

/// Waits until a controller, this broker's own or another, has told this broker who is alive, and
/// its own also who leads what; at most `FIRST_WORD_TIMEOUT`, and not if the broker does not even
/// reach itself where it says it is: no controller may ever reach it there.
pub async fn first_word(
    controller: &IdleController,
    metadata: &MetadataCache,
    identity: &Identity,
    tasks: &Tasks,
    dialer: Dialer,
    advertised: Option<Endpoint>,
) {
    let (failed, unreachable) = oneshot::channel();
    if let Some(advertised) = advertised {
        tasks.spawn_until_stop(async move {
            if !is_reached(&dialer, &advertised).await {
                // The start may be over already.
                let _ = failed.send(());
            }
        });
    }
    let told = async {
        metadata.wait_until(|cluster| cluster.is_alive(identity.broker_id)).await;
        if controller.handle.is_controller() {
            // Fails only if its sender is gone, which the broker holds.
            let _ = controller.to_self.subscribe().wait_for(|open| *open == 0).await;
        }
    };
    tokio::select! {
        told = tokio::time::timeout(FIRST_WORD_TIMEOUT, told) => if told.is_err() {
            tracing::warn!("no controller has told this broker anything yet");
        },
        Ok(()) = unreachable => {}
    }
}

/// Whether this broker can connect to what it advertises to others; told once if not.
async fn is_reached(dialer: &Dialer, advertised: &Endpoint) -> bool {
    let connecting = dialer.probe(advertised);
    let reason = match tokio::time::timeout(SELF_CHECK_TIMEOUT, connecting).await {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", SELF_CHECK_TIMEOUT.as_secs()),
    };
    tracing::warn!(
        %advertised,
        reason,
        "advertised listener cannot be reached from this broker itself; other brokers and clients \
         need it: check advertised.listeners"
    );
    false
}

/// How long a connection to what this broker itself advertises may take.
const SELF_CHECK_TIMEOUT: Duration = Duration::from_secs(3);

struct Links {
    handle: ControllerHandle,
    tasks: Arc<Tasks>,
    dialer: Dialer,
    request_timeout: Duration,
    broker_id: BrokerId,
    to_self: watch::Sender<usize>,
    /// Where this very broker is bound.
    own: Option<Endpoint>,
    channels: BTreeMap<BrokerId, Channel>,
}

struct Channel {
    queue: mpsc::Sender<ControlRequest>,
    /// Ends its task at once, whatever waits.
    closed: CancellationToken,
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

impl Links {
    async fn run(mut self, mut effects: mpsc::Receiver<Effect>) {
        while let Some(effect) = effects.recv().await {
            match effect {
                Effect::Connect { broker, endpoint } => self.connect(broker, endpoint),
                Effect::Disconnect { broker } => drop(self.channels.remove(&broker)),
                Effect::Send(request) => self.send(request),
                Effect::Answer { .. } | Effect::Role(_) => {}
            }
        }
    }

    fn connect(&mut self, broker: BrokerId, to: broker::Endpoint) {
        let Ok(port) = u16::try_from(to.port) else {
            tracing::error!(broker, port = to.port, "the broker's registration has no such port");
            return;
        };
        let (queue, requests) = mpsc::channel(QUEUE_MAX);
        let unanswered = (broker == self.broker_id).then(|| self.to_self.clone());
        if let Some(unanswered) = &unanswered {
            unanswered.send_replace(0);
        }
        let closed = CancellationToken::new();
        let own = self.own.clone().filter(|_| broker == self.broker_id);
        let task = ChannelTask {
            broker,
            endpoints: own.into_iter().chain([Endpoint::new(to.host, port)]).collect(),
            handle: self.handle.clone(),
            dialer: self.dialer.clone(),
            unanswered,
            options: Options {
                client_id: Some(self.broker_id.to_string()),
                connect_timeout: self.request_timeout,
                request_timeout: self.request_timeout,
                inflight_max: 1,
                queue_max: 1,
                ..Options::default()
            },
        };
        let ended = closed.clone();
        self.tasks.spawn_until_stop(async move {
            tokio::select! {
                () = ended.cancelled() => {}
                () = task.run(requests) => {}
            }
        });
        self.channels.insert(broker, Channel { queue, closed });
    }

    fn send(&mut self, request: ControlRequest) {
        let broker = request.broker;
        let Some(channel) = self.channels.get(&broker) else { return };
        if broker == self.broker_id {
            self.to_self.send_modify(|open| *open += 1);
        }
        if channel.queue.try_send(request).is_err() {
            tracing::error!(broker, "it has not answered for {QUEUE_MAX} requests");
            self.channels.remove(&broker);
            let handle = self.handle.clone();
            self.tasks.spawn_until_stop(async move { handle.give_up().await });
        }
    }
}

struct ChannelTask {
    broker: BrokerId,
    /// Tried in turn; there is at least one.
    endpoints: Vec<Endpoint>,
    handle: ControllerHandle,
    dialer: Dialer,
    /// Of the channel to this very broker.
    unanswered: Option<watch::Sender<usize>>,
    options: Options,
}

impl ChannelTask {
    async fn run(self, mut requests: mpsc::Receiver<ControlRequest>) {
        let mut connection = None;
        let mut failures = 0;
        while let Some(request) = requests.recv().await {
            let broker_epoch = request.broker_epoch;
            let message = ControlMessage::new(request);
            let response = loop {
                if !self.handle.may_command() {
                    // The controller is about to see it, and then closes this channel.
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
                let endpoint = &self.endpoints[failures % self.endpoints.len()];
                match self.exchange(&mut connection, endpoint, &message).await {
                    Ok(response) => {
                        self.answered_after(failures);
                        failures = 0;
                        break response;
                    }
                    Err(reason) => {
                        self.failed(endpoint, failures, &reason);
                        failures += 1;
                        connection = None;
                        tokio::time::sleep(RETRY).await;
                    }
                }
            };
            if let Some(unanswered) = &self.unanswered {
                unanswered.send_modify(|open| *open = open.saturating_sub(1));
            }
            self.handle.answered(self.broker, broker_epoch, response).await;
        }
    }

    /// Told once for each row of failures: there are ten tries a second.
    fn failed(&self, endpoint: &Endpoint, before: usize, reason: &str) {
        let broker = self.broker;
        if before == 0 {
            let what = "broker does not answer the controller, which goes on trying";
            tracing::warn!(broker, %endpoint, reason, "{what}");
        } else {
            tracing::debug!(broker, %endpoint, reason, before, "no answer to the controller");
        }
    }

    fn answered_after(&self, failures: usize) {
        if failures > 0 {
            tracing::info!(broker = self.broker, failures, "broker answers the controller again");
        }
    }

    async fn exchange(
        &self,
        connection: &mut Option<Connection>,
        endpoint: &Endpoint,
        message: &ControlMessage,
    ) -> Result<ControlResponse, String> {
        let open = match connection {
            Some(open) if !open.is_closed() => open,
            _ => {
                let versions = Versions::Pinned(VERSIONS.into_iter().collect());
                let options = self.options.clone();
                let opened = self.dialer.open(endpoint, options, versions).await;
                connection.insert(opened.map_err(|error| error.to_string())?)
            }
        };
        message.call(open).await.map_err(|error| error.to_string())
    }
}
