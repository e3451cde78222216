//! The store of a broker with nothing beside it: ZooKeeper's tree in memory, its persistent nodes
//! journalled in one file. One session, which ends with the process; ephemerals are never stored.
//! What waits is committed together, and nobody sees the outcome of a write before it is on disk.

#![allow(clippy::disallowed_methods, reason = "the journal waits for its disk, awaited at once")]

mod journal;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use self::journal::Journal;
pub use self::journal::OpenError;
use super::inbox::{Batch, Callers, Inbox};
use super::store::{ClockMs, Lease, MetadataStore, Reply, StoreError, StoreEvent};
use super::tree::{Fired, Tree};

/// Most operations in one commit.
const COMMIT_OPS_MAX: usize = 10_000;

/// Opens (or makes) the journal at `path` and loads it: blocking work of a few milliseconds. The
/// session is there at once. The driver must run for anything else to happen; it ends after
/// `close`, or when the store is dropped. `wall_clock` gives the times in `Stat`.
pub fn open(
    path: &Path,
    wall_clock: ClockMs,
) -> Result<(Arc<dyn MetadataStore>, Driver), OpenError> {
    let (journal, nodes, last_zxid) = Journal::open(path)?;
    let mut tree = Tree::restore(nodes, last_zxid);
    let session_id = last_zxid + 1;
    tree.open_session(session_id);
    let inbox = Inbox::new();
    let lease = Lease { session_id, timeout_ms: 0, last_heard_ms: u64::MAX, last_zxid };
    // No credentials: the journal's lock keeps every other process out.
    inbox.set_session(Some(lease), None);
    let journal = Some(journal);
    let driver = Driver { inbox: Arc::clone(&inbox), tree, session_id, journal, wall_clock };
    Ok((Arc::new(Callers(inbox)), driver))
}

/// Runs an embedded store: the owner of its tree and journal.
#[must_use = "a store does nothing without its driver"]
pub struct Driver {
    inbox: Arc<Inbox>,
    tree: Tree,
    session_id: i64,
    /// There until the driver ends.
    journal: Option<Journal>,
    wall_clock: ClockMs,
}

type Outcome = (Result<Reply, StoreError>, Vec<Fired>);

/// One commit's worth of work, done in memory and not yet told to anyone.
struct Done {
    batches: VecDeque<Batch>,
    /// Per batch, per operation: the answer, and the watches it fired.
    outcomes: Vec<Vec<Outcome>>,
    /// Nodes as the journal is to have them; `None`: not at all.
    changes: BTreeMap<String, Option<Vec<u8>>>,
}

impl Driver {
    /// Until the store is closed, or its journal cannot be written any more.
    pub async fn run(mut self) {
        let session_id = self.session_id;
        self.inbox.publish(StoreEvent::SessionStarted { session_id });
        self.serve().await;
        // Closing the file is work for the disk; whoever waits for the end may open it at once.
        let journal = self.journal.take();
        let closed = tokio::task::spawn_blocking(move || drop(journal)).await;
        if let Err(error) = closed {
            tracing::error!(%error, "the metadata journal was not closed well");
        }
    }

    async fn serve(&mut self) {
        loop {
            let taken = self.inbox.take(COMMIT_OPS_MAX);
            if !taken.batches.is_empty() {
                let done = self.apply(taken.batches);
                if let Err(error) = self.commit(&done).await {
                    // What is in memory is not on disk: nothing of it may be told, or built upon.
                    tracing::error!(%error, "the metadata journal cannot be written");
                    tell(&self.inbox, done, Some(&error));
                    self.inbox.set_session(None, None);
                    self.inbox.publish(StoreEvent::SessionExpired);
                    return;
                }
                tell(&self.inbox, done, None);
            } else if taken.close {
                return;
            } else {
                self.inbox.arrived().await;
            }
        }
    }

    fn apply(&mut self, batches: VecDeque<Batch>) -> Done {
        let now_ms = i64::try_from((self.wall_clock)()).unwrap_or(i64::MAX);
        let mut touched = Vec::new();
        let mut outcomes = Vec::with_capacity(batches.len());
        for batch in &batches {
            let mut answers = Vec::with_capacity(batch.ops.len());
            for op in &batch.ops {
                if batch.session.is_some_and(|session| session != self.session_id) {
                    answers.push((Err(StoreError::SessionExpired), Vec::new()));
                    continue;
                }
                let mut outcome = self.tree.apply(self.session_id, op, now_ms);
                touched.append(&mut outcome.touched);
                answers.push((outcome.result, outcome.fired));
            }
            outcomes.push(answers);
        }
        let changes = touched
            .into_iter()
            .map(|path| {
                let node = self.tree.node(&path).filter(|node| node.ephemeral_owner == 0);
                let bytes = node.map(journal::encode);
                (path, bytes)
            })
            .collect();
        Done { batches, outcomes, changes }
    }

    async fn commit(&self, done: &Done) -> Result<(), String> {
        let Some(journal) = self.journal.clone().filter(|_| !done.changes.is_empty()) else {
            return Ok(());
        };
        let changes = done.changes.clone();
        let last_zxid = self.tree.last_zxid();
        let written =
            tokio::task::spawn_blocking(move || journal.commit(&changes, last_zxid)).await;
        match written {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn tell(inbox: &Inbox, done: Done, failure: Option<&String>) {
    for (mut batch, outcomes) in done.batches.into_iter().zip(done.outcomes) {
        for (index, (result, fired)) in outcomes.into_iter().enumerate() {
            let result = match failure {
                Some(error) => Err(StoreError::Other(format!("metadata journal: {error}"))),
                None => result,
            };
            if failure.is_none() {
                for Fired { path, change, .. } in fired {
                    inbox.publish(StoreEvent::Changed { path, change });
                }
            }
            batch.answers.fill(index, result);
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.inbox.end();
    }
}
