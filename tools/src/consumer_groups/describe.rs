//! `consumer-groups --describe`: offsets and lag, members, or the state. Knows nothing of changing
//! groups.

use std::collections::BTreeMap;
use std::fmt::Write;

use client::cluster::{Cluster, ClusterError, Coordinator, LATEST_TIMESTAMP};
use protocol::ids::{Offset, TopicPartition};
use protocol::messages::consumer_group_describe::{self, ConsumerGroupDescribeRequest};
use protocol::messages::consumer_protocol::{self, ConsumerProtocolAssignment};
use protocol::messages::describe_groups::{
    DescribeGroupsRequest, DescribedGroup, DescribedGroupMember,
};
use protocol::wire::{Message, Request};
use serde_json::json;

use super::{Flags, GroupError, Report, named_groups};
use crate::java_order;
use crate::output::left;

/// What Kafka shows where there is nothing.
const MISSING: &str = "-";

pub async fn describe(
    cluster: &Cluster,
    flags: &Flags,
    report: &mut Report,
) -> Result<(), GroupError> {
    let mut shown = Vec::new();
    for name in named_groups(cluster, flags).await? {
        let (coordinator, group) = described(cluster, &name).await?;
        if flags.json {
            let rows = offset_rows(cluster, &name, &group).await?;
            shown.push(as_json(&coordinator, &group, &rows));
        } else if flags.members {
            members(flags, &group, report);
        } else if flags.state.is_some() {
            state(&coordinator, &group, report);
        } else {
            let rows = offset_rows(cluster, &name, &group).await?;
            if worth_showing(&group, rows.len(), report) {
                print_offsets(&rows, report);
            }
        }
    }
    if flags.json {
        let _ = writeln!(report.out, "{}", json!(shown));
    }
    Ok(())
}

/// A group as its coordinator describes it; one that does not exist is `Dead`.
pub async fn described(
    cluster: &Cluster,
    name: &str,
) -> Result<(Coordinator, DescribedGroup), ClusterError> {
    let request = DescribeGroupsRequest { groups: vec![name.to_owned()], ..Default::default() };
    let code = |r: &<DescribeGroupsRequest as Request>::Response| {
        r.groups.first().map_or(0, |group| group.error_code)
    };
    let (coordinator, response) = cluster.call_coordinator(name, &request, code).await?;
    let group = response.groups.into_iter().next().unwrap_or_default();
    ClusterError::check(group.error_code, None)?;
    if group.group_state == "Dead"
        && let Some(group) = of_new_protocol(&coordinator, name).await?
    {
        return Ok((coordinator, group));
    }
    Ok((coordinator, group))
}

/// A group of the new protocol (KIP-848) as if it were a classic one; `None` if it is none.
async fn of_new_protocol(
    coordinator: &Coordinator,
    name: &str,
) -> Result<Option<DescribedGroup>, ClusterError> {
    let connection = &coordinator.connection;
    if connection.version_of::<ConsumerGroupDescribeRequest>().is_err() {
        return Ok(None);
    }
    let request =
        ConsumerGroupDescribeRequest { group_ids: vec![name.to_owned()], ..Default::default() };
    let response = connection.call(&request).await?;
    let group = response.groups.into_iter().next().filter(|group| group.error_code == 0);
    Ok(group.map(|group| DescribedGroup {
        group_id: group.group_id,
        group_state: group.group_state,
        protocol_type: "consumer".to_owned(),
        protocol_data: group.assignor_name,
        members: group.members.into_iter().map(to_classic).collect(),
        ..DescribedGroup::default()
    }))
}

fn to_classic(member: consumer_group_describe::Member) -> DescribedGroupMember {
    let topic = |topic: consumer_group_describe::TopicPartitions| {
        consumer_protocol::TopicPartition { topic: topic.topic_name, partitions: topic.partitions }
    };
    let assignment = ConsumerProtocolAssignment {
        assigned_partitions: member.assignment.topic_partitions.into_iter().map(topic).collect(),
        ..ConsumerProtocolAssignment::default()
    };
    DescribedGroupMember {
        member_id: member.member_id,
        group_instance_id: member.instance_id,
        client_id: member.client_id,
        client_host: member.client_host,
        // Names are shorter than what the protocol can carry: they came over it.
        member_assignment: assignment.encode_versioned(0).unwrap_or_default(),
        ..DescribedGroupMember::default()
    }
}

