//! The controller's requests on the wire: one connection and one queue per broker, this one included,
//! one request at a time, in order, again until it is answered. Knows nothing of why they are sent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::{Connection, Endpoint, Options, TcpTransport, Versions};
use coordinator::controller::effect::{
    LeaderAndIsrPartition, LiveBroker, StopReplicaPartition, UpdateMetadataPartition,
};
use coordinator::controller::run::{ControllerHandle, Shell, controller};
use coordinator::controller::{ControlBody, ControlRequest, ControlResponse, Effect, Settings};
use coordinator::metadata::store::MetadataStore;
use coordinator::znodes::broker;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use protocol::api::ApiKey;
use protocol::error_code::ErrorCode;
use protocol::ids::{BrokerId, TopicPartition, Uuid};
use protocol::messages::leader_and_isr as lisr;
use protocol::messages::stop_replica as stop;
use protocol::messages::update_metadata as umr;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::broker::Broker;
use crate::clock::Clock;
use crate::config::BrokerConfig;
use crate::random;
use crate::tasks::Tasks;

/// Most effects between the controller's loop and the channels.
const EFFECTS_MAX: usize = 1000;

/// Most requests that wait for one broker. One that is registered and does not answer for so long is
/// told everything anew instead.
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
        links,
    });
    let parts = Mutex::new(Some(Parts { run: Box::pin(run), effects }));
    IdleController { handle, to_self: watch::Sender::new(0), parts }
}

/// Lets the controller run until the broker stops: from here on this broker may be elected. To be
/// called once, when the broker is registered.
pub fn start(broker: &Arc<Broker>) {
    let Some(Parts { run, effects }) = broker.controller.parts.lock().take() else { return };
    let timeout = broker.config.load().long("controller.socket.timeout.ms");
    let links = Links {
        handle: broker.controller.handle.clone(),
        tasks: broker.tasks.clone(),
        request_timeout: Duration::from_millis(u64::try_from(timeout).unwrap_or(0).max(1)),
        broker_id: broker.broker_id,
        to_self: broker.controller.to_self.clone(),
        channels: BTreeMap::new(),
    };
    broker.tasks.spawn_until_stop(run);
    broker.tasks.spawn_until_stop(links.run(effects));
}

/// Waits until a controller, this broker's own or another, has told this broker who is alive, and its
/// own also who leads what; at most `FIRST_WORD_TIMEOUT`.
pub async fn first_word(broker: &Broker) {
    let told = async {
        broker.metadata.wait_until(|cluster| cluster.is_alive(broker.broker_id)).await;
        if broker.controller.handle.is_controller() {
            // Fails only if its sender is gone, which the broker holds.
            let _ = broker.controller.to_self.subscribe().wait_for(|open| *open == 0).await;
        }
    };
    if tokio::time::timeout(FIRST_WORD_TIMEOUT, told).await.is_err() {
        tracing::warn!("no controller has told this broker anything yet");
    }
}

/// To be called after the broker's configuration changed, so that the controller minds it.
pub async fn config_changed(broker: &Broker) {
    let settings = settings(&broker.config.load(), broker.broker_id);
    broker.controller.handle.settings_changed(settings).await;
}

