//! Whether the cluster is well again after the faults, and what must hold then. Knows nothing of
//! the faults.

use std::sync::Arc;

use broker::replication::partition::Partition;
use metadata::tree::Tree;
use metadata::znodes::partition_state;
use protocol::ids::{BrokerId, Offset};

use super::Checker;
use crate::place::life_of;
use crate::records;

impl Checker {
    /// Whether every partition's ISR is whole, or nothing but this broker.
    pub fn stands_alone(&self, id: BrokerId) -> bool {
        let mut all = self.stored.values().map(|stored| &stored.state.isr);
        all.all(|isr| isr.len() == self.machines.len() || *isr == [id])
    }

    /// Why the cluster is not as it was meant to be yet; `None` once it is.
    pub fn unsettled(&self, tree: &Tree) -> Option<String> {
        for (tp, stored) in &self.stored {
            let Some(node) = tree.node(&partition_state::path(tp)) else { continue };
            if node.czxid != stored.czxid {
                return Some(format!("{tp} was made anew"));
            }
            let state = &stored.state;
            if state.leader < 0 || state.isr.len() < self.machines.len() {
                return Some(format!("{tp}: {state:?}"));
            }
            let place = (tp.clone(), stored.topic_id);
            let committed = self.committed.get(&place).map_or(0, Vec::len);
            for id in &state.isr {
                let Some(replica) = self.replicas.get(&(*id, place.clone())) else {
                    return Some(format!("{tp}: {id} does not host it"));
                };
                let (end, high_watermark) = (replica.cells.len(), replica.high_watermark);
                if end != committed || high_watermark != committed as Offset {
                    return Some(format!(
                        "{tp}: {id} ends at {end}, high watermark {high_watermark}, {committed} \
                         are committed"
                    ));
                }
            }
        }
        self.ledger.unended()
    }

    /// After all is settled: what transactions' clients were told holds.
    pub fn look_at_transactions(&mut self) {
        if let Err(what) = self.ledger.verdict() {
            self.fail(what);
        }
    }

    /// After all is settled: every replica's log as it is on disk equals what was committed.
    pub fn look_at_logs(&mut self, id: BrokerId, partitions: &[Arc<Partition>]) {
        for partition in partitions {
            let Some(log) = partition.log() else { continue };
            let Some(topic_id) = log.topic_id() else { continue };
            let place = (partition.name(), life_of(partition.topic(), topic_id));
            let cells = records::read(&log, 0);
            let committed = self.committed.get(&place).cloned().unwrap_or_default();
            let end = cells.len() as Offset;
            if log.last_stable_offset(end) != end {
                self.fail(format!("{place:?}: {id} keeps a transaction open"));
            }
            if cells != committed {
                self.fail(format!("{place:?}: {id}'s log is not what was committed"));
            }
        }
    }
}