/// Says what is unusual about the group's state; false if there is nothing to show then.
fn worth_showing(group: &DescribedGroup, rows: usize, report: &mut Report) -> bool {
    let id = &group.group_id;
    match group.group_state.as_str() {
        "Dead" => report.error(&format!("Consumer group '{id}' does not exist.")),
        "Empty" => report.note(&format!("Consumer group '{id}' has no active members.")),
        "PreparingRebalance" | "CompletingRebalance" | "Assigning" | "Reconciling" => {
            report.note(&format!("Warning: Consumer group '{id}' is rebalancing."));
        }
        _ => {}
    }
    group.group_state != "Dead" && rows > 0
}

struct OffsetRow {
    group: String,
    partition: TopicPartition,
    offset: Option<Offset>,
    end: Option<Offset>,
    /// Member id, host, client id.
    member: Option<(String, String, String)>,
}

impl OffsetRow {
    fn lag(&self) -> Option<i64> {
        Some(self.end? - self.offset?)
    }
}

/// The member's partitions; none if it has no assignment that we can read.
fn assigned(member: &DescribedGroupMember) -> Vec<TopicPartition> {
    let bytes = member.member_assignment.clone();
    let assignment = match bytes.is_empty() {
        true => ConsumerProtocolAssignment::default(),
        false => ConsumerProtocolAssignment::decode_versioned(bytes)
            .map(|(_, assignment)| assignment)
            .unwrap_or_default(),
    };
    let mut all: Vec<TopicPartition> = assignment
        .assigned_partitions
        .into_iter()
        .flat_map(|t| {
            t.partitions.into_iter().map(move |p| TopicPartition::new(t.topic.clone(), p))
        })
        .collect();
    all.sort();
    all
}

async fn offset_rows(
    cluster: &Cluster,
    name: &str,
    group: &DescribedGroup,
) -> Result<Vec<OffsetRow>, GroupError> {
    let mut unassigned = match group.group_state.as_str() {
        "Dead" => BTreeMap::new(),
        _ => cluster.committed_offsets(name).await?,
    };
    let committed = unassigned.clone();
    let mut holders = Vec::new();
    for member in &group.members {
        let mine = assigned(member);
        if !mine.is_empty() {
            let id = member.member_id.clone();
            let identity = (id, member.client_host.clone(), member.client_id.clone());
            holders.push((mine, identity));
        }
    }
    // Whoever holds most comes first.
    holders.sort_by_key(|(mine, _)| std::cmp::Reverse(mine.len()));
    let mut rows = Vec::new();
    let row = |partition: TopicPartition, member| OffsetRow {
        group: name.to_owned(),
        offset: committed.get(&partition).copied(),
        end: None,
        partition,
        member,
    };
    for (mine, identity) in holders {
        for partition in in_java_order(mine) {
            unassigned.remove(&partition);
            rows.push(row(partition, Some(identity.clone())));
        }
    }
    let unassigned = in_java_order(unassigned.into_keys().collect());
    rows.extend(unassigned.into_iter().map(|partition| row(partition, None)));
    let wanted = rows.iter().map(|r| (r.partition.clone(), LATEST_TIMESTAMP)).collect();
    let ends = cluster.list_offsets(&wanted).await?;
    for row in &mut rows {
        row.end = ends.get(&row.partition).and_then(|answer| answer.ok());
    }
    Ok(rows)
}

/// One member's partitions as Kafka's tool shows them.
fn in_java_order(mut partitions: Vec<TopicPartition>) -> Vec<TopicPartition> {
    partitions.sort_by_key(|p| p.partition);
    java_order::of_map(partitions, |p| java_order::partition_hash(&p.topic, p.partition))
}

fn print_offsets(rows: &[OffsetRow], report: &mut Report) {
    let member = |row: &OffsetRow| match &row.member {
        Some(member) => member.clone(),
        None => (MISSING.to_owned(), MISSING.to_owned(), MISSING.to_owned()),
    };
    let width = |of: &dyn Fn(&OffsetRow) -> usize| rows.iter().map(of).max().unwrap_or(0).max(15);
    let group_width = width(&|r| r.group.chars().count());
    let topic_width = width(&|r| r.partition.topic.chars().count());
    let member_width = width(&|r| member(r).0.chars().count());
    let host_width = width(&|r| member(r).1.chars().count());
    let mut line = |cells: [&str; 9]| {
        let widths = [group_width, topic_width, 10, 15, 15, 15, member_width, host_width];
        report.out.push('\n');
        for (cell, width) in cells.iter().zip(widths) {
            let _ = write!(report.out, "{} ", left(cell, width));
        }
        report.out.push_str(cells[8]);
    };
    line([
        "GROUP",
        "TOPIC",
        "PARTITION",
        "CURRENT-OFFSET",
        "LOG-END-OFFSET",
        "LAG",
        "CONSUMER-ID",
        "HOST",
        "CLIENT-ID",
    ]);
    let number = |n: Option<i64>| n.map_or(MISSING.to_owned(), |n| n.to_string());
    for row in rows {
        let (id, host, client) = member(row);
        line([
            &row.group,
            &row.partition.topic,
            &row.partition.partition.to_string(),
            &number(row.offset),
            &number(row.end),
            &number(row.lag()),
            &id,
            &host,
            &client,
        ]);
    }
}

