//! Questions on their way to other brokers' coordinators, whether partitions are in a transaction:
//! one request at a time to each, and what the answers mean (KIP-890, Kafka's
//! `AddPartitionsToTxnManager`). Sans-IO: knows no connection and not who coordinates what.

use std::collections::BTreeMap;

use protocol::error_code::ErrorCode;
use protocol::ids::{BrokerId, TopicPartition};
use protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, AddPartitionsToTxnTopic,
    AddPartitionsToTxnTransaction,
};

use super::TransactionError;
use crate::shard::Producer;

/// Whether partitions are in a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub id: String,
    pub producer: Producer,
    /// No topic's partitions are apart.
    pub partitions: Vec<TopicPartition>,
}

/// Why a partition is not known to be in a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// Nobody coordinates the transaction now.
    NoCoordinator,
    /// The question or its answer was lost, or the same was asked again.
    Lost,
    /// A producer of a later epoch asks for the same transactional id.
    Fenced,
    /// The coordinator here says so.
    Refused(TransactionError),
    /// The coordinator of another broker says so of the partition.
    Answered(ErrorCode),
    /// Another broker says so of the whole request.
    AnsweredAll(ErrorCode),
}

/// The partitions that must not be appended to.
pub type Unverified = Vec<(TopicPartition, Doubt)>;

/// A question and where its answer goes.
#[derive(Debug)]
pub struct Asked<R> {
    pub question: Question,
    pub reply: R,
}

#[derive(Debug)]
struct Queue<R> {
    /// By transactional id; bounded by the connections, each of which waits for one answer.
    waiting: BTreeMap<String, Asked<R>>,
    in_flight: bool,
}

/// What a coordinator made of a request.
#[derive(Debug)]
pub enum Outcome<'a> {
    Answered(&'a AddPartitionsToTxnResponse),
    /// Its version knows no such question: there is no verification.
    Unsupported,
    Lost,
}

/// All questions that are not answered yet, by the broker that is to answer them.
#[derive(Debug)]
pub struct Questions<R> {
    brokers: BTreeMap<BrokerId, Queue<R>>,
}

impl<R> Default for Questions<R> {
    fn default() -> Self {
        Questions { brokers: BTreeMap::new() }
    }
}

impl<R> Questions<R> {
    /// Takes a question. There is one at a time for an id: gives back the one that has to go, with
    /// its answer.
    pub fn accept(&mut self, to: BrokerId, asked: Asked<R>) -> Option<(R, Unverified)> {
        let fresh = || Queue { waiting: BTreeMap::new(), in_flight: false };
        let waiting = &mut self.brokers.entry(to).or_insert_with(fresh).waiting;
        let known = waiting.get(&asked.question.id);
        let (known, asks) =
            (known.map(|known| known.question.producer.epoch), asked.question.producer.epoch);
        if known.is_some_and(|known| known > asks) {
            let fenced = asked.question.all(Doubt::Fenced);
            return Some((asked.reply, fenced));
        }
        let replaced = waiting.insert(asked.question.id.clone(), asked)?;
        // Of one epoch: its client seems to have asked again.
        let fenced = replaced.question.producer.epoch < asks;
        let refused = replaced.question.all(if fenced { Doubt::Fenced } else { Doubt::Lost });
        Some((replaced.reply, refused))
    }

    /// The next broker to ask, and what; nothing else goes there until `release`.
    pub fn take_next(&mut self) -> Option<(BrokerId, Vec<Asked<R>>)> {
        let mut queues = self.brokers.iter_mut();
        let (broker, queue) =
            queues.find(|(_, queue)| !queue.in_flight && !queue.waiting.is_empty())?;
        queue.in_flight = true;
        Some((*broker, std::mem::take(&mut queue.waiting).into_values().collect()))
    }

