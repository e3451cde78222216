//! What a transactional produce request needs before anything is appended: the coordinator's word
//! that its partitions are in the transaction (KIP-890). Knows nothing of appending.

use std::collections::BTreeMap;

use coordinator::shard::Producer;
use coordinator::transaction::verification::Unverified;
use protocol::error_code::ErrorCode;
use protocol::ids::{TopicPartition, VerificationGuard};
use protocol::records::batch::{BatchHeader, MAGIC_AT};

use super::failure::Failure;
use super::screen::Screened;
use crate::handlers::transaction_error;
use crate::transactions::verification::{About, Verifier};

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
    pub about: About,
    /// The producer knows TRANSACTION_ABORTABLE.
    knows_abortable: bool,
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
        let code = |doubt| transaction_error::unverified(doubt, self.knows_abortable);
        let refused = unverified.into_iter().map(|(tp, doubt)| (tp, code(doubt)));
        self.verified.refused.extend(refused);
        self.verified
    }
}

/// Old clients take the reasons why nobody knows yet for the end; NOT_ENOUGH_REPLICAS they try
/// again, without looking for another leader.
fn failure(code: ErrorCode) -> Failure {
    let (code, message) = match code {
        ErrorCode::INVALID_TXN_STATE => {
            (code, Some("Partition was not added to the transaction".to_owned()))
        }
        ErrorCode::CONCURRENT_TRANSACTIONS
        | ErrorCode::NETWORK_EXCEPTION
        | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
        | ErrorCode::COORDINATOR_NOT_AVAILABLE
        | ErrorCode::NOT_COORDINATOR => {
            let reason = format!(
                "Unable to verify the partition has been added to the transaction. Underlying \
                 error: {}",
                code.name().unwrap_or_default()
            );
            (ErrorCode::NOT_ENOUGH_REPLICAS, Some(reason))
        }
        code => (code, None),
    };
    Failure { message, ..Failure::code(code) }
}

/// Looks which partitions' transactions are not open yet. The error is the whole request's.
pub fn begin(verifier: &Verifier, version: i16, screened: &Screened) -> Result<Begun, Failure> {
    if screened.id.is_none() {
        return Ok(Begun::Ready(Verified::default()));
    }
    let mut verified = Verified::default();
    let mut producer = None;
    let enabled = verifier.is_enabled();
    for entry in &screened.entries {
        let Ok(topic) = &screened.topics[entry.topic] else { continue };
        let Some(header) = transactional(entry.set()) else { continue };
        let of = Producer { id: header.producer_id, epoch: header.producer_epoch };
        if producer.replace(of).is_some_and(|before| before != of) {
            let message = "Transactional records contained more than one producer ID";
            let code = ErrorCode::INVALID_PRODUCER_ID_MAPPING;
            return Err(Failure { message: Some(message.to_owned()), ..Failure::code(code) });
        }
        if !enabled {
            continue;
        }
        verified.required = true;
        if let Some(guard) = verifier.begin(topic, entry.index, of, header.base_sequence) {
            verified.guards.insert(TopicPartition::new(topic.name(), entry.index), guard);
        }
    }
    match producer {
        Some(producer) if !verified.guards.is_empty() => {
            let about = About { producer, partitions: verified.guards.keys().cloned().collect() };
            let knows_abortable = version >= ABORTABLE_FROM;
            Ok(Begun::Asks(Open { about, knows_abortable, verified }))
        }
        _ => Ok(Begun::Ready(verified)),
    }
}

/// The header of a transactional batch; a request that may have one carries one a partition.
fn transactional(set: &[u8]) -> Option<BatchHeader> {
    if set.get(MAGIC_AT) != Some(&2) {
        return None;
    }
    let header = BatchHeader::parse(set).ok()?;
    (header.is_transactional() && header.has_producer_id()).then_some(header)
}
