//! DescribeCluster (key 60): cluster id, controller and live brokers (KIP-700).
//!
//! Versions 0–1: v1 says whether brokers or controllers are meant. Brokers without the listener
//! that the request came in on are left out; a controller among those is told as −1. Errors:
//! UNSUPPORTED_ENDPOINT_TYPE, MISMATCHED_ENDPOINT_TYPE (v1), INVALID_REQUEST (v0).
//!
//! Differs from Apache: nothing known.

use std::sync::Arc;

use protocol::error_code::ErrorCode;
use protocol::messages::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};

use super::operations;
use crate::authorizer::{Authorizer, CLUSTER, Cluster, Requester, op};
use crate::identity::Identity;
use crate::metadata_cache::MetadataCache;
use crate::request::{Reply, RequestContext};

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub fn handle(
    authorizer: &Arc<Authorizer>,
    identity: &Identity,
    metadata: &MetadataCache,
    context: &RequestContext,
    request: DescribeClusterRequest,
) -> Reply<DescribeClusterResponse> {
    let asked = request.endpoint_type;
    if asked != BROKERS {
        let (code, message) = match asked {
            CONTROLLERS => (
                ErrorCode::MISMATCHED_ENDPOINT_TYPE,
                "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of \
                 type CONTROLLER"
                    .to_owned(),
            ),
            _ => {
                let message = format!("Unsupported endpoint type {asked}");
                (ErrorCode::UNSUPPORTED_ENDPOINT_TYPE, message)
            }
        };
        let code = if context.api_version == 0 { ErrorCode::INVALID_REQUEST } else { code };
        return Reply::Now(DescribeClusterResponse {
            error_code: code.0,
            error_message: Some(message),
            ..Default::default()
        });
    }
    let cluster = metadata.load();
    let brokers: Vec<_> = cluster
        .brokers
        .values()
        .filter_map(|live| {
            let endpoint = live.listener(&context.connection.listener)?;
            Some(DescribeClusterBroker {
                broker_id: live.id,
                host: endpoint.host.clone(),
                port: endpoint.port,
                rack: live.rack.clone(),
            })
        })
        .collect();
    let shown = |id: &i32| brokers.iter().any(|broker| broker.broker_id == *id);
    let mut response = DescribeClusterResponse {
        cluster_id: identity.cluster_id.clone(),
        controller_id: cluster.controller_id.filter(shown).unwrap_or(-1),
        brokers,
        ..Default::default()
    };
    if request.include_cluster_authorized_operations {
        let may_ask = authorizer.authorize::<op::Describe, Cluster>(context, CLUSTER).is_ok();
        response.cluster_authorized_operations =
            if may_ask { operations::on_cluster(&Requester::new(authorizer, context)) } else { 0 };
    }
    Reply::Now(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testbed::{ID, PORT, Testbed, context, now};

    fn ask(
        bed: &Testbed,
        authorizer: &Arc<Authorizer>,
        version: i16,
        endpoint_type: i8,
    ) -> DescribeClusterResponse {
        let request =
            DescribeClusterRequest { include_cluster_authorized_operations: true, endpoint_type };
        now(handle(authorizer, &bed.identity, &bed.metadata, &context(version), request))
    }

    #[tokio::test]
    async fn brokers_are_told_by_the_listener_of_the_asker() {
        let bed = Testbed::new();
        bed.lead("t", 1);
        let told = ask(&bed, &bed.authorizer, 1, BROKERS);
        assert_eq!((told.error_code, &*told.cluster_id), (0, "test-cluster"));
        assert_eq!(told.controller_id, ID);
        let ports: Vec<_> = told.brokers.iter().map(|one| (one.broker_id, one.port)).collect();
        assert_eq!(ports, [(ID, PORT), (2, PORT + 1)]);
        assert_ne!(told.cluster_authorized_operations, 0);
        let blind = Arc::new(Authorizer::allow_all().but::<op::Describe, Cluster>(CLUSTER));
        assert_eq!(ask(&bed, &blind, 1, BROKERS).cluster_authorized_operations, 0);
    }

    #[tokio::test]
    async fn only_brokers_are_here() {
        let bed = Testbed::new();
        let code = |version, kind| ErrorCode(ask(&bed, &bed.authorizer, version, kind).error_code);
        assert_eq!(code(1, CONTROLLERS), ErrorCode::MISMATCHED_ENDPOINT_TYPE);
        assert_eq!(code(1, 9), ErrorCode::UNSUPPORTED_ENDPOINT_TYPE);
        assert_eq!(code(0, CONTROLLERS), ErrorCode::INVALID_REQUEST);
    }
}
