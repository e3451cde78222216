//! `leader-election` (kafka-leader-election.sh): asks the controller for preferred or unclean
//! elections. Prints what Kafka's `LeaderElectionCommand` prints.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use client::cluster::{Cluster, ClusterError};
use protocol::error_code::ErrorCode;
use protocol::ids::TopicPartition;
use protocol::messages::elect_leaders::{ElectLeadersRequest, TopicPartitions};

use crate::{args, java_order, output, properties};

const TOOL: &str = "leader-election";
/// Kafka's tool waits that long where the properties file does not say otherwise.
const TIMEOUT_MS: i32 = 30_000;

/// Elect leaders: the preferred ones, or, where there is none, any replica that lives.
#[derive(Debug, Parser)]
pub struct Flags {
    /// Brokers to begin with: host:port,…
    #[arg(long)]
    bootstrap_server: Option<String>,
    /// Properties file for the connection.
    #[arg(long = "admin.config")]
    admin_config: Option<PathBuf>,
    /// {"partitions": [{"topic": "t", "partition": 0}]}
    #[arg(long)]
    path_to_json_file: Option<PathBuf>,
    /// The topic of one partition.
    #[arg(long)]
    topic: Option<String>,
    /// The number of one partition; with --topic.
    #[arg(long)]
    partition: Option<i32>,
    /// Every partition for which such an election makes sense.
    #[arg(long)]
    all_topic_partitions: bool,
    /// preferred or unclean.
    #[arg(long, value_parser = ElectionType::parse)]
    election_type: Option<ElectionType>,
}

/// `ElectionType`, by its number on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ElectionType {
    Preferred = 0,
    Unclean = 1,
}

impl ElectionType {
    fn parse(text: &str) -> Result<ElectionType, String> {
        match text.to_ascii_lowercase().as_str() {
            "preferred" => Ok(ElectionType::Preferred),
            "unclean" => Ok(ElectionType::Unclean),
            _ => Err("preferred or unclean".to_owned()),
        }
    }

    fn name(self) -> &'static str {
        match self {
            ElectionType::Preferred => "PREFERRED",
            ElectionType::Unclean => "UNCLEAN",
        }
    }
}

