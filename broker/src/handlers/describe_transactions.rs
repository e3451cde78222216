//! DescribeTransactions (key 65): the state of transactional ids (KIP-664).
//!
//! Version 0. Errors, per id: TRANSACTIONAL_ID_AUTHORIZATION_FAILED, INVALID_REQUEST (an empty id),
//! TRANSACTIONAL_ID_NOT_FOUND, NOT_COORDINATOR, COORDINATOR_NOT_AVAILABLE,
//! COORDINATOR_LOAD_IN_PROGRESS.
//!
//! As in Apache an id whose producer was initialised anew has the start time of the transaction
//! before until the coordinator is loaded anew, then −1.
//!
//! Differs from Apache: partitions are in the order of their numbers, where Kafka has none.

use std::sync::Arc;

use coordinator::transaction::TransactionError;
use coordinator::transaction::request::Description;
use futures::future::join_all;
use protocol::error_code::ErrorCode;
use protocol::messages::describe_transactions::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, TopicData, TransactionState,
};

use super::transaction_error;
use crate::authorizer::{Authorizer, Requester};
use crate::request::{Reply, RequestContext};
use crate::transactions::Transactions;

pub fn handle(
    authorizer: &Arc<Authorizer>,
    transactions: &Transactions,
    context: &RequestContext,
    request: DescribeTransactionsRequest,
) -> Reply<DescribeTransactionsResponse> {
    let asked: Vec<_> = request
        .transactional_ids
        .into_iter()
        .map(|id| {
            let requester = Requester::new(authorizer, context);
            let allowed = authorizer.authorize(context, &id).ok();
            let describing = allowed.map(|id| transactions.describe(&id, requester));
            async move {
                match describing {
                    Some(describing) => state_of(id, Some(describing.await)),
                    None => state_of(id, None),
                }
            }
        })
        .collect();
    Reply::later(async move {
        let transaction_states = join_all(asked).await;
        DescribeTransactionsResponse { throttle_time_ms: 0, transaction_states }
    })
}

/// `None`: the caller may not see it.
fn state_of(
    transactional_id: String,
    found: Option<Result<Description, TransactionError>>,
) -> TransactionState {
    let refused = |code: ErrorCode| TransactionState {
        error_code: code.0,
        transactional_id: transactional_id.clone(),
        ..Default::default()
    };
    let found = match found {
        None => return refused(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
        Some(Err(error)) => return refused(transaction_error::code(error)),
        Some(Ok(found)) => found,
    };
    let mut topics: Vec<TopicData> = Vec::new();
    for partition in found.partitions {
        match topics.last_mut().filter(|last| last.topic == partition.topic) {
            Some(topic) => topic.partitions.push(partition.partition),
            None => topics
                .push(TopicData { topic: partition.topic, partitions: vec![partition.partition] }),
        }
    }
    TransactionState {
        error_code: ErrorCode::NONE.0,
        transactional_id,
        transaction_state: found.state.name().to_owned(),
        transaction_timeout_ms: found.timeout_ms,
        transaction_start_time_ms: found.start_ms,
        producer_id: found.producer_id,
        producer_epoch: found.producer_epoch,
        topics,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorizer::{Topic, TransactionalId, op};
    use crate::testbed::{Testbed, answer, context};

    #[tokio::test]
    async fn each_id_has_its_own_answer_and_topics_need_leave() {
        let bed = Testbed::new();
        let producer = bed.begin_transaction("x", "t").await;
        let ask = async |authorizer: Authorizer| {
            let ids = ["denied", "x", "none", ""].map(str::to_owned);
            let request = DescribeTransactionsRequest { transactional_ids: ids.to_vec() };
            let authorizer = Arc::new(authorizer);
            let reply = handle(&authorizer, &bed.transactions, &context(0), request);
            answer(reply).await.transaction_states
        };
        let some = || Authorizer::allow_all().but::<op::Describe, TransactionalId>("denied");
        let states = ask(some()).await;
        let codes: Vec<_> = states.iter().map(|state| ErrorCode(state.error_code)).collect();
        let expected = [
            ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            ErrorCode::NONE,
            ErrorCode::TRANSACTIONAL_ID_NOT_FOUND,
            ErrorCode::INVALID_REQUEST,
        ];
        assert_eq!(codes, expected);
        assert_eq!(states[1].transaction_state, "Ongoing");
        assert_eq!(
            (states[1].producer_id, states[1].producer_epoch),
            (producer.id, producer.epoch)
        );
        let topics = [TopicData { topic: "t".to_owned(), partitions: vec![0] }];
        assert_eq!(states[1].topics, topics);
        let hidden = ask(some().but::<op::Describe, Topic>("t")).await;
        assert!(hidden[1].topics.is_empty());
    }
}
