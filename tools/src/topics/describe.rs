//! `topics --describe`. Knows nothing of changing anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use client::cluster::{Cluster, ClusterError};
use protocol::error_code::ErrorCode;
use protocol::ids::Uuid;
use protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResult,
};
use protocol::messages::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsTopics,
    OngoingPartitionReassignment,
};
use protocol::messages::metadata::{MetadataResponsePartition, MetadataResponseTopic};
use serde_json::json;

use super::{Flags, TopicError, ensure_exists, matching};
use crate::java_order;

const TOPIC_RESOURCE: i8 = 2;
/// `DEFAULT_CONFIG`: nobody set the value anywhere.
const SOURCE_DEFAULT: i8 = 5;

type Reassignments = BTreeMap<(String, i32), OngoingPartitionReassignment>;

pub async fn describe(cluster: &Cluster, flags: &Flags) -> Result<String, TopicError> {
    let topics = wanted(cluster, flags).await?;
    let configs = configs(cluster, &topics).await?;
    let live: BTreeSet<i32> =
        cluster.metadata(Some(&[])).await?.brokers.iter().map(|b| b.node_id).collect();
    let moving = reassignments(cluster, &topics).await?;
    let mut out = String::new();
    let mut all = Vec::new();
    for mut topic in topics {
        topic.partitions.sort_by_key(|p| p.partition_index);
        let name = topic.name.clone().unwrap_or_default();
        let config = configs.get(&name);
        if flags.json {
            all.push(as_json(&topic, config));
            continue;
        }
        let view = View { flags, live: &live, moving: &moving, name: &name, topic: &topic, config };
        view.write(&mut out);
    }
    if flags.json {
        out = format!("{}\n", json!(all));
    }
    Ok(out)
}

async fn wanted(
    cluster: &Cluster,
    flags: &Flags,
) -> Result<Vec<MetadataResponseTopic>, TopicError> {
    if let Some(text) = &flags.topic_id {
        let id = Uuid::parse(text)
            .ok_or_else(|| TopicError::Refused(format!("Input string `{text}` is no topic id")))?;
        if !id.is_zero() {
            let mut all = cluster.all_topics().await?.topics;
            all.retain(|t| t.topic_id == id);
            if all.is_empty() && !flags.if_exists {
                let text = format!("TopicId '{id}' does not exist as expected");
                return Err(TopicError::Refused(text));
            }
            return Ok(all);
        }
    }
    let names = matching(cluster, flags).await?;
    ensure_exists(&names, flags)?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut topics = cluster.topics(&names).await?;
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    let hash = |topic: &MetadataResponseTopic| {
        java_order::string_hash(topic.name.as_deref().unwrap_or_default())
    };
    Ok(java_order::of_map_for(topics.len(), topics, hash))
}

async fn configs(
    cluster: &Cluster,
    topics: &[MetadataResponseTopic],
) -> Result<BTreeMap<String, DescribeConfigsResult>, TopicError> {
    if topics.is_empty() {
        return Ok(BTreeMap::new());
    }
    let resource = |topic: &MetadataResponseTopic| DescribeConfigsResource {
        resource_type: TOPIC_RESOURCE,
        resource_name: topic.name.clone().unwrap_or_default(),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest {
        resources: topics.iter().map(resource).collect(),
        ..Default::default()
    };
    let response = cluster.call_any("describeConfigs", &request).await?;
    let mut all = BTreeMap::new();
    for result in response.results {
        ClusterError::check(result.error_code, result.error_message.as_ref())?;
        all.insert(result.resource_name.clone(), result);
    }
    Ok(all)
}

/// Partitions that are being moved; none where the broker cannot tell.
async fn reassignments(
    cluster: &Cluster,
    topics: &[MetadataResponseTopic],
) -> Result<Reassignments, TopicError> {
    if topics.is_empty() {
        return Ok(Reassignments::new());
    }
    let asked = |topic: &MetadataResponseTopic| ListPartitionReassignmentsTopics {
        name: topic.name.clone().unwrap_or_default(),
        partition_indexes: topic.partitions.iter().map(|p| p.partition_index).collect(),
    };
    let request = ListPartitionReassignmentsRequest {
        topics: Some(topics.iter().map(asked).collect()),
        ..Default::default()
    };
    let response = match cluster.call_controller(&request, |r| vec![r.error_code]).await {
        Ok(response) => response,
        Err(error) if error.is_unsupported() => return Ok(Reassignments::new()),
        Err(error) => return Err(error.into()),
    };
    if ErrorCode(response.error_code) == ErrorCode::CLUSTER_AUTHORIZATION_FAILED {
        return Ok(Reassignments::new());
    }
    ClusterError::check(response.error_code, response.error_message.as_ref())?;
    let mut all = Reassignments::new();
    for topic in response.topics {
        for partition in topic.partitions {
            all.insert((topic.name.clone(), partition.partition_index), partition);
        }
    }
    Ok(all)
}

struct View<'a> {
    flags: &'a Flags,
    live: &'a BTreeSet<i32>,
    moving: &'a Reassignments,
    name: &'a str,
    topic: &'a MetadataResponseTopic,
    config: Option<&'a DescribeConfigsResult>,
}

