//! AddPartitionsToTxn and AddOffsetsToTxn: a transaction grows; and whether partitions are in it,
//! as leaders ask (KIP-890). Knows nothing of which partitions exist.

use std::collections::BTreeSet;

use protocol::ids::TopicPartition;

use super::request::Verified;
use super::shard::{Out, Pending, TransactionShard, append};
use super::{State, TransactionError};
use crate::shard::{Now, Producer, Ticket};

impl TransactionShard {
    /// `None`: the caller is answered once the change is stored.
    pub(super) fn add_partitions(
        &mut self,
        caller: Ticket,
        id: &str,
        producer: Producer,
        partitions: BTreeSet<TopicPartition>,
        now: Now,
        out: &mut Out,
    ) -> Option<Result<(), TransactionError>> {
        let (name, transaction) = match self.of_producer(id, producer) {
            Ok(found) => found,
            Err(error) => return Some(Err(error)),
        };
        if transaction.pending.is_some() || transaction.state().is_prepared() {
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
