//! ControlledShutdown (key 7): a broker asks the controller to move its leaderships away.
//!
//! Versions 0 to 3: v2 broker epoch · v3 flexible. Answers the partitions that the broker still
//! leads though they have other replicas; none: it may stop.
//!
//! Errors: CLUSTER_AUTHORIZATION_FAILED, STALE_CONTROLLER_EPOCH (not the controller),
//! STALE_BROKER_EPOCH, BROKER_NOT_AVAILABLE (not registered), UNKNOWN_SERVER_ERROR.
//!
//! Differs from Apache: a broker that is not registered gets BROKER_NOT_AVAILABLE with any epoch.

use std::sync::Arc;

use controller::event::RequestError;
use protocol::error_code::ErrorCode;
use protocol::ids::TopicPartition;
use protocol::messages::controlled_shutdown::{
    ControlledShutdownRequest, ControlledShutdownResponse, RemainingPartition,
};

use crate::authorizer::{Authorized, CLUSTER, Cluster, op};
use crate::broker::Broker;
use crate::request::{Reply, RequestContext};

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: ControlledShutdownRequest,
) -> Reply<ControlledShutdownResponse> {
    let Ok(allowed) = broker.authorizer.authorize::<_, Cluster>(context, CLUSTER) else {
        return Reply::Now(refusal(ErrorCode::CLUSTER_AUTHORIZATION_FAILED));
    };
    let broker = broker.clone();
    Reply::later(async move { ask(&broker, request, allowed).await })
}

async fn ask(
    broker: &Broker,
    request: ControlledShutdownRequest,
    _: Authorized<'_, op::ClusterAction, Cluster>,
) -> ControlledShutdownResponse {
    let controller = &broker.controller.handle;
    let ControlledShutdownRequest { broker_id, broker_epoch } = request;
    match controller.controlled_shutdown(broker_id, broker_epoch).await {
        Ok(remaining) => ControlledShutdownResponse {
            error_code: ErrorCode::NONE.0,
            remaining_partitions: remaining.into_iter().map(remaining_partition).collect(),
        },
        Err(error) => refusal(match error {
            RequestError::NotController => ErrorCode::STALE_CONTROLLER_EPOCH,
            RequestError::UnknownBroker(_) => ErrorCode::BROKER_NOT_AVAILABLE,
            RequestError::StaleBrokerEpoch(_) => ErrorCode::STALE_BROKER_EPOCH,
            RequestError::Failed(_) => ErrorCode::UNKNOWN_SERVER_ERROR,
        }),
    }
}

fn remaining_partition(tp: TopicPartition) -> RemainingPartition {
    RemainingPartition { topic_name: tp.topic, partition_index: tp.partition }
}

fn refusal(code: ErrorCode) -> ControlledShutdownResponse {
    ControlledShutdownResponse { error_code: code.0, ..Default::default() }
}
