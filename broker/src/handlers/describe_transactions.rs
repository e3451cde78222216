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
use crate::authorizer::{Topic, TransactionalId, op};
use crate::broker::Broker;
use crate::request::{Reply, RequestContext};

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: DescribeTransactionsRequest,
) -> Reply<DescribeTransactionsResponse> {
    let asked: Vec<_> = request
        .transactional_ids
        .into_iter()
        .map(|id| {
            let may =
                broker.authorizer.authorize::<op::Describe, TransactionalId>(context, &id).is_ok();
            let describing = may.then(|| broker.transactions.service.describe(&id));
            async move {
                match describing {
                    Some(describing) => (id, Some(describing.await)),
                    None => (id, None),
                }
            }
        })
        .collect();
    let (broker, context) = (broker.clone(), context.clone());
    Reply::later(async move {
        let described = join_all(asked).await.into_iter();
        let transaction_states =
            described.map(|(id, found)| state_of(&broker, &context, id, found)).collect();
        DescribeTransactionsResponse { throttle_time_ms: 0, transaction_states }
    })
}

fn state_of(
    broker: &Broker,
    context: &RequestContext,
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
        if broker.authorizer.authorize::<op::Describe, Topic>(context, &partition.topic).is_err() {
            continue;
        }
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
