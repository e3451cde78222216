//! The ISR changes of one broker on their way to the controller (AlterPartition, KIP-497): at most
//! one waits per partition, at most one request is out. Knows nothing of connections, retries and
//! time; see Kafka's `AlterPartitionManager`.

use std::collections::BTreeMap;

use protocol::error_code::ErrorCode;
use protocol::ids::{BrokerId, TopicPartition, Uuid};
use protocol::messages::alter_partition::{
    AlterPartitionRequest, AlterPartitionResponse, BrokerState, PartitionRequest,
    PartitionResponse, TopicRequest,
};

use crate::isr::{IsrAnswer, IsrChange};

/// The last version that names topics.
const LAST_WITH_NAMES: i16 = 1;
/// From here on every replica of the new ISR comes with its broker epoch (KIP-903).
const EPOCHS_FROM: i16 = 3;
/// What ZooKeeper mode says for every broker epoch in an ISR.
const UNKNOWN_BROKER_EPOCH: i64 = -1;

/// What one partition's leader asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsrUpdate {
    /// Zero if the log has none: then versions with names are used.
    pub topic_id: Uuid,
    pub change: IsrChange,
}

/// The changes that wait and those that were sent. As many of each as the broker leads partitions,
/// at most.
#[derive(Debug, Default)]
pub struct AlterPartitionQueue {
    waiting: BTreeMap<TopicPartition, IsrUpdate>,
    sent: BTreeMap<TopicPartition, IsrUpdate>,
}

impl AlterPartitionQueue {
    /// Enters a partition's change. One that still waits belongs to a state that is gone, so it
    /// makes way; one that was sent is answered first.
    pub fn submit(&mut self, partition: TopicPartition, update: IsrUpdate) {
        self.waiting.insert(partition, update);
    }

    /// Whether there is anything to send or to be answered.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.sent.is_empty()
    }

    /// Partitions with a change that waits or is out.
    pub fn len(&self) -> usize {
        let newer = self.waiting.keys().filter(|partition| self.sent.contains_key(partition));
        self.waiting.len() + self.sent.len() - newer.count()
    }

    /// Everything that waits as one request, and the version to send it in: at most `version_max`.
    /// `None` if nothing waits or a request is out.
    pub fn next_request(
        &mut self,
        broker_id: BrokerId,
        broker_epoch: i64,
        version_max: i16,
    ) -> Option<(AlterPartitionRequest, i16)> {
        if self.waiting.is_empty() || !self.sent.is_empty() {
            return None;
        }
        self.sent = std::mem::take(&mut self.waiting);
        let nameless = self.sent.values().all(|update| !update.topic_id.is_zero());
        let version = if nameless { version_max } else { version_max.min(LAST_WITH_NAMES) };
        let mut topics: Vec<TopicRequest> = Vec::new();
        for (partition, update) in &self.sent {
            let asked = request_of(partition.partition, &update.change, version);
            match topics.last_mut() {
                Some(topic)
                    if topic.topic_name == partition.topic && topic.topic_id == update.topic_id =>
                {
                    topic.partitions.push(asked);
                }
                _ => topics.push(TopicRequest {
                    topic_name: partition.topic.clone(),
                    topic_id: update.topic_id,
                    partitions: vec![asked],
                }),
            }
        }
        Some((AlterPartitionRequest { broker_id, broker_epoch, topics }, version))
    }

    /// The request was not answered: all of it waits again.
    pub fn unanswered(&mut self) {
        for (partition, update) in std::mem::take(&mut self.sent) {
            self.waiting.entry(partition).or_insert(update);
        }
    }

    /// Takes the controller's answer: what it means for each partition that was asked about. An
    /// error of the whole request leaves everything waiting; so does silence about a partition.
    pub fn answered(
        &mut self,
        response: &AlterPartitionResponse,
    ) -> Result<Vec<(TopicPartition, IsrUpdate, IsrAnswer)>, ErrorCode> {
        let code = ErrorCode(response.error_code);
        if code != ErrorCode::NONE {
            self.unanswered();
            return Err(code);
        }
        let names: BTreeMap<Uuid, String> = self
            .sent
            .iter()
            .filter(|(_, update)| !update.topic_id.is_zero())
            .map(|(partition, update)| (update.topic_id, partition.topic.clone()))
            .collect();
        let mut answers = Vec::new();
        for topic in &response.topics {
            let name = match topic.topic_id.is_zero() {
                true => Some(&topic.topic_name),
                false => names.get(&topic.topic_id),
            };
            let Some(name) = name else { continue };
            for answered in &topic.partitions {
                let partition = TopicPartition::new(name.clone(), answered.partition_index);
                if let Some(update) = self.sent.remove(&partition) {
                    answers.push((partition, update, answer_of(answered)));
                }
            }
        }
        self.unanswered();
        Ok(answers)
    }
}

