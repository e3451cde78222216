//! DescribeConfigs (key 32): the configuration of topics and of this broker, and where each value
//! comes from.
//!
//! Versions 0–4: v1 sources and synonyms · v3 types and documentation. A broker is named by its id,
//! and the defaults of all brokers by an empty name. Secrets and keys that are not known are told
//! without their values. Also the levels of this broker's loggers (KIP-412).
//!
//! Errors per resource: UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION, INVALID_REQUEST
//! (another broker's id, client metrics, which only KRaft has), TOPIC_AUTHORIZATION_FAILED,
//! CLUSTER_AUTHORIZATION_FAILED. INVALID_REQUEST for all if one is of another kind. A text is empty
//! where there is nothing to say, never null but for faults of this broker.
//!
//! Differs from Apache: keys of our own (`ottla.`) are told too; documentation is in our own words;
//! loggers are this broker's modules, and those of Kafka's names that stand for modules; texts that
//! only repeat the code are in our own words; keys are in the order of their names, where Kafka has
//! none.

use std::sync::Arc;

use metadata::znodes::config::ConfigEntity;
use protocol::error_code::ErrorCode;
use protocol::ids::BrokerId;
use protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
    DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};

use super::api_error::ApiError;
use super::config_resource::{
    BROKER, BROKER_LOGGER, CLIENT_METRICS, TOPIC, check_broker, invalid_request,
};
use crate::authorizer::{CLUSTER, Cluster, Topic, op};
use crate::broker::Broker;
use crate::dynamic_config::describe::{self, Documentation, Entry};
use crate::dynamic_config::entity;
use crate::logging::Loggers;
use crate::request::{Reply, RequestContext};
use crate::topics::name;

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: DescribeConfigsRequest,
) -> Reply<DescribeConfigsResponse> {
    let (broker, context) = (broker.clone(), context.clone());
    Reply::later(async move {
        let shape = Shape {
            synonyms: request.include_synonyms,
            documentation: request.include_documentation,
        };
        let kinds = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS];
        let known = |resource: &DescribeConfigsResource| kinds.contains(&resource.resource_type);
        if !request.resources.iter().all(known) {
            let refuse =
                |resource| answer(resource, Err(denied(ErrorCode::INVALID_REQUEST)), shape);
            let results = request.resources.into_iter().map(refuse).collect();
            return DescribeConfigsResponse { throttle_time_ms: 0, results };
        }
        let mut results = Vec::new();
        for resource in request.resources {
            let entries = entries(&broker, &context, &resource).await;
            results.push(answer(resource, entries, shape));
        }
        DescribeConfigsResponse { throttle_time_ms: 0, results }
    })
}

/// What the caller wants to be told.
#[derive(Debug, Clone, Copy)]
struct Shape {
    synonyms: bool,
    documentation: bool,
}

async fn entries(
    broker: &Broker,
    context: &RequestContext,
    resource: &DescribeConfigsResource,
) -> Result<Vec<Entry>, ApiError> {
    let name = resource.resource_name.as_str();
    let authorizer = &broker.authorizer;
    match resource.resource_type {
        TOPIC => {
            authorizer
                .authorize::<op::DescribeConfigs, Topic>(context, name)
                .map_err(|_| denied(ErrorCode::TOPIC_AUTHORIZATION_FAILED))?;
            topic(broker, name).await
        }
        kind => {
            authorizer
                .authorize::<op::DescribeConfigs, Cluster>(context, CLUSTER)
                .map_err(|_| denied(ErrorCode::CLUSTER_AUTHORIZATION_FAILED))?;
            match kind {
                BROKER => brokers(broker, name),
                BROKER_LOGGER => loggers(broker.identity.broker_id, name),
                _ if name.is_empty() => {
                    Err(invalid_request("Client metrics subscription name must not be empty"))
                }
                _ => {
                    let text = "Config type client-metrics is only supported on KRaft clusters";
                    Err(invalid_request(text))
                }
            }
        }
    }
}

fn brokers(broker: &Broker, name: &str) -> Result<Vec<Entry>, ApiError> {
    let (config, own) = (broker.config.load(), broker.identity.broker_id);
    if name.is_empty() {
        return Ok(describe::broker_default(&config));
    }
    check_broker(own, name, "Broker", || {
        format!("Unexpected broker id, expected {own} or empty string, but received {name}")
    })?;
    Ok(describe::broker(&config))
}

fn loggers(own: BrokerId, name: &str) -> Result<Vec<Entry>, ApiError> {
    if name.is_empty() {
        return Err(invalid_request("Broker id must not be empty"));
    }
    check_broker(own, name, "Broker", || {
        format!("Unexpected broker id, expected {own} but received {name}")
    })?;
    Ok(describe::loggers(&Loggers::of_process().levels()))
}

async fn topic(broker: &Broker, topic: &str) -> Result<Vec<Entry>, ApiError> {
    let invalid =
        |error: name::InvalidName| ApiError::new(ErrorCode::INVALID_TOPIC_EXCEPTION, &error);
    name::check(topic).map_err(invalid)?;
    if broker.metadata.load().topic(topic).is_none() {
        return Err(without_text(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    }
    let own = entity::read(&*broker.store, &ConfigEntity::topic(topic)).await;
    let own = own.map_err(|error| ApiError::new(ErrorCode::UNKNOWN_SERVER_ERROR, &error))?;
    Ok(describe::topic(&broker.config.load(), &own))
}

/// The code says it all.
fn denied(code: ErrorCode) -> ApiError {
    ApiError::new(code, &code.message())
}

/// Empty is the schema's default text.
fn without_text(code: ErrorCode) -> ApiError {
    ApiError { code, message: Some(String::new()) }
}

fn answer(
    resource: DescribeConfigsResource,
    entries: Result<Vec<Entry>, ApiError>,
    shape: Shape,
) -> DescribeConfigsResult {
    let wanted = resource.configuration_keys.filter(|keys| !keys.is_empty());
    let is_wanted = |entry: &Entry| wanted.as_ref().is_none_or(|keys| keys.contains(&entry.name));
    let (entries, error) = match entries {
        Ok(entries) => (entries, without_text(ErrorCode::NONE)),
        Err(error) => (Vec::new(), error),
    };
    let shown = entries.into_iter().filter(is_wanted);
    DescribeConfigsResult {
        error_code: error.code.0,
        error_message: error.message,
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
        configs: shown.map(|entry| result(entry, shape)).collect(),
    }
}

fn result(entry: Entry, shape: Shape) -> DescribeConfigsResourceResult {
    let places = entry.synonyms.into_iter().filter(|_| shape.synonyms);
    DescribeConfigsResourceResult {
        name: entry.name,
        value: entry.value,
        read_only: entry.read_only,
        // Apache never says so in version 0; later ones say where the value comes from.
        is_default: false,
        config_source: entry.source,
        is_sensitive: entry.is_sensitive,
        synonyms: places
            .map(|place| DescribeConfigsSynonym {
                name: place.name,
                value: place.value,
                source: place.source,
            })
            .collect(),
        config_type: entry.kind,
        documentation: match entry.documentation {
            Documentation::Key(text) => text.filter(|_| shape.documentation),
            Documentation::Logger => Some(String::new()),
        },
    }
}
