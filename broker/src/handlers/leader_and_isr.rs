//! LeaderAndIsr (key 4): the controller tells which partitions this broker leads and follows.
//!
//! Versions 0 to 7: v2 broker epoch and partitions grouped by topic · v3 reassignment · v4 flexible
//! · v5 topic ids · v6 recovery state · v7 the kind of controller. Answered after the logs are
//! open.
//!
//! Errors: of the request CLUSTER_AUTHORIZATION_FAILED, STALE_BROKER_EPOCH, STALE_CONTROLLER_EPOCH,
//! each partition echoed with it; of a partition STALE_CONTROLLER_EPOCH (the leader epoch is not
//! newer), INCONSISTENT_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION (not a replica of it),
//! KAFKA_STORAGE_ERROR.
//!
//! A log whose topic id is not the order's stays as it is and gets no role: the broker cannot know
//! whether the topic was deleted and made again or its znode was rewritten without the id. A
//! deletion waits for every replica, so a log of a deleted topic is gone (StopReplica) before the
//! name can be used again; what differs then is for an operator to mend: the id in the znode, or,
//! of a topic that was deleted past the controller, the log's directory.
//!
//! Differs from Apache: a full disk does not take its directory offline.

use std::sync::Arc;
use std::time::Duration;

use metadata::znodes::config::ConfigEntity;
use protocol::error_code::ErrorCode;
use protocol::ids::Uuid;
use protocol::messages::leader_and_isr::{
    LeaderAndIsrPartitionError, LeaderAndIsrPartitionState, LeaderAndIsrRequest,
    LeaderAndIsrResponse, LeaderAndIsrTopicError,
};
use replica::partition::PartitionAssignment;

use crate::authorizer::{CLUSTER, Cluster, op};
use crate::broker::Broker;
use crate::replication::manager::RoleOrder;
use crate::request::{Reply, RequestContext};

/// Longest wait for the values of new topics: the controller waits for the answer.
const CONFIGS_WAIT_MAX: Duration = Duration::from_secs(5);

/// From here on the answer names topics by id.
const TOPIC_IDS_FROM: i16 = 5;

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: LeaderAndIsrRequest,
) -> Reply<LeaderAndIsrResponse> {
    let version = context.api_version;
    let allowed =
        broker.authorizer.authorize::<op::ClusterAction, Cluster>(context, CLUSTER).is_ok();
    if !allowed {
        let orders = orders_of(request);
        return Reply::Now(refuse(version, &orders, ErrorCode::CLUSTER_AUTHORIZATION_FAILED));
    }
    let broker = broker.clone();
    Reply::later(async move {
        learn_configs(&broker, &request).await;
        let owner = broker.clone();
        owner.tasks.blocking(move || obey(&broker, version, request)).await
    })
}

/// Nobody is notified of the values that a topic is made with: they are read when it comes here
/// first.
async fn learn_configs(broker: &Broker, request: &LeaderAndIsrRequest) {
    let mut here = request.topic_states.iter().map(|topic| {
        let hosted = |state: &LeaderAndIsrPartitionState| {
            broker.replicas.hosted(&topic.topic_name, state.partition_index).is_ok()
        };
        (&topic.topic_name, topic.partition_states.iter().any(hosted))
    });
    let new: Vec<ConfigEntity> = here
        .by_ref()
        .filter(|(_, hosted)| !hosted)
        .map(|(topic, _)| ConfigEntity::topic(topic.clone()))
        .collect();
    if new.is_empty() {
        return;
    }
    let reading = broker.config_changes.take_over(new);
    if tokio::time::timeout(CONFIGS_WAIT_MAX, reading).await.is_err() {
        tracing::warn!("topics' own settings are not known yet: the store does not answer");
    }
}

/// Carries the request out. Blocks on the disk. The controller of this very broker calls it too.
pub fn obey(broker: &Broker, version: i16, request: LeaderAndIsrRequest) -> LeaderAndIsrResponse {
    let (controller_epoch, epoch) = (request.controller_epoch, request.broker_epoch);
    let orders = orders_of(request);
    if is_stale(broker, epoch) {
        return refuse(version, &orders, ErrorCode::STALE_BROKER_EPOCH);
    }
    match broker.replicas.take_roles(controller_epoch, &orders, broker.clock.now_ms()) {
        Err(stale) => {
            tracing::warn!(%stale, "LeaderAndIsr of a former controller");
            refuse(version, &orders, ErrorCode::STALE_CONTROLLER_EPOCH)
        }
        Ok(obeyed) => {
            broker.groups.took_roles(&obeyed);
            broker.transactions.took_roles(&obeyed);
            let codes = obeyed.results.iter().map(|result| match result {
                Ok(()) => ErrorCode::NONE,
                Err(error) => error.code(),
            });
            respond(version, &orders, ErrorCode::NONE, codes)
        }
    }
}

/// Whether a controller's request was meant for a former life of this broker.
pub fn is_stale(broker: &Broker, epoch: i64) -> bool {
    epoch != -1 && epoch < broker.identity.broker_epoch()
}

fn orders_of(request: LeaderAndIsrRequest) -> Vec<RoleOrder> {
    let ungrouped = request
        .ungrouped_partition_states
        .into_iter()
        .map(|state| order_of(state.topic_name.clone(), Uuid::ZERO, state));
    let grouped = request.topic_states.into_iter().flat_map(|topic| {
        let (name, id) = (topic.topic_name, topic.topic_id);
        topic.partition_states.into_iter().map(move |state| order_of(name.clone(), id, state))
    });
    ungrouped.chain(grouped).collect()
}

fn order_of(topic: String, topic_id: Uuid, state: LeaderAndIsrPartitionState) -> RoleOrder {
    RoleOrder {
        topic,
        topic_id,
        index: state.partition_index,
        is_new: state.is_new,
        assignment: PartitionAssignment {
            controller_epoch: state.controller_epoch,
            leader: state.leader,
            leader_epoch: state.leader_epoch,
            isr: state.isr,
            partition_epoch: state.partition_epoch,
            replicas: state.replicas,
            adding: state.adding_replicas,
            removing: state.removing_replicas,
        },
    }
}

fn refuse(version: i16, orders: &[RoleOrder], code: ErrorCode) -> LeaderAndIsrResponse {
    respond(version, orders, code, orders.iter().map(|_| code))
}

fn respond(
    version: i16,
    orders: &[RoleOrder],
    code: ErrorCode,
    codes: impl Iterator<Item = ErrorCode>,
) -> LeaderAndIsrResponse {
    let mut response = LeaderAndIsrResponse { error_code: code.0, ..Default::default() };
    for (order, code) in orders.iter().zip(codes) {
        let error = LeaderAndIsrPartitionError {
            topic_name: order.topic.clone(),
            partition_index: order.index,
            error_code: code.0,
        };
        if version < TOPIC_IDS_FROM {
            response.partition_errors.push(error);
            continue;
        }
        match response.topics.last_mut() {
            Some(topic) if topic.topic_id == order.topic_id => topic.partition_errors.push(error),
            _ => response.topics.push(LeaderAndIsrTopicError {
                topic_id: order.topic_id,
                partition_errors: vec![error],
            }),
        }
    }
    response
}
