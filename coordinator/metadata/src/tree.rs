//! ZooKeeper's data model as a pure state machine: versioned nodes, zxids, sessions with their
//! ephemerals, sequential names, all-or-nothing multis and one-shot watches. Knows no clock (time
//! is an argument), no storage and no network; the embedded store and the simulation are built on
//! it.

mod watches;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;

use self::watches::Watches;
use super::path;
use super::store::{ANY_VERSION, Change, CreateMode, Op, Reply, Stat, StoreError};

/// One node. Its name is its key in the tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    pub data: Option<Bytes>,
    pub czxid: i64,
    pub mzxid: i64,
    /// Last change of its children.
    pub pzxid: i64,
    pub ctime_ms: i64,
    pub mtime_ms: i64,
    pub version: i32,
    /// Children ever created here: the number of the next sequential one.
    pub created: i32,
    /// 0 for a persistent node.
    pub ephemeral_owner: i64,
    pub num_children: i32,
}

impl Node {
    fn stat(&self) -> Stat {
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime_ms: self.ctime_ms,
            mtime_ms: self.mtime_ms,
            version: self.version,
            // Created plus deleted, which ZooKeeper too computes from these two.
            cversion: self.created.wrapping_mul(2).wrapping_sub(self.num_children),
            ephemeral_owner: self.ephemeral_owner,
            num_children: self.num_children,
        }
    }
}

/// A watch that fired, and whose it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fired {
    pub session_id: i64,
    pub path: String,
    pub change: Change,
}

/// What one operation did.
#[derive(Debug)]
pub struct Outcome {
    pub result: Result<Reply, StoreError>,
    /// In the order of the changes.
    pub fired: Vec<Fired>,
    /// Nodes that are not as before (some may be gone), in no special order, possibly repeated.
    pub touched: Vec<String>,
}

/// The tree, its sessions and their watches.
#[derive(Debug)]
pub struct Tree {
    nodes: BTreeMap<String, Node>,
    sessions: BTreeMap<i64, BTreeSet<String>>,
    watches: Watches,
    last_zxid: i64,
    /// Of the transaction in progress: what each node was before, oldest first.
    before: Vec<(String, Option<Node>)>,
    changes: Vec<(String, Change)>,
}

impl Default for Tree {
    fn default() -> Self {
        Tree::restore(BTreeMap::new(), 0)
    }
}

