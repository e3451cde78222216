//! `consumer-groups` (kafka-consumer-groups.sh): list, describe, delete groups; reset and delete
//! their offsets. Prints what Kafka's `ConsumerGroupCommand` prints.
//!
//! Differs from Apache: a command that fails as a whole ends with exit code 1, where Kafka's says
//! so and ends with 0; `--json` is our own.

mod describe;
mod offsets;
mod plan;
mod reset;

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use client::cluster::{Cluster, ClusterError};
use protocol::messages::delete_groups::DeleteGroupsRequest;
use protocol::messages::list_groups::{ListGroupsRequest, ListedGroup};

use crate::{args, output, properties};

const TOOL: &str = "consumer-groups";

/// List, describe and delete consumer groups; reset and delete their offsets.
#[derive(Debug, Parser)]
pub struct Flags {
    /// Brokers to begin with: host:port,…
    #[arg(long)]
    bootstrap_server: Option<String>,
    /// A group; may be given again.
    #[arg(long)]
    group: Vec<String>,
    /// A topic, or topic:0,1,2 for some of its partitions; may be given again.
    #[arg(long)]
    topic: Vec<String>,
    /// All topics of the group, for --reset-offsets.
    #[arg(long)]
    all_topics: bool,
    /// List groups.
    #[arg(long)]
    list: bool,
    /// Show a group's offsets, members or state.
    #[arg(long)]
    describe: bool,
    /// All groups.
    #[arg(long)]
    all_groups: bool,
    /// Delete groups.
    #[arg(long)]
    delete: bool,
    /// How long to try, in milliseconds.
    #[arg(long, default_value_t = 5_000)]
    timeout: u64,
    /// Properties file for the connection.
    #[arg(long)]
    command_config: Option<PathBuf>,
    /// Set offsets of a group that has no members.
    #[arg(long)]
    reset_offsets: bool,
    /// Delete offsets of a group's topics.
    #[arg(long)]
    delete_offsets: bool,
    /// Only show what --reset-offsets would do, which is the default.
    #[arg(long)]
    dry_run: bool,
    /// Do it.
    #[arg(long)]
    execute: bool,
    /// Print the new offsets as CSV.
    #[arg(long)]
    export: bool,
    /// To this offset.
    #[arg(long, allow_negative_numbers = true)]
    to_offset: Option<i64>,
    /// To the offsets in a CSV file.
    #[arg(long)]
    from_file: Option<PathBuf>,
    /// To the first record at or after a time: 2026-01-31T12:00:00.000, with or without zone.
    #[arg(long)]
    to_datetime: Option<String>,
    /// To the first record of so long ago: PT1H30M, P1D.
    #[arg(long)]
    by_duration: Option<String>,
    /// To the oldest record.
    #[arg(long)]
    to_earliest: bool,
    /// To the end.
    #[arg(long)]
    to_latest: bool,
    /// To where the group is, or to the end where it has no offset.
    #[arg(long)]
    to_current: bool,
    /// So many records on, or back if negative.
    #[arg(long, allow_negative_numbers = true)]
    shift_by: Option<i64>,
    /// Show members, with --describe.
    #[arg(long)]
    members: bool,
    /// Show assignments too, with --members.
    #[arg(long)]
    verbose: bool,
    /// Show offsets, with --describe; the default.
    #[arg(long)]
    offsets: bool,
    /// Show the state, with --describe; show or filter by state, with --list.
    #[arg(long, num_args = 0..=1, default_missing_value = "")]
    state: Option<String>,
    /// Show or filter by type, with --list.
    #[arg(long = "type", num_args = 0..=1, default_missing_value = "")]
    group_type: Option<String>,
    /// Print JSON, with --list and --describe.
    #[arg(long)]
    json: bool,
}

/// Why the command failed, and how that is said.
#[derive(Debug, thiserror::Error)]
enum GroupError {
    /// The flags are wrong, as it turned out late.
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

/// What goes to standard output and what to standard error.
#[derive(Debug, Default)]
struct Report {
    out: String,
    notes: String,
}

impl Report {
    /// Kafka prints its errors of single groups among the results.
    fn error(&mut self, text: &str) {
        let _ = write!(self.out, "\nError: {text}\n");
    }

