//! `topics` (kafka-topics.sh): create, list, describe, alter and delete topics. Prints what Kafka's
//! `TopicCommand` prints. `--json` is our own.

mod create;
mod describe;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use client::cluster::{Cluster, ClusterError};
use client::topic_filter::{INTERNAL_TOPICS, TopicFilter};
use protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};

use crate::{args, output, properties};

const TOOL: &str = "topics";
/// How long the controller may take for a change, as Kafka's admin client asks.
const CHANGE_TIMEOUT_MS: i32 = 30_000;

/// Create, list, describe, change and delete topics.
#[derive(Debug, Parser)]
pub struct Flags {
    /// Brokers to begin with: host:port,…
    #[arg(long)]
    bootstrap_server: Option<String>,
    /// Properties file for the connection.
    #[arg(long)]
    command_config: Option<PathBuf>,
    /// List topics.
    #[arg(long)]
    list: bool,
    /// Create a topic.
    #[arg(long)]
    create: bool,
    /// Delete topics.
    #[arg(long)]
    delete: bool,
    /// Change the number of partitions.
    #[arg(long)]
    alter: bool,
    /// Show partitions, leaders, replicas and configuration.
    #[arg(long)]
    describe: bool,
    /// A topic's name; a regular expression except with --create.
    #[arg(long)]
    topic: Option<String>,
    /// A topic's id, for --describe.
    #[arg(long)]
    topic_id: Option<String>,
    /// name=value, set on the new topic; may be given again.
    #[arg(long)]
    config: Vec<String>,
    /// Not supported: use the configs tool.
    #[arg(long)]
    delete_config: Vec<String>,
    /// Number of partitions; the broker's default if not given.
    #[arg(long, allow_negative_numbers = true)]
    partitions: Option<i32>,
    /// Replicas of each partition; the broker's default if not given.
    #[arg(long, allow_negative_numbers = true)]
    replication_factor: Option<i32>,
    /// Brokers of each partition: 0:1,1:2,…
    #[arg(long)]
    replica_assignment: Option<String>,
    /// Show only partitions with fewer in-sync replicas than replicas.
    #[arg(long)]
    under_replicated_partitions: bool,
    /// Show only partitions without a live leader.
    #[arg(long)]
    unavailable_partitions: bool,
    /// Show only partitions with fewer in-sync replicas than min.insync.replicas.
    #[arg(long)]
    under_min_isr_partitions: bool,
    /// Show only partitions with exactly min.insync.replicas in-sync replicas.
    #[arg(long)]
    at_min_isr_partitions: bool,
    /// Show only topics with a configuration of their own.
    #[arg(long)]
    topics_with_overrides: bool,
    /// Do nothing if the topic does not exist.
    #[arg(long)]
    if_exists: bool,
    /// Do nothing if the topic exists.
    #[arg(long)]
    if_not_exists: bool,
    /// Leave out topics that the brokers keep for themselves.
    #[arg(long)]
    exclude_internal: bool,
    /// Accepted and without effect: descriptions are not asked for in pieces.
    #[arg(long)]
    partition_size_limit_per_response: Option<i32>,
    /// Print JSON, with --list and --describe.
    #[arg(long)]
    json: bool,
}

