//! UpdateMetadata (key 6): the controller tells which brokers live and who leads what.
//!
//! Versions 0 to 8: v5 broker epoch and partitions grouped by topic · v6 flexible · v7 topic ids ·
//! v8 the kind of controller.
//!
//! Errors: CLUSTER_AUTHORIZATION_FAILED, STALE_BROKER_EPOCH, STALE_CONTROLLER_EPOCH.
//!
//! Differs from Apache: in nothing known.

use std::sync::Arc;

use protocol::error_code::ErrorCode;
use protocol::ids::TopicPartition;
use protocol::messages::update_metadata::{
    UpdateMetadataRequest, UpdateMetadataResponse, UpdateMetadataTopicState,
};

use super::leader_and_isr::is_stale;
use crate::authorizer::{Resource, op};
use crate::broker::{Broker, Reply, RequestContext};
use crate::groups;
use crate::replication::topic_configs::Overrides;

/// The leader of a partition that is being deleted.
const LEADER_DURING_DELETE: i32 = -2;

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: UpdateMetadataRequest,
) -> Reply<UpdateMetadataResponse> {
    if broker.authorizer.authorize::<op::ClusterAction>(context, Resource::Cluster).is_err() {
        let error_code = ErrorCode::CLUSTER_AUTHORIZATION_FAILED.0;
        return Reply::Now(UpdateMetadataResponse { error_code });
    }
    Reply::Now(obey(broker, request))
}

/// Takes the request over. The controller of this very broker calls it too.
pub fn obey(broker: &Broker, mut request: UpdateMetadataRequest) -> UpdateMetadataResponse {
    if is_stale(broker, request.broker_epoch) {
        return UpdateMetadataResponse { error_code: ErrorCode::STALE_BROKER_EPOCH.0 };
    }
    if let Err(stale) = broker.replicas.hear_controller(request.controller_epoch) {
        tracing::warn!(%stale, "UpdateMetadata of a former controller");
        return UpdateMetadataResponse { error_code: ErrorCode::STALE_CONTROLLER_EPOCH.0 };
    }
    group(&mut request);
    broker.metadata.apply(&request);
    let deleted = deleted_in(&request);
    let cluster = broker.metadata.load();
    for gone in deleted.iter().filter(|gone| cluster.topic(&gone.topic).is_none()) {
        // A topic of the same name that is made later has values of its own, or none.
        broker.topic_configs.set(&gone.topic, Overrides::new());
    }
    groups::partitions_deleted(&broker.groups, &broker.tasks, deleted);
    UpdateMetadataResponse::default()
}

/// The partitions that the request takes out of the cluster, because their topics are deleted.
fn deleted_in(request: &UpdateMetadataRequest) -> Vec<TopicPartition> {
    let states = request.topic_states.iter().flat_map(|topic| {
        topic.partition_states.iter().map(move |state| (&topic.topic_name, state))
    });
    states
        .filter(|(_, state)| state.leader == LEADER_DURING_DELETE)
        .map(|(topic, state)| TopicPartition::new(topic.clone(), state.partition_index))
        .collect()
}

/// Brings versions 0 to 4 into the shape of the later ones.
fn group(request: &mut UpdateMetadataRequest) {
    for state in std::mem::take(&mut request.ungrouped_partition_states) {
        match request.topic_states.last_mut() {
            Some(topic) if topic.topic_name == state.topic_name => {
                topic.partition_states.push(state);
            }
            _ => request.topic_states.push(UpdateMetadataTopicState {
                topic_name: state.topic_name.clone(),
                partition_states: vec![state],
                ..Default::default()
            }),
        }
    }
}
