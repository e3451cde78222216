//! The controller's reads and writes: fenced by the controller epoch, compared and repeated as
//! ZooKeeper's rules demand. Knows nothing of what is written or why.

use std::collections::BTreeMap;

use bytes::Bytes;
use protocol::ids::TopicPartition;

use super::core::{Core, Halt};
use super::state::Leadership;
use metadata::store::{ANY_VERSION, CreateMode, Op, Reply, Stat, StoreError};
use metadata::znodes::partition_state::{self, PartitionState};
use metadata::znodes::{controller_epoch, delete_topics};

/// Operations that are on their way at once.
const PIPELINE_MAX: usize = 1000;

/// How often what a lost connection took is submitted: that many in a row mean it never gets
/// through.
const SUBMIT_ATTEMPTS: usize = 50;

/// How often a write that met another version is read and decided anew.
pub(super) const STATE_WRITE_ATTEMPTS: usize = 16;

/// Nodes created, written or deleted in one multi: with the longest names and tens of replicas
/// still less than half of ZooKeeper's 1 MiB a packet.
pub(super) const WRITES_PER_MULTI: usize = 200;

/// A node's data and stat; `None`: there is no such node.
pub(super) type Node = Option<(Option<Bytes>, Stat)>;

pub(super) fn get(path: impl Into<String>, watch: bool) -> Op {
    Op::Get { path: path.into(), watch }
}

pub(super) fn children(path: impl Into<String>, watch: bool) -> Op {
    Op::Children { path: path.into(), watch }
}

pub(super) fn create(path: impl Into<String>, data: Option<Bytes>) -> Op {
    Op::Create { path: path.into(), data, mode: CreateMode::Persistent }
}

pub(super) fn set(path: impl Into<String>, data: Bytes, version: i32) -> Op {
    Op::Set { path: path.into(), data: Some(data), version }
}

pub(super) fn delete(path: impl Into<String>) -> Op {
    Op::Delete { path: path.into(), version: ANY_VERSION }
}

impl Core {
    /// Submits in pieces; what was lost with the connection is submitted again, so a write may find
    /// its own first try. The store itself waits for a connection before it sends.
    pub(super) async fn submit(
        &mut self,
        ops: Vec<Op>,
    ) -> Result<Vec<Result<Reply, StoreError>>, Halt> {
        let mut results = Vec::with_capacity(ops.len());
        for piece in ops.chunks(PIPELINE_MAX) {
            let mut of_piece = self.io.submit(piece.to_vec()).await;
            for attempt in 1.. {
                let over = |r: &Result<Reply, StoreError>| {
                    matches!(
                        r,
                        Err(StoreError::SessionExpired
                            | StoreError::AuthFailed
                            | StoreError::Closed)
                    )
                };
                if of_piece.iter().any(over) {
                    return Err(Halt::SessionOver);
                }
                let lost: Vec<usize> = (0..piece.len())
                    .filter(|i| of_piece[*i] == Err(StoreError::ConnectionLost))
                    .collect();
                if lost.is_empty() {
                    break;
                }
                if attempt == SUBMIT_ATTEMPTS {
                    return Err(Halt::Store(StoreError::ConnectionLost));
                }
                let again = lost.iter().map(|i| piece[*i].clone()).collect();
                let answers = self.io.submit(again).await;
                for (i, answer) in lost.into_iter().zip(answers) {
                    of_piece[i] = answer;
                }
            }
            results.extend(of_piece);
        }
        Ok(results)
    }

    /// Reads nodes; a missing one is `None`.
    pub(super) async fn read(&mut self, ops: Vec<Op>) -> Result<Vec<Node>, Halt> {
        let node = |result| match result {
            Ok(Reply::Data { data, stat }) => Ok(Some((data, stat))),
            Ok(Reply::Exists { stat }) => Ok(stat.map(|stat| (None, stat))),
            Err(StoreError::NoNode(_)) => Ok(None),
            Err(error) => Err(Halt::Store(error)),
            Ok(other) => Err(Halt::Store(StoreError::Other(format!("not a read: {other:?}")))),
        };
        self.submit(ops).await?.into_iter().map(node).collect()
    }

    /// Lists children; a missing node has none.
    pub(super) async fn list(&mut self, ops: Vec<Op>) -> Result<Vec<Vec<String>>, Halt> {
        let names = |result| match result {
            Ok(Reply::Children { mut names, .. }) => {
                names.sort();
                Ok(names)
            }
            Err(StoreError::NoNode(_)) => Ok(Vec::new()),
            Err(error) => Err(Halt::Store(error)),
            Ok(other) => Err(Halt::Store(StoreError::Other(format!("not a list: {other:?}")))),
        };
        self.submit(ops).await?.into_iter().map(names).collect()
    }

    /// Each group is one multi behind a check that this controller is still the controller. Gives
    /// each group's replies or its own error; a failed check is [`Halt::Moved`].
    pub(super) async fn fenced(
        &mut self,
        groups: Vec<Vec<Op>>,
    ) -> Result<Vec<Result<Vec<Reply>, StoreError>>, Halt> {
        let version = self.cluster.epoch_version;
        let check = Op::Check { path: controller_epoch::PATH.to_owned(), version };
        let multi = |group: Vec<Op>| {
            Op::Multi(std::iter::once(check.clone()).chain(group).collect::<Vec<_>>())
        };
        let results = self.submit(groups.into_iter().map(multi).collect()).await?;
        let mut out = Vec::with_capacity(results.len());
        for result in results {
            out.push(match result {
                Ok(Reply::Multi(replies)) => Ok(replies.into_iter().skip(1).collect()),
                Ok(other) => Err(StoreError::Other(format!("not a multi: {other:?}"))),
                Err(StoreError::Multi { index: 0, .. }) => return Err(Halt::Moved),
                Err(StoreError::Multi { error, .. }) => Err(*error),
                Err(error) => Err(error),
            });
        }
        Ok(out)
    }