/// Why the command failed; said after "Error while executing topic command : ".
#[derive(Debug, thiserror::Error)]
enum TopicError {
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

pub fn run(given: &[String]) -> ExitCode {
    if given.is_empty() {
        return args::usage::<Flags>(TOOL, "Create, delete, describe, or change a topic.");
    }
    let flags: Flags = match args::parse(TOOL, given) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    if let Err(reason) = check(&flags) {
        return args::usage::<Flags>(TOOL, &reason);
    }
    let Some(bootstrap) = flags.bootstrap_server.as_deref() else {
        eprintln!("--bootstrap-server must be specified");
        return ExitCode::FAILURE;
    };
    let cluster = properties::load_optional(flags.command_config.as_deref())
        .map_err(|e| e.to_string())
        .and_then(|p| Cluster::new(bootstrap, &p, "adminclient").map_err(|e| e.to_string()));
    let cluster = match cluster {
        Ok(cluster) => cluster,
        Err(reason) => {
            eprintln!("{reason}");
            return ExitCode::FAILURE;
        }
    };
    match output::block_on(execute(&cluster, &flags)) {
        Ok(text) => output::print(&text),
        Err(error) => {
            output::print(&format!("Error while executing topic command : {error}\n"));
            ExitCode::FAILURE
        }
    }
}

async fn execute(cluster: &Cluster, flags: &Flags) -> Result<String, TopicError> {
    if flags.create {
        create::create(cluster, flags).await
    } else if flags.alter {
        create::alter(cluster, flags).await
    } else if flags.list {
        list(cluster, flags).await
    } else if flags.describe {
        describe::describe(cluster, flags).await
    } else {
        delete(cluster, flags).await
    }
}

/// The combinations of flags that Kafka refuses, in its order and words.
fn check(flags: &Flags) -> Result<(), String> {
    let actions = [
        ("alter", flags.alter),
        ("create", flags.create),
        ("describe", flags.describe),
        ("list", flags.list),
        ("delete", flags.delete),
    ];
    if actions.iter().filter(|(_, given)| *given).count() != 1 {
        return Err("Command must include exactly one action: --list, --describe, --create, \
                    --alter or --delete"
            .to_owned());
    }
    if flags.bootstrap_server.is_none() {
        return Ok(()); // Said before anything else is looked at.
    }
    if flags.describe && flags.if_exists && flags.topic.is_none() && flags.topic_id.is_none() {
        return Err("--topic or --topic-id is required to describe a topic".to_owned());
    }
    if !flags.list && !flags.describe && flags.topic.is_none() {
        return Err("Missing required argument \"[topic]\"".to_owned());
    }
    if flags.alter && !flags.config.is_empty() {
        return Err(
            "Option combination \"[[bootstrap-server],[config]]\" can't be used with option \
                    \"[alter]\" (the kafka-configs CLI supports altering topic configs with a \
                    --bootstrap-server option)"
                .to_owned(),
        );
    }
    if flags.alter && flags.partitions.is_none() {
        return Err("Missing required argument \"[partitions]\"".to_owned());
    }
    let only_with = |option: &str, given: bool, allowed: &[&str]| {
        let wrong = actions.iter().find(|(name, on)| *on && !allowed.contains(name));
        match wrong {
            Some((action, _)) if given => {
                Err(format!("Option \"[{option}]\" can't be used with option \"[{action}]\""))
            }
            _ => Ok(()),
        }
    };
    only_with("config", !flags.config.is_empty(), &["alter", "create"])?;
    if !flags.delete_config.is_empty() {
        return Err("Option \"[delete-config]\" can't be used with option \"[bootstrap-server]\""
            .to_owned());
    }
    only_with("partitions", flags.partitions.is_some(), &["alter", "create"])?;
    only_with("replication-factor", flags.replication_factor.is_some(), &["create"])?;
    only_with("replica-assignment", flags.replica_assignment.is_some(), &["alter", "create"])?;
    if flags.create && flags.replica_assignment.is_some() {
        let others = [
            ("partitions", flags.partitions.is_some()),
            ("replication-factor", flags.replication_factor.is_some()),
        ];
        if let Some((other, _)) = others.iter().find(|(_, given)| *given) {
            return Err(format!(
                "Option \"[replica-assignment]\" can't be used with option \"[{other}]\""
            ));
        }
    }
    let reports = [
        ("under-replicated-partitions", flags.under_replicated_partitions),
        ("under-min-isr-partitions", flags.under_min_isr_partitions),
        ("at-min-isr-partitions", flags.at_min_isr_partitions),
        ("unavailable-partitions", flags.unavailable_partitions),
    ];
    for (report, given) in reports {
        only_with(report, given, &["describe"])?;
        if given && flags.topics_with_overrides {
            return Err(format!(
                "Option \"[{report}]\" can't be used with option \"[topics-with-overrides]\""
            ));
        }
    }
    only_with("topics-with-overrides", flags.topics_with_overrides, &["describe"])?;
    only_with("if-exists", flags.if_exists, &["alter", "delete", "describe"])?;
    only_with("if-not-exists", flags.if_not_exists, &["create"])?;
    only_with("exclude-internal", flags.exclude_internal, &["list", "describe"])
}

/// Names of existing topics that --topic allows, sorted.
async fn matching(cluster: &Cluster, flags: &Flags) -> Result<Vec<String>, TopicError> {
    let metadata = cluster.all_topics().await?;
    let filter = flags.topic.as_deref().map(TopicFilter::new).transpose();
    let filter = filter.map_err(TopicError::Refused)?;
    let mut names: Vec<String> = metadata.topics.into_iter().filter_map(|t| t.name).collect();
    names.retain(|name| match &filter {
        Some(filter) => filter.allows(name, flags.exclude_internal),
        None => !(flags.exclude_internal && INTERNAL_TOPICS.contains(&name.as_str())),
    });
    names.sort();
    Ok(names)
}

/// A topic was named and there is none: an error, unless --if-exists.
fn ensure_exists(found: &[String], flags: &Flags) -> Result<(), TopicError> {
    match &flags.topic {
        Some(name) if !name.is_empty() && !flags.if_exists && found.is_empty() => {
            // Kafka prints Java's Optional here, and so do we.
            let text = format!("Topic 'Optional[{name}]' does not exist as expected");
            Err(TopicError::Refused(text))
        }
        _ => Ok(()),
    }
}

async fn list(cluster: &Cluster, flags: &Flags) -> Result<String, TopicError> {
    let names = matching(cluster, flags).await?;
    if flags.json {
        return Ok(format!("{}\n", serde_json::json!(names)));
    }
    Ok(names.join("\n") + "\n")
}

async fn delete(cluster: &Cluster, flags: &Flags) -> Result<String, TopicError> {
    let names = matching(cluster, flags).await?;
    ensure_exists(&names, flags)?;
    if names.is_empty() {
        return Ok(String::new());
    }
    let version = cluster.any("deleteTopics").await?.version_of::<DeleteTopicsRequest>();
    let mut request = DeleteTopicsRequest { timeout_ms: CHANGE_TIMEOUT_MS, ..Default::default() };
    if version.map_err(ClusterError::from)? >= 6 {
        let state = |name: String| DeleteTopicState { name: Some(name), ..Default::default() };
        request.topics = names.into_iter().map(state).collect();
    } else {
        request.topic_names = names;
    }
    let response = cluster
        .call_controller(&request, |r| r.responses.iter().map(|t| t.error_code).collect())
        .await?;
    for topic in &response.responses {
        ClusterError::check(topic.error_code, topic.error_message.as_ref())?;
    }
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(given: &[&str]) -> String {
        let given: Vec<String> = given.iter().map(|s| s.to_string()).collect();
        let flags: Flags = args::parse(TOOL, &given).unwrap();
        check(&flags).unwrap_err()
    }

    #[test]
    fn wrong_combinations_are_refused_in_kafkas_words() {
        let b = "--bootstrap-server=b:1";
        assert!(refusal(&[b]).starts_with("Command must include exactly one action"));
        assert!(refusal(&[b, "--list", "--create"]).starts_with("Command must include"));
        assert_eq!(refusal(&[b, "--create"]), "Missing required argument \"[topic]\"");
        assert_eq!(
            refusal(&[b, "--alter", "--topic", "t"]),
            "Missing required argument \"[partitions]\""
        );
        assert_eq!(
            refusal(&[b, "--list", "--partitions", "1"]),
            "Option \"[partitions]\" can't be used with option \"[list]\""
        );
        assert_eq!(
            refusal(&[b, "--create", "--topic=t", "--replica-assignment=1", "--partitions=1"]),
            "Option \"[replica-assignment]\" can't be used with option \"[partitions]\""
        );
        assert_eq!(
            refusal(&[b, "--create", "--topic", "t", "--if-exists"]),
            "Option \"[if-exists]\" can't be used with option \"[create]\""
        );
    }
}
