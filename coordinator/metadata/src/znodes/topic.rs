//! `/brokers/topics/T`: a topic's id and which brokers hold its partitions. Knows nothing of who
//! leads them (see `partition_state.rs`).

use std::collections::BTreeMap;

use bytes::Bytes;
use protocol::ids::{BrokerId, Uuid};
use serde::{Deserialize, Serialize};

use super::{ZnodeError, decode_json, encode_json};

pub const TOPICS_PATH: &str = "/brokers/topics";

pub fn path(topic: &str) -> String {
    format!("{TOPICS_PATH}/{topic}")
}

/// The replicas of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplicaAssignment {
    /// In order of preference: the first is the preferred leader. Holds `adding` and `removing`
    /// too.
    pub replicas: Vec<BrokerId>,
    /// Those that a reassignment brings in; empty without one.
    pub adding: Vec<BrokerId>,
    /// Those that a reassignment takes out; empty without one.
    pub removing: Vec<BrokerId>,
}

impl ReplicaAssignment {
    /// `replicas`, and no reassignment going on.
    pub fn settled(replicas: Vec<BrokerId>) -> Self {
        Self { replicas, adding: Vec::new(), removing: Vec::new() }
    }

    pub fn is_being_reassigned(&self) -> bool {
        !self.adding.is_empty() || !self.removing.is_empty()
    }

    /// What the replicas will be when the reassignment is through.
    pub fn target(&self) -> Vec<BrokerId> {
        self.replicas.iter().filter(|id| !self.removing.contains(id)).copied().collect()
    }

    /// On the way to `target`: its replicas first, then those that are to go (KIP-455). A
    /// reassignment under way is replaced, so what it was bringing in counts as never there.
    pub fn reassigned_to(&self, target: &[BrokerId]) -> Self {
        let origin = self.origin();
        let mut replicas = Vec::new();
        for id in target.iter().chain(&origin) {
            if !replicas.contains(id) {
                replicas.push(*id);
            }
        }
        let without = |other: &[BrokerId]| {
            replicas.iter().filter(|id| !other.contains(id)).copied().collect::<Vec<_>>()
        };
        let (adding, removing) = (without(&origin), without(target));
        Self { replicas, adding, removing }
    }

    /// What the replicas were before the reassignment.
    pub fn origin(&self) -> Vec<BrokerId> {
        self.replicas.iter().filter(|id| !self.adding.contains(id)).copied().collect()
    }
}

/// A topic's node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicAssignment {
    /// `None`: made by a release before 2.8; the controller gives it one.
    pub topic_id: Option<Uuid>,
    /// Partition number, 0 and up, to its replicas.
    pub partitions: BTreeMap<i32, ReplicaAssignment>,
}

type Lists = BTreeMap<i32, Vec<BrokerId>>;

#[derive(Serialize, Deserialize)]
struct Json {
    #[serde(default)]
    partitions: Lists,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    topic_id: Option<String>,
    #[serde(default)]
    adding_replicas: Lists,
    #[serde(default)]
    removing_replicas: Lists,
    #[serde(skip_deserializing)]
    version: i64,
}

impl TopicAssignment {
    /// Version 3; without an id its member is left out.
    pub fn encode(&self) -> Bytes {
        let lists = |of: fn(&ReplicaAssignment) -> &Vec<BrokerId>, with_empty: bool| -> Lists {
            self.partitions
                .iter()
                .filter(|(_, a)| with_empty || !of(a).is_empty())
                .map(|(partition, a)| (*partition, of(a).clone()))
                .collect()
        };
        encode_json(&Json {
            partitions: lists(|a| &a.replicas, true),
            topic_id: self.topic_id.map(|id| id.to_string()),
            adding_replicas: lists(|a| &a.adding, false),
            removing_replicas: lists(|a| &a.removing, false),
            version: 3,
        })
    }