fn request_of(partition_index: i32, change: &IsrChange, version: i16) -> PartitionRequest {
    let mut request = PartitionRequest {
        partition_index,
        leader_epoch: change.leader_epoch,
        leader_recovery_state: change.leader_recovery_state,
        partition_epoch: change.partition_epoch,
        ..Default::default()
    };
    if version < EPOCHS_FROM {
        request.new_isr = change.new_isr.clone();
        return request;
    }
    let members = change.new_isr.iter();
    request.new_isr_with_epochs = members
        .map(|broker_id| BrokerState { broker_id: *broker_id, broker_epoch: UNKNOWN_BROKER_EPOCH })
        .collect();
    request
}

fn answer_of(response: &PartitionResponse) -> IsrAnswer {
    match ErrorCode(response.error_code) {
        ErrorCode::NONE => IsrAnswer::Committed {
            leader_epoch: response.leader_epoch,
            partition_epoch: response.partition_epoch,
            isr: response.isr.clone(),
        },
        ErrorCode::INELIGIBLE_REPLICA | ErrorCode::OPERATION_NOT_ATTEMPTED => IsrAnswer::Rejected,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        | ErrorCode::UNKNOWN_TOPIC_ID
        | ErrorCode::FENCED_LEADER_EPOCH
        | ErrorCode::INVALID_UPDATE_VERSION
        | ErrorCode::INVALID_REQUEST
        | ErrorCode::NEW_LEADER_ELECTED => IsrAnswer::Outdated,
        _ => IsrAnswer::Failed,
    }
}

#[cfg(test)]
mod tests {
    use protocol::messages::alter_partition::TopicResponse;

    use super::*;

    fn update(id: u8, new_isr: &[BrokerId]) -> IsrUpdate {
        IsrUpdate {
            topic_id: Uuid([id; 16]),
            change: IsrChange {
                leader_epoch: 7,
                partition_epoch: 4,
                new_isr: new_isr.to_vec(),
                leader_recovery_state: 0,
            },
        }
    }

    fn part(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition::new(topic, partition)
    }

    fn answer(id: u8, partitions: &[(i32, ErrorCode)]) -> AlterPartitionResponse {
        let partitions = partitions
            .iter()
            .map(|(partition_index, code)| PartitionResponse {
                partition_index: *partition_index,
                error_code: code.0,
                leader_id: 1,
                leader_epoch: 7,
                isr: vec![1],
                partition_epoch: 5,
                ..Default::default()
            })
            .collect();
        let topic = TopicResponse { topic_id: Uuid([id; 16]), partitions, ..Default::default() };
        AlterPartitionResponse { topics: vec![topic], ..Default::default() }
    }

    #[test]
    fn what_waits_goes_in_one_request_and_one_is_out_at_a_time() {
        let mut queue = AlterPartitionQueue::default();
        assert_eq!(queue.next_request(1, 9, 3), None);
        for (topic, id, index) in [("b", 2, 0), ("a", 1, 1), ("a", 1, 0)] {
            queue.submit(part(topic, index), update(id, &[1]));
        }
        let (request, version) = queue.next_request(1, 9, 3).expect("three wait");
        assert_eq!((request.broker_id, request.broker_epoch, version), (1, 9, 3));
        let named: Vec<_> =
            request.topics.iter().map(|t| (t.topic_id.0[0], t.partitions.len())).collect();
        assert_eq!(named, [(1, 2), (2, 1)]);
        assert_eq!(
            request.topics[0].partitions[0].new_isr_with_epochs,
            [BrokerState { broker_id: 1, broker_epoch: -1 }]
        );
        queue.submit(part("c", 0), update(3, &[1]));
        assert_eq!(queue.next_request(1, 9, 3), None, "one is out");
    }

