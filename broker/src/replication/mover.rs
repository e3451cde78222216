//! Moves partitions between the log directories of this broker (KIP-113): a log is copied into a
//! future one, which takes its place once it has everything; `num.replica.alter.log.dirs.threads`
//! at a time. Knows nothing of the request that asked for it.
//!
//! Source: `ReplicaAlterLogDirsThread` and `Partition.maybeReplaceCurrentWithFutureReplica` of
//! 3.9.2; what Kafka's thread finds out with OffsetForLeaderEpoch is looked up here directly.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use protocol::ids::{Offset, TimestampMs, TopicPartition};
use storage::moving::MoveError;
use storage::{AppendError, Log, ReadError, StorageError};

use super::manager::{NotHere, ReplicaManager};
use crate::authorizer::{Authorized, Cluster, op};
use crate::clock::Clock;
use crate::config::LiveConfig;
use crate::quota::Quotas;
use crate::random;
use crate::tasks::Tasks;

/// Whatever the future log was given was taken from the current one: of any epoch.
const ANY_EPOCH: i32 = i32::MAX;

/// How long a move over its limit waits before it looks again.
const THROTTLED: Duration = Duration::from_millis(100);

/// Why a step of a move failed.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error("reading: {0}")]
    Read(#[from] ReadError),
    #[error("reading: {0}")]
    Slice(#[from] std::io::Error),
    #[error("appending: {0}")]
    Append(#[from] AppendError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Move(#[from] MoveError),
}

/// What a step of a move did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moved {
    Bytes(u64),
    /// The future log is the current one now.
    Promoted,
    /// There is no future log any more.
    Nothing,
}

/// What moving takes.
pub struct Mover {
    pub config: Arc<LiveConfig>,
    pub clock: Clock,
    pub tasks: Arc<Tasks>,
    pub replicas: Arc<ReplicaManager>,
    pub quotas: Arc<Quotas>,
}

impl Mover {
    /// Begins or changes the move of a partition to the log directory `root`.
    pub fn order(
        &self,
        _: &Authorized<'_, op::Alter, Cluster>,
        partition: &TopicPartition,
        root: &Path,
    ) -> Result<(), MoveError> {
        let (replicas, now_ms) = (&self.replicas, self.clock.now_ms());
        let logs = replicas.logs();
        let hosted = replicas.hosted(&partition.topic, partition.partition);
        if matches!(hosted, Err(NotHere::Offline)) {
            return Err(MoveError::Offline);
        }
        logs.prefer_dir(partition, root)?;
        if hosted.is_ok() && logs.future_dir_of(partition).is_some_and(|dir| dir != root) {
            tracing::info!(%partition, to = %root.display(), "a move is given up for another");
            logs.delete_future(partition, random::uuid(), now_ms)?;
            logs.prefer_dir(partition, root)?;
        }
        let log = hosted.ok().and_then(|hosted| hosted.log()).ok_or(MoveError::NoLog)?;
        if logs.create_future(partition, log.config(), random::uuid(), now_ms)?.is_some() {
            tracing::info!(%partition, to = %root.display(), "moving");
            replicas.note_moves();
        }
        Ok(())
    }
}

/// Moves what is to be moved until the broker stops.
pub fn start(own: &Arc<Mover>) {
    let own = own.clone();
    let tasks = own.tasks.clone();
    tasks.spawn_until_stop(async move {
        let config = own.config.load();
        let pause_ms = i64::from(config.int("replica.fetch.backoff.ms")).max(1);
        let pause = Duration::from_millis(u64::try_from(pause_ms).unwrap_or(1));
        let dirs = own.replicas.logs().dirs().len();
        let threads = config.long_or_null("num.replica.alter.log.dirs.threads");
        let threads = threads.and_then(|n| usize::try_from(n).ok()).unwrap_or(dirs).max(1);
        drop(config);
        let mut moving = FuturesUnordered::new();
        let mut in_hand = BTreeSet::new();
        loop {
            for future in own.replicas.logs().futures() {
                let partition = future.partition().clone();
                if moving.len() < threads && in_hand.insert(partition.clone()) {
                    moving.push(move_one(&own, partition, pause));
                }
            }
            tokio::select! {
                Some(partition) = moving.next() => drop(in_hand.remove(&partition)),
                () = own.replicas.wait_for_moves() => {}
            }
        }
    });
}

/// Moves one partition, or copies it as far as it goes; what failed, or has no current log yet, is
/// looked at again after the pause.
async fn move_one(own: &Arc<Mover>, partition: TopicPartition, pause: Duration) -> TopicPartition {
    loop {
        let (owner, name) = (own.clone(), partition.clone());
        let bytes = own.config.load().int("replica.fetch.max.bytes");
        let room = u64::try_from(bytes).unwrap_or(0).max(1);
        let now_ms = own.clock.now_ms();
        let step = move || owner.replicas.move_step(&name, room, now_ms);
        match own.tasks.blocking(step).await {
            Ok(Moved::Bytes(bytes)) => throttle(own, bytes).await,
            Ok(Moved::Promoted) => return partition,
            Ok(Moved::Nothing) => break,
            Err(error) => {
                failed(own, &partition, &error);
                break;
            }
        }
    }
    tokio::time::sleep(pause).await;
    partition
}

/// Over `replica.alter.log.dirs.io.max.bytes.per.second`, nothing moves for a while.
async fn throttle(own: &Mover, bytes: u64) {
    let quota = &own.quotas.alter_log_dirs;
    quota.record(bytes, own.clock.now_ms());
    while quota.is_limited() && quota.is_exceeded(own.clock.now_ms()) {
        tokio::time::sleep(THROTTLED).await;
    }
}

/// A failed disk takes its directory with it; a full one only has to wait.
fn failed(own: &Mover, partition: &TopicPartition, error: &StepError) {
    tracing::error!(%partition, %error, "a move between log directories");
    let disk = match error {
        StepError::Append(AppendError::Disk(disk))
        | StepError::Storage(StorageError::Disk(disk))
        | StepError::Move(MoveError::Storage(StorageError::Disk(disk))) => disk,
        _ => return,
    };
    let dirs = own.replicas.logs().dirs();
    if let Some(dir) = dirs.iter().find(|dir| disk.path.starts_with(dir.path()))
        && !disk.is_full()
    {
        own.replicas.dir_failed(dir.path(), disk);
    }
}

impl ReplicaManager {
    /// Copies at most `room` bytes, or promotes the future log if it has everything. Blocks on the
    /// disk.
    fn move_step(
        &self,
        name: &TopicPartition,
        room: u64,
        now_ms: TimestampMs,
    ) -> Result<Moved, StepError> {
        let logs = self.logs();
        let Some(future) = logs.future(name) else { return Ok(Moved::Nothing) };
        let Ok(partition) = self.hosted(&name.topic, name.partition) else {
            return Ok(Moved::Nothing);
        };
        let Some(current) = partition.log() else { return Ok(Moved::Nothing) };
        if let Some((offset, start_over)) = disagreement(&current, &future) {
            tracing::info!(partition = %name, offset, start_over, "the future log is cut");
            logs.truncate_future(name, offset, start_over, now_ms)?;
        }
        let read = current.read(future.log_end_offset(), room, Offset::MAX, true)?;
        if read.len > 0 {
            let mut records = Vec::new();
            for slice in &read.slices {
                records.extend(slice.read()?);
            }
            let appended = future.append_as_follower(&records, ANY_EPOCH, now_ms);
            match appended {
                Err(AppendError::UnexpectedOffset { first, last, log_end })
                    if log_end == future.log_start_offset()
                        && first < log_end
                        && last >= log_end =>
                {
                    logs.truncate_future(name, first, true, now_ms)?;
                    future.append_as_follower(&records, ANY_EPOCH, now_ms)?;
                }
                appended => drop(appended?),
            }
        }
        future.raise_log_start(current.log_start_offset());
        if read.len == 0 && !future.is_tail_synced() {
            // What is on the disk where it was is to be on the disk where it will be.
            future.flush(now_ms)?;
        }
        let mut rest = Ok(());
        let promoted = partition.swap_log(&future, || {
            let (log, after) = logs.promote_future(name, random::uuid(), now_ms)?;
            rest = after;
            Ok::<_, MoveError>(log)
        })?;
        if !promoted {
            return Ok(Moved::Bytes(read.len));
        }
        tracing::info!(partition = %name, dir = ?logs.dir_of(name), "moved");
        rest?;
        Ok(Moved::Promoted)
    }
}

/// Where the future log leaves the current one, which may have been cut meanwhile; `true` if
/// nothing of it is of use.
fn disagreement(current: &Log, future: &Log) -> Option<(Offset, bool)> {
    let (start, end) = (current.log_start_offset(), current.log_end_offset());
    let future_end = future.log_end_offset();
    if future_end < start {
        return Some((start, true));
    }
    let Some(epoch) = future.latest_epoch() else {
        return (future_end > end).then_some((end, false));
    };
    match current.end_offset_for_epoch(epoch) {
        (_, known) if known < 0 => Some((start, true)),
        (found, known) if found == epoch && known >= future_end => None,
        (_, known) => Some((known.min(future_end).max(start), false)),
    }
}
