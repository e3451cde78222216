//! Configuration of topics, brokers and their loggers. Knows nothing of quotas.

use std::collections::BTreeMap;
use std::fmt::Write;

use client::cluster::{Cluster, ClusterError};
use protocol::ids::BrokerId;
use protocol::messages::alter_configs::{self, AlterConfigsRequest};
use protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
};
use protocol::messages::incremental_alter_configs::{self, IncrementalAlterConfigsRequest};
use protocol::wire::Request;
use serde_json::json;

use super::entity::Entities;
use super::{ConfigError, Flags, changes};
use crate::java_order;

const OPERATION_SET: i8 = 0;
const OPERATION_DELETE: i8 = 1;

const DYNAMIC_TOPIC: i8 = 1;
const DYNAMIC_BROKER: i8 = 2;
const DYNAMIC_DEFAULT_BROKER: i8 = 3;
const DYNAMIC_CLIENT_METRICS: i8 = 7;

/// `ConfigEntry.ConfigSource` by its number on the wire.
fn source_name(source: i8) -> &'static str {
    match source {
        1 => "DYNAMIC_TOPIC_CONFIG",
        2 => "DYNAMIC_BROKER_CONFIG",
        3 => "DYNAMIC_DEFAULT_BROKER_CONFIG",
        4 => "STATIC_BROKER_CONFIG",
        5 => "DEFAULT_CONFIG",
        6 => "DYNAMIC_BROKER_LOGGER_CONFIG",
        7 => "DYNAMIC_CLIENT_METRICS_CONFIG",
        _ => "UNKNOWN",
    }
}

fn resource_type(kind: &str) -> i8 {
    match kind {
        "topics" => 2,
        "brokers" => 4,
        "broker-loggers" => 8,
        _ => 16,
    }
}

pub async fn describe(
    cluster: &Cluster,
    flags: &Flags,
    entities: &Entities,
) -> Result<String, ConfigError> {
    let kind = &entities.types[0];
    let names = match entities.names.first() {
        Some(name) => vec![name.clone()],
        None => all_names(cluster, kind).await?,
    };
    let mut out = String::new();
    let mut all = Vec::new();
    for name in names {
        let entries = entries(cluster, kind, &name, true, flags.all).await?;
        if flags.json {
            let configs: BTreeMap<_, _> = entries.iter().map(|e| (&e.name, &e.value)).collect();
            all.push(json!({ "type": kind, "name": name, "configs": configs }));
            continue;
        }
        if name.is_empty() {
            let _ = writeln!(out, "Default configs for {kind} in the cluster are:");
        } else {
            let which = if flags.all { "All" } else { "Dynamic" };
            let _ = writeln!(out, "{which} configs for {} {name} are:", &kind[..kind.len() - 1]);
        }
        for entry in entries {
            write_entry(&mut out, &entry);
        }
    }
    if flags.json {
        out = format!("{}\n", json!(all));
    }
    Ok(out)
}

fn write_entry(out: &mut String, entry: &DescribeConfigsResourceResult) {
    let null = |value: &Option<String>| value.clone().unwrap_or_else(|| "null".to_owned());
    let synonyms: Vec<String> = entry
        .synonyms
        .iter()
        .map(|s| format!("{}:{}={}", source_name(s.source), s.name, null(&s.value)))
        .collect();
    let _ = writeln!(
        out,
        "  {}={} sensitive={} synonyms={{{}}}",
        entry.name,
        null(&entry.value),
        entry.is_sensitive,
        synonyms.join(", ")
    );
}

async fn all_names(cluster: &Cluster, kind: &str) -> Result<Vec<String>, ConfigError> {
    match kind {
        "topics" => {
            let topics = cluster.all_topics().await?.topics;
            let names = topics.into_iter().filter_map(|t| t.name).collect();
            Ok(java_order::of_map(names, |name: &String| java_order::string_hash(name)))
        }
        "brokers" | "broker-loggers" => {
            let brokers = cluster.metadata(Some(&[])).await?.brokers;
            let ids = brokers.iter().map(|b| b.node_id.to_string());
            Ok(ids.chain([String::new()]).collect())
        }
        _ => Err(ConfigError::Refused(format!(
            "All {kind} can only be listed by brokers in KRaft mode: give --entity-name"
        ))),
    }
}

/// A broker answers for itself; anybody answers for topics and for the default of brokers.
async fn call<R: Request>(
    cluster: &Cluster,
    kind: &str,
    name: &str,
    what: &'static str,
    request: &R,
) -> Result<R::Response, ConfigError> {
    let own = kind == "brokers" || kind == "broker-loggers";
    let broker = own.then(|| name.parse::<BrokerId>().ok()).flatten();
    match broker {
        None => Ok(cluster.call_any(what, request).await?),
        Some(id) => {
            cluster.metadata(Some(&[])).await?;
            let connection = cluster.broker(id).await?;
            Ok(connection.call(request).await.map_err(ClusterError::from)?)
        }
    }
}

