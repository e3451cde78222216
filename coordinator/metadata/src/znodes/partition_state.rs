//! `/brokers/topics/T/partitions/P/state`: a partition's leader and ISR. Its data version is the
//! partition epoch of the wire. Knows nothing of elections.

use bytes::Bytes;
use protocol::ids::{BrokerId, LeaderEpoch, TopicPartition};
use serde::{Deserialize, Serialize};

use super::{ZnodeError, decode_json, encode_json, topic};

/// The container of a topic's partitions.
pub fn partitions_path(topic: &str) -> String {
    format!("{}/partitions", topic::path(topic))
}

/// The container of one partition's state.
pub fn partition_path(tp: &TopicPartition) -> String {
    format!("{}/{}", partitions_path(&tp.topic), tp.partition)
}

pub fn path(tp: &TopicPartition) -> String {
    format!("{}/state", partition_path(tp))
}

/// Which of its replicas lead and follow, as the controller last wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionState {
    /// −1: none.
    pub leader: BrokerId,
    /// One more with every change that the controller makes of its own accord.
    pub leader_epoch: LeaderEpoch,
    /// In-sync replicas, in a stable order.
    pub isr: Vec<BrokerId>,
    /// Epoch of the controller that wrote this.
    pub controller_epoch: i32,
    /// The leader came from outside the ISR and has not yet recovered (after an unclean election).
    pub recovering: bool,
}

/// The leader of a partition that has none.
pub const NO_LEADER: BrokerId = -1;

#[derive(Serialize, Deserialize)]
struct Json {
    controller_epoch: i32,
    leader: BrokerId,
    #[serde(skip_deserializing)]
    version: i64,
    leader_epoch: LeaderEpoch,
    isr: Vec<BrokerId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    leader_recovery_state: Option<i8>,
}

impl PartitionState {
    /// Version 1; the recovery state only while it is "recovering".
    pub fn encode(&self) -> Bytes {
        encode_json(&Json {
            controller_epoch: self.controller_epoch,
            leader: self.leader,
            version: 1,
            leader_epoch: self.leader_epoch,
            isr: self.isr.clone(),
            leader_recovery_state: self.recovering.then_some(1),
        })
    }

    pub fn decode(tp: &TopicPartition, data: Option<&[u8]>) -> Result<Self, ZnodeError> {
        let path = path(tp);
        let json: Json = decode_json(&path, data)?;
        let recovering = match json.leader_recovery_state {
            None | Some(0) => false,
            Some(1) => true,
            Some(other) => {
                return Err(ZnodeError::malformed(&path, format!("recovery state {other}")));
            }
        };
        let epochs = [json.leader_epoch, json.controller_epoch];
        let below = json.leader < NO_LEADER || epochs.iter().chain(&json.isr).any(|n| *n < 0);
        // After the last epoch there is none to elect in.
        if below || json.leader_epoch == LeaderEpoch::MAX {
            return Err(ZnodeError::malformed(&path, "a leader, epoch or ISR out of its range"));
        }
        Ok(Self {
            leader: json.leader,
            leader_epoch: json.leader_epoch,
            isr: json.isr,
            controller_epoch: json.controller_epoch,
            recovering,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: &[u8] =
        br#"{"controller_epoch":1,"leader":1,"version":1,"leader_epoch":0,"isr":[1]}"#;

    fn live() -> PartitionState {
        let isr = vec![1];
        PartitionState { leader: 1, leader_epoch: 0, isr, controller_epoch: 1, recovering: false }
    }

    #[test]
    fn as_kafka_writes_it() {
        let tp = TopicPartition::new("foo", 3);
        assert_eq!(path(&tp), "/brokers/topics/foo/partitions/3/state");
        assert_eq!(live().encode(), LIVE);
        assert_eq!(PartitionState::decode(&tp, Some(LIVE)), Ok(live()));
    }

    #[test]
    fn recovery_state_is_there_only_while_recovering() {
        let tp = TopicPartition::new("foo", 0);
        let recovering = PartitionState { recovering: true, leader: -1, ..live() };
        let bytes = recovering.encode();
        assert!(bytes.ends_with(br#","isr":[1],"leader_recovery_state":1}"#));
        assert_eq!(PartitionState::decode(&tp, Some(&bytes)), Ok(recovering));
    }

    #[test]
    fn strange_bytes_are_errors() {
        let tp = TopicPartition::new("foo", 0);
        for text in [
            "",
            "7",
            r#"{"controller_epoch":1,"leader":1,"leader_epoch":0}"#,
            r#"{"controller_epoch":1,"leader":-2,"leader_epoch":0,"isr":[]}"#,
            r#"{"controller_epoch":1,"leader":1,"leader_epoch":-1,"isr":[]}"#,
            r#"{"controller_epoch":1,"leader":1,"leader_epoch":99999999999,"isr":[]}"#,
            r#"{"controller_epoch":1,"leader":1,"leader_epoch":2147483647,"isr":[1]}"#,
            r#"{"controller_epoch":1,"leader":"1","leader_epoch":0,"isr":[1]}"#,
            r#"{"controller_epoch":1,"leader":1,"leader_epoch":0,"isr":1}"#,
            r#"{"controller_epoch":1,"leader":1,"leader_epoch":0,"isr":null}"#,
            "null",
            "[]",
            concat!(
                r#"{"controller_epoch":1,"leader":1,"leader_epoch":0,"isr":[1],"#,
                r#""leader_recovery_state":2}"#
            ),
        ] {
            assert!(PartitionState::decode(&tp, Some(text.as_bytes())).is_err(), "{text}");
        }
    }
}
