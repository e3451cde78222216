//! Rebuilds a partition's transactional ids from its records, in log order, and goes on with what
//! was decided. Knows nothing of how records are read.

use protocol::planted::{self, Planted};

use super::Name;
use super::metadata::Transaction;
use super::records;
use super::shard::{Out, TransactionShard};
use crate::shard::{Now, StoredBatch};

impl TransactionShard {
    pub(super) fn read(&mut self, batch: StoredBatch) {
        // There are no transactions about transactions.
        let StoredBatch::Records { records, .. } = batch else { return };
        for record in records {
            match records::decode(record.key.as_ref(), record.value.as_ref()) {
                Ok(Some(read)) => match read.state {
                    Some(state) => {
                        self.transactions.insert(read.id, Transaction::stored(state));
                    }
                    None => drop(self.transactions.remove(&read.id)),
                },
                Ok(None) => self.skipped += 1,
                Err(error) => {
                    let offset = record.offset;
                    tracing::error!(offset, %error, "a transaction's record cannot be read");
                    self.skipped += 1;
                }
            }
        }
    }

    pub(super) fn start_after_load(&mut self, now: Now, out: &mut Out) {
        if self.skipped > 0 {
            tracing::warn!(records = self.skipped, "transactions' records were passed over");
        }
        let decided: Vec<Name> = self
            .transactions
            .iter()
            .filter(|(_, transaction)| transaction.state().is_prepared())
            .filter(|_| !planted::is(Planted::ForgetDecisions))
            .map(|(id, _)| id.clone())
            .collect();
        for id in decided {
            self.start_completing(&id, now, out);
        }
        self.next_abort_ms = Some(now.steady_ms.saturating_add(self.config.abort_interval_ms));
        self.next_expiry_ms =
            Some(now.steady_ms.saturating_add(self.config.expiration_interval_ms));
    }
}
