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

use protocol::error_code::ErrorCode;
use protocol::ids::Uuid;
use protocol::messages::leader_and_isr::{
    LeaderAndIsrPartitionError, LeaderAndIsrPartitionState, LeaderAndIsrRequest,
    LeaderAndIsrResponse, LeaderAndIsrTopicError,
};
use replica::partition::PartitionAssignment;

use super::partition_error;
use crate::authorizer::{Authorized, Authorizer, CLUSTER, Cluster, op};
use crate::orders::{Orders, Refusal};
use crate::replication::manager::RoleOrder;
use crate::request::{Reply, RequestContext};
use crate::tasks::Tasks;

/// From here on the answer names topics by id.
const TOPIC_IDS_FROM: i16 = 5;

pub fn handle(
    authorizer: &Authorizer,
    orders: &Arc<Orders>,
    tasks: &Arc<Tasks>,
    context: &RequestContext,
    request: LeaderAndIsrRequest,
) -> Reply<LeaderAndIsrResponse> {
    let version = context.api_version;
    let Ok(allowed) = authorizer.authorize::<op::ClusterAction, Cluster>(context, CLUSTER) else {
        let denied = ErrorCode::CLUSTER_AUTHORIZATION_FAILED;
        return Reply::Now(refuse(version, &orders_of(request), denied));
    };
    let (orders, tasks, allowed) = (orders.clone(), tasks.clone(), allowed.into_owned());
    Reply::later(async move {
        orders.learn_configs(&allowed, &partitions_of(&request)).await;
        tasks.blocking(move || obey(&orders, &allowed, version, request)).await
    })
}

fn partitions_of(request: &LeaderAndIsrRequest) -> Vec<(&str, Vec<i32>)> {
    let topics = request.topic_states.iter().map(|topic| {
        let indexes = topic.partition_states.iter().map(|state| state.partition_index);
        (topic.topic_name.as_str(), indexes.collect())
    });
    topics.collect()
}

/// Carries the request out. Blocks on the disk.
pub fn obey(
    orders: &Orders,
    allowed: &Authorized<'_, op::ClusterAction, Cluster>,
    version: i16,
    request: LeaderAndIsrRequest,
) -> LeaderAndIsrResponse {
    let epochs = (request.controller_epoch, request.broker_epoch);
    let roles = orders_of(request);
    match orders.take_roles(allowed, epochs, &roles) {
        Err(refused) => refuse(version, &roles, code_of(refused)),
        Ok(obeyed) => {
            let codes = obeyed.results.iter().map(partition_error::obeyed);
            respond(version, &roles, ErrorCode::NONE, codes)
        }
    }
}

/// The code of a whole request.
pub fn code_of(refused: Refusal) -> ErrorCode {
    match refused {
        Refusal::StaleBroker => ErrorCode::STALE_BROKER_EPOCH,
        Refusal::StaleController(_) => ErrorCode::STALE_CONTROLLER_EPOCH,
    }
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

#[cfg(test)]
mod tests {
    use protocol::messages::leader_and_isr::LeaderAndIsrTopicState;

    use super::*;
    use crate::testbed::{ID, Testbed, answer, context, now, topic_id};

    fn lead(topic: &str, (controller, broker, leader): (i32, i64, i32)) -> LeaderAndIsrRequest {
        let state = LeaderAndIsrPartitionState {
            controller_epoch: controller,
            leader: ID,
            leader_epoch: leader,
            isr: vec![ID],
            replicas: vec![ID],
            is_new: leader == 0,
            ..LeaderAndIsrPartitionState::default()
        };
        let topic = LeaderAndIsrTopicState {
            topic_name: topic.to_owned(),
            topic_id: topic_id(topic),
            partition_states: vec![state],
        };
        LeaderAndIsrRequest {
            controller_epoch: controller,
            broker_epoch: broker,
            topic_states: vec![topic],
            ..LeaderAndIsrRequest::default()
        }
    }

    fn obeyed(bed: &Testbed, epochs: (i32, i64, i32)) -> (ErrorCode, ErrorCode) {
        let allowed = bed.internal.authorized(CLUSTER);
        let told = obey(&bed.orders, &allowed, 7, lead("t", epochs));
        let partition = told.topics[0].partition_errors[0].error_code;
        (ErrorCode(told.error_code), ErrorCode(partition))
    }

    #[tokio::test]
    async fn former_controllers_and_former_lives_are_refused_as_a_whole() {
        let bed = Testbed::new();
        bed.identity.registered(50);
        assert_eq!(obeyed(&bed, (3, 50, 0)), (ErrorCode::NONE, ErrorCode::NONE));
        let repeated = ErrorCode::STALE_CONTROLLER_EPOCH;
        assert_eq!(obeyed(&bed, (3, -1, 0)), (ErrorCode::NONE, repeated), "the epoch is known");
        assert_eq!(obeyed(&bed, (2, 50, 1)), (repeated, repeated));
        let stale = ErrorCode::STALE_BROKER_EPOCH;
        assert_eq!(obeyed(&bed, (4, 49, 1)), (stale, stale));
        assert_eq!(obeyed(&bed, (3, 51, 1)), (ErrorCode::NONE, ErrorCode::NONE));
        assert!(bed.replicas.find("t", 0).is_ok_and(|partition| partition.is_leader()));
    }

    #[tokio::test]
    async fn clients_give_no_orders() {
        let bed = Testbed::new();
        let client = Authorizer::allow_all().but::<op::ClusterAction, Cluster>(CLUSTER);
        let ask = |authorizer: &Authorizer, version| {
            let (orders, tasks, context) = (&bed.orders, &bed.tasks, context(version));
            handle(authorizer, orders, tasks, &context, lead("t", (1, -1, 0)))
        };
        let denied = ErrorCode::CLUSTER_AUTHORIZATION_FAILED.0;
        let told = now(ask(&client, 7));
        assert_eq!((told.error_code, told.topics[0].topic_id), (denied, topic_id("t")));
        let told = now(ask(&client, 4));
        assert_eq!(told.partition_errors[0].topic_name, "t", "by name before version 5");
        assert!(bed.replicas.find("t", 0).is_err());
        tokio::time::pause();
        assert_eq!(answer(ask(&bed.authorizer, 7)).await.error_code, 0);
    }
}
