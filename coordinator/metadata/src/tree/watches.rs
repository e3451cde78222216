//! Which session watches which path of a tree, each watch for one change; knows nothing of nodes.

use std::collections::{BTreeMap, BTreeSet};

use crate::store::Change;

type Watchers = BTreeMap<String, BTreeSet<i64>>;

/// As on a server: one table for data and existence, one for children.
#[derive(Debug, Default)]
pub struct Watches {
    data: Watchers,
    children: Watchers,
}

impl Watches {
    pub fn watch_data(&mut self, session_id: i64, path: &str) {
        self.data.entry(path.to_owned()).or_default().insert(session_id);
    }

    pub fn watch_children(&mut self, session_id: i64, path: &str) {
        self.children.entry(path.to_owned()).or_default().insert(session_id);
    }

    /// Takes off and returns who is to be told, each once.
    pub fn fire(&mut self, path: &str, change: Change) -> BTreeSet<i64> {
        match change {
            Change::Created | Change::DataChanged => self.data.remove(path).unwrap_or_default(),
            Change::ChildrenChanged => self.children.remove(path).unwrap_or_default(),
            Change::Deleted => {
                let mut watchers = self.data.remove(path).unwrap_or_default();
                watchers.append(&mut self.children.remove(path).unwrap_or_default());
                watchers
            }
        }
    }

    pub fn forget(&mut self, session_id: i64) {
        for table in [&mut self.data, &mut self.children] {
            table.retain(|_, watchers| {
                watchers.remove(&session_id);
                !watchers.is_empty()
            });
        }
    }
}
