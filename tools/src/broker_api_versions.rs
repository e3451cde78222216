//! `broker-api-versions` (kafka-broker-api-versions.sh): which APIs each broker has, in which
//! versions. Prints what Kafka's `BrokerApiVersionsCommand` prints.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use client::cluster::Cluster;
use protocol::api::ApiKey;
use protocol::messages::api_versions::{ApiVersion, ApiVersionsResponse};

use crate::{args, output, properties};

const TOOL: &str = "broker-api-versions";

/// APIs of Kafka's clients that are not in our table: no broker in ZooKeeper mode has them, but the
/// tool names them as unsupported.
const KRAFT_APIS: [(i16, &str); 17] = [
    (55, "DescribeQuorum"),
    (64, "UnregisterBroker"),
    (71, "GetTelemetrySubscriptions"),
    (72, "PushTelemetry"),
    (74, "ListClientMetricsResources"),
    (75, "DescribeTopicPartitions"),
    (76, "ShareGroupHeartbeat"),
    (77, "ShareGroupDescribe"),
    (78, "ShareFetch"),
    (79, "ShareAcknowledge"),
    (80, "AddRaftVoter"),
    (81, "RemoveRaftVoter"),
    (83, "InitializeShareGroupState"),
    (84, "ReadShareGroupState"),
    (85, "WriteShareGroupState"),
    (86, "DeleteShareGroupState"),
    (87, "ReadShareGroupStateSummary"),
];

/// Show the API versions of every broker.
#[derive(Debug, Parser)]
pub struct Flags {
    /// Brokers to begin with: host:port,…
    #[arg(long)]
    bootstrap_server: Option<String>,
    /// Properties file for the connection.
    #[arg(long)]
    command_config: Option<PathBuf>,
}

pub fn run(given: &[String]) -> ExitCode {
    let flags: Flags = match args::parse(TOOL, given) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let Some(bootstrap) = &flags.bootstrap_server else {
        return args::usage::<Flags>(TOOL, "Missing required argument \"[bootstrap-server]\"");
    };
    let cluster = properties::load_optional(flags.command_config.as_deref())
        .map_err(|e| e.to_string())
        .and_then(|p| Cluster::new(bootstrap, &p, "admin").map_err(|e| e.to_string()));
    let done = cluster.and_then(|cluster| output::block_on(show(&cluster)));
    match done {
        Ok(text) => output::print(&text),
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

async fn show(cluster: &Cluster) -> Result<String, String> {
    let metadata = cluster.metadata(Some(&[])).await.map_err(|e| e.to_string())?;
    let mut out = String::new();
    for broker in metadata.brokers {
        let rack = broker.rack.unwrap_or_else(|| "null".to_owned());
        let _ = write!(
            out,
            "{}:{} (id: {} rack: {rack}) -> ",
            broker.host, broker.port, broker.node_id
        );
        match cluster.broker(broker.node_id).await {
            Ok(connection) => match connection.api_versions() {
                Some(versions) => out.push_str(&text(versions)),
                None => out.push_str("ERROR: not asked"),
            },
            Err(error) => {
                let _ = write!(out, "ERROR: {error}");
            }
        }
        out.push('\n');
    }
    Ok(out)
}

fn text(versions: &ApiVersionsResponse) -> String {
    let mut lines = BTreeMap::new();
    for api in ApiKey::ALL.iter().filter(|api| !is_between_brokers(**api)) {
        lines.insert(api.key(), format!("{}({}): UNSUPPORTED", api.name(), api.key()));
    }
    for (key, name) in KRAFT_APIS {
        lines.insert(key, format!("{name}({key}): UNSUPPORTED"));
    }
    for version in &versions.api_keys {
        lines.insert(version.api_key, line(version));
    }
    let lines: Vec<String> = lines.into_values().collect();
    format!("(\n\t{}\n)", lines.join(",\n\t"))
}

/// APIs that no client calls are not named if the broker lacks them.
fn is_between_brokers(api: ApiKey) -> bool {
    [
        ApiKey::LeaderAndIsr,
        ApiKey::StopReplica,
        ApiKey::UpdateMetadata,
        ApiKey::ControlledShutdown,
        ApiKey::WriteTxnMarkers,
        ApiKey::AlterPartition,
        ApiKey::Envelope,
        ApiKey::AllocateProducerIds,
    ]
    .contains(&api)
}

fn line(version: &ApiVersion) -> String {
    let (key, min, max) = (version.api_key, version.min_version, version.max_version);
    let range = if min == max { min.to_string() } else { format!("{min} to {max}") };
    let Some(api) = ApiKey::from_key(key) else {
        let known = KRAFT_APIS.iter().find(|(known, _)| *known == key);
        let name = known.map_or("UNKNOWN", |(_, name)| name);
        return format!("{name}({key}): {range}");
    };
    let ours = api.versions();
    let usable = if *ours.end() < min {
        "[unusable: node too new]".to_owned()
    } else if max < *ours.start() {
        "[unusable: node too old]".to_owned()
    } else {
        format!("[usable: {}]", max.min(*ours.end()))
    };
    format!("{}({key}): {range} {usable}", api.name())
}
