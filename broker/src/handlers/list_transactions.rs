//! ListTransactions (key 66): the transactional ids that this broker coordinates (KIP-664).
//!
//! Versions 0 and 1: v1 filter by duration (KIP-994). Errors: COORDINATOR_NOT_AVAILABLE,
//! COORDINATOR_LOAD_IN_PROGRESS. Ids that the caller may not describe are left out.
//!
//! Differs from Apache: in nothing known.

use std::collections::BTreeSet;
use std::sync::Arc;

use coordinator::transaction::State;
use coordinator::transaction::request::Filter;
use protocol::error_code::ErrorCode;
use protocol::messages::list_transactions::{
    ListTransactionsRequest, ListTransactionsResponse, TransactionState,
};

use super::transaction_error;
use crate::authorizer::{TransactionalId, op};
use crate::broker::Broker;
use crate::request::{Reply, RequestContext};

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: ListTransactionsRequest,
) -> Reply<ListTransactionsResponse> {
    let names = request.state_filters;
    let (known, unknown): (Vec<String>, Vec<String>) =
        names.into_iter().partition(|name| State::from_name(name).is_some());
    let states: BTreeSet<State> = known.iter().filter_map(|name| State::from_name(name)).collect();
    let any = known.is_empty() && unknown.is_empty();
    let filter = Filter {
        producer_ids: request.producer_id_filters.into_iter().collect(),
        states: (!any).then_some(states),
        duration_ms: request.duration_filter,
    };
    let listing = broker.transactions.service.list(filter);
    let (broker, context) = (broker.clone(), context.clone());
    Reply::later(async move {
        let found = match listing.await {
            Ok(found) => found,
            Err(error) => {
                let error_code = transaction_error::code(error).0;
                return ListTransactionsResponse { error_code, ..Default::default() };
            }
        };
        let may = |id: &str| {
            broker.authorizer.authorize::<op::Describe, TransactionalId>(&context, id).is_ok()
        };
        let transaction_states = found
            .into_iter()
            .filter(|listing| may(&listing.id))
            .map(|listing| TransactionState {
                transactional_id: listing.id.to_string(),
                producer_id: listing.producer_id,
                transaction_state: listing.state.name().to_owned(),
            })
            .collect();
        ListTransactionsResponse {
            throttle_time_ms: 0,
            error_code: ErrorCode::NONE.0,
            unknown_state_filters: unknown,
            transaction_states,
        }
    })
}
