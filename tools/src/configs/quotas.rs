//! Quotas of users, clients and IPs. Knows nothing of other configuration.

use std::collections::BTreeMap;
use std::fmt::Write;

use client::cluster::{Cluster, ClusterError};
use protocol::messages::alter_client_quotas::{
    AlterClientQuotasRequest, EntityData, EntryData, OpData,
};
use protocol::messages::describe_client_quotas::{
    ComponentData, DescribeClientQuotasRequest, DescribeClientQuotasResponse,
};

use super::entity::Entities;
use super::{ConfigError, Flags, changes};

const MATCH_EXACT: i8 = 0;
const MATCH_DEFAULT: i8 = 1;
const MATCH_ANY: i8 = 2;

const CLIENT_QUOTAS: [&str; 4] =
    ["producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate"];
const IP_QUOTAS: [&str; 1] = ["connection_creation_rate"];

fn entity_type(kind: &str) -> &'static str {
    match kind {
        "users" => "user",
        "clients" => "client-id",
        _ => "ip",
    }
}

async fn described(
    cluster: &Cluster,
    entities: &Entities,
) -> Result<DescribeClientQuotasResponse, ConfigError> {
    if entities.names.len() > entities.types.len() {
        let text = "More entity names specified than entity types";
        return Err(ConfigError::Refused(text.to_owned()));
    }
    let mut components = Vec::new();
    for (i, kind) in entities.types.iter().enumerate() {
        let (match_type, name) = match entities.names.get(i) {
            None => (MATCH_ANY, None),
            Some(name) if name.is_empty() => (MATCH_DEFAULT, None),
            Some(name) => (MATCH_EXACT, Some(name.clone())),
        };
        let entity_type = entity_type(kind).to_owned();
        components.push(ComponentData { entity_type, match_type, r#match: name });
    }
    let request = DescribeClientQuotasRequest { components, strict: true };
    let response = cluster.call_any("describeClientQuotas", &request).await?;
    ClusterError::check(response.error_code, response.error_message.as_ref())?;
    Ok(response)
}

pub async fn describe(cluster: &Cluster, entities: &Entities) -> Result<String, ConfigError> {
    let mut out = String::new();
    for entry in described(cluster, entities).await?.entries.unwrap_or_default() {
        let mut parts = Vec::new();
        for (wire, shown) in [("user", "user-principal"), ("client-id", "client-id"), ("ip", "ip")]
        {
            for entity in entry.entity.iter().filter(|e| e.entity_type == wire) {
                parts.push(match &entity.entity_name {
                    Some(name) => format!("{shown} '{name}'"),
                    None => format!("the default {shown}"),
                });
            }
        }
        let values: Vec<String> = entry
            .values
            .iter()
            .map(|value| format!("{}={}", value.key, java_double(value.value)))
            .collect();
        let _ = writeln!(out, "Quota configs for {} are {}", parts.join(", "), values.join(", "));
    }
    Ok(out)
}

pub async fn alter(
    cluster: &Cluster,
    flags: &Flags,
    entities: &Entities,
) -> Result<(), ConfigError> {
    let (added, removed) = changes(flags)?;
    let kind = &entities.types[0];
    let known: &[&str] = if kind == "ips" { &IP_QUOTAS } else { &CLIENT_QUOTAS };
    let names = added.iter().map(|(key, _)| key).chain(&removed);
    let unknown: Vec<&str> =
        names.filter(|key| !known.contains(&key.as_str())).map(String::as_str).collect();
    if !unknown.is_empty() {
        return Err(ConfigError::Refused(format!(
            "Only quota configs can be changed for '{kind}' using --bootstrap-server. Unexpected \
             config names: {}",
            unknown.join(",")
        )));
    }
    let old = described(cluster, entities).await?.entries.unwrap_or_default();
    let set: Vec<&str> = old.iter().flat_map(|e| &e.values).map(|v| v.key.as_str()).collect();
    let missing: Vec<&str> =
        removed.iter().map(String::as_str).filter(|key| !set.contains(key)).collect();
    if !missing.is_empty() {
        return Err(ConfigError::Refused(format!("Invalid config(s): {}", missing.join(","))));
    }
    let mut ops = BTreeMap::new();
    for (key, text) in added {
        let value = text.parse().map_err(|_| {
            let reason = format!("Cannot parse quota configuration value for {key}: {text}");
            ConfigError::Refused(reason)
        })?;
        ops.insert(key.clone(), OpData { key, value, remove: false });
    }
    for key in removed {
        ops.insert(key.clone(), OpData { key, value: 0.0, remove: true });
    }
    let named = entities.types.iter().zip(&entities.names);
    let entity = named
        .map(|(kind, name)| EntityData {
            entity_type: entity_type(kind).to_owned(),
            entity_name: (!name.is_empty()).then(|| name.clone()),
        })
        .collect();
    let entry = EntryData { entity, ops: ops.into_values().collect() };
    let request = AlterClientQuotasRequest { entries: vec![entry], validate_only: false };
    let response = cluster
        .call_controller(&request, |r| r.entries.iter().map(|e| e.error_code).collect())
        .await?;
    for entry in &response.entries {
        ClusterError::check(entry.error_code, entry.error_message.as_ref())?;
    }
    Ok(())
}

/// A number as `Double.toString` writes it: `1024.0`, `1.048576E7`.
fn java_double(value: f64) -> String {
    if value == 0.0 || (1e-3..1e7).contains(&value.abs()) {
        return format!("{value:?}");
    }
    let text = format!("{value:E}");
    match text.split_once('E') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => {
            format!("{mantissa}.0E{exponent}")
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::java_double;

    #[test]
    fn numbers_are_javas() {
        let shown = [0.0, 1024.0, 12.5, 10_485_760.0, 1e7, 0.0001].map(java_double);
        assert_eq!(shown, ["0.0", "1024.0", "12.5", "1.048576E7", "1.0E7", "1.0E-4"]);
    }
}
