//! EndTxn (key 26): commits or aborts a transaction.
//!
//! Versions 0 to 4: v2 may answer PRODUCER_FENCED, earlier ones INVALID_PRODUCER_EPOCH · v3
//! flexible. Answered once the decision is stored; the markers follow.
//!
//! Errors: TRANSACTIONAL_ID_AUTHORIZATION_FAILED, INVALID_REQUEST, INVALID_PRODUCER_ID_MAPPING,
//! PRODUCER_FENCED, INVALID_PRODUCER_EPOCH, CONCURRENT_TRANSACTIONS, INVALID_TXN_STATE,
//! NOT_COORDINATOR, COORDINATOR_NOT_AVAILABLE, COORDINATOR_LOAD_IN_PROGRESS, UNKNOWN_SERVER_ERROR.
//!
//! Differs from Apache: in nothing known.

use std::sync::Arc;

use coordinator::shard::Producer;
use protocol::error_code::ErrorCode;
use protocol::messages::end_txn::{EndTxnRequest, EndTxnResponse};

use super::transaction_error;
use crate::authorizer::{TransactionalId, op};
use crate::broker::Broker;
use crate::request::{Reply, RequestContext};

/// From here on clients know PRODUCER_FENCED.
const FENCED_FROM: i16 = 2;

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: EndTxnRequest,
) -> Reply<EndTxnResponse> {
    if broker
        .authorizer
        .authorize::<op::Write, TransactionalId>(context, &request.transactional_id)
        .is_err()
    {
        return Reply::Now(respond(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED));
    }
    let producer = Producer { id: request.producer_id, epoch: request.producer_epoch };
    let service = &broker.transactions.service;
    let ending = service.end(&request.transactional_id, producer, request.committed);
    let knows_fenced = context.api_version >= FENCED_FROM;
    Reply::later(async move { respond(transaction_error::code_of(ending.await, knows_fenced)) })
}

fn respond(code: ErrorCode) -> EndTxnResponse {
    EndTxnResponse { throttle_time_ms: 0, error_code: code.0 }
}
