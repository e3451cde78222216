//! StopReplica (key 5): the controller takes partitions away from this broker, data and all if
//! asked.
//!
//! Versions 0 to 4: v1 broker epoch · v2 flexible · v3 leader epoch and deletion per partition · v4
//! the kind of controller. Deleted directories are renamed before the answer and removed later.
//!
//! Errors: of the request CLUSTER_AUTHORIZATION_FAILED, STALE_BROKER_EPOCH, STALE_CONTROLLER_EPOCH;
//! of a partition FENCED_LEADER_EPOCH, KAFKA_STORAGE_ERROR.
//!
//! Differs from Apache: in nothing known.

use std::sync::Arc;

use protocol::error_code::ErrorCode;
use protocol::messages::stop_replica::{
    StopReplicaPartitionError, StopReplicaRequest, StopReplicaResponse,
};

use super::leader_and_isr::is_stale;
use crate::authorizer::{CLUSTER, Cluster, op};
use crate::broker::Broker;
use crate::replication::manager::StopOrder;
use crate::request::{Reply, RequestContext};

/// The leader epoch of versions that name none.
const NO_EPOCH: i32 = -1;

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: StopReplicaRequest,
) -> Reply<StopReplicaResponse> {
    if broker.authorizer.authorize::<op::ClusterAction, Cluster>(context, CLUSTER).is_err() {
        let code = ErrorCode::CLUSTER_AUTHORIZATION_FAILED;
        return Reply::Now(refuse(&orders_of(request), code));
    }
    let broker = broker.clone();
    Reply::later(async move {
        let owner = broker.clone();
        owner.tasks.blocking(move || obey(&broker, request)).await
    })
}

/// Carries the request out. Blocks on the disk. The controller of this very broker calls it too.
pub fn obey(broker: &Broker, request: StopReplicaRequest) -> StopReplicaResponse {
    let (controller_epoch, epoch) = (request.controller_epoch, request.broker_epoch);
    let orders = orders_of(request);
    if is_stale(broker, epoch) {
        return stale(ErrorCode::STALE_BROKER_EPOCH);
    }
    match broker.replicas.stop(controller_epoch, &orders, broker.clock.now_ms()) {
        Err(former) => {
            tracing::warn!(stale = %former, "StopReplica of a former controller");
            stale(ErrorCode::STALE_CONTROLLER_EPOCH)
        }
        Ok(results) => {
            let stopped = orders.iter().zip(&results).filter(|(_, result)| result.is_ok());
            stopped.for_each(|(order, _)| {
                broker.groups.stopped(order);
                broker.transactions.stopped(order);
            });
            let codes = results.iter().map(|result| match result {
                Ok(()) => ErrorCode::NONE,
                Err(error) => error.code(),
            });
            respond(&orders, ErrorCode::NONE, codes)
        }
    }
}

fn orders_of(request: StopReplicaRequest) -> Vec<StopOrder> {
    let all = request.delete_partitions;
    let order = |topic: &str, index, leader_epoch, delete| StopOrder {
        topic: topic.to_owned(),
        index,
        leader_epoch,
        delete,
    };
    let mut orders = Vec::new();
    for partition in &request.ungrouped_partitions {
        orders.push(order(&partition.topic_name, partition.partition_index, NO_EPOCH, all));
    }
    for topic in &request.topics {
        let indexes = topic.partition_indexes.iter();
        orders.extend(indexes.map(|index| order(&topic.name, *index, NO_EPOCH, all)));
    }
    for topic in &request.topic_states {
        orders.extend(topic.partition_states.iter().map(|state| {
            let (index, delete) = (state.partition_index, state.delete_partition);
            order(&topic.topic_name, index, state.leader_epoch, delete)
        }));
    }
    orders
}

/// Partitions are not named then.
fn stale(code: ErrorCode) -> StopReplicaResponse {
    StopReplicaResponse { error_code: code.0, ..Default::default() }
}

fn refuse(orders: &[StopOrder], code: ErrorCode) -> StopReplicaResponse {
    respond(orders, code, orders.iter().map(|_| code))
}

fn respond(
    orders: &[StopOrder],
    code: ErrorCode,
    codes: impl Iterator<Item = ErrorCode>,
) -> StopReplicaResponse {
    let partition_errors = orders
        .iter()
        .zip(codes)
        .map(|(order, code)| StopReplicaPartitionError {
            topic_name: order.topic.clone(),
            partition_index: order.index,
            error_code: code.0,
        })
        .collect();
    StopReplicaResponse { error_code: code.0, partition_errors }
}
