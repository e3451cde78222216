//! Asks transaction coordinators whether partitions are in a transaction, before this broker lets
//! the transaction begin there (KIP-890). Knows nothing of who wants to append what.

use std::sync::Arc;

use client::{CallError, Versions};
use coordinator::shard::Producer;
use coordinator::transaction::service::TRANSACTIONS_TOPIC;
use coordinator::transaction::verification::{
    Asked, Doubt, Outcome, Question, Questions, Unverified, answers, request_of,
};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use protocol::ids::{BrokerId, TopicPartition, VerificationGuard};
use tokio::sync::{Notify, oneshot};

use super::Transactions;
use super::peers::{PeerAccess, PeerError, Peers};
use crate::authorizer::{Authorized, Topic, TransactionalId, op};
use crate::clock::Clock;
use crate::replication::manager::ReplicaManager;

/// From here on AddPartitionsToTxn may only verify.
const VERIFIES_FROM: i16 = 4;

/// Asks coordinators, and holds the questions that are on their way to other brokers.
pub struct Verifier {
    transactions: Arc<Transactions>,
    access: PeerAccess,
    peers: Arc<Peers>,
    replicas: Arc<ReplicaManager>,
    clock: Clock,
    questions: Mutex<Questions<oneshot::Sender<Unverified>>>,
    work: Notify,
}

/// `kafka.server:type=AddPartitionsToTxnManager`.
const TIME: &str = "kafka_server_addpartitionstotxnmanager_verificationtime_ms";
const FAILURES: &str = "kafka_server_addpartitionstotxnmanager_verificationfailurerate_count";

impl Verifier {
    pub fn new(
        transactions: Arc<Transactions>,
        access: PeerAccess,
        replicas: Arc<ReplicaManager>,
        clock: Clock,
    ) -> Verifier {
        let peers = Peers::new(access.clone(), "txn-verifier", Versions::Negotiate, 1);
        let (questions, work) = Default::default();
        Verifier { transactions, access, peers, replicas, clock, questions, work }
    }

    /// Whether transactional batches are to be verified:
    /// `transaction.partition.verification.enable`.
    pub fn is_enabled(&self) -> bool {
        self.access.config.load().bool("transaction.partition.verification.enable")
    }

    /// What a transaction that is not open in a partition here yet may begin there with, once its
    /// coordinator was asked. `None`: it is open, or what is wrong with the partition the append
    /// will say.
    pub fn begin(
        &self,
        topic: &Authorized<'_, op::Write, Topic>,
        index: i32,
        producer: Producer,
        sequence: i32,
    ) -> Option<VerificationGuard> {
        let partition = self.replicas.find(topic.name(), index).ok()?;
        let (producer, now_ms) = ((producer.id, producer.epoch), self.clock.now_ms());
        partition.begin_verification(topic, producer, sequence, now_ms).ok().flatten()
    }

    /// Asks whoever coordinates the transactional id. The question is on its way when this returns.
    pub fn ask(
        &self,
        id: &Authorized<'_, op::Write, TransactionalId>,
        about: About,
    ) -> impl Future<Output = Unverified> + Send + use<> {
        let About { producer, partitions } = about;
        let question = Question { id: id.name().to_owned(), producer, partitions };
        let unavailable = question.all(Doubt::NoCoordinator);
        let partition = self.transactions.partition_for(id);
        let cluster = self.access.metadata.load();
        let leader = cluster.partition(TRANSACTIONS_TOPIC, partition).map(|known| known.leader);
        let answer: BoxFuture<'static, Unverified> = match leader {
            Some(leader) if leader == self.access.identity.broker_id => {
                Box::pin(self.here(id, question))
            }
            Some(leader) if leader >= 0 => {
                let answer = self.there(leader, question);
                // It is not answered if the broker stops.
                Box::pin(async move { answer.await.unwrap_or(unavailable) })
            }
            _ => Box::pin(std::future::ready(unavailable)),
        };
        let (started_ms, clock) = (self.clock.elapsed_ms(), self.clock);
        async move {
            let unverified = answer.await;
            metrics::histogram!(TIME).record(clock.elapsed_ms() - started_ms);
            metrics::counter!(FAILURES).increment(unverified.len() as u64);
            unverified
        }
    }

    fn here(
        &self,
        id: &Authorized<'_, op::Write, TransactionalId>,
        question: Question,
    ) -> impl Future<Output = Unverified> + Send + use<> {
        let answer = self.transactions.verify(id, question.producer, question.partitions);
        async move {
            let answer = answer.await.into_iter();
            answer.filter_map(|(tp, error)| Some((tp, Doubt::Refused(error?)))).collect()
        }
    }

    fn there(&self, to: BrokerId, question: Question) -> oneshot::Receiver<Unverified> {
        let (reply, answer) = oneshot::channel();
        let replaced = self.questions.lock().accept(to, Asked { question, reply });
        if let Some((reply, unverified)) = replaced {
            // Whoever asked may have gone.
            let _ = reply.send(unverified);
        }
        self.work.notify_one();
        answer
    }

    /// Sends questions until the broker stops.
    pub fn start(self: &Arc<Self>) {
        let verifier = self.clone();
        self.access.tasks.spawn_until_stop(async move { verifier.run().await });
    }

    async fn run(self: Arc<Self>) {
        loop {
            loop {
                let next = self.questions.lock().take_next();
                let Some((to, asked)) = next else { break };
                let verifier = self.clone();
                self.access.tasks.spawn_until_stop(async move { verifier.send(to, asked).await });
            }
            self.work.notified().await;
        }
    }

    async fn send(&self, to: BrokerId, asked: Vec<Asked<oneshot::Sender<Unverified>>>) {
        let answer = self.peers.call(to, &request_of(&asked), VERIFIES_FROM).await;
        let outcome = match &answer {
            Ok(response) => Outcome::Answered(response),
            Err(PeerError::TooOld | PeerError::Call(CallError::Version { .. })) => {
                Outcome::Unsupported
            }
            Err(_) => Outcome::Lost,
        };
        if let Err(error) = &answer {
            tracing::warn!(broker = to, %error, "transactions are not verified");
        }
        for (reply, unverified) in answers(asked, &outcome) {
            // Whoever asked may have gone.
            let _ = reply.send(unverified);
        }
        self.questions.lock().release(to);
        self.work.notify_one();
    }
}

/// What is asked about a transactional id.
#[derive(Debug, Clone)]
pub struct About {
    pub producer: Producer,
    pub partitions: Vec<TopicPartition>,
}