    /// The broker may be asked again.
    pub fn release(&mut self, broker: BrokerId) {
        if let Some(queue) = self.brokers.get_mut(&broker) {
            queue.in_flight = false;
            if queue.waiting.is_empty() {
                self.brokers.remove(&broker);
            }
        }
    }
}

impl Question {
    /// The same doubt about all its partitions.
    pub fn all(&self, doubt: Doubt) -> Unverified {
        self.partitions.iter().map(|partition| (partition.clone(), doubt)).collect()
    }

    fn transaction(&self) -> AddPartitionsToTxnTransaction {
        let mut topics: Vec<AddPartitionsToTxnTopic> = Vec::new();
        for TopicPartition { topic, partition } in &self.partitions {
            match topics.last_mut().filter(|last| last.name == *topic) {
                Some(last) => last.partitions.push(*partition),
                None => topics.push(AddPartitionsToTxnTopic {
                    name: topic.clone(),
                    partitions: vec![*partition],
                }),
            }
        }
        AddPartitionsToTxnTransaction {
            transactional_id: self.id.clone(),
            producer_id: self.producer.id,
            producer_epoch: self.producer.epoch,
            verify_only: true,
            topics,
        }
    }
}

/// One request that asks them all.
pub fn request_of<R>(asked: &[Asked<R>]) -> AddPartitionsToTxnRequest {
    let transactions = asked.iter().map(|asked| asked.question.transaction()).collect();
    AddPartitionsToTxnRequest { transactions, ..Default::default() }
}

/// What each asker is told. What an answer leaves out counts as lost.
pub fn answers<R>(asked: Vec<Asked<R>>, outcome: &Outcome<'_>) -> Vec<(R, Unverified)> {
    let results: BTreeMap<(&str, &str, i32), ErrorCode> = match outcome {
        Outcome::Answered(response) => results_of(response),
        Outcome::Unsupported | Outcome::Lost => BTreeMap::new(),
    };
    let judge = |question: &Question, partition: &TopicPartition| match outcome {
        Outcome::Unsupported => None,
        Outcome::Lost => Some(Doubt::Lost),
        Outcome::Answered(response) => match ErrorCode(response.error_code) {
            ErrorCode::NONE => {
                let key = (question.id.as_str(), partition.topic.as_str(), partition.partition);
                match results.get(&key) {
                    Some(code) => (!code.is_ok()).then_some(Doubt::Answered(*code)),
                    None => Some(Doubt::Lost),
                }
            }
            code => Some(Doubt::AnsweredAll(code)),
        },
    };
    asked
        .into_iter()
        .map(|Asked { question, reply }| {
            let judged = |tp: &TopicPartition| Some((tp.clone(), judge(&question, tp)?));
            (reply, question.partitions.iter().filter_map(judged).collect())
        })
        .collect()
}

