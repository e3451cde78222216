//! AllocateProducerIds (key 67): a broker takes a block of producer ids from the controller.
//!
//! Version 0.
//!
//! Errors: CLUSTER_AUTHORIZATION_FAILED, NOT_CONTROLLER, BROKER_ID_NOT_REGISTERED,
//! STALE_BROKER_EPOCH, UNKNOWN_SERVER_ERROR.
//!
//! Differs from Apache: in nothing known.

use std::sync::Arc;

use controller::event::RequestError;
use metadata::znodes::producer_ids::{BLOCK_SIZE, ProducerIdBlock};
use protocol::error_code::ErrorCode;
use protocol::messages::allocate_producer_ids::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse,
};

use crate::authorizer::{Authorized, Authorizer, CLUSTER, Cluster, op};
use crate::office::Office;
use crate::request::{Reply, RequestContext};

pub fn handle(
    authorizer: &Authorizer,
    office: &Arc<Office>,
    context: &RequestContext,
    request: AllocateProducerIdsRequest,
) -> Reply<AllocateProducerIdsResponse> {
    let Ok(allowed) = authorizer.authorize::<_, Cluster>(context, CLUSTER) else {
        return Reply::Now(refusal(ErrorCode::CLUSTER_AUTHORIZATION_FAILED));
    };
    let (office, allowed) = (office.clone(), allowed.into_owned());
    Reply::later(async move { allocate(&office, &allowed, request).await })
}

async fn allocate(
    office: &Office,
    allowed: &Authorized<'_, op::ClusterAction, Cluster>,
    request: AllocateProducerIdsRequest,
) -> AllocateProducerIdsResponse {
    let AllocateProducerIdsRequest { broker_id, broker_epoch } = request;
    respond(office.allocate_producer_ids(allowed, broker_id, broker_epoch).await)
}

fn respond(allocated: Result<ProducerIdBlock, RequestError>) -> AllocateProducerIdsResponse {
    match allocated {
        Ok(block) => AllocateProducerIdsResponse {
            producer_id_start: block.first,
            producer_id_len: i32::try_from(BLOCK_SIZE).expect("a thousand"),
            ..Default::default()
        },
        Err(error) => refusal(match error {
            RequestError::NotController => ErrorCode::NOT_CONTROLLER,
            RequestError::UnknownBroker(_) => ErrorCode::BROKER_ID_NOT_REGISTERED,
            RequestError::StaleBrokerEpoch(_) => ErrorCode::STALE_BROKER_EPOCH,
            RequestError::Failed(_) => ErrorCode::UNKNOWN_SERVER_ERROR,
        }),
    }
}

fn refusal(code: ErrorCode) -> AllocateProducerIdsResponse {
    AllocateProducerIdsResponse { error_code: code.0, ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testbed::{ID, Testbed, context, now};

    #[tokio::test]
    async fn only_brokers_are_given_blocks() {
        let bed = Testbed::new();
        let client = Authorizer::allow_all().but::<op::ClusterAction, Cluster>(CLUSTER);
        let request = AllocateProducerIdsRequest { broker_id: ID, broker_epoch: 7 };
        let refused = now(handle(&client, &bed.office, &context(0), request));
        assert_eq!(refused.error_code, ErrorCode::CLUSTER_AUTHORIZATION_FAILED.0);
    }

    #[test]
    fn a_block_is_a_thousand_ids() {
        let block = ProducerIdBlock { broker: 3, first: 2000, last: 2999 };
        let given = respond(Ok(block));
        let shape = (given.error_code, given.producer_id_start, given.producer_id_len);
        assert_eq!(shape, (0, 2000, 1000));
        let code = |error| ErrorCode(respond(Err(error)).error_code);
        let stale = RequestError::StaleBrokerEpoch(3);
        assert_eq!(code(stale), ErrorCode::STALE_BROKER_EPOCH);
        assert_eq!(code(RequestError::NotController), ErrorCode::NOT_CONTROLLER);
        let unknown = RequestError::UnknownBroker(3);
        assert_eq!(code(unknown), ErrorCode::BROKER_ID_NOT_REGISTERED);
    }
}
