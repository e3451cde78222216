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
use crate::authorizer::{Authorized, Authorizer, CLUSTER, Cluster, TransactionalId, op};
use crate::producer_ids::ProducerIds;
use crate::request::{Reply, RequestContext};
use crate::transactions::Transactions;

/// What a producer sends that has no id.
const NO_PRODUCER_ID: ProducerId = -1;
const NO_PRODUCER_EPOCH: i16 = -1;
/// From here on clients know PRODUCER_FENCED.
const FENCED_FROM: i16 = 4;

pub fn handle(
    authorizer: &Authorizer,
    producer_ids: &Arc<ProducerIds>,
    transactions: &Arc<Transactions>,
    context: &RequestContext,
    request: InitProducerIdRequest,
) -> Reply<InitProducerIdResponse> {
    if let Some(id) = &request.transactional_id {
        let Ok(id) = authorizer.authorize(context, id) else {
            return Reply::Now(refusal(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED));
        };
        return transactional(transactions, context, id, &request);
    }
    let Ok(allowed) = authorizer.authorize::<op::IdempotentWrite, Cluster>(context, CLUSTER) else {
        return Reply::Now(refusal(ErrorCode::CLUSTER_AUTHORIZATION_FAILED));
    };
    if !is_whole(&request) {
        return Reply::Now(refusal(ErrorCode::INVALID_REQUEST));
    }
    let (producer_ids, allowed) = (producer_ids.clone(), allowed.into_owned());
    Reply::later(async move { given(producer_ids.for_producer(&allowed).await) })
}

fn given(id: Option<ProducerId>) -> InitProducerIdResponse {
    match id {
        Some(producer_id) => {
            InitProducerIdResponse { producer_id, producer_epoch: 0, ..Default::default() }
        }
        // Old clients take REQUEST_TIMED_OUT for the end; this they try again.
        None => refusal(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
    }
}

fn transactional(
    transactions: &Arc<Transactions>,
    context: &RequestContext,
    id: Authorized<'_, op::Write, TransactionalId>,
    request: &InitProducerIdRequest,
) -> Reply<InitProducerIdResponse> {
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
    let (transactions, id) = (transactions.clone(), id.into_owned());
    Reply::later(async move {
        match transactions.init(&id, init).await {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testbed::{Testbed, answer, context, now};

    fn ask(
        bed: &Testbed,
        authorizer: &Authorizer,
        version: i16,
        request: InitProducerIdRequest,
    ) -> Reply<InitProducerIdResponse> {
        let (ids, transactions) = (&bed.producer_ids, &bed.transactions);
        handle(authorizer, ids, transactions, &context(version), request)
    }

    fn init(id: Option<&str>, producer: Producer) -> InitProducerIdRequest {
        InitProducerIdRequest {
            transactional_id: id.map(str::to_owned),
            transaction_timeout_ms: 60_000,
            producer_id: producer.id,
            producer_epoch: producer.epoch,
        }
    }

    const NOBODY: Producer = Producer { id: NO_PRODUCER_ID, epoch: NO_PRODUCER_EPOCH };

    #[tokio::test]
    async fn leave_comes_before_everything_else() {
        let bed = Testbed::new();
        let authorizer = Authorizer::allow_all()
            .but::<op::Write, TransactionalId>("x")
            .but::<op::IdempotentWrite, Cluster>(CLUSTER);
        let half = Producer { id: 5, ..NOBODY };
        for (id, code) in [
            (Some("x"), ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
            (None, ErrorCode::CLUSTER_AUTHORIZATION_FAILED),
            (Some("y"), ErrorCode::INVALID_REQUEST),
        ] {
            let refused = now(ask(&bed, &authorizer, 4, init(id, half)));
            assert_eq!((refused.error_code, refused.producer_id), (code.0, NO_PRODUCER_ID));
        }
    }

    #[tokio::test]
    async fn whoever_begins_again_fences_the_one_before() {
        let bed = Testbed::new();
        let first = bed.begin_transaction("x", "t").await;
        let stranger = Producer { id: first.id + 7, epoch: 0 };
        for (version, code) in
            [(3, ErrorCode::INVALID_PRODUCER_EPOCH), (4, ErrorCode::PRODUCER_FENCED)]
        {
            let refused = answer(ask(&bed, &bed.authorizer, version, init(Some("x"), stranger)));
            assert_eq!(refused.await.error_code, code.0, "v{version}");
        }
        // The transaction that is open is ended first.
        let again = answer(ask(&bed, &bed.authorizer, 4, init(Some("x"), NOBODY))).await;
        assert_eq!(again.error_code, ErrorCode::CONCURRENT_TRANSACTIONS.0);
    }

    #[test]
    fn without_ids_old_clients_come_again() {
        assert_eq!((given(Some(8)).producer_id, given(Some(8)).producer_epoch), (8, 0));
        assert_eq!(given(None).error_code, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS.0);
    }
}
