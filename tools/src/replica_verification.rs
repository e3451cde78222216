//! `replica-verification` (kafka-replica-verification.sh): reads every replica of topics side by
//! side and reports where they differ. Prints what Kafka's `ReplicaVerificationTool` prints.
//!
//! Differs from Kafka's: times are in UTC.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use client::cluster::{Cluster, ClusterError, LATEST_TIMESTAMP};
use client::topic_filter::TopicFilter;
use protocol::error_code::ErrorCode;
use protocol::ids::{BrokerId, Offset, TopicPartition, Uuid};
use protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic, ReplicaState};
use protocol::records::batch::BatchHeader;
use protocol::records::view::Batches;

use crate::properties::Properties;
use crate::{args, dates, output};

const TOOL: &str = "replica-verification";
/// `FetchRequest.DEBUGGING_CONSUMER_ID`: may read any replica, to its end.
const DEBUGGING_CONSUMER: BrokerId = -2;
/// The version from which Fetch names the replica in a field of its own.
const REPLICA_STATE: i16 = 15;
const SESSION_NONE: i32 = -1;

/// Compare the replicas of topics, for as long as it runs.
#[derive(Debug, Parser)]
pub struct Flags {
    /// Brokers to begin with: host:port,…
    #[arg(long)]
    broker_list: Option<String>,
    /// Bytes of each partition in one fetch.
    #[arg(long, default_value_t = 1 << 20)]
    fetch_size: i32,
    /// Milliseconds that one fetch waits for records.
    #[arg(long, default_value_t = 1000)]
    max_wait_ms: i32,
    /// Use --topics-include.
    #[arg(long)]
    topic_white_list: Option<String>,
    /// A regular expression of the topics to compare.
    #[arg(long)]
    topics_include: Option<String>,
    /// Where to begin: a timestamp in milliseconds, -1 at the end, -2 at the beginning.
    #[arg(long, default_value_t = LATEST_TIMESTAMP, allow_negative_numbers = true)]
    time: i64,
    /// Milliseconds between two reports.
    #[arg(long, default_value_t = 30_000)]
    report_interval_ms: i64,
}

