//! `cluster` (kafka-cluster.sh): the cluster's id. Prints what Kafka's `ClusterTool` prints.
//!
//! Differs from Apache: there are no KRaft controllers, so `--bootstrap-controller` is refused.
//! Listing endpoints came with Kafka 4.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use client::cluster::Cluster;

use crate::{args, output, properties};

const TOOL: &str = "cluster";

/// Show the cluster's id.
#[derive(Debug, Parser)]
pub struct Flags {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the cluster's id.
    ClusterId(Connect),
    /// Forget a broker; only clusters in KRaft mode can.
    Unregister {
        #[command(flatten)]
        connect: Connect,
        /// The broker's id.
        #[arg(long, short)]
        id: i32,
    },
}

#[derive(Debug, clap::Args)]
struct Connect {
    /// Brokers to begin with: host:port,…
    #[arg(long, short)]
    bootstrap_server: Option<String>,
    /// Not supported: there are no KRaft controllers.
    #[arg(long, short = 'C')]
    bootstrap_controller: Option<String>,
    /// Properties file for the connection.
    #[arg(long, short)]
    config: Option<PathBuf>,
}

pub fn run(given: &[String]) -> ExitCode {
    let flags: Flags = match args::parse(TOOL, given) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let (connect, unregister) = match &flags.action {
        Action::ClusterId(connect) => (connect, false),
        Action::Unregister { connect, .. } => (connect, true),
    };
    let Some(bootstrap) = &connect.bootstrap_server else {
        let reason = match connect.bootstrap_controller {
            Some(_) => "--bootstrap-controller is not supported: use --bootstrap-server",
            None => "You must specify either --bootstrap-controller or --bootstrap-server.",
        };
        return args::usage::<Flags>(TOOL, reason);
    };
    let cluster = properties::load_optional(connect.config.as_deref())
        .map_err(|e| e.to_string())
        .and_then(|p| Cluster::new(bootstrap, &p, "adminclient").map_err(|e| e.to_string()));
    let done = cluster.and_then(|cluster| {
        let asked = output::block_on(cluster.metadata(Some(&[])));
        asked.map_err(|e| e.to_string())
    });
    match done {
        Ok(_) if unregister => {
            output::print("The target cluster does not support the broker unregistration API.\n")
        }
        Ok(metadata) => match metadata.cluster_id {
            Some(id) => output::print(&format!("Cluster ID: {id}\n")),
            None => output::print("No cluster ID found. The Kafka version is probably too old.\n"),
        },
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}
