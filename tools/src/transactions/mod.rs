//! `transactions` (kafka-transactions.sh): transactional ids, partitions' producers, and
//! transactions that nobody will end (KIP-664). Prints what Kafka's `TransactionsCommand` prints.

mod abort;
mod hanging;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Parser, Subcommand};
use client::cluster::{Cluster, ClusterError};
use protocol::ids::{BrokerId, TopicPartition};

use crate::{args, java_order, output, properties};

const TOOL: &str = "transactions";

/// Show the state of transactions, and find and end those that hang.
#[derive(Debug, Parser)]
pub struct Flags {
    /// Brokers to begin with: host:port,…
    #[arg(long, global = true)]
    bootstrap_server: Option<String>,
    /// Properties file for the connection.
    #[arg(long, global = true)]
    command_config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the transactional ids of all brokers.
    List {
        /// Only those whose transaction is open for longer, in milliseconds; negative: all.
        #[arg(long, allow_hyphen_values = true)]
        duration_filter: Option<i64>,
    },
    /// Show the state of a transactional id.
    Describe {
        #[arg(long)]
        transactional_id: String,
    },
    /// Show the producers that a partition knows.
    DescribeProducers {
        /// As this replica knows them; else as the leader does.
        #[arg(long)]
        broker_id: Option<BrokerId>,
        #[arg(long)]
        topic: String,
        #[arg(long)]
        partition: i32,
    },
    /// Abort a transaction that hangs in one partition.
    Abort(abort::Flags),
    /// Find transactions that their coordinators do not know of.
    FindHanging(hanging::Flags),
}

pub fn run(given: &[String]) -> ExitCode {
    let flags: Flags = match args::parse(TOOL, given) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let Some(bootstrap) = &flags.bootstrap_server else {
        return args::usage::<Flags>(TOOL, "argument --bootstrap-server is required");
    };
    let cluster = properties::load_optional(flags.command_config.as_deref())
        .map_err(|e| format!("Failed to load admin client properties: {e}"))
        .and_then(|p| Cluster::new(bootstrap, &p, "adminclient").map_err(|e| e.to_string()));
    let done = cluster.and_then(|cluster| output::block_on(execute(&cluster, &flags.command)));
    match done {
        Ok(text) => output::print(&text),
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

async fn execute(cluster: &Cluster, command: &Command) -> Result<String, String> {
    match command {
        Command::List { duration_filter } => list(cluster, duration_filter.unwrap_or(-1)).await,
        Command::Describe { transactional_id } => describe(cluster, transactional_id).await,
        Command::DescribeProducers { broker_id, topic, partition } => {
            let partition = TopicPartition::new(topic.clone(), *partition);
            describe_producers(cluster, &partition, *broker_id).await
        }
        Command::Abort(flags) => abort::abort(cluster, flags).await,
        Command::FindHanging(flags) => hanging::find(cluster, flags).await,
    }
}

/// What failed and why.
fn failed(what: impl std::fmt::Display, error: &ClusterError) -> String {
    format!("{what}: {error}")
}

async fn list(cluster: &Cluster, duration_ms: i64) -> Result<String, String> {
    let listed = cluster.list_transactions(&[], duration_ms).await;
    let listed = listed.map_err(|error| failed("Failed to list transactions", &error))?;
    let mut rows = Vec::new();
    for (broker, ids) in listed {
        for id in ids {
            rows.push([
                id.transactional_id,
                broker.to_string(),
                id.producer_id.to_string(),
                id.transaction_state,
            ]);
        }
    }
    Ok(table(["TransactionalId", "Coordinator", "ProducerId", "TransactionState"], &rows))
}

async fn describe(cluster: &Cluster, id: &str) -> Result<String, String> {
    let found = cluster.describe_transaction(id).await;
    let (coordinator, found) = found.map_err(|error| {
        let what = format!("Failed to describe transaction state of transactional-id `{id}`");
        failed(what, &error)
    })?;
    let start_ms = found.transaction_start_time_ms;
    let open_ms = now_ms() - start_ms;
    let if_open = |ms: i64| if start_ms < 0 { "None".to_owned() } else { ms.to_string() };
    let partitions = found.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|index| TopicPartition::new(topic.topic.clone(), *index))
    });
    let hash = |tp: &TopicPartition| java_order::partition_hash(&tp.topic, tp.partition);
    let partitions = java_order::of_map(partitions.collect(), hash);
    let partitions: Vec<String> = partitions.iter().map(TopicPartition::to_string).collect();
    let row = [
        coordinator.to_string(),
        id.to_owned(),
        found.producer_id.to_string(),
        found.producer_epoch.to_string(),
        found.transaction_state,
        found.transaction_timeout_ms.to_string(),
        if_open(start_ms),
        if_open(open_ms),
        partitions.join(","),
    ];
    let headers = [
        "CoordinatorId",
        "TransactionalId",
        "ProducerId",
        "ProducerEpoch",
        "TransactionState",
        "TransactionTimeoutMs",
        "CurrentTransactionStartTimeMs",
        "TransactionDurationMs",
        "TopicPartitions",
    ];
    Ok(table(headers, &[row]))
}

async fn describe_producers(
    cluster: &Cluster,
    partition: &TopicPartition,
    replica: Option<BrokerId>,
) -> Result<String, String> {
    let found = cluster.describe_producers(std::slice::from_ref(partition), replica).await;
    let found = found.map_err(|error| {
        let whom = replica.map_or("leader".to_owned(), |id| format!("broker {id}"));
        failed(format!("Failed to describe producers for partition {partition} on {whom}"), &error)
    })?;
    let producers = found.into_values().flatten();
    let rows: Vec<_> = producers
        .map(|producer| {
            let start = producer.current_txn_start_offset;
            [
                producer.producer_id.to_string(),
                producer.producer_epoch.to_string(),
                producer.coordinator_epoch.max(-1).to_string(),
                producer.last_sequence.to_string(),
                producer.last_timestamp.to_string(),
                if start < 0 { "None".to_owned() } else { start.to_string() },
            ]
        })
        .collect();
    let headers = [
        "ProducerId",
        "ProducerEpoch",
        "LatestCoordinatorEpoch",
        "LastSequence",
        "LastTimestamp",
        "CurrentTransactionStartOffset",
    ];
    Ok(table(headers, &rows))
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Columns as wide as their widest value, each with a tab after it.
fn table<const N: usize>(headers: [&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let values = rows.iter().map(|row| row[column].chars().count());
        values.chain([headers[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |values: [&str; N]| {
        let cells = values.iter().zip(&widths).map(|(value, width)| output::left(value, *width));
        cells.map(|cell| cell + "\t").collect::<String>() + "\n"
    };
    let rows = rows.iter().map(|row| line(row.each_ref().map(String::as_str)));
    std::iter::once(line(headers)).chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_with_tabs_between() {
        let rows = [["1".to_owned(), "long value".to_owned()]];
        assert_eq!(table(["A", "B"], &rows), "A\tB         \t\n1\tlong value\t\n");
        assert_eq!(table(["A", "B"], &[]), "A\tB\t\n");
    }

    #[test]
    fn options_stand_before_and_after_the_command() {
        for line in ["--bootstrap-server a:1 list", "list --bootstrap-server a:1"] {
            let given: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let flags: Flags = args::parse(TOOL, &given).unwrap();
            assert_eq!(flags.bootstrap_server.as_deref(), Some("a:1"));
        }
    }
}