    /// Deletes nodes one by one, fenced; those that are gone already do not matter. One that
    /// somebody has put nodes below stays, and stops nobody.
    pub(super) async fn delete_nodes(&mut self, paths: Vec<String>) -> Result<(), Halt> {
        for result in self.delete_each(paths).await? {
            match result {
                Ok(()) => {}
                Err(error @ StoreError::NotEmpty(_)) => tracing::warn!(%error, "it stays"),
                Err(error) => return Err(Halt::Store(error)),
            }
        }
        Ok(())
    }

    async fn delete_each(
        &mut self,
        paths: Vec<String>,
    ) -> Result<Vec<Result<(), StoreError>>, Halt> {
        let groups = paths.into_iter().map(|path| vec![delete(path)]).collect();
        let results = self.fenced(groups).await?.into_iter();
        let gone = |result| match result {
            Ok(_) | Err(StoreError::NoNode(_)) => Ok(()),
            Err(error) => Err(error),
        };
        Ok(results.map(gone).collect())
    }

    /// Deletes a node and everything below it, fenced.
    pub(super) async fn delete_tree(&mut self, root: String) -> Result<(), Halt> {
        let mut levels = vec![vec![root]];
        while let Some(level) = levels.last() {
            let ops = level.iter().map(|path| children(path.clone(), false)).collect();
            let names = self.list(ops).await?;
            let level = levels.last().expect("just seen");
            let below: Vec<String> = level
                .iter()
                .zip(names)
                .flat_map(|(path, names)| names.into_iter().map(move |n| format!("{path}/{n}")))
                .collect();
            if below.is_empty() {
                break;
            }
            levels.push(below);
        }
        let leaves_first: Vec<String> = levels.into_iter().rev().flatten().collect();
        let pieces: Vec<_> =
            leaves_first.chunks(WRITES_PER_MULTI).map(|piece| piece.to_vec()).collect();
        let groups = pieces.iter().map(|p| p.iter().map(delete).collect()).collect();
        let results = self.fenced(groups).await?;
        for (result, piece) in results.into_iter().zip(pieces) {
            // Somebody else deletes there too, or a first try got through: one by one then.
            if result.is_err() {
                self.delete_each(piece).await?.into_iter().collect::<Result<(), _>>()?;
            }
        }
        Ok(())
    }

    /// Takes deletion marks away.
    pub(super) async fn unmark_deletions(&mut self, topics: &[String]) -> Result<(), Halt> {
        self.delete_nodes(topics.iter().map(|t| delete_topics::path(t)).collect()).await
    }

    /// Reads states; what is missing or unreadable is left out, and logged if unreadable.
    pub(super) async fn read_states(
        &mut self,
        tps: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Leadership>, Halt> {
        let found = self.find_states(tps).await?.into_iter();
        Ok(found.map(|(tp, (leadership, _))| (tp, leadership)).collect())
    }

    /// As `read_states`, each with the transaction that wrote it.
    pub(super) async fn find_states(
        &mut self,
        tps: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, (Leadership, i64)>, Halt> {
        let ops = tps.iter().map(|tp| get(partition_state::path(tp), false)).collect();
        let mut states = BTreeMap::new();
        for (tp, node) in tps.iter().zip(self.read(ops).await?) {
            let Some((data, stat)) = node else { continue };
            match PartitionState::decode(tp, data.as_deref()) {
                Ok(state) => {
                    let leadership = Leadership { state, partition_epoch: stat.version };
                    states.insert(tp.clone(), (leadership, stat.mzxid));
                }
                Err(error) => tracing::warn!(%error, "a partition's state is not heeded"),
            }
        }
        Ok(states)
    }

    /// Writes states over the versions that they were decided on, many behind one check; one by
    /// one where that fails. `Err(BadVersion)` asks the caller to read and decide again: another
    /// wrote first, or a first try whose answer was lost.
    pub(super) async fn write_states(
        &mut self,
        writes: &[(TopicPartition, Leadership)],
    ) -> Result<Vec<Result<i32, StoreError>>, Halt> {
        let op = |(tp, l): &(TopicPartition, Leadership)| {
            set(partition_state::path(tp), l.state.encode(), l.partition_epoch)
        };
        let pieces = writes.chunks(WRITES_PER_MULTI);
        let groups = pieces.clone().map(|piece| piece.iter().map(op).collect()).collect();
        let mut versions = Vec::with_capacity(writes.len());
        for (result, piece) in self.fenced(groups).await?.into_iter().zip(pieces) {
            if result.is_err() && piece.len() > 1 {
                let groups = piece.iter().map(|write| vec![op(write)]).collect();
                let one_by_one = self.fenced(groups).await?.into_iter();
                versions.extend(one_by_one.map(|result| set_version(result?.first())));
                continue;
            }
            match result {
                Ok(replies) => versions.extend(replies.iter().map(|r| set_version(Some(r)))),
                Err(error) => versions.push(Err(error)),
            }
        }
        Ok(versions)
    }
}

fn set_version(reply: Option<&Reply>) -> Result<i32, StoreError> {
    match reply {
        Some(Reply::Set { stat }) => Ok(stat.version),
        other => Err(StoreError::Other(format!("not a set: {other:?}"))),
    }
}
