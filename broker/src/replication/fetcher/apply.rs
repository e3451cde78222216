//! What an answer's orders do to the logs. Blocks on the disk when a segment is closed or a log is
//! cut; knows nothing of connections.

use protocol::ids::TopicPartition;
use replica::follower::{Order, PartitionOrder};
use storage::AppendOrigin;

use super::super::fetchers::Fetcher;
use super::super::partition::{Cut, Fetched, FollowError, Partition};
use super::{Following, delayed, failed};
use crate::quota::FOLLOWER_REPLICAS;

/// Carries out all but `OutOfRange`, and reports to the follower's state.
pub fn carry_out(own: &Following, fetcher: &Fetcher, orders: Vec<PartitionOrder>) {
    for PartitionOrder { partition, leader_epoch, order } in orders {
        match order {
            Order::Append { offset, records, high_watermark, log_start } => {
                let records = records.bytes().map_or(&[][..], |bytes| bytes);
                let fetched = Fetched { records, offset, high_watermark, log_start };
                append(own, fetcher, &partition, leader_epoch, &fetched);
            }
            Order::Diverged { leader, offset } => {
                cut(own, fetcher, &partition, leader_epoch, Cut::Diverged { leader, offset });
            }
            Order::Delayed(code) => delayed(&partition, fetcher.leader, &code),
            Order::Failed => {
                tracing::info!(%partition, leader_epoch, "fenced until the controller speaks");
                own.replicas.fetchers().note_failed(&partition);
            }
            Order::OutOfRange => unreachable!("asks the leader first"),
        }
    }
}

fn append(
    own: &Following,
    fetcher: &Fetcher,
    partition: &TopicPartition,
    leader_epoch: i32,
    fetched: &Fetched<'_>,
) {
    let replicas = &own.replicas;
    let Ok(hosted) = replicas.hosted(&partition.topic, partition.partition) else {
        let now_ms = own.clock.monotonic_ms();
        return fetcher.follower.lock().delay(partition, leader_epoch, now_ms);
    };
    let now_ms = own.clock.now_ms();
    match hosted.append_fetched(leader_epoch, fetched, replicas.logs(), now_ms) {
        // The partition came from a fetcher that had one more answer to append.
        Err(FollowError::WrongOffset { fetched, log_end }) => {
            tracing::info!(%partition, fetched, log_end, "fetching goes on at the log's end");
            go_on_at_end(own, fetcher, &hosted, leader_epoch);
        }
        Err(error) => failed(own, fetcher, partition, leader_epoch, &error),
        Ok((end, info)) => {
            if let Some(info) = &info {
                hosted.metrics().replicated(info.bytes);
                let quota = &own.quotas.follower;
                if quota.is_limited() && hosted.is_throttled(FOLLOWER_REPLICAS) {
                    quota.record(info.bytes, now_ms);
                }
                if info.flush_due || info.rolled {
                    replicas.flush_soon(&hosted, info, AppendOrigin::Replication);
                }
            }
            fetcher.follower.lock().appended(
                partition,
                leader_epoch,
                info.map(|_| end.offset),
                end.last_epoch,
                fetched.high_watermark,
            );
        }
    }
}

fn go_on_at_end(own: &Following, fetcher: &Fetcher, hosted: &Partition, leader_epoch: i32) {
    match hosted.follower_end(leader_epoch) {
        Ok(end) => {
            let mut follower = fetcher.follower.lock();
            follower.truncated(&hosted.name(), leader_epoch, end.offset, end.last_epoch);
        }
        Err(error) => failed(own, fetcher, &hosted.name(), leader_epoch, &error),
    }
}

/// Cuts a log and reports it.
pub fn cut(
    own: &Following,
    fetcher: &Fetcher,
    partition: &TopicPartition,
    leader_epoch: i32,
    cut: Cut,
) {
    let Ok(hosted) = own.replicas.hosted(&partition.topic, partition.partition) else {
        let now_ms = own.clock.monotonic_ms();
        return fetcher.follower.lock().delay(partition, leader_epoch, now_ms);
    };
    let logs = own.replicas.logs();
    match hosted.cut(leader_epoch, cut, logs, own.clock.now_ms()) {
        Err(error) => failed(own, fetcher, partition, leader_epoch, &error),
        Ok(end) => {
            let mut follower = fetcher.follower.lock();
            follower.truncated(partition, leader_epoch, end.offset, end.last_epoch);
        }
    }
}