impl View<'_> {
    fn write(&self, out: &mut String) {
        let flags = self.flags;
        let reports = flags.unavailable_partitions
            || flags.under_replicated_partitions
            || flags.under_min_isr_partitions
            || flags.at_min_isr_partitions;
        let overridden = self.overrides();
        if !reports && (!flags.topics_with_overrides || !overridden.is_empty()) {
            self.head(out, &overridden);
        }
        if flags.topics_with_overrides {
            return;
        }
        for partition in &self.topic.partitions {
            if !reports || self.reported(partition) {
                self.partition(out, partition);
            }
        }
    }

    /// Kafka's tool keeps all of a topic's settings in a `HashMap` and prints those that were set.
    fn overrides(&self) -> Vec<String> {
        let all = self.config.iter().flat_map(|config| &config.configs).collect();
        let entries = java_order::of_map(all, |entry| java_order::string_hash(&entry.name));
        entries
            .into_iter()
            .filter(|entry| entry.config_source != SOURCE_DEFAULT)
            .map(|entry| format!("{}={}", entry.name, entry.value.as_deref().unwrap_or("null")))
            .collect()
    }

    fn head(&self, out: &mut String, overridden: &[String]) {
        let _ = write!(out, "Topic: {}", self.name);
        if !self.topic.topic_id.is_zero() {
            let _ = write!(out, "\tTopicId: {}", self.topic.topic_id);
        }
        let factor = self.topic.partitions.first().map_or(0, |p| self.replication_factor(p));
        let _ = writeln!(
            out,
            "\tPartitionCount: {}\tReplicationFactor: {factor}\tConfigs: {}",
            self.topic.partitions.len(),
            overridden.join(",")
        );
    }

    fn moving(&self, p: &MetadataResponsePartition) -> Option<&OngoingPartitionReassignment> {
        self.moving.get(&(self.name.to_owned(), p.partition_index))
    }

    /// Replicas that are only being added do not count.
    fn replication_factor(&self, p: &MetadataResponsePartition) -> usize {
        match self.moving(p) {
            Some(moving)
                if p.replica_nodes.iter().any(|id| {
                    moving.adding_replicas.contains(id) || moving.removing_replicas.contains(id)
                }) =>
            {
                moving.replicas.len() - moving.adding_replicas.len()
            }
            _ => p.replica_nodes.len(),
        }
    }

    fn reported(&self, p: &MetadataResponsePartition) -> bool {
        let flags = self.flags;
        let entries = self.config.iter().flat_map(|config| &config.configs);
        let min_isr = entries
            .filter(|entry| entry.name == "min.insync.replicas")
            .find_map(|entry| entry.value.as_deref()?.parse::<usize>().ok())
            .unwrap_or(1);
        let isr = p.isr_nodes.len();
        let has_leader = p.leader_id >= 0;
        flags.under_replicated_partitions && self.replication_factor(p) > isr
            || flags.unavailable_partitions && !self.live.contains(&p.leader_id)
            || flags.under_min_isr_partitions && (!has_leader || isr < min_isr)
            || flags.at_min_isr_partitions && isr == min_isr
    }

    fn partition(&self, out: &mut String, p: &MetadataResponsePartition) {
        let leader = match p.leader_id {
            id if id >= 0 => id.to_string(),
            _ => "none".to_owned(),
        };
        let _ = write!(
            out,
            "\tTopic: {}\tPartition: {}\tLeader: {leader}\tReplicas: {}\tIsr: {}",
            self.name,
            p.partition_index,
            ids(&p.replica_nodes),
            ids(&p.isr_nodes)
        );
        if let Some(moving) = self.moving(p) {
            let _ = write!(
                out,
                "\tAdding Replicas: {}\tRemoving Replicas: {}",
                ids(&moving.adding_replicas),
                ids(&moving.removing_replicas)
            );
        }
        // Eligible leader replicas exist in KRaft alone.
        out.push_str("\tElr: N/A\tLastKnownElr: N/A\n");
    }
}

fn ids(nodes: &[i32]) -> String {
    nodes.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

fn as_json(
    topic: &MetadataResponseTopic,
    config: Option<&DescribeConfigsResult>,
) -> serde_json::Value {
    let partition = |p: &MetadataResponsePartition| {
        json!({
            "partition": p.partition_index,
            "leader": p.leader_id,
            "replicas": p.replica_nodes,
            "isr": p.isr_nodes,
        })
    };
    let entries = config.iter().flat_map(|config| &config.configs);
    let configs: BTreeMap<&str, Option<&str>> = entries
        .filter(|entry| entry.config_source != SOURCE_DEFAULT)
        .map(|entry| (entry.name.as_str(), entry.value.as_deref()))
        .collect();
    json!({
        "topic": topic.name,
        "topic_id": topic.topic_id.to_string(),
        "internal": topic.is_internal,
        "configs": configs,
        "partitions": topic.partitions.iter().map(partition).collect::<Vec<_>>(),
    })
}
