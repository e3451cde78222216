//! `reassign-partitions` (kafka-reassign-partitions.sh): moves partitions to other brokers or log
//! directories. Prints what Kafka's `ReassignPartitionsCommand` prints.
//!
//! Differs from Kafka's: --cancel also ends a reassignment that only adds replicas; Kafka's tool
//! takes that one for not active. Errors come without a stack trace.

mod execute;
mod generate;
mod plan;
mod status;
mod throttle;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use client::cluster::{Cluster, ClusterError};

use crate::{args, output, properties};
use plan::Plan;

const TOOL: &str = "reassign-partitions";

/// What `--reassignment-json-file` holds.
const REASSIGNMENT_FILE: &str = concat!(
    r#"{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[1,2],"#,
    r#""log_dirs":["any","/data"]}]}; log_dirs may be left out"#,
);

/// Move partitions to other brokers or log directories.
#[derive(Debug, Parser)]
pub struct Flags {
    /// Brokers to begin with: host:port,…
    #[arg(long)]
    bootstrap_server: Option<String>,
    /// Properties file for the connection.
    #[arg(long)]
    command_config: Option<PathBuf>,
    /// Show how far a reassignment is; when it is done, lift its throttles.
    #[arg(long)]
    verify: bool,
    /// Propose a reassignment; nothing is moved.
    #[arg(long)]
    generate: bool,
    /// Start a reassignment.
    #[arg(long)]
    execute: bool,
    /// Stop a reassignment and go back.
    #[arg(long)]
    cancel: bool,
    /// List all reassignments that go on.
    #[arg(long)]
    list: bool,
    #[arg(long, help = REASSIGNMENT_FILE)]
    reassignment_json_file: Option<PathBuf>,
    /// {"version":1,"topics":[{"topic":"t"}]}, for --generate.
    #[arg(long)]
    topics_to_move_json_file: Option<PathBuf>,
    /// Brokers that get the topics: 1,2,3.
    #[arg(long)]
    broker_list: Option<String>,
    /// Leave racks out of account in --generate.
    #[arg(long)]
    disable_rack_aware: bool,
    /// Bytes per second between brokers; with --additional it changes what is in force.
    #[arg(long, allow_negative_numbers = true)]
    throttle: Option<i64>,
    /// Bytes per second between the log directories of one broker.
    #[arg(long, allow_negative_numbers = true)]
    replica_alter_log_dirs_throttle: Option<i64>,
    /// Milliseconds to wait until moves between log directories have begun; 10000 if not given.
    #[arg(long, allow_negative_numbers = true)]
    timeout: Option<i64>,
    /// Start even while other reassignments go on.
    #[arg(long)]
    additional: bool,
    /// Leave throttles as they are.
    #[arg(long)]
    preserve_throttles: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Generate,
    Execute,
    Verify,
    Cancel,
    List,
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
enum ReassignError {
    /// Said as it is.
    #[error("{0}")]
    Terse(String),
    #[error("Error: {0}")]
    Refused(String),
    #[error("Error: {}", .0.exception())]
    Cluster(#[from] ClusterError),
}

pub fn run(given: &[String]) -> ExitCode {
    let flags: Flags = match args::parse(TOOL, given) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let action = match check(&flags) {
        Ok(action) => action,
        Err(reason) => return args::usage::<Flags>(TOOL, &reason),
    };
    match perform(action, &flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            output::print(&format!("{reason}\n"));
            ExitCode::FAILURE
        }
    }
}

/// The one action, if the flags belong to it.
fn check(flags: &Flags) -> Result<Action, String> {
    use Action::*;
    let given: Vec<Action> = [
        (Generate, flags.generate),
        (Execute, flags.execute),
        (Verify, flags.verify),
        (Cancel, flags.cancel),
        (List, flags.list),
    ]
    .into_iter()
    .filter_map(|(action, given)| given.then_some(action))
    .collect();
    let [action] = given[..] else {
        return Err("Command must include exactly one action: --generate, --execute, --verify, \
                    --cancel, --list"
            .to_owned());
    };
    if flags.bootstrap_server.is_none() {
        return Err("Please specify --bootstrap-server".to_owned());
    }
    let name = format!("{action:?}").to_lowercase();
    // Kafka's own order of options, so that the first complaint is the same.
    let options: [(&str, bool, &[Action]); 9] = [
        (
            "reassignment-json-file",
            flags.reassignment_json_file.is_some(),
            &[Execute, Verify, Cancel],
        ),
        ("topics-to-move-json-file", flags.topics_to_move_json_file.is_some(), &[Generate]),
        ("broker-list", flags.broker_list.is_some(), &[Generate]),
        ("disable-rack-aware", flags.disable_rack_aware, &[Generate]),
        ("throttle", flags.throttle.is_some(), &[Execute]),
        (
            "replica-alter-log-dirs-throttle",
            flags.replica_alter_log_dirs_throttle.is_some(),
            &[Execute],
        ),
        ("timeout", flags.timeout.is_some(), &[Execute, Cancel]),
        ("additional", flags.additional, &[Execute]),
        ("preserve-throttles", flags.preserve_throttles, &[Verify, Cancel]),
    ];
    // The first three are required wherever they are allowed.
    for (option, given, allowed) in &options[..3] {
        if !given && allowed.contains(&action) {
            return Err(format!("Missing required argument \"[{option}]\""));
        }
    }
    for (option, given, allowed) in options {
        if given && !allowed.contains(&action) {
            return Err(format!("Option \"[{option}]\" can't be used with action \"[{name}]\""));
        }
    }
    Ok(action)
}

fn perform(action: Action, flags: &Flags) -> Result<(), ReassignError> {
    let connection = properties::load_optional(flags.command_config.as_deref())
        .map_err(|e| ReassignError::Refused(e.to_string()))?;
    let bootstrap = flags.bootstrap_server.as_deref().unwrap_or_default();
    let cluster = Cluster::new(bootstrap, &connection, "reassign-partitions-tool")?;
    let text = read(match action {
        Action::Generate => flags.topics_to_move_json_file.as_deref(),
        _ => flags.reassignment_json_file.as_deref(),
    })?;
    let plan = || Plan::parse(&text).map_err(ReassignError::Refused);
    match action {
        Action::Generate => output::block_on(generate::generate(&cluster, flags, &text)),
        Action::Execute => output::block_on(execute::execute(&cluster, flags, &plan()?)),
        Action::Verify => {
            output::block_on(status::verify(&cluster, &plan()?, flags.preserve_throttles))
        }
        Action::Cancel => output::block_on(execute::cancel(&cluster, flags, &plan()?)),
        Action::List => output::block_on(status::list(&cluster)),
    }
}

fn read(file: Option<&Path>) -> Result<String, ReassignError> {
    let Some(file) = file else { return Ok(String::new()) };
    std::fs::read_to_string(file)
        .map_err(|e| ReassignError::Refused(format!("Unable to read file {}: {e}", file.display())))
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
        let file = "--reassignment-json-file=f";
        assert!(refusal(&[b]).starts_with("Command must include exactly one action"));
        assert!(refusal(&[b, "--list", "--verify"]).starts_with("Command must include"));
        assert_eq!(refusal(&["--list"]), "Please specify --bootstrap-server");
        assert_eq!(
            refusal(&[b, "--verify"]),
            "Missing required argument \"[reassignment-json-file]\""
        );
        assert_eq!(
            refusal(&[b, "--generate", "--topics-to-move-json-file=f"]),
            "Missing required argument \"[broker-list]\""
        );
        assert_eq!(
            refusal(&[b, "--verify", file, "--timeout=1"]),
            "Option \"[timeout]\" can't be used with action \"[verify]\""
        );
        assert_eq!(
            refusal(&[b, "--list", file]),
            "Option \"[reassignment-json-file]\" can't be used with action \"[list]\""
        );
    }
}
