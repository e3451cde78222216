//! Transactional batches in the simulation: verified with the coordinator before a transaction
//! begins in a partition, as the handler of Produce does (KIP-890), and then appended.

use broker::authorizer::Internal;
use broker::handlers::transaction_error;
use bytes::Bytes;
use coordinator::shard::Producer;
use coordinator::transaction::verification::{
    Asked as Verify, Doubt, Outcome, Question, Unverified, answers, request_of,
};
use protocol::error_code::ErrorCode;
use protocol::ids::{BrokerId, TopicPartition, VerificationGuard};
use protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use protocol::records::batch::BatchHeader;

use super::TRANSACTIONS_TOPIC;
use crate::broker::{Asked, Broker};
use crate::context::Context;
use crate::control::ReplyTo;
use crate::message::{CallId, Flow, Node, Packet, Request, Response};

const CALL_TIMEOUT_MS: u64 = 3_000;
const PURPOSE: &str = "verification";

/// A batch that waits for the coordinator's word.
#[derive(Debug)]
pub struct Held {
    pub tp: TopicPartition,
    pub records: Bytes,
    pub guard: Option<VerificationGuard>,
    pub to: ReplyTo,
}

impl Broker {
    pub fn produce_in_transaction(
        &mut self,
        id: String,
        tp: TopicPartition,
        records: Bytes,
        to: ReplyTo,
        ctx: &mut Context<'_>,
    ) {
        let header = BatchHeader::parse(&records).expect("a whole batch");
        let producer = Producer { id: header.producer_id, epoch: header.producer_epoch };
        let of = (producer.id, producer.epoch);
        let now_ms = ctx.now_ms();
        let guard = match self.replicas.find(&tp.topic, tp.partition) {
            Ok(found) => {
                let proof = Internal::of_this_broker().authorized(&tp.topic);
                found.begin_verification(&proof, of, header.base_sequence, now_ms)
            }
            // What is wrong with the partition the append will say.
            Err(_) => Ok(None),
        };
        let Ok(Some(guard)) = guard else {
            let held = Held { tp, records, guard: Some(VerificationGuard::NONE), to };
            return self.append_held(held, &Unverified::default(), ctx);
        };
        let question = Question { id, producer, partitions: vec![tp.clone()] };
        let held = Held { tp, records, guard: Some(guard), to };
        self.verify(question, held, ctx);
    }

    fn verify(&mut self, question: Question, held: Held, ctx: &mut Context<'_>) {
        let service = &self.coordinating.service;
        let partition = service.partition_for(&question.id);
        let leader = self.replicas.cluster().leader(TRANSACTIONS_TOPIC, partition).map(|l| l.id);
        if leader == Some(self.id) {
            let partitions = question.partitions.clone();
            let answer = service.verify(&question.id, question.producer, partitions);
            let verified = self.coordinating.verified.clone();
            return self.coordinating.tasks.spawn(async move {
                let answer = answer.await.into_iter();
                let refused = answer.filter_map(|(tp, error)| Some((tp, Doubt::Refused(error?))));
                verified.lock().push((held, refused.collect()));
            });
        }
        let Some(leader) = leader.filter(|leader| *leader >= 0) else {
            let unavailable = question.all(Doubt::NoCoordinator);
            return self.append_held(held, &unavailable, ctx);
        };
        let replaced = self.coordinating.questions.accept(leader, Verify { question, reply: held });
        if let Some((held, refused)) = replaced {
            self.append_held(held, &refused, ctx);
        }
    }

    /// Asks other brokers, one question at a time each.
    pub fn drive_questions(&mut self, ctx: &mut Context<'_>) {
        while let Some((to, asked)) = self.coordinating.questions.take_next() {
            let flow = Flow::Coordinator(self.flow_to(to, PURPOSE, ctx));
            let id = ctx.fresh();
            let request = Request::Verify(Box::new(request_of(&asked)));
            self.coordinating.asking.insert(to, (id, asked));
            ctx.send(Node::Broker(to), flow, Packet::Call { id, request });
            self.ask(id, Asked::Verify(to), CALL_TIMEOUT_MS, ctx);
        }
    }

    pub fn verify_answered(
        &mut self,
        to: BrokerId,
        id: CallId,
        response: Option<&AddPartitionsToTxnResponse>,
        ctx: &mut Context<'_>,
    ) {
        if self.coordinating.asking.get(&to).is_none_or(|(asked, _)| *asked != id) {
            return;
        }
        let Some((_, asked)) = self.coordinating.asking.remove(&to) else { return };
        if response.is_none() {
            self.hang_up(to, PURPOSE);
        }
        let outcome = response.map_or(Outcome::Lost, Outcome::Answered);
        for (held, unverified) in answers(asked, &outcome) {
            self.append_held(held, &unverified, ctx);
        }
        self.coordinating.questions.release(to);
    }

    pub fn append_held(&mut self, held: Held, unverified: &Unverified, ctx: &mut Context<'_>) {
        let Held { tp, records, guard, to } = held;
        let refused = unverified.iter().find(|(refused, _)| *refused == tp);
        let Some((_, doubt)) = refused else {
            return self.produce(&tp, -1, &records, guard, to, ctx);
        };
        // As producers are told: these are tried again.
        let code = match transaction_error::unverified(*doubt, true) {
            ErrorCode::CONCURRENT_TRANSACTIONS
            | ErrorCode::NETWORK_EXCEPTION
            | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
            | ErrorCode::COORDINATOR_NOT_AVAILABLE
            | ErrorCode::NOT_COORDINATOR => ErrorCode::NOT_ENOUGH_REPLICAS,
            code => code,
        };
        let response = Response::Produced(Err(code));
        ctx.send(to.node, to.flow, Packet::Answer { id: to.id, response });
    }

    /// Another broker asks: the coordinator's side of AddPartitionsToTxn with `verify_only`.
    pub fn answer_verification(&mut self, request: AddPartitionsToTxnRequest, to: ReplyTo) {
        let service = self.coordinating.service.clone();
        let asked: Vec<_> = request
            .transactions
            .into_iter()
            .map(|transaction| {
                let partitions = transaction.topics.iter().flat_map(|topic| {
                    let named = |index: &i32| TopicPartition::new(topic.name.clone(), *index);
                    topic.partitions.iter().map(named).collect::<Vec<_>>()
                });
                let of =
                    Producer { id: transaction.producer_id, epoch: transaction.producer_epoch };
                let id = transaction.transactional_id.clone();
                let answer = service.verify(&id, of, partitions.collect());
                (id, answer)
            })
            .collect();
        let answers = self.coordinating.answers.clone();
        self.coordinating.tasks.spawn(async move {
            let mut response = AddPartitionsToTxnResponse::default();
            for (transactional_id, answer) in asked {
                let result = |(tp, error): (TopicPartition, Option<_>)| {
                    let code = error.map_or(ErrorCode::NONE, transaction_error::code);
                    AddPartitionsToTxnTopicResult {
                        name: tp.topic,
                        results_by_partition: vec![AddPartitionsToTxnPartitionResult {
                            partition_index: tp.partition,
                            partition_error_code: code.0,
                        }],
                    }
                };
                let topic_results = answer.await.into_iter().map(result).collect();
                let result = AddPartitionsToTxnResult { transactional_id, topic_results };
                response.results_by_transaction.push(result);
            }
            answers.lock().push((to, Response::Verified(Box::new(response))));
        });
    }
}
