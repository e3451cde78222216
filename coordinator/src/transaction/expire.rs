//! Forgetting transactional ids that nobody used for `transactional.id.expiration.ms`. Knows
//! nothing of producers' own expiry in partitions.

use protocol::ids::Offset;

use super::Name;
use super::config::TOMBSTONES_MAX;
use super::records::TransactionRecord;
use super::shard::{Out, Pending, TransactionShard, append_all};
use crate::shard::Now;
use crate::shard::writer::AppendError;

impl TransactionShard {
    pub(super) fn forget_expired(&mut self, now: Now, out: &mut Out) {
        let oldest_ms = now.wall_ms.saturating_sub(self.config.id_expiration_ms);
        let mut expired: Vec<Name> = Vec::new();
        for (id, transaction) in &mut self.transactions {
            let silent = transaction.now.last_update_ms <= oldest_ms;
            if silent && transaction.pending.is_none() && transaction.state().may_expire() {
                transaction.prepare_dead();
                expired.push(id.clone());
            }
        }
        for ids in expired.chunks(TOMBSTONES_MAX) {
            let gone = |id: &Name| TransactionRecord { id: id.clone(), state: None };
            let pending = Pending::Tombstones { ids: ids.to_vec() };
            out.appends.push(append_all(ids.iter().map(gone).collect(), now, pending));
        }
    }

    pub(super) fn forgotten(&mut self, ids: &[Name], outcome: Result<Offset, AppendError>) {
        match outcome {
            Ok(_) => ids.iter().for_each(|id| drop(self.transactions.remove(id))),
            Err(error) => {
                tracing::warn!(ids = ids.len(), %error, "expired transactional ids are kept");
                for id in ids {
                    if let Some(transaction) = self.transactions.get_mut(id) {
                        transaction.pending = None;
                    }
                }
            }
        }
    }
}
