//! What must hold of the cluster's state in ZooKeeper. Knows nothing of brokers.

use metadata::tree::Tree;
use metadata::znodes::partition_state::PartitionState;
use metadata::znodes::{controller_epoch, topic};
use protocol::ids::TopicPartition;

use super::{Checker, Stored};
use crate::place::life_of;

impl Checker {
    /// Looks over what changed in ZooKeeper.
    pub fn look_at_tree(&mut self, tree: &Tree) {
        if tree.last_zxid() == self.last_zxid {
            return;
        }
        self.last_zxid = tree.last_zxid();
        self.trace.fold(tree.last_zxid() as u64);
        if let Some(node) = tree.node(controller_epoch::PATH) {
            let epoch = controller_epoch::decode(node.data.as_deref()).expect("a number");
            if epoch < self.controller_epoch {
                self.fail(format!("controller epoch {epoch} follows a higher one"));
            }
            self.controller_epoch = epoch;
        }
        self.topics.look_at(tree);
        let mut changed = Vec::new();
        for (path, node) in tree.nodes() {
            let Some(rest) = path.strip_prefix("/brokers/topics/") else { continue };
            let Some(rest) = rest.strip_suffix("/state") else { continue };
            let Some((name, index)) = rest.split_once("/partitions/") else { continue };
            let tp = TopicPartition::new(name, index.parse().expect("a partition's number"));
            let before = self.stored.get(&tp).cloned();
            if before.as_ref().is_some_and(|before| before.mzxid == node.mzxid) {
                continue;
            }
            let Some(topic) = tree.node(&topic::path(name)) else { continue };
            let topic_id = life_of(name, self.topics.life(topic.czxid));
            let state = PartitionState::decode(&tp, node.data.as_deref()).expect("a state");
            let now = Stored { mzxid: node.mzxid, czxid: node.czxid, topic_id, state };
            let before = before.filter(|before| before.czxid == node.czxid);
            if let Err(what) = check_step(before.as_ref().map(|b| &b.state), &now.state) {
                self.fail(format!("{tp}: {what}: {before:?}, then {now:?}"));
            }
            self.stored.insert(tp.clone(), now);
            changed.push((tp, topic_id));
        }
        for place in changed {
            self.look_at_isr(&place);
        }
    }
}

/// Whether a partition's state may follow another.
fn check_step(before: Option<&PartitionState>, now: &PartitionState) -> Result<(), &'static str> {
    if now.leader >= 0 && !now.isr.contains(&now.leader) {
        return Err("the leader is not in the ISR");
    }
    let Some(before) = before else { return Ok(()) };
    if now.leader_epoch < before.leader_epoch {
        return Err("the leader epoch went back");
    }
    if now.controller_epoch < before.controller_epoch {
        return Err("a former controller wrote");
    }
    if now.leader != before.leader && now.leader_epoch == before.leader_epoch {
        return Err("another leader in the same epoch");
    }
    if now.leader != before.leader && now.leader >= 0 && !before.isr.contains(&now.leader) {
        return Err("a leader from outside the ISR");
    }
    Ok(())
}
