//! `delete-records` (kafka-delete-records.sh): drops the records before given offsets. Prints what
//! Kafka's `DeleteRecordsCommand` prints.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use client::cluster::{Cluster, ClusterError};
use protocol::error_code::ErrorCode;
use protocol::ids::{BrokerId, Offset, TopicPartition};
use protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};

use crate::{args, output, properties};

const TOOL: &str = "delete-records";
const TIMEOUT_MS: i32 = 30_000;

/// Delete the records of partitions before given offsets.
#[derive(Debug, Parser)]
pub struct Flags {
    /// Brokers to begin with: host:port,…
    #[arg(long)]
    bootstrap_server: Option<String>,
    /// {"partitions": [{"topic": "t", "partition": 0, "offset": 5}], "version": 1}; offset -1 is
    /// the high watermark.
    #[arg(long)]
    offset_json_file: Option<PathBuf>,
    /// Properties file for the connection.
    #[arg(long)]
    command_config: Option<PathBuf>,
}

pub fn run(given: &[String]) -> ExitCode {
    if given.is_empty() {
        let about = "This tool helps to delete records of the given partitions down to the \
                     specified offset.";
        return args::usage::<Flags>(TOOL, about);
    }
    let flags: Flags = match args::parse(TOOL, given) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let Some(bootstrap) = &flags.bootstrap_server else {
        return args::usage::<Flags>(TOOL, "Missing required argument \"[bootstrap-server]\"");
    };
    let Some(file) = &flags.offset_json_file else {
        return args::usage::<Flags>(TOOL, "Missing required argument \"[offset-json-file]\"");
    };
    let prepared = || {
        let text = std::fs::read_to_string(file)
            .map_err(|e| format!("Unable to read file {}: {e}", file.display()))?;
        let wanted = parse(&text)?;
        let connection = properties::load_optional(flags.command_config.as_deref())
            .map_err(|e| e.to_string())?;
        let cluster =
            Cluster::new(bootstrap, &connection, "adminclient").map_err(|e| e.to_string())?;
        Ok::<_, String>((cluster, wanted))
    };
    let done = prepared().and_then(|(cluster, wanted)| {
        output::print("Executing records delete operation\n");
        output::block_on(delete(&cluster, wanted)).map_err(|e| e.to_string())
    });
    match done {
        Ok(text) => output::print(&text),
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn parse(text: &str) -> Result<BTreeMap<TopicPartition, Offset>, String> {
    let json: serde_json::Value = serde_json::from_str(text)
        .map_err(|_| "The input string is not a valid JSON".to_owned())?;
    match json.get("version").map(|v| v.as_i64()) {
        None | Some(Some(1)) => {}
        Some(other) => {
            let shown = other.map_or("null".to_owned(), |v| v.to_string());
            return Err(format!("Not supported version field value {shown}"));
        }
    }
    let partitions = json
        .get("partitions")
        .and_then(|p| p.as_array())
        .ok_or_else(|| "Missing partitions field".to_owned())?;
    let mut all = BTreeMap::new();
    let mut twice = Vec::new();
    for entry in partitions {
        let read = || {
            let topic = entry.get("topic")?.as_str()?;
            let partition = i32::try_from(entry.get("partition")?.as_i64()?).ok()?;
            Some((TopicPartition::new(topic, partition), entry.get("offset")?.as_i64()?))
        };
        let (partition, offset) =
            read().ok_or_else(|| format!("not a partition with an offset: {entry}"))?;
        if all.insert(partition.clone(), offset).is_some() {
            twice.push(partition.to_string());
        }
    }
    twice.dedup();
    if !twice.is_empty() {
        return Err(format!(
            "Offset json file contains duplicate topic partitions: {}",
            twice.join(",")
        ));
    }
    Ok(all)
}

async fn delete(
    cluster: &Cluster,
    wanted: BTreeMap<TopicPartition, Offset>,
) -> Result<String, ClusterError> {
    let partitions: Vec<TopicPartition> = wanted.keys().cloned().collect();
    let mut results: BTreeMap<TopicPartition, Result<Offset, ErrorCode>> = BTreeMap::new();
    let mut by_leader: BTreeMap<BrokerId, Vec<TopicPartition>> = BTreeMap::new();
    for (partition, leader) in cluster.leaders(&partitions).await? {
        match leader {
            Ok(id) => by_leader.entry(id).or_default().push(partition),
            Err(code) => drop(results.insert(partition, Err(code))),
        }
    }
    for (leader, partitions) in by_leader {
        let mut topics: BTreeMap<String, Vec<DeleteRecordsPartition>> = BTreeMap::new();
        for p in partitions {
            let offset = wanted[&p];
            let entry = topics.entry(p.topic).or_default();
            entry.push(DeleteRecordsPartition { partition_index: p.partition, offset });
        }
        let topics = topics
            .into_iter()
            .map(|(name, partitions)| DeleteRecordsTopic { name, partitions })
            .collect();
        let request = DeleteRecordsRequest { topics, timeout_ms: TIMEOUT_MS };
        let response = cluster.broker(leader).await?.call(&request).await?;
        for topic in response.topics {
            for p in topic.partitions {
                let result = match ErrorCode(p.error_code) {
                    ErrorCode::NONE => Ok(p.low_watermark),
                    code => Err(code),
                };
                let key = TopicPartition::new(topic.name.clone(), p.partition_index);
                results.insert(key, result);
            }
        }
    }
    let mut out = "Records delete operation completed:\n".to_owned();
    for (partition, result) in results {
        let _ = match result {
            Ok(low) => writeln!(out, "partition: {partition}\tlow_watermark: {low}"),
            Err(code) => {
                writeln!(out, "partition: {partition}\terror: {}", ClusterError::from_code(code))
            }
        };
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_and_checked() {
        let one = r#"{"topic":"t","partition":0,"offset":5}"#;
        let all = parse(&format!(r#"{{"partitions":[{one}],"version":1}}"#)).unwrap();
        assert_eq!(all[&TopicPartition::new("t", 0)], 5);
        let reason = |text: &str| parse(text).unwrap_err();
        assert_eq!(reason("{"), "The input string is not a valid JSON");
        assert_eq!(reason("{}"), "Missing partitions field");
        assert_eq!(reason(r#"{"version":2}"#), "Not supported version field value 2");
        assert_eq!(
            reason(&format!(r#"{{"partitions":[{one},{one}]}}"#)),
            "Offset json file contains duplicate topic partitions: t-0"
        );
    }
}
