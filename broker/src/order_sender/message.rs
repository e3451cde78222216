//! What the controller wants told, as the messages of inter-broker protocol 3.9, and their answers.
//! Knows nothing of connections and queues.

use std::collections::BTreeMap;

use client::Connection;
use controller::effect::{
    LeaderAndIsrPartition, LiveBroker, StopReplicaPartition, UpdateMetadataPartition,
};
use controller::{ControlBody, ControlRequest, ControlResponse};
use metadata::znodes::broker;
use protocol::ids::{BrokerId, TopicPartition, Uuid};
use protocol::messages::leader_and_isr as lisr;
use protocol::messages::stop_replica as stop;
use protocol::messages::update_metadata as umr;

/// A request in the shape of the wire.
pub(super) enum ControlMessage {
    LeaderAndIsr(lisr::LeaderAndIsrRequest),
    UpdateMetadata(umr::UpdateMetadataRequest),
    StopReplica(stop::StopReplicaRequest),
}

impl ControlMessage {
    pub(super) fn new(request: ControlRequest) -> ControlMessage {
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

    /// Sends it and waits for the answer.
    pub(super) async fn call(
        &self,
        connection: &Connection,
    ) -> Result<ControlResponse, client::CallError> {
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
    let error_of =
        |topic: &str, partition: i32| errors.get(&(topic, partition)).copied().unwrap_or_default();
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
