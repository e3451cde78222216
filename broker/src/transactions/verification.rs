//! Asks transaction coordinators whether partitions are in a transaction, before this broker lets
//! the transaction begin there (KIP-890). Knows nothing of who wants to append what.

use std::sync::Arc;

use client::{CallError, Versions};
use coordinator::transaction::service::TRANSACTIONS_TOPIC;
use coordinator::transaction::verification::{
    Asked, Outcome, Question, Questions, Unverified, answers, request_of,
};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use protocol::error_code::ErrorCode;
use protocol::ids::BrokerId;
use tokio::sync::{Notify, oneshot};

use super::peers::{PeerError, Peers};
use crate::broker::Broker;
use crate::handlers::transaction_error;

/// From here on AddPartitionsToTxn may only verify.
const VERIFIES_FROM: i16 = 4;

/// Questions on their way to other brokers.
#[derive(Default)]
pub struct Verifier {
    questions: Mutex<Questions<oneshot::Sender<Unverified>>>,
    work: Notify,
}

/// Whether transactional batches are to be verified: `transaction.partition.verification.enable`.
pub fn is_enabled(broker: &Broker) -> bool {
    broker.config.load().bool("transaction.partition.verification.enable")
}

/// Asks whoever coordinates the transactional id. The question is on its way when this returns.
pub fn ask(broker: &Broker, question: Question) -> impl Future<Output = Unverified> + Send + use<> {
    let unavailable = question.all(ErrorCode::COORDINATOR_NOT_AVAILABLE);
    let partition = broker.transactions.service.partition_for(&question.id);
    let leader = broker.replicas.cluster().leader(TRANSACTIONS_TOPIC, partition);
    let answer: BoxFuture<'static, Unverified> = match leader.map(|leader| leader.id) {
        Some(leader) if leader == broker.identity.broker_id => Box::pin(here(broker, question)),
        Some(leader) if leader >= 0 => {
            let answer = there(broker, leader, question);
            // It is not answered if the broker stops.
            Box::pin(async move { answer.await.unwrap_or(unavailable) })
        }
        _ => Box::pin(std::future::ready(unavailable)),
    };
    let (started_ms, clock) = (broker.clock.elapsed_ms(), broker.clock);
    async move {
        let unverified = answer.await;
        metrics::histogram!(TIME).record(clock.elapsed_ms() - started_ms);
        metrics::counter!(FAILURES).increment(unverified.len() as u64);
        unverified
    }
}

/// `kafka.server:type=AddPartitionsToTxnManager`.
const TIME: &str = "kafka_server_addpartitionstotxnmanager_verificationtime_ms";
const FAILURES: &str = "kafka_server_addpartitionstotxnmanager_verificationfailurerate_count";

fn here(broker: &Broker, question: Question) -> impl Future<Output = Unverified> + Send + use<> {
    let service = &broker.transactions.service;
    let answer = service.verify(&question.id, question.producer, question.partitions.clone());
    async move {
        let answer = answer.await.into_iter();
        let refused = answer.filter_map(|(partition, error)| Some((partition, error?)));
        refused.map(|(tp, error)| (tp, question.told(transaction_error::code(error)))).collect()
    }
}

fn there(broker: &Broker, to: BrokerId, question: Question) -> oneshot::Receiver<Unverified> {
    let (reply, answer) = oneshot::channel();
    let verifier = &broker.transactions.verifier;
    let replaced = verifier.questions.lock().accept(to, Asked { question, reply });
    if let Some((reply, unverified)) = replaced {
        // Whoever asked may have gone.
        let _ = reply.send(unverified);
    }
    verifier.work.notify_one();
    answer
}

/// Sends questions until the broker stops.
pub fn start(broker: &Arc<Broker>) {
    broker.tasks.spawn_until_stop(run(broker.clone()));
}

async fn run(broker: Arc<Broker>) {
    let peers = Peers::new("txn-verifier", Versions::Negotiate, 1);
    loop {
        loop {
            let next = broker.transactions.verifier.questions.lock().take_next();
            let Some((to, asked)) = next else { break };
            let sending = send(broker.clone(), peers.clone(), to, asked);
            broker.tasks.spawn_until_stop(sending);
        }
        broker.transactions.verifier.work.notified().await;
    }
}

async fn send(
    broker: Arc<Broker>,
    peers: Arc<Peers>,
    to: BrokerId,
    asked: Vec<Asked<oneshot::Sender<Unverified>>>,
) {
    let answer = peers.call(&broker, to, &request_of(&asked), VERIFIES_FROM).await;
    let outcome = match &answer {
        Ok(response) => Outcome::Answered(response),
        Err(PeerError::TooOld | PeerError::Call(CallError::Version { .. })) => Outcome::Unsupported,
        Err(_) => Outcome::Lost,
    };
    if let Err(error) = &answer {
        tracing::warn!(broker = to, %error, "transactions are not verified");
    }
    for (reply, unverified) in answers(asked, &outcome) {
        // Whoever asked may have gone.
        let _ = reply.send(unverified);
    }
    broker.transactions.verifier.questions.lock().release(to);
    broker.transactions.verifier.work.notify_one();
}
