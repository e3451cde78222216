//! The topics' znodes as they were: which id a topic was made with, whatever was written into its
//! node later. Rewrites and mends them as operators do.

use std::collections::BTreeMap;

use metadata::store::{ANY_VERSION, Op};
use metadata::tree::Tree;
use metadata::znodes::topic::{self, TopicAssignment};
use metadata::znodes::{controller, controller_epoch};
use protocol::ids::Uuid;

#[derive(Debug, Default)]
pub struct Topics {
    /// By the zxid that made the node: the first id that it had.
    made_with: BTreeMap<i64, Uuid>,
    /// A topic has lost its id at some time.
    pub rewritten: bool,
}

impl Topics {
    pub fn look_at(&mut self, tree: &Tree) {
        for (path, node) in tree.nodes() {
            let Some(name) = path.strip_prefix(topic::TOPICS_PATH) else { continue };
            let Some(name) = name.strip_prefix('/').filter(|name| !name.contains('/')) else {
                continue;
            };
            match decode(name, node.data.as_deref()).topic_id {
                Some(id) => drop(self.made_with.entry(node.czxid).or_insert(id)),
                None => self.rewritten = true,
            }
        }
    }

    /// The id of the topic whose node was made by this zxid.
    pub fn life(&self, czxid: i64) -> Uuid {
        *self.made_with.get(&czxid).expect("every topic is made with an id")
    }
}

fn decode(name: &str, data: Option<&[u8]>) -> TopicAssignment {
    TopicAssignment::decode(name, data).expect("a topic")
}

/// A topic's znode that loses the topic's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewritten {
    pub name: &'static str,
    /// Of the znode before.
    czxid: i64,
    version: i32,
}

/// What a tool of a release before 2.8 writes when it changes a topic: all but the id. `None` if
/// the topic is not there.
pub fn without_id(tree: &Tree, name: &'static str) -> Option<(Rewritten, Op)> {
    let node = tree.node(&topic::path(name))?;
    let assignment = TopicAssignment { topic_id: None, ..decode(name, node.data.as_deref()) };
    let (path, data) = (topic::path(name), Some(assignment.encode()));
    let rewritten = Rewritten { name, czxid: node.czxid, version: node.version };
    Some((rewritten, Op::Set { path, data, version: node.version }))
}

/// What an operator does to have the topic's first id again: it is written back, and another
/// controller elected, which reads it. `None` once that is so, or the topic is gone.
pub fn mend(tree: &Tree, topics: &Topics, rewritten: Rewritten) -> Option<Vec<Op>> {
    let Rewritten { name, czxid, version } = rewritten;
    let node = tree.node(&topic::path(name)).filter(|node| node.czxid == czxid)?;
    let mut assignment = decode(name, node.data.as_deref());
    let first = Some(topics.life(czxid));
    let mut ops = Vec::new();
    // The tool's write may still be on its way: it fails once another one was first.
    if assignment.topic_id != first || node.version == version {
        assignment.topic_id = first;
        let (path, data) = (topic::path(name), Some(assignment.encode()));
        ops.push(Op::Set { path, data, version: node.version });
    } else {
        let elected = tree.node(controller_epoch::PATH).map_or(0, |epoch| epoch.mzxid);
        if elected > node.mzxid {
            return None;
        }
    }
    ops.push(Op::Delete { path: controller::PATH.to_owned(), version: ANY_VERSION });
    Some(ops)
}
