//! Operations that a caller may simply try again: reads, and writes whose second try shows by
//! itself that the first was done. Knows nothing of what the nodes hold.

use std::time::Duration;

use bytes::Bytes;

use super::path;
use super::store::{CreateMode, MetadataStore, Op, Reply, Stat, StoreError, StoreEvent};

/// Tries of one read. Each one waits for a connection by itself, so this many lost ones in a row
/// mean that no read will ever get through (an answer too long for the connection, say).
const TRIES_MAX: usize = 50;

/// One operation, once.
pub async fn one(store: &dyn MetadataStore, op: Op) -> Result<Reply, StoreError> {
    store.submit(vec![op]).await.pop().unwrap_or(Err(StoreError::Closed))
}

/// One read, until it is answered or the session is over. Not for writes.
pub async fn read(store: &dyn MetadataStore, op: Op) -> Result<Reply, StoreError> {
    read_all(store, vec![op]).await.pop().unwrap_or(Err(StoreError::Closed))
}

/// Many reads at once; those that a lost connection took are sent again, in the same order.
pub async fn read_all(store: &dyn MetadataStore, ops: Vec<Op>) -> Vec<Result<Reply, StoreError>> {
    let mut results = store.submit(ops.clone()).await;
    for _ in 1..TRIES_MAX {
        let lost: Vec<usize> = (0..results.len())
            .filter(|index| results[*index].as_ref().is_err_and(StoreError::retriable))
            .collect();
        if lost.is_empty() {
            break;
        }
        let again = lost.iter().map(|index| ops[*index].clone()).collect();
        for (index, result) in lost.into_iter().zip(store.submit(again).await) {
            results[index] = result;
        }
    }
    results
}

/// Data and stat, or `None` if there is no such node (then `watch` sets none: use `exists`).
pub async fn get(
    store: &dyn MetadataStore,
    path: &str,
    watch: bool,
) -> Result<Option<(Option<Bytes>, Stat)>, StoreError> {
    match read(store, Op::Get { path: path.to_owned(), watch }).await {
        Ok(Reply::Data { data, stat }) => Ok(Some((data, stat))),
        Err(StoreError::NoNode(_)) => Ok(None),
        other => Err(unexpected(other)),
    }
}

/// The node's stat, or `None`; a watch is set in both cases.
pub async fn exists(
    store: &dyn MetadataStore,
    path: &str,
    watch: bool,
) -> Result<Option<Stat>, StoreError> {
    match read(store, Op::Exists { path: path.to_owned(), watch }).await {
        Ok(Reply::Exists { stat }) => Ok(stat),
        other => Err(unexpected(other)),
    }
}

/// Names below the node, sorted, or `None` if there is no such node.
pub async fn children(
    store: &dyn MetadataStore,
    path: &str,
    watch: bool,
) -> Result<Option<Vec<String>>, StoreError> {
    match read(store, Op::Children { path: path.to_owned(), watch }).await {
        Ok(Reply::Children { names, .. }) => Ok(Some(names)),
        Err(StoreError::NoNode(_)) => Ok(None),
        other => Err(unexpected(other)),
    }
}

/// Creates a persistent node and what is missing above it (with null data). False if it existed
/// already, which is also the answer when a lost first try had made it.
pub async fn create_recursive(
    store: &dyn MetadataStore,
    path: &str,
    data: Option<Bytes>,
) -> Result<bool, StoreError> {
    let mut missing = vec![(path.to_owned(), data)];
    let mut tries = 0;
    let mut created = false;
    while let Some((path, data)) = missing.pop() {
        let mode = CreateMode::Persistent;
        match one(store, Op::Create { path: path.clone(), data: data.clone(), mode }).await {
            Ok(_) => created = true,
            Err(StoreError::NodeExists(_)) => created = false,
            Err(StoreError::NoNode(_)) if path::parent(&path).is_some_and(|up| up != "/") => {
                let parent = path::parent(&path).unwrap_or("/").to_owned();
                missing.push((path, data));
                missing.push((parent, None));
            }
            Err(error) if error.retriable() && tries < TRIES_MAX => {
                tries += 1;
                missing.push((path, data));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(created)
}

/// Waits until the store has a session; its id, or `None` after `limit`.
pub async fn session(store: &dyn MetadataStore, limit: Duration) -> Option<i64> {
    let mut events = store.subscribe();
    let started = async {
        loop {
            match store.session_id() {
                0 => {}
                id => return Some(id),
            }
            match events.recv().await {
                Ok(StoreEvent::SessionStarted { session_id }) => return Some(session_id),
                Ok(_) | Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                Err(tokio::sync::broadcast::error::RecvError::Closed) => return None,
            }
        }
    };
    tokio::time::timeout(limit, started).await.unwrap_or(None)
}

fn unexpected(result: Result<Reply, StoreError>) -> StoreError {
    match result {
        Ok(_) => StoreError::Other("a reply of another kind".to_owned()),
        Err(error) => error,
    }
}
