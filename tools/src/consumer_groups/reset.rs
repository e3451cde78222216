//! `consumer-groups --reset-offsets`. Knows nothing of describing.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::IsTerminal;

use client::cluster::{Cluster, ClusterError, EARLIEST_TIMESTAMP, LATEST_TIMESTAMP};
use protocol::ids::{Offset, TimestampMs, TopicPartition};

use super::describe::described;
use super::plan::{self, Plan};
use super::{Flags, GroupError, Report, named_groups, offsets};
use crate::output::left;
use crate::{dates, java_order};

type Offsets = BTreeMap<TopicPartition, Offset>;

pub async fn reset(
    cluster: &Cluster,
    flags: &Flags,
    report: &mut Report,
) -> Result<(), GroupError> {
    let mut all = Plan::new();
    for group in named_groups(cluster, flags).await? {
        let (_, described) = described(cluster, &group).await?;
        let state = described.group_state;
        if state != "Empty" && state != "Dead" {
            report.error(&format!(
                "Assignments can only be reset if the group '{group}' is inactive, but the current \
                 state is {state}."
            ));
            all.insert(group, Offsets::new());
            continue;
        }
        let wanted = wanted(cluster, flags, &group).await?;
        let new = new_offsets(cluster, flags, &group, &wanted, report).await?;
        if flags.execute && !flags.dry_run && !new.is_empty() {
            cluster.commit_offsets(&group, -1, "", &new).await?;
        }
        all.insert(group, new);
    }
    if flags.export {
        let _ = writeln!(report.out, "{}", plan::to_csv(&all, flags.group.len() != 1));
        return Ok(());
    }
    print_plan(&all, report);
    Ok(())
}

fn print_plan(all: &Plan, report: &mut Report) {
    // Kafka 3.9 forgets the line ends of its rows; people get them, scripts get what they know.
    let row_end = if std::io::stdout().is_terminal() { "\n" } else { "" };
    let mut row = |group: &str, topic: &str, partition: &str, offset: &str| {
        let (group, topic) = (left(group, 30), left(topic, 30));
        let (partition, offset) = (left(partition, 10), left(offset, 15));
        let _ = write!(report.out, "{group} {topic} {partition} {offset}{row_end}");
    };
    if !all.is_empty() {
        row("\nGROUP", "TOPIC", "PARTITION", "NEW-OFFSET");
    }
    for (group, offsets) in all {
        let rows = java_order::of_map(offsets.iter().collect(), |(p, _)| {
            java_order::partition_hash(&p.topic, p.partition)
        });
        for (p, offset) in rows {
            row(group, &p.topic, &p.partition.to_string(), &offset.to_string());
        }
    }
}

async fn wanted(
    cluster: &Cluster,
    flags: &Flags,
    group: &str,
) -> Result<Vec<TopicPartition>, GroupError> {
    if flags.all_topics {
        return Ok(cluster.committed_offsets(group).await?.into_keys().collect());
    }
    if !flags.topic.is_empty() {
        return offsets::partitions(cluster, &flags.topic).await;
    }
    if flags.from_file.is_some() {
        return Ok(Vec::new());
    }
    let text = "One of the reset scopes should be defined: --all-topics, --topic.";
    Err(GroupError::Usage(text.to_owned()))
}

