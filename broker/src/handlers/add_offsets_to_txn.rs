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

use coordinator::shard::Producer;
use protocol::error_code::ErrorCode;
use protocol::messages::add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use super::transaction_error;
use crate::authorizer::{AuthorizedPartitions, Authorizer, Group, TransactionalId, op};
use crate::groups::Groups;
use crate::request::{Reply, RequestContext};
use crate::transactions::Transactions;

/// From here on clients know PRODUCER_FENCED.
const FENCED_FROM: i16 = 2;

pub fn handle(
    authorizer: &Authorizer,
    groups: &Groups,
    transactions: &Transactions,
    context: &RequestContext,
    request: AddOffsetsToTxnRequest,
) -> Reply<AddOffsetsToTxnResponse> {
    let id = &request.transactional_id;
    let Ok(id) = authorizer.authorize::<op::Write, TransactionalId>(context, id) else {
        return Reply::Now(respond(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED));
    };
    let Ok(group) = authorizer.authorize::<op::Read, Group>(context, &request.group_id) else {
        return Reply::Now(respond(ErrorCode::GROUP_AUTHORIZATION_FAILED));
    };
    let mut partitions = AuthorizedPartitions::default();
    partitions.push(&group.offsets_topic(), groups.partition_for(&group), ());
    let producer = Producer { id: request.producer_id, epoch: request.producer_epoch };
    let adding = transactions.add_partitions(&id, producer, partitions);
    let knows_fenced = context.api_version >= FENCED_FROM;
    Reply::later(async move { respond(transaction_error::code_of(adding.await, knows_fenced)) })
}

fn respond(code: ErrorCode) -> AddOffsetsToTxnResponse {
    AddOffsetsToTxnResponse { throttle_time_ms: 0, error_code: code.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testbed::{Testbed, answer, context};

    #[tokio::test]
    async fn the_id_is_looked_at_before_the_group() {
        let bed = Testbed::new();
        let producer = bed.begin_transaction("x", "t").await;
        let code = async |authorizer: Authorizer, version, id: i64| {
            let request = AddOffsetsToTxnRequest {
                transactional_id: "x".to_owned(),
                producer_id: id,
                producer_epoch: producer.epoch,
                group_id: "g".to_owned(),
            };
            let (groups, transactions) = (&bed.groups, &bed.transactions);
            let reply = handle(&authorizer, groups, transactions, &context(version), request);
            ErrorCode(answer(reply).await.error_code)
        };
        let no_group = || Authorizer::allow_all().but::<op::Read, Group>("g");
        let denied = ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
        let neither = no_group().but::<op::Write, TransactionalId>("x");
        assert_eq!(code(neither, 3, producer.id).await, denied);
        let denied = ErrorCode::GROUP_AUTHORIZATION_FAILED;
        assert_eq!(code(no_group(), 3, producer.id).await, denied);
        let other = ErrorCode::INVALID_PRODUCER_ID_MAPPING;
        assert_eq!(code(Authorizer::allow_all(), 3, producer.id + 1).await, other);
        assert_eq!(code(Authorizer::allow_all(), 3, producer.id).await, ErrorCode::NONE);
    }
}
