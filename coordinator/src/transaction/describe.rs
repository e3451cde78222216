//! DescribeTransactions and ListTransactions: what administrators see. Changes nothing.

use super::request::{Description, Filter, Listing};
use super::shard::TransactionShard;
use super::{State, TransactionError};
use crate::shard::Now;

impl TransactionShard {
    pub(super) fn describe(&self, id: &str) -> Result<Description, TransactionError> {
        let found = self.transactions.get(id).ok_or(TransactionError::TransactionalIdNotFound)?;
        Ok(Description {
            state: found.state(),
            timeout_ms: found.now.timeout_ms,
            start_ms: found.now.start_ms,
            producer_id: found.now.producer_id,
            producer_epoch: found.now.producer_epoch,
            partitions: found.now.partitions.clone(),
        })
    }

    pub(super) fn list(&self, filter: &Filter, now: Now) -> Vec<Listing> {
        let ids = &filter.producer_ids;
        let states = filter.states.as_ref();
        self.transactions
            .iter()
            .filter(|(_, found)| found.state() != State::Dead)
            .filter(|(_, found)| ids.is_empty() || ids.contains(&found.now.producer_id))
            .filter(|(_, found)| states.is_none_or(|states| states.contains(&found.state())))
            .filter(|(_, found)| {
                let open_ms = now.wall_ms.saturating_sub(found.now.start_ms);
                filter.duration_ms < 0 || open_ms > filter.duration_ms
            })
            .map(|(id, found)| Listing {
                id: id.clone(),
                producer_id: found.now.producer_id,
                state: found.state(),
            })
            .collect()
    }
}
