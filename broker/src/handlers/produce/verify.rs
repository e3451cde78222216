//! What a transactional produce request needs before anything is appended: the coordinator's word
//! that its partitions are in the transaction (KIP-890). Knows nothing of appending.

use std::collections::BTreeMap;

use coordinator::shard::Producer;
use coordinator::transaction::verification::{Question, Unverified};
use protocol::error_code::ErrorCode;
use protocol::ids::{TopicPartition, VerificationGuard};
use protocol::messages::produce::{PartitionProduceData, ProduceRequest};
use protocol::records::batch::{BatchHeader, MAGIC_AT};
use protocol::wire::Records;

use super::{Failure, refuse_topic};
use crate::broker::{Broker, RequestContext};
use crate::transactions::verification;

/// From here on producers know TRANSACTION_ABORTABLE.
const ABORTABLE_FROM: i16 = 11;

/// What is known of the request's partitions.
#[derive(Default)]
pub struct Verified {
    /// Transactional batches need a guard, or a transaction that is open.
    required: bool,
    /// Of those that the coordinator was asked about.
    guards: BTreeMap<TopicPartition, VerificationGuard>,
    refused: BTreeMap<TopicPartition, ErrorCode>,
}

/// What is still to be asked.
pub struct Open {
    pub question: Question,
    verified: Verified,
}

pub enum Begun {
    /// Nobody need be asked.
    Ready(Verified),
    Asks(Open),
}

impl Verified {
    /// With what the partition is to be appended to, or why not.
    pub fn guard(&self, topic: &str, index: i32) -> Result<Option<VerificationGuard>, Failure> {
        if !self.required {
            return Ok(None);
        }
        let partition = TopicPartition::new(topic, index);
        if let Some(code) = self.refused.get(&partition) {
            return Err(failure(*code));
        }
        Ok(Some(self.guards.get(&partition).copied().unwrap_or(VerificationGuard::NONE)))
    }
}

impl Open {
    pub fn answered(mut self, unverified: Unverified) -> Verified {
        self.verified.refused.extend(unverified);
        self.verified
    }
}

/// Old clients take the reasons why nobody knows yet for the end; NOT_ENOUGH_REPLICAS they try
/// again, without looking for another leader.
fn failure(code: ErrorCode) -> Failure {
    let (code, message) = match code {
        ErrorCode::INVALID_TXN_STATE => {
            (code, Some("the partition is not in the transaction".to_owned()))
        }
        ErrorCode::CONCURRENT_TRANSACTIONS
        | ErrorCode::NETWORK_EXCEPTION
        | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
        | ErrorCode::COORDINATOR_NOT_AVAILABLE
        | ErrorCode::NOT_COORDINATOR => {
            let reason = format!("not known to be in the transaction: {}", code.message());
            (ErrorCode::NOT_ENOUGH_REPLICAS, Some(reason))
        }
        code => (code, None),
    };
    Failure { message, ..Failure::code(code) }
}

/// Looks which partitions' transactions are not open yet. The error is the whole request's.
pub fn begin(
    broker: &Broker,
    context: &RequestContext,
    request: &ProduceRequest,
) -> Result<Begun, ErrorCode> {
    let Some(id) = &request.transactional_id else { return Ok(Begun::Ready(Verified::default())) };
    let mut verified = Verified::default();
    let mut producer = None;
    let now_ms = broker.clock.now_ms();
    let enabled = verification::is_enabled(broker);
    let cluster = broker.metadata.load();
    for topic in &request.topic_data {
        let refused = refuse_topic(broker, context, &topic.name).is_some();
        for data in &topic.partition_data {
            let Some(header) = transactional(data) else { continue };
            let of = Producer { id: header.producer_id, epoch: header.producer_epoch };
            if producer.replace(of).is_some_and(|before| before != of) {
                return Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING);
            }
            if !enabled || refused {
                continue;
            }
            verified.required = true;
            // What is wrong with the partition the append will say.
            if cluster.partition(&topic.name, data.index).is_none() {
                continue;
            }
            let Ok(partition) = broker.replicas.find(&topic.name, data.index) else { continue };
            let begun =
                partition.begin_verification((of.id, of.epoch), header.base_sequence, now_ms);
            if let Ok(Some(guard)) = begun {
                let name = TopicPartition::new(topic.name.clone(), data.index);
                verified.guards.insert(name, guard);
            }
        }
    }
    match producer {
        Some(producer) if !verified.guards.is_empty() => {
            let question = Question {
                id: id.clone(),
                producer,
                partitions: verified.guards.keys().cloned().collect(),
                knows_abortable: context.api_version >= ABORTABLE_FROM,
            };
            Ok(Begun::Asks(Open { question, verified }))
        }
        _ => Ok(Begun::Ready(verified)),
    }
}

/// The header of a transactional batch; a request that may have one carries one a partition.
pub fn transactional(data: &PartitionProduceData) -> Option<BatchHeader> {
    let set = data.records.as_ref().and_then(Records::bytes).map_or(&[][..], |bytes| bytes);
    if set.get(MAGIC_AT) != Some(&2) {
        return None;
    }
    BatchHeader::parse(set).ok().filter(BatchHeader::is_transactional)
}