async fn new_offsets(
    cluster: &Cluster,
    flags: &Flags,
    group: &str,
    wanted: &[TopicPartition],
    report: &mut Report,
) -> Result<Offsets, GroupError> {
    let usage = |text: String| Err(GroupError::Usage(text));
    if let Some(offset) = flags.to_offset {
        let asked = wanted.iter().map(|p| (p.clone(), offset)).collect();
        return within_log(cluster, asked, report).await;
    }
    if flags.to_earliest {
        return at(cluster, wanted, EARLIEST_TIMESTAMP).await;
    }
    if flags.to_latest {
        return at(cluster, wanted, LATEST_TIMESTAMP).await;
    }
    if let Some(by) = flags.shift_by {
        let committed = cluster.committed_offsets(group).await?;
        let mut asked = Offsets::new();
        for partition in wanted {
            let Some(current) = committed.get(partition) else {
                return usage(format!(
                    "Cannot shift offset for partition {partition} since there is no current \
                     committed offset"
                ));
            };
            asked.insert(partition.clone(), current + by);
        }
        return within_log(cluster, asked, report).await;
    }
    if let Some(text) = &flags.to_datetime {
        let Some(time) = plan::datetime(text) else {
            return usage(format!("Unparseable date: \"{text}\""));
        };
        return at_time(cluster, wanted, time, report).await;
    }
    if let Some(text) = &flags.by_duration {
        let Some(ago) = plan::duration_ms(text) else {
            return usage(format!("Text cannot be parsed to a Duration: {text}"));
        };
        return at_time(cluster, wanted, dates::now_ms() - ago, report).await;
    }
    if let Some(path) = &flags.from_file {
        let text = std::fs::read_to_string(path)
            .map_err(|e| GroupError::Usage(format!("{}: {e}", path.display())))?;
        let only = (flags.group.len() == 1).then(|| flags.group[0].as_str());
        let mut plan = plan::parse_csv(&text, only).map_err(GroupError::Usage)?;
        let Some(asked) = plan.remove(group) else {
            report.error(&format!("No reset plan for group {group} found"));
            return Ok(Offsets::new());
        };
        return within_log(cluster, asked, report).await;
    }
    if flags.to_current {
        let committed = cluster.committed_offsets(group).await?;
        let (known, new): (Vec<_>, Vec<_>) =
            wanted.iter().cloned().partition(|p| committed.contains_key(p));
        let mut all = at(cluster, &new, LATEST_TIMESTAMP).await?;
        all.extend(known.into_iter().map(|p| {
            let offset = committed[&p];
            (p, offset)
        }));
        return Ok(all);
    }
    usage(
        "Option '[reset-offsets]' requires one of the following scenarios: [to-offset], \
         [shift-by], [to-datetime], [by-duration], [to-earliest], [to-latest], [to-current], \
         [from-file]"
            .to_owned(),
    )
}

async fn at(
    cluster: &Cluster,
    wanted: &[TopicPartition],
    time: TimestampMs,
) -> Result<Offsets, GroupError> {
    let asked = wanted.iter().map(|p| (p.clone(), time)).collect();
    let mut all = Offsets::new();
    for (partition, answer) in cluster.list_offsets(&asked).await? {
        let offset = answer.map_err(ClusterError::from_code)?;
        all.insert(partition, offset);
    }
    Ok(all)
}

/// The first record at or after a time; the end where there is none.
async fn at_time(
    cluster: &Cluster,
    wanted: &[TopicPartition],
    time: TimestampMs,
    report: &mut Report,
) -> Result<Offsets, GroupError> {
    let mut all = at(cluster, wanted, time).await?;
    let empty: Vec<TopicPartition> =
        all.iter().filter(|(_, offset)| **offset < 0).map(|(p, _)| p.clone()).collect();
    for p in &empty {
        let _ = writeln!(
            report.out,
            "\nWarn: Partition {} from topic {} is empty. Falling back to latest known offset.",
            p.partition, p.topic
        );
    }
    all.extend(at(cluster, &empty, LATEST_TIMESTAMP).await?);
    Ok(all)
}

/// No offset outside of the log.
async fn within_log(
    cluster: &Cluster,
    asked: Offsets,
    report: &mut Report,
) -> Result<Offsets, GroupError> {
    let partitions: Vec<TopicPartition> = asked.keys().cloned().collect();
    let starts = at(cluster, &partitions, EARLIEST_TIMESTAMP).await?;
    let ends = at(cluster, &partitions, LATEST_TIMESTAMP).await?;
    let mut all = Offsets::new();
    for (partition, offset) in asked {
        let (start, end) = (starts[&partition], ends[&partition]);
        let kept = offset.clamp(start.min(end), end);
        if kept != offset {
            let which = if offset > end { "higher than latest" } else { "lower than earliest" };
            let _ = writeln!(
                report.notes,
                "WARN New offset ({offset}) is {which} offset for topic partition {partition}. \
                 Value will be set to {kept}"
            );
        }
        all.insert(partition, kept);
    }
    Ok(all)
}
