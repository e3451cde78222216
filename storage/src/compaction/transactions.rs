//! Which transactions a compaction is passing through: whose data is discarded, and whose marker
//! has nothing left to end (Kafka's `CleanedTransactionMetadata`). Knows no files.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use protocol::ids::{Offset, ProducerId};

use crate::index::transaction::AbortedTxn;
use crate::segment::batch::LogBatch;

#[derive(Debug)]
struct Aborted {
    txn: AbortedTxn,
    /// A batch of it is still in the log.
    observed: bool,
}

#[derive(Debug, Default)]
pub(super) struct CleanedTransactions {
    committed: BTreeSet<ProducerId>,
    aborted: BTreeMap<ProducerId, Aborted>,
    /// Not reached yet, by first offset.
    ahead: BinaryHeap<Reverse<(Offset, ProducerId, Offset, Offset)>>,
}

/// What a control batch ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    Commit,
    Abort,
    /// Its record is gone already.
    Empty,
    /// Nothing that compaction knows.
    Other,
}

impl CleanedTransactions {
    /// Aborted transactions of the part that comes next; the same one may come twice.
    pub fn expect(&mut self, aborted: &[AbortedTxn]) {
        for txn in aborted {
            let rest = (txn.first_offset, txn.producer_id);
            self.ahead.push(Reverse((rest.0, rest.1, txn.last_offset, txn.last_stable_offset)));
        }
    }

    /// Whether the data batch is of an aborted transaction.
    pub fn on_data(&mut self, batch: &LogBatch) -> bool {
        self.reach(batch.last_offset);
        if !batch.is_transactional() {
            return false;
        }
        match self.aborted.get_mut(&batch.producer_id) {
            Some(aborted) => {
                aborted.observed = true;
                true
            }
            None => {
                self.committed.insert(batch.producer_id);
                false
            }
        }
    }

    /// Whether nothing of the marker's transaction is left, and the entry that the transaction
    /// index keeps of it otherwise.
    pub fn on_control(&mut self, batch: &LogBatch, marker: Marker) -> (bool, Option<AbortedTxn>) {
        self.reach(batch.last_offset);
        match marker {
            Marker::Empty => (true, None),
            Marker::Other => (false, None),
            Marker::Commit => (!self.committed.remove(&batch.producer_id), None),
            Marker::Abort => match self.aborted.remove(&batch.producer_id) {
                Some(aborted) if aborted.observed => (false, Some(aborted.txn)),
                _ => (true, None),
            },
        }
    }

    fn reach(&mut self, offset: Offset) {
        while let Some(Reverse((first, _, _, _))) = self.ahead.peek()
            && *first <= offset
        {
            let Some(Reverse((first_offset, producer_id, last_offset, last_stable_offset))) =
                self.ahead.pop()
            else {
                unreachable!("it was just there");
            };
            let txn = AbortedTxn { producer_id, first_offset, last_offset, last_stable_offset };
            self.aborted.entry(producer_id).or_insert(Aborted { txn, observed: false });
        }
    }
}
