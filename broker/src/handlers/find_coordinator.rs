//! FindCoordinator (key 10): which broker coordinates a group or a transactional id.
//!
//! Versions 0 to 6: v1 key type · v4 several keys. The coordinator is the leader of the partition
//! of `__consumer_offsets` or `__transaction_state` that the id belongs to; the topic is created
//! when it is first asked for.
//!
//! Errors: GROUP_AUTHORIZATION_FAILED, TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
//! CLUSTER_AUTHORIZATION_FAILED, INVALID_REQUEST (key type), COORDINATOR_NOT_AVAILABLE.
//!
//! Differs from Apache: texts that only repeat the code are in our own words.

use std::sync::Arc;

use coordinator::group::service::OFFSETS_TOPIC;
use coordinator::transaction::service::TRANSACTIONS_TOPIC;
use protocol::error_code::ErrorCode;
use protocol::ids::BrokerId;
use protocol::messages::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse,
};

use crate::authorizer::{Resource, op};
use crate::broker::{Broker, Reply, RequestContext};
use crate::topics::auto;

const KEY_GROUP: i8 = 0;
const KEY_TRANSACTION: i8 = 1;
const KEY_SHARE: i8 = 2;

/// A broker as clients are told.
struct Node {
    id: BrokerId,
    host: String,
    port: i32,
}

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: FindCoordinatorRequest,
) -> Reply<FindCoordinatorResponse> {
    if context.api_version >= 4 {
        let find = |key: String| {
            let found = find(broker, context, request.key_type, &key);
            let code = found.as_ref().err().copied().unwrap_or(ErrorCode::NONE);
            let node = found.unwrap_or_else(|_| nobody());
            // Kafka has a text only where it refuses the request as a whole: for a type that it
            // does not know, not for a share group before v6.
            let refused = code == ErrorCode::INVALID_REQUEST && request.key_type != KEY_SHARE;
            let message = if refused { code.message() } else { "" };
            Coordinator {
                key,
                node_id: node.id,
                host: node.host,
                port: node.port,
                error_code: code.0,
                error_message: Some(message.to_owned()),
            }
        };
        let coordinators = request.coordinator_keys.into_iter().map(find).collect();
        return Reply::Now(FindCoordinatorResponse { coordinators, ..Default::default() });
    }
    let found = find(broker, context, request.key_type, &request.key);
    let code = found.as_ref().err().copied().unwrap_or(ErrorCode::NONE);
    let node = found.unwrap_or_else(|_| nobody());
    // Kafka names success, too.
    let message = if code.is_ok() { "NONE" } else { code.message() };
    Reply::Now(FindCoordinatorResponse {
        error_code: code.0,
        error_message: Some(message.to_owned()),
        node_id: node.id,
        host: node.host,
        port: node.port,
        ..Default::default()
    })
}

fn nobody() -> Node {
    Node { id: -1, host: String::new(), port: -1 }
}

fn find(
    broker: &Arc<Broker>,
    context: &RequestContext,
    key_type: i8,
    key: &str,
) -> Result<Node, ErrorCode> {
    let authorizer = &broker.authorizer;
    match key_type {
        KEY_GROUP => {
            authorizer
                .authorize::<op::Describe>(context, Resource::Group(key))
                .map_err(|_| ErrorCode::GROUP_AUTHORIZATION_FAILED)?;
            let index = broker.groups.partition_for(key);
            find_leader(broker, context, OFFSETS_TOPIC, index)
        }
        KEY_TRANSACTION => {
            authorizer
                .authorize::<op::Describe>(context, Resource::TransactionalId(key))
                .map_err(|_| ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED)?;
            let index = broker.transactions.service.partition_for(key);
            find_leader(broker, context, TRANSACTIONS_TOPIC, index)
        }
        KEY_SHARE if context.api_version >= 6 => {
            authorizer
                .authorize::<op::ClusterAction>(context, Resource::Cluster)
                .map_err(|_| ErrorCode::CLUSTER_AUTHORIZATION_FAILED)?;
            Err(ErrorCode::COORDINATOR_NOT_AVAILABLE)
        }
        _ => Err(ErrorCode::INVALID_REQUEST),
    }
}

fn find_leader(
    broker: &Arc<Broker>,
    context: &RequestContext,
    topic: &'static str,
    index: i32,
) -> Result<Node, ErrorCode> {
    let cluster = broker.replicas.cluster();
    if !cluster.has_partition(topic, 0) {
        let making = broker.clone();
        broker.tasks.spawn_until_stop(async move {
            // It logs what hinders it; the client asks again either way.
            auto::ensure_internal_topic(&making, topic).await;
        });
        return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE);
    }
    let node = cluster.leader(topic, index).and_then(|leader| {
        let endpoint = cluster.endpoint(leader.id, &context.connection.listener)?;
        Some(Node { id: leader.id, host: endpoint.host, port: endpoint.port })
    });
    node.ok_or(ErrorCode::COORDINATOR_NOT_AVAILABLE)
}
