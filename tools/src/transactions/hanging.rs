//! `transactions find-hanging`: transactions that are open in a partition for longer than any may
//! be, and that no coordinator will end. Knows nothing of how they are ended.

use std::collections::{BTreeMap, BTreeSet};

use client::cluster::Cluster;
use protocol::error_code::ErrorCode;
use protocol::ids::{BrokerId, ProducerId, TopicPartition};
use protocol::messages::describe_producers::ProducerState;

use super::{failed, now_ms, table};
use crate::java_order;

/// Topics or partitions in one request.
const BATCH_MAX: usize = 500;
const MINUTE_MS: i64 = 60_000;

#[derive(Debug, clap::Args)]
pub struct Flags {
    /// Only partitions with a replica there, as that one knows them.
    #[arg(long)]
    broker_id: Option<BrokerId>,
    /// The longest a transaction may last, in minutes.
    #[arg(long, default_value_t = 15)]
    max_transaction_timeout: i32,
    #[arg(long)]
    topic: Option<String>,
    #[arg(long)]
    partition: Option<i32>,
}

/// A transaction that a partition has for open.
type Open = (TopicPartition, ProducerState);

pub async fn find(cluster: &Cluster, flags: &Flags) -> Result<String, String> {
    if flags.topic.is_none() && flags.broker_id.is_none() {
        return Err("The `find-hanging` command requires either --topic or --broker-id to limit \
                    the scope of the search"
            .to_owned());
    }
    if flags.partition.is_some() && flags.topic.is_none() {
        return Err("The --partition argument requires --topic to be provided".to_owned());
    }
    let partitions = partitions(cluster, flags).await?;
    let mut hanging = candidates(cluster, flags, &partitions).await?;
    if !hanging.is_empty() {
        let known = known(cluster, &hanging).await?;
        hanging.retain(|(partition, producer)| {
            let waits = known.get(&producer.producer_id);
            waits.is_none_or(|partitions| !partitions.contains(partition))
        });
    }
    // Kafka groups them by producer.
    let hash = |open: &Open| (open.1.producer_id ^ (open.1.producer_id >> 32)) as i32;
    let rows: Vec<_> = java_order::of_map(hanging, hash)
        .into_iter()
        .map(|(partition, producer)| {
            let open_ms = now_ms().saturating_sub(producer.last_timestamp);
            [
                partition.topic,
                partition.partition.to_string(),
                producer.producer_id.to_string(),
                producer.producer_epoch.to_string(),
                producer.coordinator_epoch.max(-1).to_string(),
                producer.current_txn_start_offset.to_string(),
                producer.last_timestamp.to_string(),
                (open_ms / MINUTE_MS).to_string(),
            ]
        })
        .collect();
    let headers = [
        "Topic",
        "Partition",
        "ProducerId",
        "ProducerEpoch",
        "CoordinatorEpoch",
        "StartOffset",
        "LastTimestamp",
        "Duration(min)",
    ];
    Ok(table(headers, &rows))
}

/// Where to look.
async fn partitions(cluster: &Cluster, flags: &Flags) -> Result<Vec<TopicPartition>, String> {
    if let (Some(topic), Some(partition)) = (&flags.topic, flags.partition) {
        return Ok(vec![TopicPartition::new(topic.clone(), partition)]);
    }
    let described = match &flags.topic {
        Some(topic) => cluster.topics(std::slice::from_ref(topic)).await,
        // Kafka's tool names those that clients may write to.
        None => cluster
            .all_topics()
            .await
            .map(|all| all.topics.into_iter().filter(|topic| !topic.is_internal).collect()),
    };
    let described = described.map_err(|error| failed("Failed to describe topics", &error))?;
    let mut found = Vec::new();
    for topic in described {
        let name = topic.name.unwrap_or_default();
        for partition in topic.partitions {
            if flags.broker_id.is_none_or(|id| partition.replica_nodes.contains(&id)) {
                found.push(TopicPartition::new(name.clone(), partition.partition_index));
            }
        }
    }
    Ok(found)
}

/// What is open for too long.
async fn candidates(
    cluster: &Cluster,
    flags: &Flags,
    partitions: &[TopicPartition],
) -> Result<Vec<Open>, String> {
    let max_ms = i64::from(flags.max_transaction_timeout).saturating_mul(MINUTE_MS);
    let mut found = Vec::new();
    for batch in partitions.chunks(BATCH_MAX) {
        let producers = cluster.describe_producers(batch, flags.broker_id).await;
        let producers = producers.map_err(|error| {
            let count = batch.len();
            failed(format!("Failed to describe producers for {count} partitions"), &error)
        })?;
        let now_ms = now_ms();
        for (partition, producers) in producers {
            let open = producers.into_iter().filter(|producer| {
                producer.current_txn_start_offset >= 0
                    && now_ms.saturating_sub(producer.last_timestamp) > max_ms
            });
            found.extend(open.map(|producer| (partition.clone(), producer)));
        }
    }
    Ok(found)
}

/// The partitions that coordinators will still write a marker to, by producer.
async fn known(
    cluster: &Cluster,
    open: &[Open],
) -> Result<BTreeMap<ProducerId, BTreeSet<TopicPartition>>, String> {
    let producers: BTreeSet<ProducerId> = open.iter().map(|(_, p)| p.producer_id).collect();
    let asked: Vec<ProducerId> = producers.iter().copied().collect();
    let listed = cluster.list_transactions(&asked, -1).await;
    let listed = listed.map_err(|error| {
        let count = asked.len();
        failed(format!("Failed to list transactions for {count} producers"), &error)
    })?;
    let mut known = BTreeMap::new();
    for listing in listed.into_values().flatten() {
        if !producers.contains(&listing.producer_id) {
            continue;
        }
        let described = match cluster.describe_transaction(&listing.transactional_id).await {
            Ok((_, described)) => described,
            Err(error) if error.code() == Some(ErrorCode::TRANSACTIONAL_ID_NOT_FOUND) => continue,
            Err(error) => return Err(failed("Failed to describe transactions", &error)),
        };
        let topics = described.topics.into_iter();
        let partitions = topics.flat_map(|topic| {
            let name = topic.topic;
            topic.partitions.into_iter().map(move |index| TopicPartition::new(name.clone(), index))
        });
        known.insert(listing.producer_id, partitions.collect());
    }
    Ok(known)
}