fn members(flags: &Flags, group: &DescribedGroup, report: &mut Report) {
    worth_showing(group, group.members.len(), report);
    let rows = &group.members;
    let width = |least: usize, of: &dyn Fn(&DescribedGroupMember) -> usize| {
        rows.iter().map(of).max().unwrap_or(0).max(least)
    };
    let instance = |m: &DescribedGroupMember| m.group_instance_id.clone().unwrap_or_default();
    let group_width = if rows.is_empty() { 15 } else { group.group_id.chars().count().max(15) };
    let id_width = width(15, &|m| m.member_id.chars().count());
    let instance_width = width(17, &|m| instance(m).chars().count());
    let host_width = width(15, &|m| m.client_host.chars().count());
    let client_width = width(15, &|m| m.client_id.chars().count());
    let with_instance = rows.iter().any(|m| !instance(m).is_empty());
    let line = |cells: [&str; 6], last: &str| {
        let widths = [group_width, id_width, instance_width, host_width, client_width, 15];
        let mut text = String::new();
        for (i, (cell, width)) in cells.into_iter().zip(widths).enumerate() {
            if i != 2 || with_instance {
                let _ = write!(text, "{} ", left(cell, width));
            }
        }
        text + last + "\n"
    };
    let head = ["GROUP", "CONSUMER-ID", "GROUP-INSTANCE-ID", "HOST", "CLIENT-ID", "#PARTITIONS"];
    let _ = write!(report.out, "\n{}", line(head, if flags.verbose { "ASSIGNMENT" } else { "" }));
    for m in rows {
        let count = assigned(m).len().to_string();
        let last = if flags.verbose { assignment_text(m) } else { String::new() };
        let cells =
            [&group.group_id, &m.member_id, &instance(m), &m.client_host, &m.client_id, &count];
        report.out.push_str(&line(cells.map(String::as_str), &last));
    }
}

/// `(0,1), (0)`: each topic's partitions, topics unnamed, as Kafka shows them.
fn assignment_text(member: &DescribedGroupMember) -> String {
    let mut topics: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for partition in assigned(member) {
        topics.entry(partition.topic).or_default().push(partition.partition.to_string());
    }
    let mut all: Vec<String> = topics
        .into_values()
        .map(|mut partitions| {
            partitions.sort();
            format!("({})", partitions.join(","))
        })
        .collect();
    all.sort();
    if all.is_empty() { MISSING.to_owned() } else { all.join(", ") }
}

fn state(coordinator: &Coordinator, group: &DescribedGroup, report: &mut Report) {
    if !worth_showing(group, 1, report) {
        return;
    }
    let at = format!("{}  ({})", coordinator.endpoint, coordinator.id);
    let width = at.chars().count().max(25);
    let mut line = |cells: [&str; 5]| {
        report.out.push('\n');
        for (cell, width) in cells.iter().zip([width, 25, 20, 15]) {
            let _ = write!(report.out, "{} ", left(cell, width));
        }
        report.out.push_str(cells[4]);
    };
    line(["GROUP", "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE", "#MEMBERS"]);
    let count = group.members.len().to_string();
    line([&group.group_id, &at, &group.protocol_data, &group.group_state, &count]);
    report.out.push('\n');
}

fn as_json(
    coordinator: &Coordinator,
    group: &DescribedGroup,
    rows: &[OffsetRow],
) -> serde_json::Value {
    let offset = |row: &OffsetRow| {
        json!({
            "topic": row.partition.topic,
            "partition": row.partition.partition,
            "current_offset": row.offset,
            "log_end_offset": row.end,
            "lag": row.lag(),
            "consumer_id": row.member.as_ref().map(|member| &member.0),
        })
    };
    let member = |m: &DescribedGroupMember| {
        json!({
            "consumer_id": m.member_id,
            "instance_id": m.group_instance_id,
            "client_id": m.client_id,
            "host": m.client_host,
        })
    };
    json!({
        "group": group.group_id,
        "state": group.group_state,
        "assignment_strategy": group.protocol_data,
        "coordinator": coordinator.id,
        "offsets": rows.iter().map(offset).collect::<Vec<_>>(),
        "members": group.members.iter().map(member).collect::<Vec<_>>(),
    })
}
