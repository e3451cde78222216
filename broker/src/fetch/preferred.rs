//! Which replica a consumer had better fetch from (KIP-392), by Kafka's two selectors: the leader,
//! or one in the consumer's rack. Knows nothing of logs and messages.

use std::sync::Arc;

use protocol::ids::{BrokerId, Offset};

/// The class that `replica.selector.class` names for the second.
pub const RACK_AWARE: &str = "org.apache.kafka.common.replica.RackAwareReplicaSelector";

/// Where a consumer is, if that is to be minded.
#[derive(Debug, Clone)]
pub struct Nearby {
    pub rack: String,
    /// The listener it came by: replicas must have it.
    pub listener: Arc<str>,
}

/// An in-sync follower that has the offset that is asked for.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub id: BrokerId,
    pub rack: Option<String>,
    pub log_end: Offset,
    /// How long ago it last had all that the leader has.
    pub behind_ms: i64,
}

/// Whom the consumer is sent to; `None`: the leader serves it. Of several the one with the longest
/// log, then the one that caught up last, then the highest id.
pub fn in_rack(rack: &str, leader_rack: Option<&str>, followers: &[Candidate]) -> Option<BrokerId> {
    if rack.is_empty() || leader_rack == Some(rack) {
        return None;
    }
    let near = followers.iter().filter(|follower| follower.rack.as_deref() == Some(rack));
    near.max_by_key(|follower| (follower.log_end, -follower.behind_ms, follower.id))
        .map(|follower| follower.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follower(id: BrokerId, rack: &str, log_end: Offset, behind_ms: i64) -> Candidate {
        Candidate { id, rack: Some(rack.to_owned()), log_end, behind_ms }
    }

    #[test]
    fn as_kafkas_rack_aware_selector() {
        let two = [follower(2, "b", 10, 0), follower(3, "b", 12, 500)];
        let even = [follower(2, "b", 10, 100), follower(3, "b", 10, 500)];
        let twins = [follower(2, "b", 10, 0), follower(3, "b", 10, 0)];
        let nowhere = [Candidate { rack: None, ..follower(2, "b", 10, 0) }];
        // (consumer's rack, leader's, followers, sent to)
        let table: [(&str, Option<&str>, &[Candidate], Option<BrokerId>); 8] = [
            ("", Some("a"), &two, None),
            ("c", Some("a"), &two, None),
            ("b", Some("b"), &two, None),
            ("b", Some("a"), &two, Some(3)),
            ("b", None, &two, Some(3)),
            ("b", Some("a"), &even, Some(2)),
            ("b", Some("a"), &twins, Some(3)),
            ("b", Some("a"), &nowhere, None),
        ];
        for (rack, leader_rack, followers, expected) in table {
            let chosen = in_rack(rack, leader_rack, followers);
            assert_eq!(chosen, expected, "{rack:?} {leader_rack:?} {followers:?}");
        }
    }
}