    /// Reads versions 1 (no ids, no reassignment), 2 (reassignment) and 3, and later ones as 3.
    pub fn decode(topic: &str, data: Option<&[u8]>) -> Result<Self, ZnodeError> {
        let path = path(topic);
        let json: Json = decode_json(&path, data)?;
        let topic_id = match json.topic_id {
            None => None,
            Some(text) => match Uuid::parse(&text) {
                Some(id) => Some(id),
                None => {
                    return Err(ZnodeError::malformed(&path, format!("topic id {text:?}")));
                }
            },
        };
        let (mut adding, mut removing) = (json.adding_replicas, json.removing_replicas);
        let mut partitions = BTreeMap::new();
        for (partition, replicas) in json.partitions {
            let adding = adding.remove(&partition).unwrap_or_default();
            let removing = removing.remove(&partition).unwrap_or_default();
            if partition < 0 || replicas.iter().any(|id| *id < 0) {
                return Err(ZnodeError::malformed(&path, "a negative partition or broker"));
            }
            partitions.insert(partition, ReplicaAssignment { replicas, adding, removing });
        }
        Ok(Self { topic_id, partitions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: &str = concat!(
        r#"{"partitions":{"0":[1,2],"1":[2,1]},"topic_id":"DaApSIweQfefTV_hOA74RQ","#,
        r#""adding_replicas":{"0":[2]},"removing_replicas":{"0":[1]},"version":3}"#
    );

    fn live() -> TopicAssignment {
        let first = ReplicaAssignment { replicas: vec![1, 2], adding: vec![2], removing: vec![1] };
        TopicAssignment {
            topic_id: Uuid::parse("DaApSIweQfefTV_hOA74RQ"),
            partitions: BTreeMap::from([(0, first), (1, ReplicaAssignment::settled(vec![2, 1]))]),
        }
    }

    #[test]
    fn as_kafka_writes_it() {
        assert_eq!(live().encode(), LIVE.as_bytes());
        assert_eq!(TopicAssignment::decode("t", Some(LIVE.as_bytes())), Ok(live()));
        let plain = TopicAssignment { topic_id: None, ..TopicAssignment::default() };
        assert_eq!(
            plain.encode(),
            &br#"{"partitions":{},"adding_replicas":{},"removing_replicas":{},"version":3}"#[..]
        );
    }

    #[test]
    fn older_versions() {
        let v1 = TopicAssignment::decode("t", Some(br#"{"version":1,"partitions":{"0":[5]}}"#));
        let expected = BTreeMap::from([(0, ReplicaAssignment::settled(vec![5]))]);
        let v1_read = TopicAssignment { topic_id: None, partitions: expected };
        assert_eq!(v1, Ok(v1_read.clone()));
        let later = br#"{"version":"4","partitions":{"0":[5]},"more":{}} and more"#;
        assert_eq!(TopicAssignment::decode("t", Some(later)), Ok(v1_read));
    }

    #[test]
    fn target_and_origin_of_a_reassignment() {
        let a = &live().partitions[&0];
        assert!(a.is_being_reassigned());
        assert_eq!((a.target(), a.origin()), (vec![2], vec![1]));
    }

    #[test]
    fn reassigned_over_and_over() {
        let all = |replicas: &[BrokerId], adding: &[BrokerId], removing: &[BrokerId]| {
            let lists = [replicas, adding, removing].map(<[BrokerId]>::to_vec);
            let [replicas, adding, removing] = lists;
            ReplicaAssignment { replicas, adding, removing }
        };
        let first = ReplicaAssignment::settled(vec![1, 2, 3]).reassigned_to(&[4, 5, 1]);
        assert_eq!(first, all(&[4, 5, 1, 2, 3], &[4, 5], &[2, 3]));
        assert_eq!(first.reassigned_to(&[6, 1]), all(&[6, 1, 2, 3], &[6], &[2, 3]));
        assert_eq!(first.reassigned_to(&first.origin()), all(&[1, 2, 3], &[], &[]));
        assert_eq!(
            ReplicaAssignment::settled(vec![1, 2]).reassigned_to(&[2, 1]),
            all(&[2, 1], &[], &[])
        );
        assert_eq!(
            ReplicaAssignment::settled(vec![1, 2]).reassigned_to(&[2, 3, 3]),
            all(&[2, 3, 1], &[3], &[1])
        );
    }

    #[test]
    fn strange_bytes_are_errors() {
        for text in [
            "",
            r#"{"partitions":{"x":[1]}}"#,
            r#"{"partitions":{"-1":[1]}}"#,
            r#"{"partitions":{"0":[-5]}}"#,
            r#"{"partitions":{"0":1}}"#,
            r#"{"partitions":{"0":["1"]}}"#,
            r#"{"partitions":null}"#,
            r#"{"partitions":[[1]]}"#,
            r#"{"partitions":{},"adding_replicas":[]}"#,
            "null",
            "[]",
            "7",
            r#"{"partitions":{},"topic_id":"short"}"#,
        ] {
            assert!(TopicAssignment::decode("t", Some(text.as_bytes())).is_err(), "{text}");
        }
    }
}
