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
use crate::authorizer::{CLUSTER, Cluster, op};
use crate::broker::Broker;
use crate::request::{Reply, RequestContext};

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub fn handle(
    broker: &Arc<Broker>,
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
    let cluster = broker.metadata.snapshot();
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
        cluster_id: broker.identity.cluster_id.clone(),
        controller_id: cluster.controller_id.filter(shown).unwrap_or(-1),
        brokers,
        ..Default::default()
    };
    if request.include_cluster_authorized_operations {
        let authorizer = &broker.authorizer;
        let may_ask = authorizer.authorize::<op::Describe, Cluster>(context, CLUSTER).is_ok();
        response.cluster_authorized_operations =
            if may_ask { operations::on_cluster(authorizer, context) } else { 0 };
    }
    Reply::Now(response)
}
