//! The settings that slow a reassignment down, set and lifted. Knows nothing of reassignments.

use std::collections::BTreeSet;

use client::cluster::{Cluster, ClusterError};
use protocol::ids::BrokerId;
use protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig,
    IncrementalAlterConfigsRequest,
};

use super::plan::{Moves, Plan, joined, throttled};
use crate::{java_order, output};

const LEADER_RATE: &str = "leader.replication.throttled.rate";
const FOLLOWER_RATE: &str = "follower.replication.throttled.rate";
const LOG_DIR_RATE: &str = "replica.alter.log.dirs.io.max.bytes.per.second";
const LEADER_REPLICAS: &str = "leader.replication.throttled.replicas";
const FOLLOWER_REPLICAS: &str = "follower.replication.throttled.replicas";

const TOPIC_RESOURCE: i8 = 2;
const BROKER_RESOURCE: i8 = 4;
const OPERATION_SET: i8 = 0;
const OPERATION_DELETE: i8 = 1;

/// Slows the moves' partitions down, on every broker at either end, to `rate` bytes per second.
pub async fn between_brokers(
    cluster: &Cluster,
    moves: &Moves,
    rate: i64,
) -> Result<(), ClusterError> {
    let leaders = throttled(moves, |one| &one.sources);
    let mut followers = throttled(moves, |one| &one.destinations);
    for (topic, sources) in leaders {
        let destinations = followers.remove(topic).unwrap_or_default();
        let settings = vec![set(LEADER_REPLICAS, sources), set(FOLLOWER_REPLICAS, destinations)];
        alter_topic(cluster, topic, settings).await?;
    }
    let ends: BTreeSet<BrokerId> = moves
        .values()
        .flat_map(|one| one.sources.iter().chain(&one.destinations).copied())
        .collect();
    for broker in ends {
        let settings = vec![set(LEADER_RATE, rate), set(FOLLOWER_RATE, rate)];
        alter_broker(cluster, broker, settings).await?;
    }
    output::print(&format!("The inter-broker throttle limit was set to {rate} B/s\n"));
    Ok(())
}

/// Slows moves between the log directories of these brokers down.
pub async fn between_log_dirs(
    cluster: &Cluster,
    brokers: &BTreeSet<BrokerId>,
    rate: i64,
) -> Result<(), ClusterError> {
    for broker in brokers {
        alter_broker(cluster, *broker, vec![set(LOG_DIR_RATE, rate)]).await?;
    }
    output::print(&format!("The replica-alter-dir throttle limit was set to {rate} B/s\n"));
    Ok(())
}

/// Lifts every throttle that the plan may have needed: nobody remembers which brokers were sources.
pub async fn clear(cluster: &Cluster, plan: &Plan) -> Result<(), ClusterError> {
    let there = cluster.metadata(Some(&[])).await?.brokers;
    let mut brokers: BTreeSet<BrokerId> = there.iter().map(|broker| broker.node_id).collect();
    brokers.extend(plan.partitions.iter().flat_map(|(_, replicas)| replicas));
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    output::print(&format!(
        "Clearing broker-level throttles on broker{} {}\n",
        plural(brokers.len()),
        joined(&brokers)
    ));
    for broker in brokers {
        let settings = [LEADER_RATE, FOLLOWER_RATE, LOG_DIR_RATE].map(delete).to_vec();
        alter_broker(cluster, broker, settings).await?;
    }
    let topics = java_order::of_map(plan.topics(), |name| java_order::string_hash(name));
    output::print(&format!(
        "Clearing topic-level throttles on topic{} {}\n",
        plural(topics.len()),
        topics.join(",")
    ));
    for topic in topics {
        let settings = [LEADER_REPLICAS, FOLLOWER_REPLICAS].map(delete).to_vec();
        alter_topic(cluster, topic, settings).await?;
    }
    Ok(())
}

fn set(name: &str, value: impl ToString) -> AlterableConfig {
    AlterableConfig {
        name: name.to_owned(),
        config_operation: OPERATION_SET,
        value: Some(value.to_string()),
    }
}

fn delete(name: &str) -> AlterableConfig {
    AlterableConfig { name: name.to_owned(), config_operation: OPERATION_DELETE, value: None }
}

fn request(
    resource_type: i8,
    resource_name: String,
    configs: Vec<AlterableConfig>,
) -> IncrementalAlterConfigsRequest {
    let resource = AlterConfigsResource { resource_type, resource_name, configs };
    IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false }
}

async fn alter_topic(
    cluster: &Cluster,
    topic: &str,
    configs: Vec<AlterableConfig>,
) -> Result<(), ClusterError> {
    let request = request(TOPIC_RESOURCE, topic.to_owned(), configs);
    let response = cluster.call_any("incrementalAlterConfigs", &request).await?;
    response.responses.iter().try_for_each(check)
}

/// A broker changes its own settings itself.
async fn alter_broker(
    cluster: &Cluster,
    broker: BrokerId,
    configs: Vec<AlterableConfig>,
) -> Result<(), ClusterError> {
    let request = request(BROKER_RESOURCE, broker.to_string(), configs);
    let response = cluster.broker(broker).await?.call(&request).await?;
    response.responses.iter().try_for_each(check)
}

fn check(response: &AlterConfigsResourceResponse) -> Result<(), ClusterError> {
    ClusterError::check(response.error_code, response.error_message.as_ref())
}
