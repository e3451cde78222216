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

use crate::authorizer::{Authorized, Authorizer, CLUSTER, Cluster, Group, TransactionalId, op};
use crate::groups::Groups;
use crate::metadata_cache::{MetadataCache, Snapshot};
use crate::request::{Reply, RequestContext};
use crate::topics::auto::AutoTopics;
use crate::transactions::Transactions;

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
    authorizer: &Authorizer,
    metadata: &MetadataCache,
    groups: &Groups,
    transactions: &Transactions,
    auto_topics: &Arc<AutoTopics>,
    context: &RequestContext,
    request: FindCoordinatorRequest,
) -> Reply<FindCoordinatorResponse> {
    let cluster = metadata.load();
    let find = |key: &str| {
        let id = Id::of(request.key_type, key, authorizer, context)?;
        let (topic, index) = match id {
            Id::Group(group) => (OFFSETS_TOPIC, groups.partition_for(&group)),
            Id::Transaction(id) => (TRANSACTIONS_TOPIC, transactions.partition_for(&id)),
        };
        if cluster.partition(topic, 0).is_none() {
            auto_topics.ensure_internal(topic);
        }
        leader(&cluster, topic, index, &context.connection.listener)
    };
    Reply::Now(match context.api_version {
        ..4 => respond_one(find(&request.key)),
        _ => {
            let one = |key: String| {
                let found = find(&key);
                to_coordinator(request.key_type, key, found)
            };
            let coordinators = request.coordinator_keys.into_iter().map(one).collect();
            FindCoordinatorResponse { coordinators, ..Default::default() }
        }
    })
}

/// What the coordinator is asked for of.
enum Id<'a> {
    Group(Authorized<'a, op::Describe, Group>),
    Transaction(Authorized<'a, op::Describe, TransactionalId>),
}

impl<'a> Id<'a> {
    fn of(
        key_type: i8,
        key: &'a str,
        authorizer: &Authorizer,
        context: &RequestContext,
    ) -> Result<Id<'a>, ErrorCode> {
        match key_type {
            KEY_GROUP => {
                let group = authorizer.authorize(context, key);
                group.map(Id::Group).map_err(|_| ErrorCode::GROUP_AUTHORIZATION_FAILED)
            }
            KEY_TRANSACTION => {
                let id = authorizer.authorize(context, key);
                let denied = ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
                id.map(Id::Transaction).map_err(|_| denied)
            }
            KEY_SHARE if context.api_version >= 6 => {
                let action = authorizer.authorize::<op::ClusterAction, Cluster>(context, CLUSTER);
                Err(match action {
                    Ok(_) => ErrorCode::COORDINATOR_NOT_AVAILABLE,
                    Err(_) => ErrorCode::CLUSTER_AUTHORIZATION_FAILED,
                })
            }
            _ => Err(ErrorCode::INVALID_REQUEST),
        }
    }
}

fn leader(cluster: &Snapshot, topic: &str, index: i32, listener: &str) -> Result<Node, ErrorCode> {
    let node = cluster.partition(topic, index).and_then(|partition| {
        let endpoint = cluster.listener(partition.leader, listener)?;
        Some(Node { id: partition.leader, host: endpoint.host.clone(), port: endpoint.port })
    });
    node.ok_or(ErrorCode::COORDINATOR_NOT_AVAILABLE)
}

fn to_coordinator(key_type: i8, key: String, found: Result<Node, ErrorCode>) -> Coordinator {
    let code = found.as_ref().err().copied().unwrap_or(ErrorCode::NONE);
    let node = found.unwrap_or_else(|_| nobody());
    // Kafka has a text only where it refuses the request as a whole: for a type that it does not
    // know, not for a share group before v6.
    let refused = code == ErrorCode::INVALID_REQUEST && key_type != KEY_SHARE;
    let message = if refused { code.message() } else { "" };
    Coordinator {
        key,
        node_id: node.id,
        host: node.host,
        port: node.port,
        error_code: code.0,
        error_message: Some(message.to_owned()),
    }
}

