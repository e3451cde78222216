//! `/admin/reassign_partitions`: reassignments as tools before 2.4 ask for them. Its entries leave
//! as they are completed, and the node with the last. Knows nothing of how partitions move.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::{BrokerId, TopicPartition};

use super::core::{Core, Halt};
use super::store_access::{get, set};
use metadata::store::{ANY_VERSION, Op, StoreError};
use metadata::znodes::reassignment;

impl Core {
    /// The node may be there: begins what is not under way yet. Returns what it began.
    pub(super) async fn on_reassignment_node(&mut self) -> Result<BTreeSet<TopicPartition>, Halt> {
        let Some(targets) = self.read_reassignment_node().await? else {
            return Ok(BTreeSet::new());
        };
        let (mut begun, mut failed) = (BTreeMap::new(), BTreeSet::new());
        for (tp, target) in targets {
            let under_way = |p: &super::state::Partition| {
                p.assignment.is_being_reassigned()
                    && p.assignment.reassigned_to(&target) == p.assignment
            };
            if self.cluster.partition(&tp).is_some_and(under_way) {
                continue;
            }
            match self.plan_reassignment(&tp, Some(target), false) {
                Ok(assignment) => drop(begun.insert(tp, assignment)),
                Err(refusal) => {
                    tracing::warn!(partition = %tp, %refusal, "not reassigned");
                    failed.insert(tp);
                }
            }
        }
        let mut started = BTreeSet::new();
        for (tp, result) in self.begin_reassignments(begun).await? {
            match result {
                Ok(()) => drop(started.insert(tp)),
                Err(refusal) => {
                    tracing::warn!(partition = %tp, %refusal, "not reassigned");
                    failed.insert(tp);
                }
            }
        }
        if !failed.is_empty() {
            self.drop_from_reassignment_node(|tp, _| failed.contains(tp)).await?;
        }
        Ok(started)
    }

    /// Sets the watch. A node that cannot be read asks for nothing and is taken away.
    async fn read_reassignment_node(
        &mut self,
    ) -> Result<Option<BTreeMap<TopicPartition, Vec<BrokerId>>>, Halt> {
        let watch = Op::Exists { path: reassignment::PATH.to_owned(), watch: true };
        let nodes = self.read(vec![watch, get(reassignment::PATH, false)]).await?;
        let Some((data, _)) = &nodes[1] else { return Ok(None) };
        match reassignment::decode(data.as_deref()) {
            Ok(targets) => Ok(Some(targets)),
            Err(error) => {
                tracing::warn!(%error, "reassignments skipped");
                self.delete_nodes(vec![reassignment::PATH.to_owned()]).await?;
                Ok(None)
            }
        }
    }

    /// Takes entries out of the node, and the node away with the last one. The watch that is set
    /// on it makes the controller look again.
    pub(super) async fn drop_from_reassignment_node(
        &mut self,
        dropped: impl Fn(&TopicPartition, &Vec<BrokerId>) -> bool,
    ) -> Result<(), Halt> {
        let Some(mut targets) = self.read_reassignment_node().await? else { return Ok(()) };
        let before = targets.len();
        targets.retain(|tp, replicas| !dropped(tp, replicas));
        if targets.is_empty() {
            return self.delete_nodes(vec![reassignment::PATH.to_owned()]).await;
        }
        if targets.len() == before {
            return Ok(());
        }
        let op = set(reassignment::PATH, reassignment::encode(&targets), ANY_VERSION);
        match self.fenced(vec![vec![op]]).await?.pop() {
            Some(Ok(_)) | Some(Err(StoreError::NoNode(_))) | None => Ok(()),
            Some(Err(error)) => Err(error.into()),
        }
    }
}
