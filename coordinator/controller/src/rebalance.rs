//! Leadership drifts to those who were up: from time to time it is taken back to the first
//! replicas. Knows nothing of clocks; it is told the time.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::{BrokerId, TopicPartition};

use super::core::{Core, Halt};

impl Core {
    pub(super) async fn rebalance_if_due(&mut self) -> Result<(), Halt> {
        let now_ms = self.io.now_ms();
        if self.next_rebalance_ms.is_none_or(|at| now_ms < at) {
            return Ok(());
        }
        self.next_rebalance_ms = Some(now_ms + self.settings.leader_imbalance_check_interval_ms);
        if !self.settings.auto_leader_rebalance_enable {
            return Ok(());
        }
        let wanted = self.imbalanced();
        self.elect_preferred(wanted).await
    }

    /// Of each broker that leads too few of the partitions that prefer it, those that it can take.
    fn imbalanced(&self) -> BTreeSet<TopicPartition> {
        let mut preferring: BTreeMap<BrokerId, Vec<(TopicPartition, bool)>> = BTreeMap::new();
        for (tp, partition) in self.cluster.all_partitions() {
            let Some(preferred) = partition.assignment.replicas.first() else { continue };
            if self.cluster.is_queued_for_deletion(&tp.topic) {
                continue;
            }
            let leader = partition.leadership.as_ref().map(|l| l.state.leader);
            let elsewhere = leader.is_some_and(|leader| leader != *preferred);
            preferring.entry(*preferred).or_default().push((tp, elsewhere));
        }
        let allowed = self.settings.leader_imbalance_per_broker_percentage as f64 / 100.0;
        let mut wanted = BTreeSet::new();
        for (broker, partitions) in preferring {
            let elsewhere = partitions.iter().filter(|(_, elsewhere)| *elsewhere).count();
            if elsewhere as f64 / partitions.len() as f64 <= allowed {
                continue;
            }
            let ready = |tp: &TopicPartition| {
                self.cluster.is_online(broker, tp)
                    && self.cluster.leadership(tp).is_some_and(|l| l.state.isr.contains(&broker))
            };
            let partitions = partitions.into_iter().filter(|(_, elsewhere)| *elsewhere);
            wanted.extend(partitions.map(|(tp, _)| tp).filter(ready));
        }
        wanted
    }
}