fn respond_one(found: Result<Node, ErrorCode>) -> FindCoordinatorResponse {
    let code = found.as_ref().err().copied().unwrap_or(ErrorCode::NONE);
    let node = found.unwrap_or_else(|_| nobody());
    // Kafka names success, too.
    let message = if code.is_ok() { "NONE" } else { code.message() };
    FindCoordinatorResponse {
        error_code: code.0,
        error_message: Some(message.to_owned()),
        node_id: node.id,
        host: node.host,
        port: node.port,
        ..Default::default()
    }
}

fn nobody() -> Node {
    Node { id: -1, host: String::new(), port: -1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testbed::{ID, PORT, Testbed, context, now};

    fn find(bed: &Testbed, version: i16, key_type: i8, keys: &[&str]) -> FindCoordinatorResponse {
        let authorizer = Authorizer::allow_all()
            .but::<op::Describe, Group>("denied")
            .but::<op::Describe, TransactionalId>("denied")
            .but::<op::ClusterAction, Cluster>(CLUSTER);
        let request = FindCoordinatorRequest {
            key: keys[0].to_owned(),
            key_type,
            coordinator_keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        };
        let (metadata, groups, transactions) = (&bed.metadata, &bed.groups, &bed.transactions);
        let (topics, context) = (&bed.auto_topics, context(version));
        now(handle(&authorizer, metadata, groups, transactions, topics, &context, request))
    }

    #[tokio::test]
    async fn the_leader_of_the_partition_coordinates_once_there_is_one() {
        let bed = Testbed::new();
        assert_eq!(find(&bed, 3, 0, &["g"]).error_code, ErrorCode::COORDINATOR_NOT_AVAILABLE.0);
        bed.place(OFFSETS_TOPIC, 1, 2, 0);
        bed.lead(TRANSACTIONS_TOPIC, 1);
        let group = find(&bed, 3, KEY_GROUP, &["g"]);
        assert_eq!((group.node_id, group.port), (2, PORT + 1));
        assert_eq!(group.error_message.as_deref(), Some("NONE"));
        let transaction = find(&bed, 4, KEY_TRANSACTION, &["x"]);
        let coordinator = &transaction.coordinators[0];
        assert_eq!((coordinator.node_id, coordinator.port), (ID, PORT));
        assert_eq!((&*coordinator.host, &*coordinator.key), ("localhost", "x"));
        assert_eq!(coordinator.error_message.as_deref(), Some(""));
    }

    #[tokio::test]
    async fn keys_are_refused_one_by_one_and_types_as_a_whole() {
        let bed = Testbed::new();
        let codes = |version, key_type| {
            let answer = find(&bed, version, key_type, &["denied", "free"]);
            let codes = answer.coordinators.iter().map(|one| ErrorCode(one.error_code));
            let mut texts = answer.coordinators.iter().map(|one| one.error_message.clone());
            (codes.collect::<Vec<_>>(), texts.next_back().flatten().unwrap_or_default())
        };
        let unavailable = ErrorCode::COORDINATOR_NOT_AVAILABLE;
        let group = vec![ErrorCode::GROUP_AUTHORIZATION_FAILED, unavailable];
        assert_eq!(codes(4, KEY_GROUP).0, group);
        let transaction = vec![ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED, unavailable];
        assert_eq!(codes(4, KEY_TRANSACTION).0, transaction);
        assert_eq!(codes(6, KEY_SHARE).0, [ErrorCode::CLUSTER_AUTHORIZATION_FAILED; 2]);
        let invalid = [ErrorCode::INVALID_REQUEST; 2].to_vec();
        assert_eq!(codes(5, KEY_SHARE), (invalid.clone(), String::new()));
        assert_eq!(codes(6, 3), (invalid, ErrorCode::INVALID_REQUEST.message().to_owned()));
    }
}