fn results_of(response: &AddPartitionsToTxnResponse) -> BTreeMap<(&str, &str, i32), ErrorCode> {
    let mut results = BTreeMap::new();
    for transaction in &response.results_by_transaction {
        for topic in &transaction.topic_results {
            for result in &topic.results_by_partition {
                let id = transaction.transactional_id.as_str();
                let key = (id, topic.name.as_str(), result.partition_index);
                results.insert(key, ErrorCode(result.partition_error_code));
            }
        }
    }
    results
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::messages::add_partitions_to_txn::{
        AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
    };

    fn asked(id: &str, epoch: i16, partitions: &[i32], reply: u32) -> Asked<u32> {
        let partitions = partitions.iter().map(|p| TopicPartition::new("t", *p)).collect();
        let (id, producer) = (id.to_owned(), Producer { id: 7, epoch });
        let question = Question { id, producer, partitions };
        Asked { question, reply }
    }

    fn response(id: &str, codes: &[(i32, ErrorCode)]) -> AddPartitionsToTxnResponse {
        let results_by_partition = codes
            .iter()
            .map(|(partition_index, code)| AddPartitionsToTxnPartitionResult {
                partition_index: *partition_index,
                partition_error_code: code.0,
            })
            .collect();
        let topic = AddPartitionsToTxnTopicResult { name: "t".to_owned(), results_by_partition };
        let result = AddPartitionsToTxnResult {
            transactional_id: id.to_owned(),
            topic_results: vec![topic],
        };
        AddPartitionsToTxnResponse { results_by_transaction: vec![result], ..Default::default() }
    }

    fn doubt_of(told: &Unverified) -> Doubt {
        told[0].1
    }

    #[test]
    fn an_id_has_one_question_at_a_time() {
        let mut questions = Questions::default();
        assert!(questions.accept(1, asked("a", 3, &[0], 1)).is_none());
        assert!(questions.accept(1, asked("b", 0, &[0], 2)).is_none());
        let (who, told) = questions.accept(1, asked("a", 3, &[1], 3)).unwrap();
        assert_eq!((who, doubt_of(&told)), (1, Doubt::Lost));
        let (who, told) = questions.accept(1, asked("a", 2, &[1], 4)).unwrap();
        assert_eq!((who, doubt_of(&told)), (4, Doubt::Fenced));
        let (who, told) = questions.accept(1, asked("a", 4, &[2], 5)).unwrap();
        assert_eq!((who, doubt_of(&told)), (3, Doubt::Fenced));
        let (broker, sent) = questions.take_next().unwrap();
        let replies: Vec<_> = sent.iter().map(|asked| asked.reply).collect();
        assert_eq!((broker, replies), (1, vec![5, 2]));
        let request = request_of(&sent);
        assert!(request.transactions.iter().all(|transaction| transaction.verify_only));
        assert!(questions.accept(1, asked("a", 0, &[0], 6)).is_none(), "that one is on its way");
        assert!(questions.take_next().is_none(), "one at a time");
        questions.accept(2, asked("c", 0, &[0], 7));
        assert_eq!(questions.take_next().unwrap().0, 2);
        questions.release(1);
        assert_eq!(questions.take_next().unwrap().1[0].reply, 6);
    }

    #[test]
    fn what_is_not_said_to_be_in_the_transaction_is_not() {
        let known = [ErrorCode::NONE, ErrorCode::PRODUCER_FENCED, ErrorCode::TRANSACTION_ABORTABLE];
        let known: Vec<_> = (0..).zip(known).collect();
        let told = answers(
            vec![asked("a", 0, &[0, 1, 2, 3], 1)],
            &Outcome::Answered(&response("a", &known)),
        );
        let doubts: Vec<_> = told[0].1.iter().map(|(tp, doubt)| (tp.partition, *doubt)).collect();
        let expected = [
            (1, Doubt::Answered(ErrorCode::PRODUCER_FENCED)),
            (2, Doubt::Answered(ErrorCode::TRANSACTION_ABORTABLE)),
            (3, Doubt::Lost),
        ];
        assert_eq!(doubts, expected);
    }

    #[test]
    fn errors_of_the_whole_request() {
        let of = |code: ErrorCode| AddPartitionsToTxnResponse {
            error_code: code.0,
            ..Default::default()
        };
        for code in [ErrorCode::CLUSTER_AUTHORIZATION_FAILED, ErrorCode::UNKNOWN_SERVER_ERROR] {
            let response = of(code);
            let told = answers(vec![asked("a", 0, &[0], 1)], &Outcome::Answered(&response));
            assert_eq!(doubt_of(&told[0].1), Doubt::AnsweredAll(code));
        }
        let told = answers(vec![asked("a", 0, &[0], 1)], &Outcome::Lost);
        assert_eq!(doubt_of(&told[0].1), Doubt::Lost);
        let told = answers(vec![asked("a", 0, &[0], 1)], &Outcome::Unsupported);
        assert!(told[0].1.is_empty(), "nothing is verified with an old coordinator");
    }
}