impl Tree {
    /// A tree as it was kept: ephemerals, and the counts of children, are not part of what is kept.
    pub fn restore(mut nodes: BTreeMap<String, Node>, last_zxid: i64) -> Self {
        nodes.retain(|_, node| node.ephemeral_owner == 0);
        nodes.entry("/".to_owned()).or_default();
        let mut counts: BTreeMap<String, i32> = BTreeMap::new();
        for parent in nodes.keys().filter_map(|path| path::parent(path)) {
            *counts.entry(parent.to_owned()).or_default() += 1;
        }
        for (path, node) in &mut nodes {
            node.num_children = counts.get(path).copied().unwrap_or(0);
        }
        Tree {
            nodes,
            sessions: BTreeMap::new(),
            watches: Watches::default(),
            last_zxid,
            before: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// The newest transaction; grows with every write, failed ones too.
    pub fn last_zxid(&self) -> i64 {
        self.last_zxid
    }

    pub fn node(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// Every node with its path, parents before children.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// Begins a session. Ids are the caller's: not 0, and none twice.
    pub fn open_session(&mut self, session_id: i64) {
        self.last_zxid += 1;
        self.sessions.entry(session_id).or_default();
    }

    pub fn has_session(&self, session_id: i64) -> bool {
        self.sessions.contains_key(&session_id)
    }

    /// Ends a session, by its own wish or because it expired: its ephemerals and watches go.
    pub fn close_session(&mut self, session_id: i64) -> Outcome {
        self.last_zxid += 1;
        self.watches.forget(session_id);
        for path in self.sessions.get(&session_id).cloned().unwrap_or_default() {
            self.remove(&path);
        }
        self.sessions.remove(&session_id);
        self.commit(Ok(Reply::Deleted))
    }

    /// Forgets what a session watches: its connection went, and watches are a connection's.
    pub fn drop_watches(&mut self, session_id: i64) {
        self.watches.forget(session_id);
    }

    /// Does one operation of a session, at `now_ms` (wall clock).
    pub fn apply(&mut self, session_id: i64, op: &Op, now_ms: i64) -> Outcome {
        if !self.has_session(session_id) {
            return self.commit(Err(StoreError::SessionExpired));
        }
        if let Err(error) = op.validate() {
            return self.commit(Err(error));
        }
        let result = match op {
            Op::Get { path, watch } => self.get(session_id, path, *watch),
            Op::Exists { path, watch } => Ok(self.exists(session_id, path, *watch)),
            Op::Children { path, watch } => self.children(session_id, path, *watch),
            Op::Sync { .. } => Ok(Reply::Synced),
            Op::Check { path, .. } => Err(StoreError::BadArguments(path.clone())),
            Op::Multi(ops) => {
                self.last_zxid += 1;
                self.multi(session_id, ops, now_ms)
            }
            write => {
                self.last_zxid += 1;
                self.write(session_id, write, now_ms)
            }
        };
        self.commit(result)
    }

    fn get(&mut self, session_id: i64, path: &str, watch: bool) -> Result<Reply, StoreError> {
        let node = self.known(path)?;
        let reply = Reply::Data { data: node.data.clone(), stat: node.stat() };
        if watch {
            self.watches.watch_data(session_id, path);
        }
        Ok(reply)
    }

    fn exists(&mut self, session_id: i64, path: &str, watch: bool) -> Reply {
        if watch {
            self.watches.watch_data(session_id, path);
        }
        Reply::Exists { stat: self.nodes.get(path).map(Node::stat) }
    }

    fn children(&mut self, session_id: i64, path: &str, watch: bool) -> Result<Reply, StoreError> {
        let stat = self.known(path)?.stat();
        if watch {
            self.watches.watch_children(session_id, path);
        }
        Ok(Reply::Children { names: self.child_names(path), stat })
    }

    /// Names below `path`, sorted. Deeper nodes lie between children in the map and are jumped
    /// over.
    fn child_names(&self, path: &str) -> Vec<String> {
        let prefix = path::child(path, "");
        let mut names = Vec::new();
        let mut from = Bound::Excluded(prefix.clone());
        loop {
            let next = self.nodes.range::<String, _>((from.as_ref(), Bound::Unbounded)).next();
            let Some((found, _)) = next else { break };
            let Some(below) = found.strip_prefix(&prefix) else { break };
            from = match below.split_once('/') {
                // '0' comes right after '/': the first key that is not below this child.
                Some((name, _)) => Bound::Included(format!("{prefix}{name}0")),
                None => {
                    names.push(below.to_owned());
                    Bound::Excluded(found.clone())
                }
            };
        }
        names
    }

    fn multi(&mut self, session_id: i64, ops: &[Op], now_ms: i64) -> Result<Reply, StoreError> {
        let mut replies = Vec::with_capacity(ops.len());
        for (index, op) in ops.iter().enumerate() {
            let result = match op {
                Op::Check { path, version } => {
                    self.known_at(path, *version).map(|_| Reply::Checked)
                }
                op => self.write(session_id, op, now_ms),
            };
            let reply = result.map_err(|e| StoreError::Multi { index, error: Box::new(e) })?;
            replies.push(reply);
        }
        Ok(Reply::Multi(replies))
    }

    fn write(&mut self, session_id: i64, op: &Op, now_ms: i64) -> Result<Reply, StoreError> {
        match op {
            Op::Create { path, data, mode } => {
                self.create(session_id, path, data.clone(), *mode, now_ms)
            }
            Op::Delete { path, version } => self.delete(path, *version),
            Op::Set { path, data, version } => self.set(path, data.clone(), *version, now_ms),
            other => Err(StoreError::BadArguments(other.path().to_owned())),
        }
    }

    fn create(
        &mut self,
        session_id: i64,
        path: &str,
        data: Option<Bytes>,
        mode: CreateMode,
        now_ms: i64,
    ) -> Result<Reply, StoreError> {
        let sequential = mode == CreateMode::PersistentSequential;
        let parent = path::parent(path);
        let parent = parent.ok_or_else(|| StoreError::BadArguments(path.to_owned()))?;
        let above = self.nodes.get(parent);
        let mut above = above.cloned().ok_or_else(|| StoreError::NoNode(path.to_owned()))?;
        let created =
            if sequential { format!("{path}{:010}", above.created) } else { path.to_owned() };
        if self.nodes.contains_key(&created) {
            return Err(StoreError::NodeExists(path.to_owned()));
        }
        if above.ephemeral_owner != 0 {
            return Err(StoreError::NoChildrenForEphemerals(path.to_owned()));
        }
        above.created = above.created.wrapping_add(1);
        above.num_children += 1;
        above.pzxid = self.last_zxid;
        let parent = parent.to_owned();
        let owner = if mode == CreateMode::Ephemeral { session_id } else { 0 };
        let node = Node {
            data,
            czxid: self.last_zxid,
            mzxid: self.last_zxid,
            pzxid: self.last_zxid,
            ctime_ms: now_ms,
            mtime_ms: now_ms,
            ephemeral_owner: owner,
            ..Node::default()
        };
        self.put(&created, Some(node));
        self.put(&parent, Some(above));
        self.changes.push((created.clone(), Change::Created));
        self.changes.push((parent, Change::ChildrenChanged));
        Ok(Reply::Created { path: created })
    }

    fn delete(&mut self, path: &str, version: i32) -> Result<Reply, StoreError> {
        if self.known_at(path, version)?.num_children > 0 {
            return Err(StoreError::NotEmpty(path.to_owned()));
        }
        self.remove(path);
        Ok(Reply::Deleted)
    }

    fn remove(&mut self, path: &str) {
        self.put(path, None);
        self.changes.push((path.to_owned(), Change::Deleted));
        let Some(parent) = path::parent(path) else { return };
        if let Some(mut above) = self.nodes.get(parent).cloned() {
            above.num_children -= 1;
            above.pzxid = self.last_zxid;
            self.put(parent, Some(above));
            self.changes.push((parent.to_owned(), Change::ChildrenChanged));
        }
    }

    fn set(
        &mut self,
        path: &str,
        data: Option<Bytes>,
        version: i32,
        now_ms: i64,
    ) -> Result<Reply, StoreError> {
        let mut node = self.known_at(path, version)?.clone();
        node.data = data;
        node.version = node.version.wrapping_add(1);
        node.mzxid = self.last_zxid;
        node.mtime_ms = now_ms;
        let stat = node.stat();
        self.put(path, Some(node));
        self.changes.push((path.to_owned(), Change::DataChanged));
        Ok(Reply::Set { stat })
    }

    fn known(&self, path: &str) -> Result<&Node, StoreError> {
        self.nodes.get(path).ok_or_else(|| StoreError::NoNode(path.to_owned()))
    }

    fn known_at(&self, path: &str, version: i32) -> Result<&Node, StoreError> {
        let node = self.known(path)?;
        if version != ANY_VERSION && version != node.version {
            return Err(StoreError::BadVersion(path.to_owned()));
        }
        Ok(node)
    }

    /// The only place that changes `nodes`: notes what was there, and keeps the sessions' lists.
    fn put(&mut self, path: &str, node: Option<Node>) {
        let before = self.replace(path, node);
        self.before.push((path.to_owned(), before));
    }

    fn replace(&mut self, path: &str, node: Option<Node>) -> Option<Node> {
        let owner = node.as_ref().map_or(0, |node| node.ephemeral_owner);
        let before = match node {
            Some(node) => self.nodes.insert(path.to_owned(), node),
            None => self.nodes.remove(path),
        };
        let owner_before = before.as_ref().map_or(0, |node| node.ephemeral_owner);
        if owner != owner_before {
            if let Some(mine) = self.sessions.get_mut(&owner_before) {
                mine.remove(path);
            }
            if let Some(mine) = self.sessions.get_mut(&owner) {
                mine.insert(path.to_owned());
            }
        }
        before
    }

    /// Ends the transaction: keeps it and fires watches, or undoes all of it.
    fn commit(&mut self, result: Result<Reply, StoreError>) -> Outcome {
        let before = std::mem::take(&mut self.before);
        let changes = std::mem::take(&mut self.changes);
        if result.is_err() {
            for (path, node) in before.into_iter().rev() {
                self.replace(&path, node);
            }
            return Outcome { result, fired: Vec::new(), touched: Vec::new() };
        }
        let mut fired = Vec::new();
        for (path, change) in changes {
            for session_id in self.watches.fire(&path, change) {
                fired.push(Fired { session_id, path: path.clone(), change });
            }
        }
        Outcome { result, fired, touched: before.into_iter().map(|(path, _)| path).collect() }
    }
}

#[cfg(test)]
mod tests;