struct Links {
    handle: ControllerHandle,
    tasks: Arc<Tasks>,
    request_timeout: Duration,
    broker_id: BrokerId,
    to_self: watch::Sender<usize>,
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
        let task = ChannelTask {
            broker,
            endpoint: Endpoint::new(to.host, port),
            handle: self.handle.clone(),
            tasks: self.tasks.clone(),
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
    endpoint: Endpoint,
    handle: ControllerHandle,
    tasks: Arc<Tasks>,
    /// Of the channel to this very broker.
    unanswered: Option<watch::Sender<usize>>,
    options: Options,
}

impl ChannelTask {
    async fn run(self, mut requests: mpsc::Receiver<ControlRequest>) {
        let mut connection = None;
        while let Some(request) = requests.recv().await {
            let broker_epoch = request.broker_epoch;
            let message = ControlMessage::new(request);
            let response = loop {
                match self.exchange(&mut connection, &message).await {
                    Ok(response) => break response,
                    Err(reason) => {
                        tracing::warn!(broker = self.broker, reason, "controller's request");
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

    async fn exchange(
        &self,
        connection: &mut Option<Connection>,
        message: &ControlMessage,
    ) -> Result<ControlResponse, String> {
        let open = match connection {
            Some(open) if !open.is_closed() => open,
            _ => {
                let versions = Versions::Pinned(VERSIONS.into_iter().collect());
                let options = self.options.clone();
                let opened = Connection::open(&TcpTransport, &self.endpoint, options, versions);
                let (opened, driver) = opened.await.map_err(|error| error.to_string())?;
                self.tasks.spawn_until_stop(driver);
                connection.insert(opened)
            }
        };
        message.call(open).await.map_err(|error| error.to_string())
    }
}

enum ControlMessage {
    LeaderAndIsr(lisr::LeaderAndIsrRequest),
    UpdateMetadata(umr::UpdateMetadataRequest),
    StopReplica(stop::StopReplicaRequest),
}

impl ControlMessage {
    fn new(request: ControlRequest) -> ControlMessage {
        let ControlRequest { broker_epoch, controller_id, controller_epoch, .. } = request;
        match request.body {
            ControlBody::LeaderAndIsr { partitions, live_leaders } => {
                let leader = |(broker_id, at): (BrokerId, broker::Endpoint)| {
                    lisr::LeaderAndIsrLiveLeader { broker_id, host_name: at.host, port: at.port }
                };
                ControlMessage::LeaderAndIsr(lisr::LeaderAndIsrRequest {
                    controller_id,
                    controller_epoch,
                    broker_epoch,
                    topic_states: leader_and_isr_topics(partitions),
                    live_leaders: live_leaders.into_iter().map(leader).collect(),
                    ..Default::default()
                })
            }
            ControlBody::UpdateMetadata { partitions, live_brokers } => {
                ControlMessage::UpdateMetadata(umr::UpdateMetadataRequest {
                    controller_id,
                    controller_epoch,
                    broker_epoch,
                    topic_states: update_metadata_topics(&partitions),
                    live_brokers: live_brokers.iter().map(live_broker).collect(),
                    ..Default::default()
                })
            }
            ControlBody::StopReplica { partitions } => {
                ControlMessage::StopReplica(stop::StopReplicaRequest {
                    controller_id,
                    controller_epoch,
                    broker_epoch,
                    topic_states: stop_replica_topics(partitions),
                    ..Default::default()
                })
            }
        }
    }

    async fn call(&self, connection: &Connection) -> Result<ControlResponse, client::CallError> {
        Ok(match self {
            ControlMessage::LeaderAndIsr(request) => {
                leader_and_isr_outcome(request, connection.call(request).await?)
            }
            ControlMessage::UpdateMetadata(request) => ControlResponse::UpdateMetadata {
                error: connection.call(request).await?.error_code,
            },
            ControlMessage::StopReplica(request) => {
                stop_replica_outcome(request, connection.call(request).await?)
            }
        })
    }
}

fn leader_and_isr_topics(
    partitions: Vec<LeaderAndIsrPartition>,
) -> Vec<lisr::LeaderAndIsrTopicState> {
    let mut topics: Vec<lisr::LeaderAndIsrTopicState> = Vec::new();
    for p in partitions {
        let state = lisr::LeaderAndIsrPartitionState {
            partition_index: p.tp.partition,
            controller_epoch: p.state.controller_epoch,
            leader: p.state.leader,
            leader_epoch: p.state.leader_epoch,
            isr: p.state.isr,
            partition_epoch: p.partition_epoch,
            replicas: p.assignment.replicas,
            adding_replicas: p.assignment.adding,
            removing_replicas: p.assignment.removing,
            is_new: p.is_new,
            leader_recovery_state: i8::from(p.state.recovering),
            ..Default::default()
        };
        match topics.last_mut() {
            Some(topic) if topic.topic_name == p.tp.topic => topic.partition_states.push(state),
            _ => topics.push(lisr::LeaderAndIsrTopicState {
                topic_name: p.tp.topic,
                topic_id: p.topic_id,
                partition_states: vec![state],
            }),
        }
    }
    topics
}

fn update_metadata_topics(
    partitions: &[UpdateMetadataPartition],
) -> Vec<umr::UpdateMetadataTopicState> {
    let mut topics: Vec<umr::UpdateMetadataTopicState> = Vec::new();
    for p in partitions {
        let state = umr::UpdateMetadataPartitionState {
            partition_index: p.tp.partition,
            controller_epoch: p.state.controller_epoch,
            leader: p.state.leader,
            leader_epoch: p.state.leader_epoch,
            isr: p.state.isr.clone(),
            zk_version: p.partition_epoch,
            replicas: p.replicas.clone(),
            offline_replicas: p.offline_replicas.clone(),
            ..Default::default()
        };
        match topics.last_mut() {
            Some(topic) if topic.topic_name == p.tp.topic => topic.partition_states.push(state),
            _ => topics.push(umr::UpdateMetadataTopicState {
                topic_name: p.tp.topic.clone(),
                topic_id: p.topic_id,
                partition_states: vec![state],
            }),
        }
    }
    topics
}

fn live_broker(broker: &LiveBroker) -> umr::UpdateMetadataBroker {
    let endpoint = |e: &broker::Endpoint| umr::UpdateMetadataEndpoint {
        port: e.port,
        host: e.host.clone(),
        listener: e.listener.clone(),
        security_protocol: e.security_protocol.id(),
    };
    umr::UpdateMetadataBroker {
        id: broker.id,
        endpoints: broker.endpoints.iter().map(endpoint).collect(),
        rack: broker.rack.clone(),
        ..Default::default()
    }
}

fn stop_replica_topics(partitions: Vec<StopReplicaPartition>) -> Vec<stop::StopReplicaTopicState> {
    let mut topics: Vec<stop::StopReplicaTopicState> = Vec::new();
    for p in partitions {
        let state = stop::StopReplicaPartitionState {
            partition_index: p.tp.partition,
            leader_epoch: p.leader_epoch,
            delete_partition: p.delete,
        };
        match topics.last_mut() {
            Some(topic) if topic.topic_name == p.tp.topic => topic.partition_states.push(state),
            _ => topics.push(stop::StopReplicaTopicState {
                topic_name: p.tp.topic,
                partition_states: vec![state],
            }),
        }
    }
    topics
}

/// The answer names topics by id; the request knows their names.
fn leader_and_isr_outcome(
    request: &lisr::LeaderAndIsrRequest,
    response: lisr::LeaderAndIsrResponse,
) -> ControlResponse {
    let names: BTreeMap<Uuid, &str> =
        request.topic_states.iter().map(|t| (t.topic_id, t.topic_name.as_str())).collect();
    let mut partitions = Vec::new();
    for topic in response.topics {
        let Some(name) = names.get(&topic.topic_id) else { continue };
        partitions.extend(
            topic
                .partition_errors
                .into_iter()
                .map(|p| (TopicPartition::new(*name, p.partition_index), p.error_code)),
        );
    }
    ControlResponse::LeaderAndIsr { error: response.error_code, partitions }
}

/// What was to be deleted and is not named in the answer did not fail by itself.
fn stop_replica_outcome(
    request: &stop::StopReplicaRequest,
    response: stop::StopReplicaResponse,
) -> ControlResponse {
    let errors: BTreeMap<(&str, i32), i16> = response
        .partition_errors
        .iter()
        .map(|p| ((p.topic_name.as_str(), p.partition_index), p.error_code))
        .collect();
    let error_of = |topic: &str, partition: i32| {
        errors.get(&(topic, partition)).copied().unwrap_or(ErrorCode::NONE.0)
    };
    let deleted = request
        .topic_states
        .iter()
        .flat_map(|topic| topic.partition_states.iter().map(move |p| (&topic.topic_name, p)))
        .filter(|(_, p)| p.delete_partition)
        .map(|(topic, p)| {
            let tp = TopicPartition::new(topic.clone(), p.partition_index);
            (tp, error_of(topic, p.partition_index))
        });
    let deleted = deleted.collect();
    ControlResponse::StopReplica { error: response.error_code, deleted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_replica_answers_are_matched_with_what_was_to_be_deleted() {
        let part = |topic: &str, partition, delete| StopReplicaPartition {
            tp: TopicPartition::new(topic, partition),
            leader_epoch: -2,
            delete,
        };
        let partitions = vec![part("a", 0, true), part("a", 1, true), part("b", 0, false)];
        let request = stop::StopReplicaRequest {
            topic_states: stop_replica_topics(partitions),
            ..Default::default()
        };
        assert_eq!(request.topic_states.len(), 2);
        let response = stop::StopReplicaResponse {
            error_code: 0,
            partition_errors: vec![stop::StopReplicaPartitionError {
                topic_name: "a".to_owned(),
                partition_index: 1,
                error_code: 56,
            }],
        };
        let expected = vec![(TopicPartition::new("a", 0), 0), (TopicPartition::new("a", 1), 56)];
        let outcome = stop_replica_outcome(&request, response);
        assert_eq!(outcome, ControlResponse::StopReplica { error: 0, deleted: expected });
    }

    #[test]
    fn leader_and_isr_answers_get_their_topics_names_back() {
        let id = Uuid([7; 16]);
        let request = lisr::LeaderAndIsrRequest {
            topic_states: vec![lisr::LeaderAndIsrTopicState {
                topic_name: "a".to_owned(),
                topic_id: id,
                partition_states: Vec::new(),
            }],
            ..Default::default()
        };
        let error = lisr::LeaderAndIsrPartitionError {
            partition_index: 3,
            error_code: 11,
            ..Default::default()
        };
        let topic = |topic_id| lisr::LeaderAndIsrTopicError {
            topic_id,
            partition_errors: vec![error.clone()],
        };
        let response = lisr::LeaderAndIsrResponse {
            topics: vec![topic(id), topic(Uuid([8; 16]))],
            ..Default::default()
        };
        let partitions = vec![(TopicPartition::new("a", 3), 11)];
        let outcome = leader_and_isr_outcome(&request, response);
        assert_eq!(outcome, ControlResponse::LeaderAndIsr { error: 0, partitions });
    }
}
