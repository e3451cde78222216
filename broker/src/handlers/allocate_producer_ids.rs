//! AllocateProducerIds (key 67): a broker takes a block of producer ids from the controller.
//!
//! Version 0.
//!
//! Errors: CLUSTER_AUTHORIZATION_FAILED, NOT_CONTROLLER, BROKER_ID_NOT_REGISTERED,
//! STALE_BROKER_EPOCH, UNKNOWN_SERVER_ERROR.
//!
//! Differs from Apache: in nothing known.

use std::sync::Arc;

use coordinator::controller::event::RequestError;
use coordinator::znodes::producer_ids::BLOCK_SIZE;
use protocol::error_code::ErrorCode;
use protocol::messages::allocate_producer_ids::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse,
};

use crate::authorizer::{Authorized, CLUSTER, Cluster, op};
use crate::broker::Broker;
use crate::request::{Reply, RequestContext};

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: AllocateProducerIdsRequest,
) -> Reply<AllocateProducerIdsResponse> {
    let Ok(allowed) = broker.authorizer.authorize::<_, Cluster>(context, CLUSTER) else {
        return Reply::Now(refusal(ErrorCode::CLUSTER_AUTHORIZATION_FAILED));
    };
    let broker = broker.clone();
    Reply::later(async move { allocate(&broker, request, allowed).await })
}

async fn allocate(
    broker: &Broker,
    request: AllocateProducerIdsRequest,
    _: Authorized<'_, op::ClusterAction, Cluster>,
) -> AllocateProducerIdsResponse {
    let controller = &broker.controller.handle;
    let AllocateProducerIdsRequest { broker_id, broker_epoch } = request;
    match controller.allocate_producer_ids(broker_id, broker_epoch).await {
        Ok(block) => AllocateProducerIdsResponse {
            producer_id_start: block.first,
            producer_id_len: i32::try_from(BLOCK_SIZE).expect("a thousand"),
            ..Default::default()
        },
        Err(error) => refusal(match error {
            RequestError::NotController => ErrorCode::NOT_CONTROLLER,
            RequestError::UnknownBroker(_) => ErrorCode::BROKER_ID_NOT_REGISTERED,
            RequestError::StaleBrokerEpoch(_) => ErrorCode::STALE_BROKER_EPOCH,
            RequestError::Failed(_) => ErrorCode::UNKNOWN_SERVER_ERROR,
        }),
    }
}

fn refusal(code: ErrorCode) -> AllocateProducerIdsResponse {
    AllocateProducerIdsResponse { error_code: code.0, ..Default::default() }
}
