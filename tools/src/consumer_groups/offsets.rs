//! `consumer-groups --delete-offsets`, and the topic arguments it shares with --reset-offsets.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::IsTerminal;

use client::cluster::{Cluster, ClusterError};
use protocol::error_code::ErrorCode;
use protocol::ids::TopicPartition;
use protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
    OffsetDeleteResponse,
};

use super::{Flags, GroupError, Report};
use crate::output::left;

/// `topic` is all its partitions, `topic:0,2` two of them.
pub async fn partitions(
    cluster: &Cluster,
    topics: &[String],
) -> Result<Vec<TopicPartition>, GroupError> {
    let mut all = Vec::new();
    let mut whole = Vec::new();
    for argument in topics {
        match argument.split_once(':') {
            Some((topic, partitions)) => all.extend(listed(argument, topic, partitions)?),
            None => whole.push(argument.clone()),
        }
    }
    if !whole.is_empty() {
        for topic in cluster.topics(&whole).await? {
            let name = topic.name.unwrap_or_default();
            let one = |index| TopicPartition::new(name.clone(), index);
            all.extend(topic.partitions.iter().map(|p| one(p.partition_index)));
        }
    }
    all.sort();
    all.dedup();
    Ok(all)
}

fn listed(
    argument: &str,
    topic: &str,
    partitions: &str,
) -> Result<Vec<TopicPartition>, GroupError> {
    if partitions.is_empty() || partitions.contains(':') {
        let text = format!("Invalid topic arg '{argument}', expected topic name and partitions");
        return Err(GroupError::Usage(text));
    }
    let number = |partition: &str| {
        partition.parse().map(|p| TopicPartition::new(topic, p)).map_err(|_| {
            let text =
                format!("Invalid partition '{partition}' specified in topic arg '{argument}''");
            GroupError::Usage(text)
        })
    };
    partitions.split(',').map(number).collect()
}

pub async fn delete(
    cluster: &Cluster,
    flags: &Flags,
    report: &mut Report,
) -> Result<(), GroupError> {
    let group = &flags.group[0];
    let mut rows: BTreeMap<TopicPartition, ErrorCode> = BTreeMap::new();
    let mut wanted = Vec::new();
    for argument in &flags.topic {
        match partitions(cluster, std::slice::from_ref(argument)).await {
            Ok(found) => wanted.extend(found),
            Err(GroupError::Cluster(error)) if error.code().is_some() => {
                let code = error.code().unwrap_or_default();
                rows.insert(TopicPartition::new(argument.clone(), -1), code);
            }
            Err(error) => return Err(error),
        }
    }
    let mut topics: BTreeMap<&str, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
    for partition in &wanted {
        let partition_index = partition.partition;
        let entry = topics.entry(&partition.topic).or_default();
        entry.push(OffsetDeleteRequestPartition { partition_index });
    }
    let topics = topics
        .into_iter()
        .map(|(name, partitions)| OffsetDeleteRequestTopic { name: name.to_owned(), partitions })
        .collect();
    let request = OffsetDeleteRequest { group_id: group.clone(), topics };
    let (_, response): (_, OffsetDeleteResponse) =
        cluster.call_coordinator(group, &request, |r| r.error_code).await?;
    let mut top = ErrorCode(response.error_code);
    for topic in &response.topics {
        for p in &topic.partitions {
            let code = ErrorCode(p.error_code);
            rows.insert(TopicPartition::new(topic.name.clone(), p.partition_index), code);
            if top.is_ok() && !code.is_ok() {
                top = code;
            }
        }
    }
    for partition in wanted {
        rows.entry(partition).or_insert(top);
    }
    say(top, flags, report);
    print_rows(&rows, report);
    Ok(())
}

fn say(code: ErrorCode, flags: &Flags, report: &mut Report) {
    let group = &flags.group[0];
    match code {
        ErrorCode::NONE => {
            let topics = flags.topic.join(", ");
            let _ = writeln!(
                report.out,
                "Request succeed for deleting offsets with topic {topics} group {group}"
            );
        }
        ErrorCode::INVALID_GROUP_ID => report.error(&format!("'{group}' is not valid.")),
        ErrorCode::GROUP_ID_NOT_FOUND => report.error(&format!("'{group}' does not exist.")),
        ErrorCode::GROUP_AUTHORIZATION_FAILED => {
            report.error(&format!("Access to '{group}' is not authorized."));
        }
        ErrorCode::NON_EMPTY_GROUP => report.error(&format!(
            "Deleting offsets of a consumer group '{group}' is forbidden if the group is not empty."
        )),
        ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC
        | ErrorCode::TOPIC_AUTHORIZATION_FAILED
        | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => {
            report.error("Encounter some partition level error, see the follow-up details:");
        }
        other => report.error(&format!("Encounter some unknown error: {other}")),
    }
}

fn print_rows(rows: &BTreeMap<TopicPartition, ErrorCode>, report: &mut Report) {
    // As in `reset`: Kafka 3.9 forgets the line ends.
    let row_end = if std::io::stdout().is_terminal() { "\n" } else { "" };
    let mut row = |topic: &str, partition: &str, status: &str| {
        let (topic, partition) = (left(topic, 30), left(partition, 15));
        let _ = write!(report.out, "{topic} {partition} {}{row_end}", left(status, 15));
    };
    row("\nTOPIC", "PARTITION", "STATUS");
    for (p, code) in rows {
        let status = match code.is_ok() {
            true => "Successful".to_owned(),
            false => format!("Error: :{}", ClusterError::from_code(*code)),
        };
        let partition = match p.partition {
            index if index >= 0 => index.to_string(),
            _ => "Not Provided".to_owned(),
        };
        row(&p.topic, &partition, &status);
    }
}
