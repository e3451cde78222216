//! `/isr_change_notification/isr_change_N`: leaders before 2.7 tell the controller that they wrote
//! their ISR themselves. Only read and removed here.

use std::collections::BTreeSet;

use protocol::ids::TopicPartition;

use super::{ZnodeError, preferred_election};

pub const PATH: &str = "/isr_change_notification";

/// Of the sequential nodes' names.
pub const PREFIX: &str = "isr_change_";

pub fn path(name: &str) -> String {
    format!("{PATH}/{name}")
}

/// The partitions whose ISR changed.
pub fn decode(name: &str, data: Option<&[u8]>) -> Result<BTreeSet<TopicPartition>, ZnodeError> {
    preferred_election::decode_at(&path(name), data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_kafka_writes_it() {
        let live = br#"{"version":1,"partitions":[{"topic":"t","partition":0}]}"#;
        let expected = BTreeSet::from([TopicPartition::new("t", 0)]);
        assert_eq!(decode("isr_change_0000000000", Some(live)), Ok(expected));
        let error = decode("isr_change_0000000000", Some(b"x")).unwrap_err().to_string();
        assert!(error.contains("/isr_change_notification/isr_change_0000000000"), "{error}");
    }
}
