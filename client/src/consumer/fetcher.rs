//! One Fetch per leader, and the records in its answer. Knows nothing of groups and printing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol::error_code::ErrorCode;
use protocol::ids::{BrokerId, LeaderEpoch, Offset, TopicPartition, Uuid};
use protocol::messages::fetch::{
    AbortedTransaction, FetchPartition, FetchRequest, FetchTopic, PartitionData,
};
use protocol::records::batch::BatchHeader;
use protocol::records::codec::Limits;
use protocol::records::control::ControlType;
use protocol::records::view::{Batches, OpenBatch};

use super::ConsumedRecord;
use crate::cluster::{Cluster, ClusterError};

/// What is asked for in one fetch; the defaults are those of Kafka's consumer.
#[derive(Debug, Clone, Copy)]
pub struct FetchOptions {
    /// `fetch.max.wait.ms`.
    pub wait_max_ms: i32,
    /// `fetch.min.bytes`.
    pub bytes_min: i32,
    /// `fetch.max.bytes`.
    pub bytes_max: i32,
    /// `max.partition.fetch.bytes`.
    pub partition_bytes_max: i32,
    /// `isolation.level=read_committed`.
    pub committed_only: bool,
}

/// No fetch session: every request names all partitions.
const SESSION_NONE: i32 = -1;

/// What one partition gave: records with the next offset, or an error.
pub type Fetched = Result<(Vec<ConsumedRecord>, Offset), ErrorCode>;

/// Where to read on in a partition, and the epoch in which its leader is known to lead: a former
/// one lacks what was written since.
#[derive(Debug, Clone, Copy)]
pub struct From {
    pub offset: Offset,
    pub leader_epoch: LeaderEpoch,
}

/// Fetches from one leader. `positions` are its partitions and where to read on in each.
pub async fn fetch(
    cluster: &Cluster,
    leader: BrokerId,
    positions: &BTreeMap<TopicPartition, From>,
    topic_ids: &BTreeMap<String, Uuid>,
    options: FetchOptions,
) -> Result<Vec<(TopicPartition, Result<Fetched, String>)>, ClusterError> {
    let mut topics: BTreeMap<&str, Vec<FetchPartition>> = BTreeMap::new();
    for (partition, from) in positions {
        topics.entry(&partition.topic).or_default().push(FetchPartition {
            partition: partition.partition,
            fetch_offset: from.offset,
            current_leader_epoch: from.leader_epoch,
            partition_max_bytes: options.partition_bytes_max,
            ..Default::default()
        });
    }
    let topics = topics
        .into_iter()
        .map(|(topic, partitions)| FetchTopic {
            topic: topic.to_owned(),
            topic_id: topic_ids.get(topic).copied().unwrap_or_default(),
            partitions,
        })
        .collect();
    let request = FetchRequest {
        max_wait_ms: options.wait_max_ms,
        min_bytes: options.bytes_min,
        max_bytes: options.bytes_max,
        isolation_level: i8::from(options.committed_only),
        session_epoch: SESSION_NONE,
        topics,
        ..Default::default()
    };
    let response = cluster.broker(leader).await?.call(&request).await?;
    ClusterError::check(response.error_code, None)?;
    let mut all = Vec::new();
    for topic in response.responses {
        let by_id = topic_ids.iter().find(|(_, id)| !id.is_zero() && **id == topic.topic_id);
        let name = match by_id {
            Some((name, _)) => name.clone(),
            None => topic.topic,
        };
        for data in topic.partitions {
            let partition = TopicPartition::new(name.clone(), data.partition_index);
            let Some(position) = positions.get(&partition) else { continue };
            let fetched = match ErrorCode(data.error_code) {
                ErrorCode::NONE => {
                    read(&partition, position.offset, &data, options.committed_only).map(Ok)
                }
                code => Ok(Err(code)),
            };
            all.push((partition, fetched));
        }
    }
    Ok(all)
}

fn read(
    from: &TopicPartition,
    position: Offset,
    data: &PartitionData,
    committed_only: bool,
) -> Result<(Vec<ConsumedRecord>, Offset), String> {
    let topic: Arc<str> = from.topic.as_str().into();
    let mut next = position;
    let mut records = Vec::new();
    let set = data.records.as_ref().and_then(|r| r.bytes()).cloned().unwrap_or_default();
    let mut aborted = Aborted::new(data.aborted_transactions.as_deref().unwrap_or_default());
    let unreadable =
        |e: &dyn std::fmt::Display| format!("Record batch of {from} at offset {position}: {e}");
    for raw in Batches::new(&set) {
        let raw = raw.map_err(|e| unreadable(&e))?;
        raw.verify().map_err(|e| unreadable(&e))?;
        let header = (raw.magic == 2).then(|| BatchHeader::parse(raw.bytes)).transpose();
        let header = header.map_err(|e| unreadable(&e))?;
        let open = raw.open(&Limits::default()).map_err(|e| unreadable(&e))?;
        if let Some(header) = &header
            && aborted.hides(header, &open, committed_only)
        {
            next = next.max(header.next_offset());
            continue;
        }
        let append_time = match &open {
            OpenBatch::V2 { header, .. } => header.is_log_append_time(),
            OpenBatch::Legacy(open) => open.outer().is_log_append_time(),
        };
        for record in open.records().map_err(|e| unreadable(&e))? {
            let record = record.map_err(|e| unreadable(&e))?;
            if record.offset < position {
                continue;
            }
            next = next.max(record.offset + 1);
            let own = |field: Option<&[u8]>| field.map(<[u8]>::to_vec);
            records.push(ConsumedRecord {
                topic: topic.clone(),
                partition: from.partition,
                offset: record.offset,
                timestamp: (raw.magic > 0).then_some((append_time, record.timestamp)),
                key: own(record.key),
                value: own(record.value),
                headers: record.headers.iter().map(|h| (h.key.to_vec(), own(h.value))).collect(),
            });
        }
        if let Some(header) = &header {
            next = next.max(header.next_offset());
        }
    }
    Ok((records, next))
}

/// Which transactions in a fetched set were aborted, as the broker listed them.
struct Aborted<'a> {
    /// By first offset, those not reached yet.
    ahead: Vec<&'a AbortedTransaction>,
    /// Producers whose records are being hidden.
    open: BTreeSet<i64>,
}

impl<'a> Aborted<'a> {
    fn new(listed: &'a [AbortedTransaction]) -> Aborted<'a> {
        let mut ahead: Vec<_> = listed.iter().collect();
        ahead.sort_by_key(|t| std::cmp::Reverse(t.first_offset));
        Aborted { ahead, open: BTreeSet::new() }
    }

    /// Control batches are nobody's records; those of aborted transactions are not wanted.
    fn hides(&mut self, header: &BatchHeader, open: &OpenBatch<'_>, committed_only: bool) -> bool {
        while self.ahead.last().is_some_and(|t| t.first_offset <= header.last_offset()) {
            let reached = self.ahead.pop().expect("looked at just now");
            self.open.insert(reached.producer_id);
        }
        if header.is_control() {
            let first = open.records().ok().and_then(|mut records| records.next());
            let key = first.and_then(Result::ok).and_then(|record| record.key);
            if key.is_some_and(|key| ControlType::parse(key) == Ok(ControlType::Abort)) {
                self.open.remove(&header.producer_id);
            }
            return true;
        }
        committed_only && header.is_transactional() && self.open.contains(&header.producer_id)
    }
}
