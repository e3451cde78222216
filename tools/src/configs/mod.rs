//! `configs` (kafka-configs.sh): show and change dynamic configuration. Prints what Kafka's
//! `ConfigCommand` prints.
//!
//! Differs from Apache: `--zookeeper` is refused (the brokers own their znodes), and SCRAM
//! credentials are not handled yet.

mod entity;
mod quotas;
mod resource;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use client::cluster::{Cluster, ClusterError};

use crate::{args, output, properties};
use entity::Entities;

const TOOL: &str = "configs";

/// Show and change the configuration of topics, brokers, users, clients and IPs.
#[derive(Debug, Parser)]
pub struct Flags {
    /// Not supported: name a broker with --bootstrap-server.
    #[arg(long)]
    zookeeper: Option<String>,
    /// Not supported.
    #[arg(long)]
    zk_tls_config_file: Option<PathBuf>,
    /// Brokers to begin with: host:port,…
    #[arg(long)]
    bootstrap_server: Option<String>,
    /// Not supported: there are no KRaft controllers.
    #[arg(long)]
    bootstrap_controller: Option<String>,
    /// Properties file for the connection.
    #[arg(long)]
    command_config: Option<PathBuf>,
    /// Change configuration.
    #[arg(long)]
    alter: bool,
    /// Show configuration.
    #[arg(long)]
    describe: bool,
    /// Show defaults and static configuration too.
    #[arg(long)]
    all: bool,
    /// topics, brokers, broker-loggers, users, clients, ips or client-metrics; may be given again.
    #[arg(long)]
    entity_type: Vec<String>,
    /// Name of the topic, broker, user, client or IP; may be given again.
    #[arg(long)]
    entity_name: Vec<String>,
    /// The default of all brokers, users, clients or IPs.
    #[arg(long, action = clap::ArgAction::Count)]
    entity_default: u8,
    #[arg(long, help = "key=value,…; brackets keep commas together: k1=v1,k2=[v1,v2]")]
    add_config: Option<String>,
    /// Properties file with configuration to add.
    #[arg(long)]
    add_config_file: Option<PathBuf>,
    /// Keys to remove: k1,k2.
    #[arg(long, value_delimiter = ',')]
    delete_config: Vec<String>,
    /// Accepted and without effect: nothing is asked back.
    #[arg(long)]
    force: bool,
    /// A topic.
    #[arg(long)]
    topic: Option<String>,
    /// A client id.
    #[arg(long)]
    client: Option<String>,
    /// The default of all clients.
    #[arg(long)]
    client_defaults: bool,
    /// A user.
    #[arg(long)]
    user: Option<String>,
    /// The default of all users.
    #[arg(long)]
    user_defaults: bool,
    /// A broker's id.
    #[arg(long)]
    broker: Option<String>,
    /// The default of all brokers.
    #[arg(long)]
    broker_defaults: bool,
    /// A broker's id, for its log levels.
    #[arg(long)]
    broker_logger: Option<String>,
    /// An IP address.
    #[arg(long)]
    ip: Option<String>,
    /// The default of all IPs.
    #[arg(long)]
    ip_defaults: bool,
    /// Print JSON, with --describe of topics and brokers.
    #[arg(long)]
    json: bool,
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
enum ConfigError {
    /// Said as it is.
    #[error("{0}")]
    Refused(String),
    /// Said after the command line.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

pub fn run(given: &[String]) -> ExitCode {
    if given.is_empty() {
        let about = "This tool helps to manipulate and describe entity config for a topic, client, \
                     user, broker, ip or client-metrics";
        return args::usage::<Flags>(TOOL, about);
    }
    let flags: Flags = match args::parse(TOOL, given) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    if flags.alter == flags.describe {
        let reason = "Command must include exactly one action: --describe, --alter";
        return args::usage::<Flags>(TOOL, reason);
    }
    let added = flags.add_config.is_some() || flags.add_config_file.is_some();
    if flags.describe && (added || !flags.delete_config.is_empty()) {
        let other = if flags.add_config.is_some() { "add-config" } else { "delete-config" };
        let reason = format!("Option \"[describe]\" can't be used with option \"[{other}]\"");
        return args::usage::<Flags>(TOOL, &reason);
    }
    match prepare(&flags, given)
        .and_then(|(cluster, entities)| output::block_on(execute(&cluster, &flags, &entities)))
    {
        Ok(text) => output::print(&text),
        Err(ConfigError::Refused(reason)) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
        Err(ConfigError::Cluster(error)) => {
            let line = given.join(" ");
            eprintln!("Error while executing config command with args '{line}'");
            eprintln!("java.util.concurrent.ExecutionException: {}", error.exception());
            ExitCode::FAILURE
        }
    }
}

fn prepare(flags: &Flags, given: &[String]) -> Result<(Cluster, Entities), ConfigError> {
    let entities = Entities::of(flags, given).map_err(ConfigError::Refused)?;
    let refused = |reason: &str| Err(ConfigError::Refused(reason.to_owned()));
    if flags.zookeeper.is_some() || flags.bootstrap_controller.is_some() {
        return refused(
            "--zookeeper and --bootstrap-controller are not supported: use \
                        --bootstrap-server",
        );
    }
    let Some(bootstrap) = &flags.bootstrap_server else {
        return refused(
            "One of the required --bootstrap-server, --boostrap-controller, or \
                        --zookeeper arguments must be specified",
        );
    };
    if flags.alter {
        if entities.names.is_empty() {
            return refused(
                "At least one of --entity-name, --entity-default must be specified \
                            with --alter",
            );
        }
        let added = flags.add_config.is_some() || flags.add_config_file.is_some();
        if flags.add_config.is_some() && flags.add_config_file.is_some() {
            return refused("Only one of --add-config or --add-config-file must be specified.");
        }
        if !added && flags.delete_config.is_empty() {
            return refused(
                "At least one of --add-config, --add-config-file, or --delete-config \
                            must be specified with --alter",
            );
        }
        if entities.types.len() != entities.names.len() {
            return refused("An entity name must be specified for every entity type");
        }
    }
    let io = |e: std::io::Error| ConfigError::Refused(e.to_string());
    let connection = properties::load_optional(flags.command_config.as_deref()).map_err(io)?;
    let cluster = Cluster::new(bootstrap, &connection, "adminclient")?;
    Ok((cluster, entities))
}

async fn execute(
    cluster: &Cluster,
    flags: &Flags,
    entities: &Entities,
) -> Result<String, ConfigError> {
    let is_quota = ["users", "clients", "ips"].contains(&entities.types[0].as_str());
    match (flags.alter, is_quota) {
        (true, true) => quotas::alter(cluster, flags, entities).await?,
        (true, false) => resource::alter(cluster, flags, entities).await?,
        (false, true) => return quotas::describe(cluster, entities).await,
        (false, false) => return resource::describe(cluster, flags, entities).await,
    }
    let (kind, name) = (&entities.types[0], &entities.names[0]);
    Ok(match name.is_empty() {
        true => format!("Completed updating default config for {kind} in the cluster.\n"),
        false => {
            format!("Completed updating config for {} {name}.\n", &kind[..kind.len() - 1])
        }
    })
}

/// Keys with values to add, keys to remove.
type Changes = (Vec<(String, String)>, Vec<String>);

/// What is to be added, from --add-config or the file, and what is to be removed.
fn changes(flags: &Flags) -> Result<Changes, ConfigError> {
    let mut added = properties::Properties::new();
    if let Some(file) = &flags.add_config_file {
        added = properties::load(file).map_err(|e| ConfigError::Refused(e.to_string()))?;
    }
    if let Some(text) = &flags.add_config {
        for pair in split_outside_brackets(text) {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(ConfigError::Refused(
                    "requirement failed: Invalid entity config: all configs to be added must be in \
                     the format \"key=val\"."
                        .to_owned(),
                ));
            };
            let value = value.replace(['[', ']'], "");
            added.insert(key.trim().to_owned(), value.trim().to_owned());
        }
    }
    let known = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if let Some(bad) = added.keys().find(|key| !key.chars().all(known)) {
        let text = format!("Invalid character found for config key: {bad}");
        return Err(ConfigError::Refused(text));
    }
    let removed = flags.delete_config.iter().map(|key| key.trim().to_owned()).collect();
    Ok((added.into_iter().collect(), removed))
}

fn split_outside_brackets(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut from, mut depth) = (0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(given: &[&str]) -> Flags {
        let given: Vec<String> = given.iter().map(|s| s.to_string()).collect();
        args::parse(TOOL, &given).unwrap()
    }

    #[test]
    fn brackets_keep_commas_together() {
        let read = flags(&["--add-config", "a=b,c=[d,e],f=", "--delete-config", "g, h"]);
        let (added, removed) = changes(&read).unwrap();
        let own = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        assert_eq!(added, [own("a", "b"), own("c", "d,e"), own("f", "")]);
        assert_eq!(removed, ["g", "h"]);
        let reason = changes(&flags(&["--add-config", "a"])).unwrap_err().to_string();
        assert!(reason.starts_with("requirement failed: Invalid entity config"), "{reason}");
        let reason = changes(&flags(&["--add-config", "a b=1"])).unwrap_err().to_string();
        assert_eq!(reason, "Invalid character found for config key: a b");
    }
}
