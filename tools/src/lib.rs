//! `kafka-topics` and its family: the command line tools, as subcommands of `ottla` and under their
//! Kafka names. Knows nothing of a broker's insides; it speaks to clusters through `client` alone.

#![forbid(unsafe_code)]

mod args;
mod broker_api_versions;
mod cluster_tool;
mod configs;
mod console_consumer;
mod console_producer;
mod consumer_groups;
mod consumer_perf;
mod dates;
mod delete_records;
mod dump_log;
mod end_to_end;
mod features;
mod get_offsets;
mod java_order;
mod java_random;
mod leader_election;
mod log_dirs;
mod ordered_json;
mod output;
mod producer_perf;
mod properties;
mod reassign_partitions;
mod replica_verification;
mod stop;
mod throttle;
mod topics;
mod transactions;
mod verifiable_consumer;
mod verifiable_producer;

use std::ffi::OsString;
use std::process::ExitCode;

type Tool = fn(&[String]) -> ExitCode;

/// Every tool: `ottla NAME`, and also `kafka-NAME` and `kafka-NAME.sh` as the program's name.
const TOOLS: &[(&str, Tool)] = &[
    ("topics", topics::run),
    ("console-producer", console_producer::run),
    ("console-consumer", console_consumer::run),
    ("consumer-groups", consumer_groups::run),
    ("configs", configs::run),
    ("dump-log", dump_log::run),
    ("get-offsets", get_offsets::run),
    ("delete-records", delete_records::run),
    ("log-dirs", log_dirs::run),
    ("broker-api-versions", broker_api_versions::run),
    ("cluster", cluster_tool::run),
    ("leader-election", leader_election::run),
    ("reassign-partitions", reassign_partitions::run),
    ("replica-verification", replica_verification::run),
    ("transactions", transactions::run),
    ("producer-perf-test", producer_perf::run),
    ("consumer-perf-test", consumer_perf::run),
    ("e2e-latency", end_to_end::run),
    ("verifiable-producer", verifiable_producer::run),
    ("verifiable-consumer", verifiable_consumer::run),
    ("features", features::run),
];

/// The names of all tools, in the order of `TOOLS`.
pub const TOOL_NAMES: &[&str] = &names();

const fn names() -> [&'static str; TOOLS.len()] {
    let mut names = [""; TOOLS.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = TOOLS[i].0;
        i += 1;
    }
    names
}

/// Whether a program of this name (a path or a bare name, with or without `.sh`) is one of the
/// tools: `kafka-topics.sh`, `/usr/bin/kafka-topics`.
pub fn is_tool_name(argv0: &str) -> bool {
    tool_of_program(argv0).is_some()
}

/// Whether `name` is a subcommand of `ottla` that [`run`] serves.
pub fn is_subcommand(name: &str) -> bool {
    tool(name).is_some()
}

/// Runs one tool. The first argument names it: either a program name for which [`is_tool_name`]
/// holds, or any other program name followed by a subcommand (`ottla topics --list …`).
///
/// Exit code 0 is success; 1 is anything else, with the reason printed where Kafka's tool prints
/// it.
pub fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let mut args = args.map(|a| a.to_string_lossy().into_owned());
    let program = args.next().unwrap_or_default();
    let found = match tool_of_program(&program) {
        Some(found) => Some(found),
        None => args.next().and_then(|name| tool(&name)),
    };
    match found {
        Some(run) => run(&args.collect::<Vec<_>>()),
        None => {
            eprintln!("no such tool; the tools are: {}", TOOL_NAMES.join(", "));
            ExitCode::FAILURE
        }
    }
}

fn tool(name: &str) -> Option<Tool> {
    TOOLS.iter().find(|(known, _)| *known == name).map(|(_, run)| *run)
}

/// `kafka-topics.sh`, with any directory before it, is `topics`.
fn tool_of_program(argv0: &str) -> Option<Tool> {
    let file = argv0.rsplit('/').next().unwrap_or(argv0);
    let stem = file.strip_suffix(".sh").unwrap_or(file);
    tool(stem.strip_prefix("kafka-")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_known_by_their_kafka_names() {
        for name in ["kafka-topics.sh", "kafka-topics", "/opt/kafka/bin/kafka-topics.sh"] {
            assert!(is_tool_name(name), "{name}");
        }
        for name in ["topics", "ottla", "kafka-", "kafka-server-start.sh", ""] {
            assert!(!is_tool_name(name), "{name}");
        }
        assert!(is_subcommand("topics") && !is_subcommand("serve"));
    }
}
