//! Where the leader is, for those who came to the wrong broker (KIP-951). Knows nothing of which
//! answers say so.

use crate::replication::cluster_view::{BrokerEndpoint, Leader};
use crate::replication::manager::ReplicaManager;
use crate::request::RequestContext;

/// The leader as this broker's own replica knows it, which hears of an election first, else as the
/// metadata cache has it; and where to find it on the listener that the request came by.
pub fn find(
    replicas: &ReplicaManager,
    context: &RequestContext,
    topic: &str,
    index: i32,
) -> Option<(Leader, Option<BrokerEndpoint>)> {
    let cluster = replicas.cluster();
    let leader = match replicas.find(topic, index) {
        Ok(partition) => {
            partition.with_state(|s| Leader { id: s.leader(), epoch: s.leader_epoch() })
        }
        Err(_) => cluster.leader(topic, index)?,
    };
    Some((leader, cluster.endpoint(leader.id, &context.connection.listener)))
}