    fn note(&mut self, text: &str) {
        let _ = write!(self.notes, "\n{text}\n");
    }
}

pub fn run(given: &[String]) -> ExitCode {
    if given.is_empty() {
        let about = "This tool helps to list all consumer groups, describe a consumer group, \
                     delete consumer group info, or reset consumer group offsets.";
        return args::usage::<Flags>(TOOL, about);
    }
    let flags: Flags = match args::parse(TOOL, given) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    if let Err(reason) = check(&flags) {
        return args::usage::<Flags>(TOOL, &reason);
    }
    let bootstrap = flags.bootstrap_server.as_deref().unwrap_or_default();
    let cluster = properties::load_optional(flags.command_config.as_deref())
        .map_err(|e| e.to_string())
        .and_then(|p| Cluster::new(bootstrap, &p, "adminclient").map_err(|e| e.to_string()));
    let cluster = match cluster {
        Ok(cluster) => cluster.with_timeout(Duration::from_millis(flags.timeout)),
        Err(reason) => return args::usage::<Flags>(TOOL, &reason),
    };
    if flags.reset_offsets && !flags.dry_run && !flags.execute {
        eprintln!("WARN: No action will be performed as the --execute option is missing.");
    }
    let mut report = Report::default();
    let done = output::block_on(execute(&cluster, &flags, &mut report));
    eprint!("{}", report.notes);
    output::print(&report.out);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(GroupError::Usage(reason)) => args::usage::<Flags>(TOOL, &reason),
        // Kafka says so on standard output and ends with 0, which no script can use.
        Err(GroupError::Cluster(error)) => {
            output::print(&format!(
                "\nError: Executing consumer group command failed due to {error}\n"
            ));
            ExitCode::FAILURE
        }
    }
}

async fn execute(cluster: &Cluster, flags: &Flags, report: &mut Report) -> Result<(), GroupError> {
    if flags.list {
        list(cluster, flags, report).await
    } else if flags.describe {
        describe::describe(cluster, flags, report).await
    } else if flags.delete {
        delete(cluster, flags, report).await
    } else if flags.reset_offsets {
        reset::reset(cluster, flags, report).await
    } else {
        offsets::delete(cluster, flags, report).await
    }
}

/// The combinations of flags that Kafka refuses, in its order.
fn check(flags: &Flags) -> Result<(), String> {
    let refused = |reason: &str| Err(reason.to_owned());
    if flags.bootstrap_server.is_none() {
        return refused("Missing required argument \"[bootstrap-server]\"");
    }
    let only_with = |option: &str, given: bool, allowed: bool| match given && !allowed {
        true => Err(format!("Option {option} is not available here")),
        false => Ok(()),
    };
    only_with("members", flags.members, flags.describe)?;
    only_with("verbose", flags.verbose, flags.describe)?;
    only_with("offsets", flags.offsets, flags.describe)?;
    only_with("state", flags.state.is_some(), flags.describe || flags.list)?;
    only_with("type", flags.group_type.is_some(), flags.list)?;
    let scope = !flags.group.is_empty() || flags.all_groups;
    if flags.describe {
        if !scope {
            return refused(
                "Option [describe] takes one of these options: [delete], [describe], [list], \
                 [reset-offsets]",
            );
        }
        let kinds = [flags.members, flags.offsets, flags.state.is_some()];
        if kinds.iter().filter(|given| **given).count() > 1 {
            return refused(
                "Option [describe] takes at most one of these options: [members], [offsets], \
                 [state]",
            );
        }
        if flags.state.as_deref().is_some_and(|state| !state.is_empty()) {
            return refused("Option [describe] does not take a value for [state]");
        }
    }
    if flags.delete {
        if !scope {
            return refused("Option [delete] takes one of these options: [group], [all-groups]");
        }
        if !flags.topic.is_empty() {
            return refused(
                "The consumer does not support topic-specific offset deletion from a consumer \
                 group.",
            );
        }
    }
    if flags.delete_offsets && (flags.group.is_empty() || flags.topic.is_empty()) {
        return refused(
            "Option [delete-offsets] takes the following options: [group], [all-groups]",
        );
    }
    if flags.reset_offsets {
        check_reset(flags, scope)?;
    }
    if !flags.group.is_empty() && flags.all_groups {
        return refused("Option \"[group]\" can't be used with option \"[all-groups]\"");
    }
    if !flags.group.is_empty() && flags.list {
        return refused("Option \"[group]\" can't be used with option \"[list]\"");
    }
    let actions =
        [flags.list, flags.describe, flags.delete, flags.reset_offsets, flags.delete_offsets];
    if actions.iter().filter(|given| **given).count() != 1 {
        return refused(
            "Command must include exactly one action: --list, --describe, --delete, \
             --reset-offsets, --delete-offsets",
        );
    }
    if !flags.topic.is_empty() && (flags.list || flags.describe) {
        let action = if flags.list { "list" } else { "describe" };
        return Err(format!("Option \"[topic]\" can't be used with option \"[{action}]\""));
    }
    Ok(())
}