/// An entity's entries by name; without `all`, only those that were set for this entity.
async fn entries(
    cluster: &Cluster,
    kind: &str,
    name: &str,
    synonyms: bool,
    all: bool,
) -> Result<Vec<DescribeConfigsResourceResult>, ConfigError> {
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: resource_type(kind),
            resource_name: name.to_owned(),
            configuration_keys: None,
        }],
        include_synonyms: synonyms,
        ..Default::default()
    };
    let response = call(cluster, kind, name, "describeConfigs", &request).await?;
    let source = match (kind, name) {
        ("topics", _) => Some(DYNAMIC_TOPIC),
        ("brokers", "") => Some(DYNAMIC_DEFAULT_BROKER),
        ("brokers", _) => Some(DYNAMIC_BROKER),
        ("client-metrics", _) => Some(DYNAMIC_CLIENT_METRICS),
        _ => None,
    };
    let mut entries = Vec::new();
    for result in response.results {
        ClusterError::check(result.error_code, result.error_message.as_ref())?;
        entries.extend(result.configs);
    }
    entries.retain(|e| all || source.is_none_or(|source| e.config_source == source));
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

pub async fn alter(
    cluster: &Cluster,
    flags: &Flags,
    entities: &Entities,
) -> Result<(), ConfigError> {
    let (kind, name) = (&entities.types[0], &entities.names[0]);
    let (added, removed) = changes(flags)?;
    let old = entries(cluster, kind, name, false, false).await?;
    let known = |key: &String| old.iter().any(|entry| entry.name == *key);
    let mut invalid: Vec<&str> =
        removed.iter().filter(|key| !known(key)).map(String::as_str).collect();
    if kind == "broker-loggers" {
        invalid.extend(added.iter().map(|(key, _)| key).filter(|key| !known(key)).map(|k| &**k));
        if !invalid.is_empty() {
            let text = format!("Invalid broker logger(s): {}", invalid.join(","));
            return Err(ConfigError::Refused(text));
        }
    }
    if !invalid.is_empty() {
        return Err(ConfigError::Refused(format!("Invalid config(s): {}", invalid.join(","))));
    }
    if kind == "brokers" {
        return replace(cluster, name, old, added, &removed).await;
    }
    let set = |(name, value)| incremental_alter_configs::AlterableConfig {
        name,
        config_operation: OPERATION_SET,
        value: Some(value),
    };
    let delete = |name| incremental_alter_configs::AlterableConfig {
        name,
        config_operation: OPERATION_DELETE,
        value: None,
    };
    let configs = added.into_iter().map(set).chain(removed.into_iter().map(delete)).collect();
    let request = IncrementalAlterConfigsRequest {
        resources: vec![incremental_alter_configs::AlterConfigsResource {
            resource_type: resource_type(kind),
            resource_name: name.clone(),
            configs,
        }],
        validate_only: false,
    };
    let response = call(cluster, kind, name, "incrementalAlterConfigs", &request).await?;
    for result in &response.responses {
        ClusterError::check(result.error_code, result.error_message.as_ref())?;
    }
    Ok(())
}

/// Brokers are changed as a whole: what was set before, and the changes.
async fn replace(
    cluster: &Cluster,
    name: &str,
    old: Vec<DescribeConfigsResourceResult>,
    added: Vec<(String, String)>,
    removed: &[String],
) -> Result<(), ConfigError> {
    let mut all: BTreeMap<String, Option<String>> =
        old.into_iter().map(|entry| (entry.name, entry.value)).collect();
    all.extend(added.into_iter().map(|(key, value)| (key, Some(value))));
    all.retain(|key, _| !removed.contains(key));
    let hidden: Vec<&str> =
        all.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key.as_str()).collect();
    if !hidden.is_empty() {
        return Err(ConfigError::Refused(format!(
            "All sensitive broker config entries must be specified for --alter, missing entries: \
             Set({})",
            hidden.join(", ")
        )));
    }
    let configs = all
        .into_iter()
        .map(|(name, value)| alter_configs::AlterableConfig { name, value })
        .collect();
    let request = AlterConfigsRequest {
        resources: vec![alter_configs::AlterConfigsResource {
            resource_type: resource_type("brokers"),
            resource_name: name.to_owned(),
            configs,
        }],
        validate_only: false,
    };
    let response = call(cluster, "brokers", name, "alterConfigs", &request).await?;
    for result in &response.responses {
        ClusterError::check(result.error_code, result.error_message.as_ref())?;
    }
    Ok(())
}
