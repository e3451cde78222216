//! `transactions abort`: ends a hanging transaction in one partition. Knows nothing of how one is
//! found.

use client::cluster::{Cluster, Marker};
use protocol::ids::{Offset, ProducerEpoch, ProducerId, TopicPartition};

use super::failed;

#[derive(Debug, clap::Args)]
pub struct Flags {
    #[arg(long)]
    topic: String,
    #[arg(long)]
    partition: i32,
    /// Where the transaction begins; enough for brokers of 3.0 and later.
    #[arg(long)]
    start_offset: Option<Offset>,
    /// For older brokers, with --producer-epoch and --coordinator-epoch.
    #[arg(long)]
    producer_id: Option<ProducerId>,
    #[arg(long)]
    producer_epoch: Option<ProducerEpoch>,
    /// -1 if the producer's first transaction hangs.
    #[arg(long, allow_hyphen_values = true)]
    coordinator_epoch: Option<i32>,
}

pub async fn abort(cluster: &Cluster, flags: &Flags) -> Result<String, String> {
    let partition = TopicPartition::new(flags.topic.clone(), flags.partition);
    let marker = match (flags.start_offset, flags.producer_id) {
        (Some(start), _) => marker_at(cluster, partition, start).await?,
        (None, Some(producer_id)) => marker_of(flags, partition, producer_id)?,
        (None, None) => {
            return Err("The transaction to abort must be identified either with \
                        --start-offset (for brokers on 3.0 or above) or with \
                        --producer-id, --producer-epoch, and --coordinator-epoch (for older \
                        brokers)"
                .to_owned());
        }
    };
    let aborted = cluster.abort_transaction(&marker).await;
    aborted.map_err(|error| {
        let Marker { partition, producer_id, producer_epoch, coordinator_epoch } = &marker;
        let what = format!(
            "Failed to abort transaction AbortTransactionSpec(topicPartition={partition}, \
             producerId={producer_id}, producerEpoch={producer_epoch}, \
             coordinatorEpoch={coordinator_epoch})"
        );
        failed(what, &error)
    })?;
    Ok(String::new())
}

/// As the flags say.
fn marker_of(
    flags: &Flags,
    partition: TopicPartition,
    producer_id: ProducerId,
) -> Result<Marker, String> {
    let missing = |flag: &str| format!("Missing required argument {flag}");
    let producer_epoch = flags.producer_epoch.ok_or_else(|| missing("--producer-epoch"))?;
    let coordinator_epoch =
        flags.coordinator_epoch.ok_or_else(|| missing("--coordinator-epoch"))?;
    Ok(Marker {
        partition,
        producer_id,
        producer_epoch,
        coordinator_epoch: coordinator_epoch.max(0),
    })
}

/// Of the transaction that is open there. A producer that saw no marker yet has no coordinator
/// epoch; 0 is below every one that a coordinator may have.
async fn marker_at(
    cluster: &Cluster,
    partition: TopicPartition,
    start: Offset,
) -> Result<Marker, String> {
    let found = cluster.describe_producers(std::slice::from_ref(&partition), None).await;
    let found = found.map_err(|error| {
        failed(format!("Failed to validate producer state for partition {partition}"), &error)
    })?;
    let mut producers = found.into_values().flatten();
    let open = producers.find(|producer| producer.current_txn_start_offset == start);
    match open {
        Some(producer) => Ok(Marker {
            partition,
            producer_id: producer.producer_id,
            producer_epoch: ProducerEpoch::try_from(producer.producer_epoch).unwrap_or(0),
            coordinator_epoch: producer.coordinator_epoch.max(0),
        }),
        None => Err(format!(
            "Could not find any open transactions starting at offset {start} on partition \
             {partition}"
        )),
    }
}
