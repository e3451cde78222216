//! Partitions in memory: the second implementation of [`PartitionWriter`], for tests and the
//! simulation. Keeps whole batches, as a log does.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use protocol::ids::{LeaderEpoch, Offset, TopicPartition, VerificationGuard};
use protocol::records::batch;

use super::writer::{Acks, AppendError, PartitionWriter, Stretch, WriterFuture};

#[derive(Debug, Default)]
struct MemoryLog {
    leader_epoch: LeaderEpoch,
    /// With the offset after each.
    batches: Vec<(Offset, Bytes)>,
    end_offset: Offset,
    /// The high watermark stays there; `None`: it is the log's end.
    held_at: Option<Offset>,
    failure: Option<AppendError>,
}

/// Logs that this process leads. A partition must be added before it can be used.
#[derive(Debug, Default)]
pub struct MemoryPartitions {
    logs: Mutex<BTreeMap<TopicPartition, MemoryLog>>,
}

impl MemoryPartitions {
    pub fn new() -> MemoryPartitions {
        MemoryPartitions::default()
    }

    /// Makes this process the leader of the partition in `leader_epoch`; its log stays as it is.
    pub fn lead(&self, partition: &TopicPartition, leader_epoch: LeaderEpoch) {
        self.logs.lock().entry(partition.clone()).or_default().leader_epoch = leader_epoch;
    }

    /// From now on every append fails like this; `None` ends that.
    pub fn fail_appends(&self, partition: &TopicPartition, failure: Option<AppendError>) {
        if let Some(log) = self.logs.lock().get_mut(partition) {
            log.failure = failure;
        }
    }

    /// From now on the high watermark is this; `None`: the log's end.
    pub fn hold_high_watermark(&self, partition: &TopicPartition, at: Option<Offset>) {
        if let Some(log) = self.logs.lock().get_mut(partition) {
            log.held_at = at;
        }
    }

    /// The whole log of a partition, batch by batch.
    pub fn batches(&self, partition: &TopicPartition) -> Vec<Bytes> {
        let logs = self.logs.lock();
        let log = logs.get(partition);
        log.map(|log| log.batches.iter().map(|(_, batch)| batch.clone()).collect())
            .unwrap_or_default()
    }

    /// Appends a batch as it is, markers and all.
    pub fn append_now(
        &self,
        partition: &TopicPartition,
        leader_epoch: LeaderEpoch,
        bytes: &[u8],
    ) -> Result<Offset, AppendError> {
        let mut logs = self.logs.lock();
        let log = logs.get_mut(partition).ok_or(AppendError::UnknownPartition)?;
        if log.leader_epoch != leader_epoch {
            return Err(AppendError::NotLeader);
        }
        if let Some(failure) = log.failure {
            return Err(failure);
        }
        let header = batch::verify(bytes).map_err(|_| AppendError::Refused)?;
        let mut bytes = BytesMut::from(bytes);
        let base_offset = log.end_offset;
        batch::assign(&mut bytes, base_offset, leader_epoch);
        log.end_offset += i64::from(header.last_offset_delta) + 1;
        log.batches.push((log.end_offset, bytes.freeze()));
        Ok(base_offset)
    }

    fn read_now(
        &self,
        partition: &TopicPartition,
        from: Offset,
        max_bytes: usize,
    ) -> Result<Stretch, AppendError> {
        let logs = self.logs.lock();
        let log = logs.get(partition).ok_or(AppendError::UnknownPartition)?;
        let mut batches = BytesMut::new();
        for (_, batch) in log.batches.iter().filter(|(next_offset, _)| *next_offset > from) {
            if !batches.is_empty() && batches.len() + batch.len() > max_bytes {
                break;
            }
            batches.extend_from_slice(batch);
        }
        let end_offset = log.end_offset;
        let high_watermark = log.held_at.unwrap_or(end_offset);
        Ok(Stretch { batches: batches.freeze(), end_offset, high_watermark })
    }
}

impl PartitionWriter for MemoryPartitions {
    fn append(
        &self,
        partition: &TopicPartition,
        leader_epoch: LeaderEpoch,
        batch: Bytes,
        _guard: Option<VerificationGuard>,
        _acks: Acks,
        _timeout_ms: u32,
    ) -> WriterFuture<Result<Offset, AppendError>> {
        Box::pin(std::future::ready(self.append_now(partition, leader_epoch, &batch)))
    }

    fn read(
        &self,
        partition: &TopicPartition,
        from: Offset,
        max_bytes: usize,
    ) -> WriterFuture<Result<Stretch, AppendError>> {
        Box::pin(std::future::ready(self.read_now(partition, from, max_bytes)))
    }
}
