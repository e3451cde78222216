//! The partitions of an OffsetCommit, TxnOffsetCommit or OffsetDelete and their results. Kafka
//! keeps what it refuses by itself as it is listed, and answers what it hands to the group
//! coordinator once a partition. Knows nothing of offsets.

use std::collections::{HashMap, HashSet};

use protocol::error_code::ErrorCode;
use protocol::ids::TopicPartition;

/// Every topic once, in the order in which it is first named.
#[derive(Debug, Default)]
pub struct AskedOffsets {
    topics: Vec<(String, Vec<Asked>)>,
    places: HashMap<String, usize>,
    admitted: HashSet<TopicPartition>,
    results: HashMap<TopicPartition, ErrorCode>,
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    index: i32,
    /// `None`: the group coordinator decides.
    refused: Option<ErrorCode>,
}

impl AskedOffsets {
    /// Names a topic that is answered even without partitions.
    pub fn name(&mut self, topic: &str) {
        self.topic(topic);
    }

    /// The partition is answered with `code`, as often as it is listed.
    pub fn refuse(&mut self, topic: &str, index: i32, code: ErrorCode) {
        self.topic(topic).push(Asked { index, refused: Some(code) });
    }

    /// The group coordinator decides about the partition; true if it was not listed before.
    pub fn admit(&mut self, partition: &TopicPartition) -> bool {
        let first = self.admitted.insert(partition.clone());
        if first {
            let asked = Asked { index: partition.partition, refused: None };
            self.topic(&partition.topic).push(asked);
        }
        first
    }

    /// The same, answered as often as it is listed.
    pub fn admit_each(&mut self, partition: &TopicPartition) {
        let asked = Asked { index: partition.partition, refused: None };
        self.topic(&partition.topic).push(asked);
    }

    pub fn set(&mut self, partition: TopicPartition, code: ErrorCode) {
        self.results.insert(partition, code);
    }

    /// Every partition with its result, or with `unanswered` if it has none.
    pub fn answers(self, unanswered: ErrorCode) -> Vec<(String, Vec<(i32, ErrorCode)>)> {
        let results = self.results;
        let of_topic = |(topic, asked): (String, Vec<Asked>)| {
            let code = |one: &Asked| {
                let result = || results.get(&TopicPartition::new(topic.clone(), one.index));
                one.refused.or_else(|| result().copied()).unwrap_or(unanswered)
            };
            let codes = asked.iter().map(|one| (one.index, code(one))).collect();
            (topic, codes)
        };
        self.topics.into_iter().map(of_topic).collect()
    }

    fn topic(&mut self, topic: &str) -> &mut Vec<Asked> {
        let next = self.topics.len();
        let at = *self.places.entry(topic.to_owned()).or_insert(next);
        if at == next {
            self.topics.push((topic.to_owned(), Vec::new()));
        }
        &mut self.topics[at].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_stays_as_listed_and_the_rest_is_answered_once() {
        let mut asked = AskedOffsets::default();
        let tp = |index| TopicPartition::new("t", index);
        assert_eq!([tp(1), tp(0), tp(1)].each_ref().map(|tp| asked.admit(tp)), [true, true, false]);
        let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        asked.refuse("u", 7, unknown);
        asked.refuse("t", 9, unknown);
        asked.refuse("u", 7, unknown);
        asked.name("v");
        asked.set(tp(0), ErrorCode::ILLEGAL_GENERATION);
        let expected = [
            ("t", vec![(1, ErrorCode::NONE), (0, ErrorCode::ILLEGAL_GENERATION), (9, unknown)]),
            ("u", vec![(7, unknown), (7, unknown)]),
            ("v", vec![]),
        ];
        let expected = expected.map(|(topic, codes)| (topic.to_owned(), codes));
        assert_eq!(asked.answers(ErrorCode::NONE), expected);
    }
}
