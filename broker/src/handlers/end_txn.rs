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

use coordinator::shard::Producer;
use protocol::error_code::ErrorCode;
use protocol::messages::end_txn::{EndTxnRequest, EndTxnResponse};

use super::transaction_error;
use crate::authorizer::{Authorizer, TransactionalId, op};
use crate::request::{Reply, RequestContext};
use crate::transactions::Transactions;

/// From here on clients know PRODUCER_FENCED.
const FENCED_FROM: i16 = 2;

pub fn handle(
    authorizer: &Authorizer,
    transactions: &Transactions,
    context: &RequestContext,
    request: EndTxnRequest,
) -> Reply<EndTxnResponse> {
    let id = &request.transactional_id;
    let Ok(id) = authorizer.authorize::<op::Write, TransactionalId>(context, id) else {
        return Reply::Now(respond(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED));
    };
    let producer = Producer { id: request.producer_id, epoch: request.producer_epoch };
    let ending = transactions.end(&id, producer, request.committed);
    let knows_fenced = context.api_version >= FENCED_FROM;
    Reply::later(async move { respond(transaction_error::code_of(ending.await, knows_fenced)) })
}

fn respond(code: ErrorCode) -> EndTxnResponse {
    EndTxnResponse { throttle_time_ms: 0, error_code: code.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testbed::{Testbed, answer, context, now};

    #[tokio::test]
    async fn a_transaction_ends_once_and_only_for_its_producer() {
        let bed = Testbed::new();
        let producer = bed.begin_transaction("x", "t").await;
        let end = |epoch, id: i64| EndTxnRequest {
            transactional_id: "x".to_owned(),
            producer_id: id,
            producer_epoch: epoch,
            committed: true,
        };
        let code = async |version, request| {
            let context = context(version);
            let reply = handle(&bed.authorizer, &bed.transactions, &context, request);
            ErrorCode(answer(reply).await.error_code)
        };
        let before = end(producer.epoch - 1, producer.id);
        assert_eq!(code(1, before.clone()).await, ErrorCode::INVALID_PRODUCER_EPOCH);
        assert_eq!(code(2, before).await, ErrorCode::PRODUCER_FENCED);
        let other = end(producer.epoch, producer.id + 1);
        assert_eq!(code(3, other).await, ErrorCode::INVALID_PRODUCER_ID_MAPPING);
        assert_eq!(code(3, end(producer.epoch, producer.id)).await, ErrorCode::NONE);
    }

    #[tokio::test]
    async fn an_id_that_may_not_be_written_is_refused_at_once() {
        let bed = Testbed::new();
        let authorizer = Authorizer::allow_all().but::<op::Write, TransactionalId>("x");
        let request = EndTxnRequest { transactional_id: "x".to_owned(), ..Default::default() };
        let refused = now(handle(&authorizer, &bed.transactions, &context(3), request));
        assert_eq!(refused.error_code, ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED.0);
    }
}
