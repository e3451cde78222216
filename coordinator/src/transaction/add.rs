//! AddPartitionsToTxn and AddOffsetsToTxn: a transaction grows; and whether partitions are in it,
//! as leaders ask (KIP-890). A producer that begins while its transaction before is being ended
//! waits a little, where Kafka has it come again after a pause of 20 ms. Knows nothing of which
//! partitions exist.

use std::collections::BTreeSet;

use protocol::ids::TopicPartition;

use super::config::ADD_WAIT_MS;
use super::request::{Answer, Verified};
use super::shard::{Out, Pending, TransactionShard, append};
use super::{Name, State, TransactionError};
use crate::shard::{Now, Producer, Ticket};

/// Partitions that wait for the end of the transaction before.
#[derive(Debug)]
pub struct Waiting {
    caller: Ticket,
    producer: Producer,
    partitions: BTreeSet<TopicPartition>,
}

impl TransactionShard {
    /// `None`: the caller is answered once the change is stored, or once the transaction before is
    /// over or takes too long.
    pub(super) fn add_partitions(
        &mut self,
        caller: Ticket,
        id: &str,
        producer: Producer,
        partitions: BTreeSet<TopicPartition>,
        now: Now,
        out: &mut Out,
    ) -> Option<Result<(), TransactionError>> {
        let one_waits = self.waiting.contains_key(id);
        let (name, transaction) = match self.of_producer(id, producer) {
            Ok(found) => found,
            Err(error) => return Some(Err(error)),
        };
        if transaction.state().is_prepared() && !one_waits {
            self.patience.arm(name.clone(), now.steady_ms.saturating_add(ADD_WAIT_MS));
            self.waiting.insert(name, Waiting { caller, producer, partitions });
            return None;
        }
        if transaction.pending.is_some() {
            return Some(Err(TransactionError::ConcurrentTransactions));
        }
        let open = transaction.state() == State::Ongoing;
        if open && partitions.is_subset(&transaction.now.partitions) {
            return Some(Ok(()));
        }
        let next = transaction.prepare_partitions(partitions, now.wall_ms);
        let state = Some(next.clone());
        let pending = Pending::Add { id: name.clone(), caller, next };
        out.appends.push(append(name, state, now, pending));
        None
    }

    /// The transaction is over: whoever waited for that is heard now.
    pub(super) fn add_waiting(&mut self, id: &Name, now: Now, out: &mut Out) {
        let Some(Waiting { caller, producer, partitions }) = self.waiting.remove(id) else {
            return;
        };
        self.patience.cancel(id);
        if let Some(result) = self.add_partitions(caller, id, producer, partitions, now, out) {
            out.answers.push((caller, Answer::Add(result)));
        }
    }

    /// The ends of these take too long.
    pub(super) fn send_away(&mut self, now: Now, out: &mut Out) {
        while let Some(id) = self.patience.pop_due(now.steady_ms) {
            if let Some(Waiting { caller, .. }) = self.waiting.remove(&id) {
                let later = Err(TransactionError::ConcurrentTransactions);
                out.answers.push((caller, Answer::Add(later)));
            }
        }
    }

    /// What is being stored does not count: the leader checks once more when it appends.
    pub(super) fn verify(
        &mut self,
        id: &str,
        producer: Producer,
        partitions: Vec<TopicPartition>,
    ) -> Verified {
        let found = self.of_producer(id, producer).and_then(|(_, transaction)| {
            let ending = transaction.state().is_prepared();
            if ending { Err(TransactionError::ConcurrentTransactions) } else { Ok(transaction) }
        });
        let judge = |partition: &TopicPartition| match &found {
            Err(error) => Some(*error),
            Ok(transaction) if transaction.now.partitions.contains(partition) => None,
            Ok(_) => Some(TransactionError::TransactionAbortable),
        };
        partitions
            .into_iter()
            .map(|partition| {
                let error = judge(&partition);
                (partition, error)
            })
            .collect()
    }
}