pub fn run(given: &[String]) -> ExitCode {
    if given.is_empty() {
        let about = "Validate that all replicas for a set of topics have the same data.";
        return args::usage::<Flags>(TOOL, about);
    }
    let flags: Flags = match args::parse(TOOL, given) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let Some(brokers) = &flags.broker_list else {
        return args::usage::<Flags>(TOOL, "Missing required argument \"[broker-list]\"");
    };
    if flags.topics_include.is_some() && flags.topic_white_list.is_some() {
        let reason = "Option \"[topics-include]\" can't be used with option \"[topic-white-list]\"";
        return args::usage::<Flags>(TOOL, reason);
    }
    let cluster = Cluster::new(brokers, &Properties::new(), "replica-verification-tool");
    let done = cluster
        .map_err(|e| e.to_string())
        .and_then(|cluster| output::block_on(verify(&cluster, &flags)));
    match done {
        Ok(never) => match never {},
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

/// What is compared, and how far it is.
struct Comparison {
    ids: BTreeMap<String, Uuid>,
    /// Partitions of each broker.
    hosted: BTreeMap<BrokerId, Vec<TopicPartition>>,
    offsets: BTreeMap<TopicPartition, Offset>,
}

/// One replica's answer.
struct Fetched {
    high_watermark: Offset,
    records: bytes::Bytes,
}

type Replicas = BTreeMap<BrokerId, Fetched>;

async fn verify(cluster: &Cluster, flags: &Flags) -> Result<std::convert::Infallible, String> {
    let mut comparison = begin(cluster, flags).await?;
    output::print(&format!("{}: verification process is started\n", now()));
    let interval = u64::try_from(flags.report_interval_ms).unwrap_or(0);
    let mut reported = Instant::now();
    loop {
        let mut fetched: BTreeMap<TopicPartition, Replicas> = BTreeMap::new();
        let asked = comparison.hosted.keys().map(|broker| {
            let answer = fetch(cluster, *broker, &comparison, flags);
            async move { (*broker, answer.await) }
        });
        for (broker, answer) in futures::future::join_all(asked).await {
            // Of a broker that is away nothing is known: its partitions wait for it.
            for (partition, data) in answer.unwrap_or_default() {
                fetched.entry(partition).or_default().insert(broker, data);
            }
        }
        let mut worst = (-1, None);
        for (partition, offset) in &mut comparison.offsets {
            let hosts = comparison.hosted.values().filter(|all| all.contains(partition)).count();
            let replicas = fetched.remove(partition).unwrap_or_default();
            let high_watermark = replicas.values().map(|r| r.high_watermark).max().unwrap_or(-1);
            if replicas.len() == hosts {
                *offset = compare(partition, *offset, &replicas)?;
            }
            if high_watermark - *offset > worst.0 {
                worst = (high_watermark - *offset, Some((partition.clone(), *offset)));
            }
        }
        if reported.elapsed() > Duration::from_millis(interval) {
            let (partition, offset) =
                worst.1.map_or(("null".to_owned(), 0), |(p, offset)| (p.to_string(), offset));
            output::print(&format!(
                "{}: max lag is {} for partition {partition} at offset {offset} among {} \
                 partitions\n",
                now(),
                worst.0,
                comparison.offsets.len()
            ));
            reported = Instant::now();
        }
    }
}

async fn begin(cluster: &Cluster, flags: &Flags) -> Result<Comparison, String> {
    let pattern = flags.topics_include.as_ref().or(flags.topic_white_list.as_ref());
    let filter = TopicFilter::new(pattern.map_or(".*", String::as_str))?;
    let topics = cluster.all_topics().await.map_err(|e| e.to_string())?.topics;
    let mut comparison =
        Comparison { ids: BTreeMap::new(), hosted: BTreeMap::new(), offsets: BTreeMap::new() };
    for topic in topics {
        let name = topic.name.unwrap_or_default();
        if !filter.allows(&name, false) {
            continue;
        }
        for p in &topic.partitions {
            let partition = TopicPartition::new(name.clone(), p.partition_index);
            for broker in &p.replica_nodes {
                comparison.hosted.entry(*broker).or_default().push(partition.clone());
            }
            comparison.offsets.insert(partition, 0);
        }
        comparison.ids.insert(name, topic.topic_id);
    }
    if comparison.offsets.is_empty() {
        return Err("No topics found. topics-include if specified, is either filtering out all \
                    topics or there is no topic."
            .to_owned());
    }
    let wanted = comparison.offsets.keys().map(|p| (p.clone(), flags.time)).collect();
    let found = cluster.list_offsets(&wanted).await.map_err(|e| e.to_string())?;
    for (partition, offset) in found {
        let offset = offset.map_err(|code| format!("{partition}: {}", code.message()))?;
        comparison.offsets.insert(partition, offset.max(0));
    }
    Ok(comparison)
}

async fn fetch(
    cluster: &Cluster,
    broker: BrokerId,
    comparison: &Comparison,
    flags: &Flags,
) -> Result<Vec<(TopicPartition, Fetched)>, ClusterError> {
    let connection = cluster.broker(broker).await?;
    let mut topics: BTreeMap<&str, Vec<FetchPartition>> = BTreeMap::new();
    for partition in comparison.hosted.get(&broker).into_iter().flatten() {
        topics.entry(&partition.topic).or_default().push(FetchPartition {
            partition: partition.partition,
            fetch_offset: comparison.offsets[partition],
            log_start_offset: 0,
            partition_max_bytes: flags.fetch_size,
            ..Default::default()
        });
    }
    let topics = topics.into_iter().map(|(topic, partitions)| FetchTopic {
        topic: topic.to_owned(),
        topic_id: comparison.ids.get(topic).copied().unwrap_or_default(),
        partitions,
    });
    let mut request = FetchRequest {
        max_wait_ms: flags.max_wait_ms,
        min_bytes: 1,
        max_bytes: i32::MAX,
        session_epoch: SESSION_NONE,
        topics: topics.collect(),
        ..Default::default()
    };
    if connection.version_of::<FetchRequest>()? >= REPLICA_STATE {
        request.replica_state =
            ReplicaState { replica_id: DEBUGGING_CONSUMER, ..Default::default() };
    } else {
        request.replica_id = DEBUGGING_CONSUMER;
    }
    let response = connection.call(&request).await?;
    ClusterError::check(response.error_code, None)?;
    let mut all = Vec::new();
    for topic in response.responses {
        let by_id = comparison.ids.iter().find(|(_, id)| **id == topic.topic_id && !id.is_zero());
        let name = by_id.map_or(topic.topic, |(name, _)| name.clone());
        for data in topic.partitions {
            if ErrorCode(data.error_code) == ErrorCode::NONE {
                let records = data.records.as_ref().and_then(|r| r.bytes()).cloned();
                let partition = TopicPartition::new(name.clone(), data.partition_index);
                let (high_watermark, records) = (data.high_watermark, records.unwrap_or_default());
                all.push((partition, Fetched { high_watermark, records }));
            }
        }
    }
    Ok(all)
}

/// Where a batch ends, and its checksum.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    last: Offset,
    crc: u32,
}

/// Goes through the replicas batch by batch while all of them have one below their high watermark.
/// Gives the offset to fetch from next; a replica that has other offsets is the end.
fn compare(
    partition: &TopicPartition,
    offset: Offset,
    replicas: &Replicas,
) -> Result<Offset, String> {
    let mut streams: Vec<_> =
        replicas.iter().map(|(id, data)| (*id, data, Batches::new(&data.records))).collect();
    let mut next = offset;
    loop {
        let mut first: Option<(BrokerId, Seen)> = None;
        for (id, data, batches) in &mut streams {
            let Some(Ok(batch)) = batches.next() else { return Ok(next) };
            let seen = seen(batch.magic, batch.bytes)
                .ok_or_else(|| format!("Error in processing replica {id} in {partition}"))?;
            if seen.last >= data.high_watermark {
                return Ok(next);
            }
            match &first {
                None => first = Some((*id, seen)),
                Some((other, theirs)) if theirs.last != seen.last => {
                    let (theirs, ours) = (theirs.last, seen.last);
                    return Err(format!(
                        "{}: partition {partition}: replica {other}'s offset {theirs} doesn't \
                         match replica {id}'s offset {ours}",
                        now()
                    ));
                }
                Some((other, theirs)) if theirs.crc != seen.crc => {
                    output::print(&format!(
                        "{}: partition {partition} has unmatched checksum at offset {}; replica \
                         {other}'s checksum {}; replica {id}'s checksum {}\n",
                        now(),
                        seen.last,
                        theirs.crc,
                        seen.crc
                    ));
                }
                Some(_) => {}
            }
        }
        match first {
            Some((_, seen)) => next = seen.last + 1,
            None => return Ok(next),
        }
    }
}

fn seen(magic: i8, batch: &[u8]) -> Option<Seen> {
    let number = |at: usize| Some(u32::from_be_bytes(batch.get(at..at + 4)?.try_into().ok()?));
    if magic >= 2 {
        let header = BatchHeader::parse(batch).ok()?;
        return Some(Seen { last: header.last_offset(), crc: number(17)? });
    }
    // A compressed set has the offset of its last message.
    let last = Offset::from_be_bytes(batch.get(..8)?.try_into().ok()?);
    Some(Seen { last, crc: number(12)? })
}

/// `2026-11-22 10:15:00,123`.
fn now() -> String {
    dates::formatted("yyyy-MM-dd HH:mm:ss,SSS", dates::now_ms())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// The head of a batch of one record, which is all that is looked at.
    fn batch(offset: Offset, crc: u8) -> Vec<u8> {
        let mut bytes = vec![0; 61];
        bytes[..8].copy_from_slice(&offset.to_be_bytes());
        bytes[8..12].copy_from_slice(&49i32.to_be_bytes());
        bytes[16] = 2;
        bytes[20] = crc;
        bytes
    }

    fn replica(high_watermark: Offset, batches: &[(Offset, u8)]) -> Fetched {
        let records = batches.iter().flat_map(|(offset, crc)| batch(*offset, *crc));
        Fetched { high_watermark, records: Bytes::from_iter(records) }
    }

    #[test]
    fn replicas_are_compared_up_to_what_all_have() {
        let partition = TopicPartition::new("t", 0);
        let whole = || replica(3, &[(0, 1), (1, 2), (2, 3)]);
        let of = |second: Fetched| BTreeMap::from([(1, whole()), (2, second)]);
        let next = |second: Fetched| compare(&partition, 0, &of(second));
        assert_eq!(next(whole()), Ok(3));
        assert_eq!(next(replica(3, &[(0, 1)])), Ok(1));
        assert_eq!(next(replica(1, &[(0, 1), (1, 2)])), Ok(1));
        // A wrong checksum is told; the comparison goes on.
        assert_eq!(next(replica(3, &[(0, 1), (1, 9), (2, 3)])), Ok(3));
        let wrong = next(replica(3, &[(0, 1), (2, 3)])).unwrap_err();
        assert!(wrong.ends_with("replica 1's offset 1 doesn't match replica 2's offset 2"));
    }
}
