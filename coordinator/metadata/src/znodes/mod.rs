//! Kafka's znodes: for each kind its path and its JSON, side by side in one file. Knows nothing of
//! sessions, watches or who reads what; see `coordinator/metadata/ZNODES.md` for that.
//!
//! Writers give what Kafka 3.9.2 writes. Readers are lenient as Kafka's are: unknown members are
//! skipped and missing optional ones get their default; anything else is a [`ZnodeError`].

pub mod broker;
pub mod cluster_id;
pub mod config;
pub mod config_change;
pub mod consumer_offset;
pub mod controller;
pub mod controller_epoch;
pub mod delete_topics;
pub mod feature;
pub mod isr_change;
mod json;
pub mod log_dir_event;
pub mod migration;
pub mod partition_state;
pub mod preferred_election;
pub mod producer_ids;
pub mod reassignment;
pub mod sanitizer;
pub mod topic;

use bytes::Bytes;
use serde::Serialize;

pub use self::json::is_garbled;
pub(crate) use self::json::read as decode_json;

/// The containers that every broker makes at its start, parents too, all persistent with null data
/// and in this order (`KafkaZkClient.createTopLevelPaths`).
pub const CONTAINERS: [&str; 14] = [
    "/consumers",
    broker::IDS_PATH,
    topic::TOPICS_PATH,
    config_change::CHANGES_PATH,
    delete_topics::PATH,
    broker::SEQUENCE_PATH,
    isr_change::PATH,
    producer_ids::PATH,
    log_dir_event::PATH,
    "/config/topics",
    "/config/clients",
    "/config/users",
    "/config/brokers",
    "/config/ips",
];

/// What a node's bytes are if they are not what its kind demands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZnodeError {
    /// Not JSON, not the right shape, or a value out of its range.
    #[error("node {path} does not hold what it should: {reason}")]
    Malformed { path: String, reason: String },
    /// A layout that this release does not know.
    #[error("node {path} has version {version}, which is not known here")]
    UnknownVersion { path: String, version: i64 },
}

impl ZnodeError {
    pub(crate) fn malformed(path: &str, reason: impl ToString) -> Self {
        ZnodeError::Malformed { path: path.to_owned(), reason: reason.to_string() }
    }
}

/// `path` and all its parents below the root, the outermost first: `/a/b` gives `/a`, `/a/b`.
pub fn with_parents(path: &str) -> Vec<String> {
    let cuts = path.char_indices().filter(|(at, c)| *c == '/' && *at > 0).map(|(at, _)| at);
    cuts.chain([path.len()]).map(|at| path[..at].to_owned()).collect()
}

/// The number that the store gave to a sequential node; `None` if `name` is not `prefix` and
/// digits.
pub fn sequence_number(name: &str, prefix: &str) -> Option<i64> {
    name.strip_prefix(prefix)?.parse().ok()
}

/// The bytes of `value` as JSON without spaces.
pub(crate) fn encode_json<T: Serialize>(value: &T) -> Bytes {
    Bytes::from(serde_json::to_vec(value).expect("strings, numbers and maps with string keys"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_first() {
        assert_eq!(with_parents("/a/bc/d"), ["/a", "/a/bc", "/a/bc/d"]);
        assert_eq!(with_parents("/a"), ["/a"]);
    }

    #[test]
    fn sequence_numbers() {
        assert_eq!(sequence_number("config_change_0000000012", "config_change_"), Some(12));
        assert_eq!(sequence_number("config_change_-2147483648", "config_change_"), Some(-1 << 31));
        assert_eq!(sequence_number("config_change_", "config_change_"), None);
        assert_eq!(sequence_number("other_0000000012", "config_change_"), None);
    }

    proptest::proptest! {
        /// Whatever a node holds, its reader answers; it neither panics nor trusts a length.
        #[test]
        fn every_reader_survives_any_bytes(
            bytes in proptest::prelude::any::<Vec<u8>>(),
            cut in 0usize..120,
            at in 0usize..120,
            byte in proptest::prelude::any::<u8>(),
        ) {
            const SAMPLES: [&[u8]; 4] = [
                br#"{"features":{},"endpoints":["A://h:1"],"version":5,"status":1,"id":"x"}"#,
                br#"{"partitions":{"0":[1]},"topic_id":"DaApSIweQfefTV_hOA74RQ","version":3}"#,
                br#"{"version":1,"broker":1,"block_start":"0","block_end":"999","brokerid":1}"#,
                br#"{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[1]}]}"#,
            ];
            read_as_every_kind(&bytes);
            for sample in SAMPLES {
                let mut bytes = sample[..cut.min(sample.len())].to_vec();
                read_as_every_kind(&bytes);
                bytes = sample.to_vec();
                bytes[at % sample.len()] = byte;
                read_as_every_kind(&bytes);
            }
        }
    }

    fn read_as_every_kind(bytes: &[u8]) {
        let data = Some(bytes);
        let tp = protocol::ids::TopicPartition::new("t", 0);
        let readable = [
            broker::BrokerRegistration::decode(1, data).is_ok(),
            cluster_id::decode(data).is_ok(),
            config::decode(&config::ConfigEntity::BrokerDefault, data).is_ok(),
            config_change::decode("n", data).is_ok(),
            consumer_offset::decode("p", data).is_ok(),
            controller::decode(data).is_ok(),
            controller_epoch::decode(data).is_ok(),
            feature::Features::decode(data).is_ok(),
            isr_change::decode("n", data).is_ok(),
            log_dir_event::decode("n", data).is_ok(),
            migration::decode(data).is_ok(),
            partition_state::PartitionState::decode(&tp, data).is_ok(),
            preferred_election::decode(data).is_ok(),
            producer_ids::ProducerIdBlock::decode(data).is_ok(),
            reassignment::decode(data).is_ok(),
            topic::TopicAssignment::decode("t", data).is_ok(),
        ];
        assert!(!readable.iter().all(|ok| *ok), "no bytes are every kind: {bytes:?}");
    }
}
