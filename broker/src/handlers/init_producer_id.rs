//! InitProducerId (key 22): give a producer its id and epoch.
//!
//! Versions 0 to 5: v2 flexible · v3 the id to go on with (KIP-360) · v4 may answer
//! PRODUCER_FENCED, earlier ones INVALID_PRODUCER_EPOCH. Without a transactional id every answer
//! has a new id and epoch 0, whatever id the producer had; with one, whoever had it before is
//! fenced, and its open transaction aborted.
//!
//! Errors: CLUSTER_AUTHORIZATION_FAILED, TRANSACTIONAL_ID_AUTHORIZATION_FAILED, INVALID_REQUEST
//! (an id without its epoch or the reverse, or an empty transactional id),
//! INVALID_TRANSACTION_TIMEOUT, PRODUCER_FENCED, INVALID_PRODUCER_EPOCH, CONCURRENT_TRANSACTIONS
//! (the transaction before is being ended), COORDINATOR_LOAD_IN_PROGRESS (or no ids at the moment),
//! COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR, UNKNOWN_SERVER_ERROR.
//!
//! Differs from Apache: waits for the controller's first block, where Apache answers
//! COORDINATOR_LOAD_IN_PROGRESS at once and is asked again.

use std::sync::Arc;

use coordinator::shard::Producer;
use coordinator::transaction::request::{InitAnswer, InitRequest};
use protocol::error_code::ErrorCode;
use protocol::ids::ProducerId;
use protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};

use super::transaction_error;
use crate::authorizer::{Authorized, CLUSTER, Cluster, TransactionalId, op};
use crate::broker::Broker;
use crate::request::{Reply, RequestContext};
use crate::{producer_ids, transactions};

/// What a producer sends that has no id.
const NO_PRODUCER_ID: ProducerId = -1;
const NO_PRODUCER_EPOCH: i16 = -1;
/// From here on clients know PRODUCER_FENCED.
const FENCED_FROM: i16 = 4;

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: InitProducerIdRequest,
) -> Reply<InitProducerIdResponse> {
    if let Some(id) = &request.transactional_id {
        return transactional(broker, context, id, &request);
    }
    let Ok(allowed) = broker.authorizer.authorize::<_, Cluster>(context, CLUSTER) else {
        return Reply::Now(refusal(ErrorCode::CLUSTER_AUTHORIZATION_FAILED));
    };
    if !is_whole(&request) {
        return Reply::Now(refusal(ErrorCode::INVALID_REQUEST));
    }
    let broker = broker.clone();
    Reply::later(async move { give(&broker, allowed).await })
}

async fn give(
    broker: &Arc<Broker>,
    _: Authorized<'_, op::IdempotentWrite, Cluster>,
) -> InitProducerIdResponse {
    match producer_ids::next(broker).await {
        Some(producer_id) => {
            InitProducerIdResponse { producer_id, producer_epoch: 0, ..Default::default() }
        }
        // Old clients take REQUEST_TIMED_OUT for the end; this they try again.
        None => refusal(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
    }
}

fn transactional(
    broker: &Arc<Broker>,
    context: &RequestContext,
    id: &str,
    request: &InitProducerIdRequest,
) -> Reply<InitProducerIdResponse> {
    if broker.authorizer.authorize::<op::Write, TransactionalId>(context, id).is_err() {
        return Reply::Now(refusal(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED));
    }
    if !is_whole(request) {
        return Reply::Now(refusal(ErrorCode::INVALID_REQUEST));
    }
    let of = Producer { id: request.producer_id, epoch: request.producer_epoch };
    let init = InitRequest {
        timeout_ms: request.transaction_timeout_ms,
        expected: (of.id != NO_PRODUCER_ID).then_some(of),
        fresh_id: None,
    };
    let knows_fenced = context.api_version >= FENCED_FROM;
    let (broker, id) = (broker.clone(), id.to_owned());
    Reply::later(async move {
        match transactions::init(&broker, &id, init).await {
            InitAnswer::Ready(Producer { id, epoch }) => InitProducerIdResponse {
                producer_id: id,
                producer_epoch: epoch,
                ..Default::default()
            },
            InitAnswer::Refused(error) => refusal(transaction_error::code_for(error, knows_fenced)),
            // It was just given one.
            InitAnswer::NeedsId => refusal(ErrorCode::CONCURRENT_TRANSACTIONS),
        }
    })
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