pub fn run(given: &[String]) -> ExitCode {
    let flags: Flags = match args::parse(TOOL, given) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    match execute(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn execute(flags: &Flags) -> Result<(), String> {
    let (bootstrap, kind) = check(flags)?;
    let wanted = match (&flags.path_to_json_file, &flags.topic, flags.partition) {
        (Some(file), ..) => Some(read(file)?),
        (None, Some(topic), Some(partition)) => {
            Some(vec![TopicPartition::new(topic.as_str(), partition)])
        }
        _ => None,
    };
    let connection =
        properties::load_optional(flags.admin_config.as_deref()).map_err(|e| e.to_string())?;
    let cluster = Cluster::new(bootstrap, &connection, "adminclient").map_err(|e| e.to_string())?;
    output::block_on(elect(&cluster, kind, wanted))
}

/// The bootstrap servers and the kind of election, if the flags belong together.
fn check(flags: &Flags) -> Result<(&str, ElectionType), String> {
    let (bootstrap, kind) = match (&flags.bootstrap_server, flags.election_type) {
        (Some(bootstrap), Some(kind)) => (bootstrap.as_str(), kind),
        (bootstrap, kind) => {
            let missing: Vec<&str> =
                [(bootstrap.is_none(), "bootstrap-server"), (kind.is_none(), "election-type")]
                    .into_iter()
                    .filter_map(|(missing, name)| missing.then_some(name))
                    .collect();
            return Err(format!("Missing required option(s): {}", missing.join(", ")));
        }
    };
    let ways =
        [flags.topic.is_some(), flags.all_topic_partitions, flags.path_to_json_file.is_some()];
    if ways.iter().filter(|given| **given).count() != 1 {
        return Err("One and only one of the following options is required: topic, \
                    all-topic-partitions, path-to-json-file"
            .to_owned());
    }
    match (&flags.topic, flags.partition) {
        (Some(_), None) => Err("Missing required option(s): partition".to_owned()),
        (None, Some(_)) => Err("Option partition is only allowed if topic is used".to_owned()),
        _ => Ok((bootstrap, kind)),
    }
}

fn read(file: &Path) -> Result<Vec<TopicPartition>, String> {
    let text = std::fs::read_to_string(file)
        .map_err(|e| format!("Unable to read file {}: {e}", file.display()))?;
    parse(&text)
}

fn parse(text: &str) -> Result<Vec<TopicPartition>, String> {
    let json: serde_json::Value =
        serde_json::from_str(text).map_err(|_| "Replica election data is empty".to_owned())?;
    let listed = json
        .get("partitions")
        .and_then(|p| p.as_array())
        .ok_or("Replica election data is missing \"partitions\" field")?;
    let mut all = Vec::new();
    let mut twice = Vec::new();
    for entry in listed {
        let named = || {
            let partition = i32::try_from(entry.get("partition")?.as_i64()?).ok()?;
            Some(TopicPartition::new(entry.get("topic")?.as_str()?, partition))
        };
        let partition = named().ok_or_else(|| format!("not a partition: {entry}"))?;
        match all.contains(&partition) {
            true => twice.push(partition.to_string()),
            false => all.push(partition),
        }
    }
    twice.dedup();
    match twice.is_empty() {
        true => Ok(all),
        false => Err(format!(
            "Replica election data contains duplicate partitions: [{}]",
            twice.join(", ")
        )),
    }
}

type Results = BTreeMap<TopicPartition, Result<(), ClusterError>>;

async fn elect(
    cluster: &Cluster,
    kind: ElectionType,
    wanted: Option<Vec<TopicPartition>>,
) -> Result<(), String> {
    let request = ElectLeadersRequest {
        election_type: kind as i8,
        topic_partitions: wanted.map(by_topic),
        timeout_ms: TIMEOUT_MS,
    };
    let asked = cluster.call_controller(&request, |r| vec![r.error_code]).await;
    let response = asked.map_err(|e| e.to_string())?;
    match ErrorCode(response.error_code) {
        ErrorCode::NONE => {}
        ErrorCode::CLUSTER_AUTHORIZATION_FAILED => {
            let reason = "Not authorized to perform leader election";
            output::print(&format!("{reason}\n"));
            return Err(reason.to_owned());
        }
        code => return Err(ClusterError::from_code(code).exception()),
    }
    let mut results = Results::new();
    for topic in response.replica_election_results {
        for p in topic.partition_result {
            let key = TopicPartition::new(topic.topic.clone(), p.partition_id);
            results.insert(key, ClusterError::check(p.error_code, p.error_message.as_ref()));
        }
    }
    let (text, failed) = report(kind, results);
    output::print(&text);
    match failed {
        0 => Ok(()),
        failed => Err(format!("{failed} replica(s) could not be elected")),
    }
}

fn by_topic(wanted: Vec<TopicPartition>) -> Vec<TopicPartitions> {
    let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for p in wanted {
        topics.entry(p.topic).or_default().push(p.partition);
    }
    topics.into_iter().map(|(topic, partitions)| TopicPartitions { topic, partitions }).collect()
}

/// What is printed, and how many elections failed.
fn report(kind: ElectionType, results: Results) -> (String, usize) {
    let (mut succeeded, mut needless, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for (partition, result) in results {
        match result {
            Ok(()) => succeeded.push(partition),
            Err(e) if e.code() == Some(ErrorCode::ELECTION_NOT_NEEDED) => needless.push(partition),
            Err(e) => failed.push((partition, e)),
        }
    }
    let hash = |p: &TopicPartition| java_order::partition_hash(&p.topic, p.partition);
    let listed = |partitions: Vec<TopicPartition>| {
        let ordered = java_order::of_map(partitions, hash);
        ordered.iter().map(TopicPartition::to_string).collect::<Vec<_>>().join(", ")
    };
    let kind = kind.name();
    let mut out = String::new();
    if !succeeded.is_empty() {
        let all = listed(succeeded);
        let _ =
            writeln!(out, "Successfully completed leader election ({kind}) for partitions {all}");
    }
    if !needless.is_empty() {
        let _ = writeln!(out, "Valid replica already elected for partitions {}", listed(needless));
    }
    let count = failed.len();
    for (partition, error) in java_order::of_map(failed, |(p, _)| hash(p)) {
        let _ = writeln!(
            out,
            "Error completing leader election ({kind}) for partition: {partition}: {}",
            error.exception()
        );
    }
    (out, count)
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
    fn flags_that_do_not_belong_together() {
        let both = ["--bootstrap-server=b:1", "--election-type=preferred"];
        let with = |more: &[&'static str]| refusal(&[&both[..], more].concat());
        assert_eq!(
            refusal(&["--topic", "t"]),
            "Missing required option(s): bootstrap-server, election-type"
        );
        assert!(with(&[]).starts_with("One and only one of the following options is required"));
        assert!(with(&["--topic=t", "--all-topic-partitions"]).starts_with("One and only one"));
        assert_eq!(with(&["--topic=t"]), "Missing required option(s): partition");
        assert_eq!(
            with(&["--all-topic-partitions", "--partition=1"]),
            "Option partition is only allowed if topic is used"
        );
    }

    #[test]
    fn files_are_read_and_checked() {
        let one = r#"{"topic":"t","partition":1}"#;
        let all = parse(&format!(r#"{{"partitions":[{one}]}}"#)).unwrap();
        assert_eq!(all, [TopicPartition::new("t", 1)]);
        assert_eq!(
            parse("{}").unwrap_err(),
            "Replica election data is missing \"partitions\" field"
        );
        assert_eq!(
            parse(&format!(r#"{{"partitions":[{one},{one}]}}"#)).unwrap_err(),
            "Replica election data contains duplicate partitions: [t-1]"
        );
    }

    #[test]
    fn outcomes_are_told_apart() {
        let code = |code| Err(ClusterError::from_code(code));
        let results = BTreeMap::from([
            (TopicPartition::new("t", 0), Ok(())),
            (TopicPartition::new("t", 1), code(ErrorCode::ELECTION_NOT_NEEDED)),
            (TopicPartition::new("t", 2), code(ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE)),
        ]);
        let (text, failed) = report(ElectionType::Preferred, results);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(failed, 1);
        assert_eq!(
            lines[..2],
            [
                "Successfully completed leader election (PREFERRED) for partitions t-0",
                "Valid replica already elected for partitions t-1",
            ]
        );
        assert!(lines[2].starts_with(
            "Error completing leader election (PREFERRED) for partition: t-2: \
             org.apache.kafka.common.errors.PreferredLeaderNotAvailableException: "
        ));
    }
}
