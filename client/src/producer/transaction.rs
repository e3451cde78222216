//! Transactions of a producer: its identity, which partitions are in, the end. Knows nothing of
//! batches. See KIP-98.

use std::collections::BTreeSet;

use futures::FutureExt;
use protocol::error_code::ErrorCode;
use protocol::ids::{ProducerEpoch, ProducerId};
use protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic,
};
use protocol::messages::end_txn::EndTxnRequest;
use protocol::messages::init_producer_id::InitProducerIdRequest;
use protocol::wire::Request;

use super::request::Event;
use super::{Identity, Producer, SendError};
use crate::cluster::{Cluster, ClusterError};

/// The last version of AddPartitionsToTxn that clients may use.
const ADD_VERSION: i16 = 3;

/// One transaction after another, of one id.
pub struct Transaction {
    id: String,
    partitions: BTreeSet<i32>,
    adding: bool,
    /// The first record that failed: the transaction cannot be committed.
    failed: Option<SendError>,
}

impl Transaction {
    pub fn new(id: String) -> Transaction {
        Transaction { id, partitions: BTreeSet::new(), adding: false, failed: None }
    }

    pub fn has(&self, partition: i32) -> bool {
        self.partitions.contains(&partition)
    }

    pub fn fail(&mut self, error: SendError) {
        self.failed.get_or_insert(error);
    }
}

/// Codes that go away: another coordinator, or the end of the transaction before.
fn is_passing(code: ErrorCode) -> bool {
    code == ErrorCode::CONCURRENT_TRANSACTIONS || code.retriable()
}

/// Calls the coordinator of `id`, again while that can help.
async fn call<R: Request>(
    cluster: &Cluster,
    id: &str,
    (request, version): (&R, i16),
    code: impl Fn(&R::Response) -> i16,
) -> Result<R::Response, ClusterError> {
    let deadline = cluster.deadline();
    loop {
        let coordinator = cluster.transaction_coordinator(id).await?;
        let version = coordinator.connection.version_of::<R>()?.min(version);
        let error = match coordinator.connection.call_in(request, version).await {
            Ok(response) => match ErrorCode(code(&response)) {
                ErrorCode::NONE => return Ok(response),
                code if is_passing(code) => ClusterError::from_code(code),
                code => return Err(ClusterError::from_code(code)),
            },
            Err(error) if error.retriable() => error.into(),
            Err(error) => return Err(error.into()),
        };
        cluster.pause(deadline, error).await?;
    }
}

impl<T> Producer<T> {
    fn transactional_id(&self) -> String {
        self.transaction.as_ref().expect("only a transactional producer is asked").id.clone()
    }

    /// Takes the id over: whoever had it before is fenced off. Before everything else.
    pub async fn init_transactions(&mut self) -> Result<(), ClusterError> {
        let request = InitProducerIdRequest {
            transactional_id: Some(self.transactional_id()),
            transaction_timeout_ms: self.options.transaction_timeout_ms,
            ..Default::default()
        };
        let id = self.transactional_id();
        let given =
            call(&self.cluster, &id, (&request, i16::MAX), |response| response.error_code).await?;
        self.identity = Identity::Known(given.producer_id, given.producer_epoch);
        Ok(())
    }

    /// Who this producer is, once it has been told.
    pub fn identity(&self) -> Option<(ProducerId, ProducerEpoch)> {
        match self.identity {
            Identity::Known(id, epoch) => Some((id, epoch)),
            Identity::None | Identity::Unknown | Identity::Asked => None,
        }
    }

    /// Sends what waits and commits; the next record begins another transaction.
    pub async fn commit_transaction(&mut self) -> Result<(), ClusterError> {
        self.flush().await;
        let transaction = self.transaction.as_mut().expect("only a transactional producer");
        if let Some(error) = transaction.failed.take() {
            return Err(ClusterError::Unreadable(error.to_string()));
        }
        self.end_transaction(true).await
    }

    /// Sends what waits and takes all of it back; the next record begins another transaction.
    pub async fn abort_transaction(&mut self) -> Result<(), ClusterError> {
        self.flush().await;
        self.transaction.as_mut().expect("only a transactional producer").failed = None;
        self.end_transaction(false).await
    }

    async fn end_transaction(&mut self, committed: bool) -> Result<(), ClusterError> {
        let transaction = self.transaction.as_mut().expect("only a transactional producer");
        let Identity::Known(producer_id, producer_epoch) = self.identity else {
            return Err(ClusterError::from_code(ErrorCode::INVALID_PRODUCER_EPOCH));
        };
        if transaction.partitions.is_empty() {
            return Ok(());
        }
        transaction.partitions.clear();
        let id = transaction.id.clone();
        let transactional_id = id.clone();
        let request = EndTxnRequest { transactional_id, producer_id, producer_epoch, committed };
        call(&self.cluster, &id, (&request, i16::MAX), |response| response.error_code).await?;
        Ok(())
    }

    /// Asks for every partition that has records and is not in the transaction yet.
    pub(super) fn add_to_transaction(&mut self) {
        let Identity::Known(producer_id, producer_epoch) = self.identity else { return };
        let Some(transaction) = self.transaction.as_mut().filter(|t| !t.adding) else { return };
        let waiting = (0..).zip(&self.queues).filter(|(_, queue)| !queue.is_empty());
        let partitions: Vec<i32> =
            waiting.map(|(index, _)| index).filter(|index| !transaction.has(*index)).collect();
        if partitions.is_empty() {
            return;
        }
        transaction.adding = true;
        let (cluster, id) = (self.cluster.clone(), transaction.id.clone());
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: id.clone(),
            v3_and_below_producer_id: producer_id,
            v3_and_below_producer_epoch: producer_epoch,
            v3_and_below_topics: vec![AddPartitionsToTxnTopic {
                name: self.topic.clone(),
                partitions: partitions.clone(),
            }],
            ..Default::default()
        };
        let asked = async move {
            let added = call(&cluster, &id, (&request, ADD_VERSION), |response| {
                let topics = response.results_by_topic_v3_and_below.iter();
                let codes = topics.flat_map(|topic| &topic.results_by_partition);
                codes.map(|p| p.partition_error_code).find(|code| *code != 0).unwrap_or(0)
            });
            Event::Added(partitions, added.await.map(|_| ()))
        };
        self.flights.push(asked.boxed());
    }

    pub(super) fn added_to_transaction(
        &mut self,
        partitions: &[i32],
        added: Result<(), ClusterError>,
    ) {
        let Some(transaction) = &mut self.transaction else { return };
        transaction.adding = false;
        match added {
            Ok(()) => transaction.partitions.extend(partitions),
            Err(error) => {
                // Nothing can be sent any more; what waits will expire, and this is why.
                let code = error.code().unwrap_or(ErrorCode::UNKNOWN_SERVER_ERROR);
                self.identity = Identity::Unknown;
                self.fail_all(&SendError::of(code, error.to_string()));
            }
        }
    }
}
