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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testbed::{ID, PORT, Testbed, context};

    #[tokio::test]
    async fn the_replica_here_is_asked_before_the_cache() {
        let bed = Testbed::new();
        bed.place("t", 1, 2, 4);
        let (leader, node) = find(&bed.replicas, &context(0), "t", 0).expect("it is known");
        assert_eq!(leader, Leader { id: 2, epoch: 4 });
        assert_eq!(node.map(|node| node.port), Some(PORT + 1));
        bed.lead("u", 1);
        let here = find(&bed.replicas, &context(0), "u", 0).map(|(leader, _)| leader.id);
        assert_eq!(here, Some(ID));
        assert!(find(&bed.replicas, &context(0), "none", 0).is_none());
    }
}
