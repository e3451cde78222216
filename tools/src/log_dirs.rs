//! `log-dirs` (kafka-log-dirs.sh): what lies in the brokers' log directories. Prints what Kafka's
//! `LogDirsCommand` prints, JSON.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use client::cluster::{Cluster, ClusterError, exception_class};
use protocol::error_code::ErrorCode;
use protocol::messages::describe_log_dirs::{DescribeLogDirsRequest, DescribeLogDirsResult};
use serde_json::json;

use crate::{args, output, properties};

const TOOL: &str = "log-dirs";

/// Show the log directories of brokers and the partitions in them.
#[derive(Debug, Parser)]
pub struct Flags {
    /// Brokers to begin with: host:port,…
    #[arg(long)]
    bootstrap_server: Option<String>,
    /// Properties file for the connection.
    #[arg(long)]
    command_config: Option<PathBuf>,
    /// Describe; the only action.
    #[arg(long)]
    describe: bool,
    /// Only these topics: a,b.
    #[arg(long, default_value = "")]
    topic_list: String,
    /// Only these brokers: 1,2.
    #[arg(long, default_value = "")]
    broker_list: String,
}

pub fn run(given: &[String]) -> ExitCode {
    if given.is_empty() {
        let about = "This tool helps to query log directory usage on the specified brokers.";
        return args::usage::<Flags>(TOOL, about);
    }
    let flags: Flags = match args::parse(TOOL, given) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let Some(bootstrap) = &flags.bootstrap_server else {
        return args::usage::<Flags>(TOOL, "Missing required argument \"[bootstrap-server]\"");
    };
    if !flags.describe {
        return args::usage::<Flags>(TOOL, "Missing required argument \"[describe]\"");
    }
    let cluster = properties::load_optional(flags.command_config.as_deref())
        .map_err(|e| e.to_string())
        .and_then(|p| Cluster::new(bootstrap, &p, "log-dirs-tool").map_err(|e| e.to_string()));
    let done = cluster.and_then(|cluster| output::block_on(describe(&cluster, &flags)));
    match done {
        Ok(text) => output::print(&text),
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn joined(ids: &BTreeSet<i32>) -> String {
    ids.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

async fn describe(cluster: &Cluster, flags: &Flags) -> Result<String, String> {
    let parts = |text: &str| -> Vec<String> {
        text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    let asked: Result<BTreeSet<i32>, _> =
        parts(&flags.broker_list).iter().map(|id| id.trim().parse()).collect();
    let asked = asked.map_err(|_| format!("no broker ids: {}", flags.broker_list))?;
    let metadata = cluster.metadata(Some(&[])).await.map_err(|e| e.to_string())?;
    let there: BTreeSet<i32> = metadata.brokers.iter().map(|b| b.node_id).collect();
    let missing: BTreeSet<i32> = asked.difference(&there).copied().collect();
    if !missing.is_empty() {
        return Err(format!(
            "ERROR: The given brokers do not exist from --broker-list: {}. Current existent \
             brokers: {}",
            joined(&missing),
            joined(&there)
        ));
    }
    let brokers = if asked.is_empty() { there } else { asked };
    let topics = parts(&flags.topic_list);
    let mut all = Vec::new();
    for id in &brokers {
        let request = DescribeLogDirsRequest { topics: None };
        let connection = cluster.broker(*id).await.map_err(|e| e.to_string())?;
        let response = connection.call(&request).await.map_err(|e| e.to_string())?;
        ClusterError::check(response.error_code, None).map_err(|e| e.to_string())?;
        let dirs: Vec<String> = response.results.iter().map(|dir| log_dir(dir, &topics)).collect();
        all.push(format!(r#"{{"broker":{id},"logDirs":[{}]}}"#, dirs.join(",")));
    }
    Ok(format!(
        "Querying brokers for log directories information\n\
         Received log directory information from brokers {}\n\
         {{\"brokers\":[{}],\"version\":1}}\n",
        joined(&brokers),
        all.join(",")
    ))
}

/// Written piece by piece: scripts may rely on the order of Kafka's fields.
fn log_dir(dir: &DescribeLogDirsResult, topics: &[String]) -> String {
    let mut partitions = Vec::new();
    for topic in dir.topics.iter().filter(|t| topics.is_empty() || topics.contains(&t.name)) {
        for p in &topic.partitions {
            let name = json!(format!("{}-{}", topic.name, p.partition_index));
            let (size, lag, future) = (p.partition_size, p.offset_lag, p.is_future_key);
            partitions.push(format!(
                r#"{{"partition":{name},"size":{size},"offsetLag":{lag},"isFuture":{future}}}"#
            ));
        }
    }
    let error = match ErrorCode(dir.error_code) {
        ErrorCode::NONE => None,
        code => Some(exception_class(code)),
    };
    format!(
        r#"{{"partitions":[{}],"error":{},"logDir":{}}}"#,
        partitions.join(","),
        json!(error),
        json!(dir.log_dir)
    )
}
