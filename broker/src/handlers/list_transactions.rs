//! ListTransactions (key 66): the transactional ids that this broker coordinates (KIP-664).
//!
//! Versions 0 and 1: v1 filter by duration (KIP-994). Errors: COORDINATOR_NOT_AVAILABLE,
//! COORDINATOR_LOAD_IN_PROGRESS. Ids that the caller may not describe are left out.
//!
//! Differs from Apache: in nothing known.

use std::collections::BTreeSet;
use std::sync::Arc;

use coordinator::transaction::request::{Filter, Listing};
use coordinator::transaction::{State, TransactionError};
use protocol::error_code::ErrorCode;
use protocol::messages::list_transactions::{
    ListTransactionsRequest, ListTransactionsResponse, TransactionState,
};

use super::transaction_error;
use crate::authorizer::{Authorizer, Requester};
use crate::request::{Reply, RequestContext};
use crate::transactions::Transactions;

pub fn handle(
    authorizer: &Arc<Authorizer>,
    transactions: &Transactions,
    context: &RequestContext,
    request: ListTransactionsRequest,
) -> Reply<ListTransactionsResponse> {
    let (filter, unknown) = filter_of(request);
    let listing = transactions.list(filter, Requester::new(authorizer, context));
    Reply::later(async move { respond(unknown, listing.await) })
}

/// The filter, and the names in it that are no states. States that are asked for count even if
/// none of them is one.
fn filter_of(request: ListTransactionsRequest) -> (Filter, Vec<String>) {
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
    (filter, unknown)
}

fn respond(
    unknown_state_filters: Vec<String>,
    listed: Result<Vec<Listing>, TransactionError>,
) -> ListTransactionsResponse {
    let found = match listed {
        Ok(found) => found,
        Err(error) => {
            let error_code = transaction_error::code(error).0;
            return ListTransactionsResponse { error_code, ..Default::default() };
        }
    };
    let state = |listing: Listing| TransactionState {
        transactional_id: listing.id.to_string(),
        producer_id: listing.producer_id,
        transaction_state: listing.state.name().to_owned(),
    };
    ListTransactionsResponse {
        throttle_time_ms: 0,
        error_code: ErrorCode::NONE.0,
        unknown_state_filters,
        transaction_states: found.into_iter().map(state).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorizer::{TransactionalId, op};
    use crate::testbed::{Testbed, answer, context};

    #[tokio::test]
    async fn ids_that_may_not_be_described_are_left_out() {
        let bed = Testbed::new();
        let producer = bed.begin_transaction("x", "t").await;
        bed.begin_transaction("secret", "t").await;
        let authorizer = Authorizer::allow_all().but::<op::Describe, TransactionalId>("secret");
        let request = ListTransactionsRequest { duration_filter: -1, ..Default::default() };
        let reply = handle(&Arc::new(authorizer), &bed.transactions, &context(1), request);
        let listed = answer(reply).await;
        let expected = TransactionState {
            transactional_id: "x".to_owned(),
            producer_id: producer.id,
            transaction_state: "Ongoing".to_owned(),
        };
        assert_eq!((listed.error_code, listed.transaction_states), (0, vec![expected]));
    }

    #[test]
    fn states_that_are_none_still_filter() {
        let asked = |names: &[&str]| {
            let state_filters = names.iter().map(|name| (*name).to_owned()).collect();
            filter_of(ListTransactionsRequest { state_filters, ..Default::default() })
        };
        assert_eq!(asked(&[]).0.states, None);
        let (filter, unknown) = asked(&["Ongoing", "Lost"]);
        assert_eq!(filter.states, Some([State::Ongoing].into()));
        assert_eq!(unknown, ["Lost"]);
        assert_eq!(asked(&["Lost"]).0.states, Some([].into()), "none of them");
    }

    #[test]
    fn an_error_leaves_everything_else_out() {
        let answer = respond(vec!["Lost".to_owned()], Err(TransactionError::NotCoordinator));
        assert_eq!(answer.error_code, ErrorCode::NOT_COORDINATOR.0);
        assert!(answer.unknown_state_filters.is_empty());
    }
}
