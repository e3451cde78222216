//! `/admin/preferred_replica_election`: an election asked for by an old tool (since 2.2 it is an
//! API). Knows nothing of elections.

use std::collections::BTreeSet;

use bytes::Bytes;
use protocol::ids::TopicPartition;
use serde::{Deserialize, Serialize};

use super::{ZnodeError, decode_json, encode_json};

pub const PATH: &str = "/admin/preferred_replica_election";

#[derive(Serialize, Deserialize)]
struct Entry {
    topic: String,
    partition: i32,
}

#[derive(Serialize, Deserialize)]
struct Json {
    #[serde(skip_deserializing)]
    version: i64,
    partitions: Vec<Entry>,
}

/// Version 1: the layout that [`super::isr_change`] shares.
pub fn encode(partitions: &BTreeSet<TopicPartition>) -> Bytes {
    let entry = |tp: &TopicPartition| Entry { topic: tp.topic.clone(), partition: tp.partition };
    encode_json(&Json { version: 1, partitions: partitions.iter().map(entry).collect() })
}

pub fn decode(data: Option<&[u8]>) -> Result<BTreeSet<TopicPartition>, ZnodeError> {
    decode_at(PATH, data)
}

pub(super) fn decode_at(
    path: &str,
    data: Option<&[u8]>,
) -> Result<BTreeSet<TopicPartition>, ZnodeError> {
    let json: Json = decode_json(path, data)?;
    let entry = |e: Entry| TopicPartition::new(e.topic, e.partition);
    Ok(json.partitions.into_iter().map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_kafka_writes_it() {
        let live = br#"{"version":1,"partitions":[{"topic":"t","partition":0}]}"#;
        let partitions = BTreeSet::from([TopicPartition::new("t", 0)]);
        assert_eq!(encode(&partitions), &live[..]);
        assert_eq!(decode(Some(live)), Ok(partitions));
        for text in ["", "{}", r#"{"partitions":[{"topic":"t"}]}"#] {
            assert!(decode(Some(text.as_bytes())).is_err(), "{text}");
        }
    }
}