fn check_reset(flags: &Flags, scope: bool) -> Result<(), String> {
    if flags.dry_run && flags.execute {
        return Err("Option [reset-offsets] only accepts one of [execute] and [dry-run]".to_owned());
    }
    if !scope {
        return Err(
            "Option [reset-offsets] takes one of these options: [group], [all-groups]".to_owned()
        );
    }
    let scenarios = [
        ("to-offset", flags.to_offset.is_some()),
        ("to-datetime", flags.to_datetime.is_some()),
        ("by-duration", flags.by_duration.is_some()),
        ("to-earliest", flags.to_earliest),
        ("to-latest", flags.to_latest),
        ("shift-by", flags.shift_by.is_some()),
        ("from-file", flags.from_file.is_some()),
        ("to-current", flags.to_current),
    ];
    let mut given = scenarios.iter().filter(|(_, given)| *given).map(|(name, _)| name);
    match (given.next(), given.next()) {
        (Some(one), Some(other)) => {
            Err(format!("Option \"[{one}]\" can't be used with option \"[{other}]\""))
        }
        _ => Ok(()),
    }
}

/// Groups of every broker, those of consumers only; each group is known to one coordinator.
async fn all_groups(
    cluster: &Cluster,
    states: &[String],
    types: &[String],
) -> Result<Vec<ListedGroup>, GroupError> {
    let mut all = Vec::new();
    for broker in cluster.metadata(Some(&[])).await?.brokers {
        let connection = cluster.broker(broker.node_id).await?;
        let request =
            ListGroupsRequest { states_filter: states.to_vec(), types_filter: types.to_vec() };
        let deadline = cluster.deadline();
        loop {
            let response = connection.call(&request).await.map_err(ClusterError::from)?;
            match ClusterError::check(response.error_code, None) {
                Ok(()) => {
                    all.extend(response.groups);
                    break;
                }
                Err(error) if error.code().is_some_and(|code| code.retriable()) => {
                    cluster.pause(deadline, error).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    all.retain(|g| g.protocol_type == "consumer" || g.protocol_type.is_empty());
    Ok(all)
}

/// The groups that the flags name.
async fn named_groups(cluster: &Cluster, flags: &Flags) -> Result<Vec<String>, GroupError> {
    if !flags.all_groups {
        let mut names = flags.group.clone();
        names.sort();
        names.dedup();
        return Ok(names);
    }
    let all = all_groups(cluster, &[], &[]).await?;
    let mut names: Vec<String> = all.into_iter().map(|g| g.group_id).collect();
    names.sort();
    Ok(names)
}

const STATES: [&str; 7] = [
    "PreparingRebalance",
    "CompletingRebalance",
    "Stable",
    "Dead",
    "Empty",
    "Assigning",
    "Reconciling",
];
const TYPES: [&str; 3] = ["Consumer", "Classic", "Share"];

/// Names from a comma-separated list in any case, spelled as Kafka spells them.
fn spelled(what: &str, plural: &str, given: &str, known: &[&str]) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    for name in given.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        match known.iter().find(|k| k.eq_ignore_ascii_case(name)) {
            Some(found) => all.push(found.to_string()),
            None => {
                return Err(format!(
                    "Invalid {what} list '{given}'. Valid {plural} are: {}",
                    known.join(", ")
                ));
            }
        }
    }
    Ok(all)
}

async fn list(cluster: &Cluster, flags: &Flags, report: &mut Report) -> Result<(), GroupError> {
    let state = flags.state.as_deref().unwrap_or_default();
    let states = spelled("state", "states", state, &STATES).map_err(GroupError::Usage)?;
    let group_type = flags.group_type.as_deref().unwrap_or_default();
    let types = spelled("types", "types", group_type, &TYPES).map_err(GroupError::Usage)?;
    let groups = all_groups(cluster, &states, &types).await?;
    if flags.json {
        let shown: Vec<_> = groups
            .iter()
            .map(|g| {
                serde_json::json!({
                    "group": g.group_id, "state": g.group_state, "type": g.group_type,
                })
            })
            .collect();
        let _ = writeln!(report.out, "{}", serde_json::json!(shown));
        return Ok(());
    }
    if flags.state.is_none() && flags.group_type.is_none() {
        for group in &groups {
            let _ = writeln!(report.out, "{}", group.group_id);
        }
        return Ok(());
    }
    let width = groups.iter().map(|g| g.group_id.chars().count()).max().unwrap_or(0).max(15) + 10;
    let mut row = |group: &str, group_type: &str, state: &str| {
        report.out.push_str(&output::left(group, width));
        if flags.group_type.is_some() {
            let _ = write!(report.out, " {}", output::left(group_type, 20));
        }
        if flags.state.is_some() {
            let _ = write!(report.out, " {}", output::left(state, 20));
        }
        report.out.push('\n');
    };
    row("GROUP", "TYPE", "STATE");
    let or_unknown = |text: &str| if text.is_empty() { "Unknown" } else { text }.to_owned();
    for group in &groups {
        row(
            &group.group_id,
            &or_unknown(&output::capital(&group.group_type)),
            &or_unknown(&group.group_state),
        );
    }
    Ok(())
}

async fn delete(cluster: &Cluster, flags: &Flags, report: &mut Report) -> Result<(), GroupError> {
    let names = named_groups(cluster, flags).await?;
    let mut deleted = Vec::new();
    let mut failed = Vec::new();
    for name in names {
        let request = DeleteGroupsRequest { groups_names: vec![name.clone()] };
        let code = |r: &<DeleteGroupsRequest as protocol::wire::Request>::Response| {
            r.results.first().map_or(0, |result| result.error_code)
        };
        let done = cluster.call_coordinator(&name, &request, code).await;
        match done.and_then(|(_, response)| ClusterError::check(code(&response), None)) {
            Ok(()) => deleted.push(name),
            Err(error) => failed.push((name, error)),
        }
    }
    if failed.is_empty() {
        let _ = writeln!(
            report.out,
            "Deletion of requested consumer groups ('{}') was successful.",
            deleted.join(", ")
        );
        return Ok(());
    }
    report.error("Deletion of some consumer groups failed:");
    for (group, error) in failed {
        let _ = writeln!(
            report.out,
            "* Group '{group}' could not be deleted due to: \
             java.util.concurrent.ExecutionException: {}",
            error.exception()
        );
    }
    if !deleted.is_empty() {
        let _ = writeln!(
            report.out,
            "\nThese consumer groups were deleted successfully: '{}', '",
            deleted.join("'")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(given: &[&str]) -> String {
        let mut all = vec!["--bootstrap-server=b:1".to_owned()];
        all.extend(given.iter().map(|s| s.to_string()));
        check(&args::parse(TOOL, &all).unwrap()).unwrap_err()
    }

    #[test]
    fn wrong_combinations_are_refused_in_kafkas_words() {
        assert!(refusal(&[]).starts_with("Command must include exactly one action"));
        assert!(refusal(&["--describe"]).starts_with("Option [describe] takes one of these"));
        assert!(
            refusal(&["--describe", "--group=g", "--members", "--offsets"])
                .starts_with("Option [describe] takes at most one")
        );
        assert_eq!(
            refusal(&["--list", "--group=g"]),
            "Option \"[group]\" can't be used with option \"[list]\""
        );
        assert_eq!(
            refusal(&["--reset-offsets", "--group=g", "--to-latest", "--to-offset=3"]),
            "Option \"[to-offset]\" can't be used with option \"[to-latest]\""
        );
    }

    #[test]
    fn states_are_spelled_as_kafka_spells_them() {
        let spelled = |given| spelled("state", "states", given, &STATES);
        assert_eq!(spelled("stable, EMPTY").unwrap(), ["Stable", "Empty"]);
        assert!(spelled("x").unwrap_err().starts_with("Invalid state"));
    }
}
