//! The topics' znodes as they were: which id a topic was made with, whatever was written into its
//! node later.

use std::collections::BTreeMap;

use metadata::tree::Tree;
use metadata::znodes::topic::{self, TopicAssignment};
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
