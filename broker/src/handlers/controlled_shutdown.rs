//! ControlledShutdown (key 7): a broker asks the controller to move its leaderships away.
//!
//! Versions 0 to 3: v2 broker epoch · v3 flexible. Answers the partitions that the broker still
//! leads though they have other replicas; none: it may stop.
//!
//! Errors: CLUSTER_AUTHORIZATION_FAILED, STALE_CONTROLLER_EPOCH (not the controller),
//! STALE_BROKER_EPOCH, BROKER_NOT_AVAILABLE (not registered), UNKNOWN_SERVER_ERROR.
//!
//! Differs from Apache: a broker that is not registered gets BROKER_NOT_AVAILABLE with any epoch.

use std::sync::Arc;

use controller::event::RequestError;
use protocol::error_code::ErrorCode;
use protocol::ids::TopicPartition;
use protocol::messages::controlled_shutdown::{
    ControlledShutdownRequest, ControlledShutdownResponse, RemainingPartition,
};

use crate::authorizer::{Authorized, Authorizer, CLUSTER, Cluster, op};
use crate::office::Office;
use crate::request::{Reply, RequestContext};

pub fn handle(
    authorizer: &Authorizer,
    office: &Arc<Office>,
    context: &RequestContext,
    request: ControlledShutdownRequest,
) -> Reply<ControlledShutdownResponse> {
    let Ok(allowed) = authorizer.authorize::<_, Cluster>(context, CLUSTER) else {
        return Reply::Now(refusal(ErrorCode::CLUSTER_AUTHORIZATION_FAILED));
    };
    let (office, allowed) = (office.clone(), allowed.into_owned());
    Reply::later(async move { ask(&office, request, &allowed).await })
}

async fn ask(
    office: &Office,
    request: ControlledShutdownRequest,
    allowed: &Authorized<'_, op::ClusterAction, Cluster>,
) -> ControlledShutdownResponse {
    let ControlledShutdownRequest { broker_id, broker_epoch } = request;
    respond(office.controlled_shutdown(allowed, broker_id, broker_epoch).await)
}

fn respond(answer: Result<Vec<TopicPartition>, RequestError>) -> ControlledShutdownResponse {
    match answer {
        Ok(remaining) => ControlledShutdownResponse {
            error_code: ErrorCode::NONE.0,
            remaining_partitions: remaining.into_iter().map(remaining_partition).collect(),
        },
        Err(error) => refusal(match error {
            RequestError::NotController => ErrorCode::STALE_CONTROLLER_EPOCH,
            RequestError::UnknownBroker(_) => ErrorCode::BROKER_NOT_AVAILABLE,
            RequestError::StaleBrokerEpoch(_) => ErrorCode::STALE_BROKER_EPOCH,
            RequestError::Failed(_) => ErrorCode::UNKNOWN_SERVER_ERROR,
        }),
    }
}

fn remaining_partition(tp: TopicPartition) -> RemainingPartition {
    RemainingPartition { topic_name: tp.topic, partition_index: tp.partition }
}

fn refusal(code: ErrorCode) -> ControlledShutdownResponse {
    ControlledShutdownResponse { error_code: code.0, ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testbed::{Testbed, context, now};

    #[tokio::test]
    async fn only_brokers_ask_for_leave() {
        let bed = Testbed::new();
        let client = Authorizer::allow_all().but::<op::ClusterAction, Cluster>(CLUSTER);
        let request = ControlledShutdownRequest { broker_id: 1, ..Default::default() };
        let refused = now(handle(&client, &bed.office, &context(3), request));
        assert_eq!(refused.error_code, ErrorCode::CLUSTER_AUTHORIZATION_FAILED.0);
    }

    #[test]
    fn what_is_still_led_is_told() {
        let told = respond(Ok(vec![TopicPartition::new("t", 3)]));
        let partition = &told.remaining_partitions[0];
        assert_eq!((told.error_code, &*partition.topic_name), (0, "t"));
        assert_eq!(partition.partition_index, 3);
        let code = |error| ErrorCode(respond(Err(error)).error_code);
        assert_eq!(code(RequestError::NotController), ErrorCode::STALE_CONTROLLER_EPOCH);
        assert_eq!(code(RequestError::UnknownBroker(7)), ErrorCode::BROKER_NOT_AVAILABLE);
        assert_eq!(code(RequestError::StaleBrokerEpoch(7)), ErrorCode::STALE_BROKER_EPOCH);
    }
}
