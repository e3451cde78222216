//! InitProducerId (key 22): give an idempotent producer its id.
//!
//! Versions 0 to 5: v2 flexible · v3 the id to go on with · v4 and v5 say what answers are
//! understood. Every answer has a new id and epoch 0, whatever id the producer had.
//!
//! Errors: CLUSTER_AUTHORIZATION_FAILED, TRANSACTIONAL_ID_AUTHORIZATION_FAILED, INVALID_REQUEST
//! (an id without its epoch or the reverse, or an empty transactional id),
//! COORDINATOR_LOAD_IN_PROGRESS (no ids at the moment), COORDINATOR_NOT_AVAILABLE (transactions
//! are not served yet).
//!
//! Differs from Apache: waits for the controller's first block, where Apache answers
//! COORDINATOR_LOAD_IN_PROGRESS at once and is asked again.

use std::sync::Arc;

use protocol::error_code::ErrorCode;
use protocol::ids::ProducerId;
use protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};

use crate::authorizer::{Authorized, Resource, op};
use crate::broker::{Broker, Reply, RequestContext};
use crate::producer_ids;

/// What a producer sends that has no id.
const NO_PRODUCER_ID: ProducerId = -1;
const NO_PRODUCER_EPOCH: i16 = -1;

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: InitProducerIdRequest,
) -> Reply<InitProducerIdResponse> {
    if let Some(id) = &request.transactional_id {
        return Reply::Now(refusal(transactional(broker, context, id, &request)));
    }
    let Ok(allowed) = broker.authorizer.authorize(context, Resource::Cluster) else {
        return Reply::Now(refusal(ErrorCode::CLUSTER_AUTHORIZATION_FAILED));
    };
    if !is_whole(&request) {
        return Reply::Now(refusal(ErrorCode::INVALID_REQUEST));
    }
    let broker = broker.clone();
    Reply::later(async move { give(&broker, allowed).await })
}

async fn give(broker: &Arc<Broker>, _: Authorized<op::IdempotentWrite>) -> InitProducerIdResponse {
    match producer_ids::next(broker).await {
        Some(producer_id) => {
            InitProducerIdResponse { producer_id, producer_epoch: 0, ..Default::default() }
        }
        // Old clients take REQUEST_TIMED_OUT for the end; this they try again.
        None => refusal(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
    }
}

fn transactional(
    broker: &Broker,
    context: &RequestContext,
    id: &str,
    request: &InitProducerIdRequest,
) -> ErrorCode {
    let resource = Resource::TransactionalId(id);
    if broker.authorizer.authorize::<op::Write>(context, resource).is_err() {
        return ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    }
    if !is_whole(request) || id.is_empty() {
        return ErrorCode::INVALID_REQUEST;
    }
    ErrorCode::COORDINATOR_NOT_AVAILABLE
}

/// Both the id and the epoch, or neither.
fn is_whole(request: &InitProducerIdRequest) -> bool {
    (request.producer_id == NO_PRODUCER_ID) == (request.producer_epoch == NO_PRODUCER_EPOCH)
}

fn refusal(code: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse {
        error_code: code.0,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        ..Default::default()
    }
}