    #[test]
    fn versions_say_an_isr_and_a_topic_in_their_own_ways() {
        for (id, version_max, version) in [(1, 3, 3), (1, 2, 2), (0, 3, 1), (0, 0, 0)] {
            let mut queue = AlterPartitionQueue::default();
            queue.submit(part("a", 0), update(id, &[1, 2]));
            let (request, chosen) = queue.next_request(1, 9, version_max).expect("one waits");
            assert_eq!(chosen, version, "id {id}, at most {version_max}");
            let asked = &request.topics[0].partitions[0];
            assert_eq!(asked.new_isr.is_empty(), version >= 3);
            assert_eq!(asked.new_isr_with_epochs.is_empty(), version < 3);
        }
    }

    #[test]
    fn what_each_code_means() {
        let committed = IsrAnswer::Committed { leader_epoch: 7, partition_epoch: 5, isr: vec![1] };
        let table = [
            (ErrorCode::NONE, committed),
            (ErrorCode::INELIGIBLE_REPLICA, IsrAnswer::Rejected),
            (ErrorCode::OPERATION_NOT_ATTEMPTED, IsrAnswer::Rejected),
            (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, IsrAnswer::Outdated),
            (ErrorCode::UNKNOWN_TOPIC_ID, IsrAnswer::Outdated),
            (ErrorCode::FENCED_LEADER_EPOCH, IsrAnswer::Outdated),
            (ErrorCode::INVALID_UPDATE_VERSION, IsrAnswer::Outdated),
            (ErrorCode::INVALID_REQUEST, IsrAnswer::Outdated),
            (ErrorCode::NEW_LEADER_ELECTED, IsrAnswer::Outdated),
            (ErrorCode::NOT_CONTROLLER, IsrAnswer::Failed),
            (ErrorCode::UNKNOWN_SERVER_ERROR, IsrAnswer::Failed),
        ];
        for (code, expected) in table {
            let mut queue = AlterPartitionQueue::default();
            queue.submit(part("a", 0), update(1, &[1]));
            queue.next_request(1, 9, 3).expect("one waits");
            let answers = queue.answered(&answer(1, &[(0, code)])).expect("no error of the whole");
            assert_eq!(answers, [(part("a", 0), update(1, &[1]), expected)]);
            assert!(queue.is_empty());
        }
    }

    #[test]
    fn what_is_not_answered_waits_again_unless_something_newer_does() {
        let mut queue = AlterPartitionQueue::default();
        queue.submit(part("a", 0), update(1, &[1]));
        queue.submit(part("a", 1), update(1, &[1]));
        queue.next_request(1, 9, 3).expect("two wait");
        queue.submit(part("a", 1), update(1, &[1, 3]));
        let lost = AlterPartitionResponse {
            error_code: ErrorCode::STALE_BROKER_EPOCH.0,
            ..Default::default()
        };
        assert_eq!(queue.answered(&lost), Err(ErrorCode::STALE_BROKER_EPOCH));
        let (request, _) = queue.next_request(1, 10, 3).expect("both wait again");
        let isrs: Vec<_> =
            request.topics[0].partitions.iter().map(|p| p.new_isr_with_epochs.len()).collect();
        assert_eq!(isrs, [1, 2], "the second has a newer change");
        // An answer about one of them only, and about one that nobody asked for.
        let answers =
            queue.answered(&answer(1, &[(1, ErrorCode::NONE), (5, ErrorCode::NONE)])).unwrap();
        assert_eq!(answers.len(), 1);
        assert_eq!(queue.next_request(1, 10, 3).expect("one is left").0.topics.len(), 1);
        queue.unanswered();
        assert!(queue.next_request(1, 10, 3).is_some());
    }
}
