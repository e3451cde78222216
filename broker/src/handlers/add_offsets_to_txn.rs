//! AddOffsetsToTxn (key 25): adds the partition of `__consumer_offsets` that a group belongs to.
//!
//! Versions 0 to 4: v2 may answer PRODUCER_FENCED, earlier ones INVALID_PRODUCER_EPOCH · v3
//! flexible.
//!
//! Errors: TRANSACTIONAL_ID_AUTHORIZATION_FAILED, GROUP_AUTHORIZATION_FAILED, INVALID_REQUEST,
//! INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, INVALID_PRODUCER_EPOCH, CONCURRENT_TRANSACTIONS,
//! NOT_COORDINATOR, COORDINATOR_NOT_AVAILABLE, COORDINATOR_LOAD_IN_PROGRESS, UNKNOWN_SERVER_ERROR.
//!
//! Differs from Apache: a producer that begins while its transaction before is being ended waits up
//! to 100 ms for that, where Apache answers CONCURRENT_TRANSACTIONS at once and is asked again
//! after a pause of the client's own.

use std::sync::Arc;

use coordinator::group::service::OFFSETS_TOPIC;
use coordinator::shard::Producer;
use protocol::error_code::ErrorCode;
use protocol::ids::TopicPartition;
use protocol::messages::add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use super::transaction_error;
use crate::authorizer::{Group, TransactionalId, op};
use crate::broker::Broker;
use crate::request::{Reply, RequestContext};

/// From here on clients know PRODUCER_FENCED.
const FENCED_FROM: i16 = 2;

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: AddOffsetsToTxnRequest,
) -> Reply<AddOffsetsToTxnResponse> {
    let authorizer = &broker.authorizer;
    if authorizer
        .authorize::<op::Write, TransactionalId>(context, &request.transactional_id)
        .is_err()
    {
        return Reply::Now(respond(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED));
    }
    let Ok(group) = authorizer.authorize::<op::Read, Group>(context, &request.group_id) else {
        return Reply::Now(respond(ErrorCode::GROUP_AUTHORIZATION_FAILED));
    };
    let index = broker.groups.partition_for(&group);
    let partitions = [TopicPartition::new(OFFSETS_TOPIC, index)].into();
    let producer = Producer { id: request.producer_id, epoch: request.producer_epoch };
    let service = &broker.transactions.service;
    let adding = service.add_partitions(&request.transactional_id, producer, partitions);
    let knows_fenced = context.api_version >= FENCED_FROM;
    Reply::later(async move { respond(transaction_error::code_of(adding.await, knows_fenced)) })
}

fn respond(code: ErrorCode) -> AddOffsetsToTxnResponse {
    AddOffsetsToTxnResponse { throttle_time_ms: 0, error_code: code.0 }
}
