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

use super::leader_and_isr::code_of;
use super::partition_error;
use crate::authorizer::{Authorized, Authorizer, CLUSTER, Cluster, op};
use crate::orders::Orders;
use crate::replication::manager::StopOrder;
use crate::request::{Reply, RequestContext};
use crate::tasks::Tasks;

/// The leader epoch of versions that name none.
const NO_EPOCH: i32 = -1;

pub fn handle(
    authorizer: &Authorizer,
    orders: &Arc<Orders>,
    tasks: &Arc<Tasks>,
    context: &RequestContext,
    request: StopReplicaRequest,
) -> Reply<StopReplicaResponse> {
    let Ok(allowed) = authorizer.authorize::<op::ClusterAction, Cluster>(context, CLUSTER) else {
        let code = ErrorCode::CLUSTER_AUTHORIZATION_FAILED;
        return Reply::Now(refuse(&orders_of(request), code));
    };
    let (orders, tasks, allowed) = (orders.clone(), tasks.clone(), allowed.into_owned());
    Reply::later(async move { tasks.blocking(move || obey(&orders, &allowed, request)).await })
}

/// Carries the request out. Blocks on the disk.
pub fn obey(
    orders: &Orders,
    allowed: &Authorized<'_, op::ClusterAction, Cluster>,
    request: StopReplicaRequest,
) -> StopReplicaResponse {
    let epochs = (request.controller_epoch, request.broker_epoch);
    let stops = orders_of(request);
    match orders.stop(allowed, epochs, &stops) {
        Err(refused) => stale(code_of(refused)),
        Ok(results) => {
            let codes = results.iter().map(partition_error::obeyed);
            respond(&stops, ErrorCode::NONE, codes)
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

#[cfg(test)]
mod tests {
    use protocol::messages::stop_replica::{StopReplicaPartitionState, StopReplicaTopicState};

    use super::*;
    use crate::replication::manager::NotHere;
    use crate::testbed::{Testbed, answer, context, now};

    fn stop(controller_epoch: i32, broker_epoch: i64, leader_epoch: i32) -> StopReplicaRequest {
        let state =
            StopReplicaPartitionState { partition_index: 0, leader_epoch, delete_partition: true };
        let topic =
            StopReplicaTopicState { topic_name: "t".to_owned(), partition_states: vec![state] };
        StopReplicaRequest {
            controller_epoch,
            broker_epoch,
            topic_states: vec![topic],
            ..StopReplicaRequest::default()
        }
    }

    #[tokio::test]
    async fn a_partition_stops_in_its_epoch_and_former_controllers_are_refused() {
        let bed = Testbed::new();
        bed.lead("t", 1);
        bed.place("t", 1, 1, 4);
        bed.identity.registered(50);
        let ask = async |request| {
            let (orders, tasks) = (&bed.orders, &bed.tasks);
            answer(handle(&bed.authorizer, orders, tasks, &context(4), request)).await
        };
        let former = ask(stop(0, 50, 4)).await;
        assert_eq!(former.error_code, ErrorCode::STALE_CONTROLLER_EPOCH.0);
        assert!(former.partition_errors.is_empty());
        let stale = ask(stop(1, 49, 4)).await;
        assert_eq!(stale.error_code, ErrorCode::STALE_BROKER_EPOCH.0);
        let fenced = ask(stop(1, 50, 3)).await;
        let code = fenced.partition_errors[0].error_code;
        assert_eq!((fenced.error_code, code), (0, ErrorCode::FENCED_LEADER_EPOCH.0));
        assert_eq!(ask(stop(1, 50, 4)).await.partition_errors[0].error_code, 0);
        assert_eq!(bed.replicas.find("t", 0).err(), Some(NotHere::Elsewhere));
    }

    #[tokio::test]
    async fn clients_give_no_orders() {
        let bed = Testbed::new();
        let client = Authorizer::allow_all().but::<op::ClusterAction, Cluster>(CLUSTER);
        let told = now(handle(&client, &bed.orders, &bed.tasks, &context(4), stop(1, -1, 0)));
        let denied = ErrorCode::CLUSTER_AUTHORIZATION_FAILED.0;
        assert_eq!((told.error_code, told.partition_errors[0].error_code), (denied, denied));
    }
}
