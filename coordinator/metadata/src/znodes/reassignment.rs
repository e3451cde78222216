//! `/admin/reassign_partitions`: a reassignment asked for by an old tool (since 2.4 it is an API).
//! Knows nothing of how partitions move.

use std::collections::BTreeMap;

use bytes::Bytes;
use protocol::ids::{BrokerId, TopicPartition};
use serde::{Deserialize, Serialize};

use super::{ZnodeError, decode_json, encode_json};

pub const PATH: &str = "/admin/reassign_partitions";

#[derive(Serialize, Deserialize)]
struct Entry {
    topic: String,
    partition: i32,
    replicas: Vec<BrokerId>,
}

#[derive(Serialize, Deserialize)]
struct Json {
    #[serde(skip_deserializing)]
    version: i64,
    partitions: Vec<Entry>,
}

/// Version 1.
pub fn encode(targets: &BTreeMap<TopicPartition, Vec<BrokerId>>) -> Bytes {
    let entry = |(tp, replicas): (&TopicPartition, &Vec<BrokerId>)| Entry {
        topic: tp.topic.clone(),
        partition: tp.partition,
        replicas: replicas.clone(),
    };
    encode_json(&Json { version: 1, partitions: targets.iter().map(entry).collect() })
}

/// Partition to the replicas it is to have.
pub fn decode(data: Option<&[u8]>) -> Result<BTreeMap<TopicPartition, Vec<BrokerId>>, ZnodeError> {
    let json: Json = decode_json(PATH, data)?;
    let entry = |e: Entry| (TopicPartition::new(e.topic, e.partition), e.replicas);
    Ok(json.partitions.into_iter().map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_kafka_writes_it() {
        let live = br#"{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[2,3]}]}"#;
        let targets = BTreeMap::from([(TopicPartition::new("t", 0), vec![2, 3])]);
        assert_eq!(encode(&targets), &live[..]);
        assert_eq!(decode(Some(live)), Ok(targets));
        for text in ["", "{}", r#"{"partitions":[{"topic":"t","partition":0}]}"#] {
            assert!(decode(Some(text.as_bytes())).is_err(), "{text}");
        }
    }
}
