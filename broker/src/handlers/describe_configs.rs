//! DescribeConfigs (key 32): the configuration of topics and of this broker, and where each value
//! comes from.
//!
//! Versions 0–4: v1 sources and synonyms · v3 types and documentation. A broker is named by its id,
//! and the defaults of all brokers by an empty name. Secrets and keys that are not known are told
//! without their values.
//!
//! Errors per resource: UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION, INVALID_REQUEST
//! (another broker's id, another kind of resource), TOPIC_AUTHORIZATION_FAILED,
//! CLUSTER_AUTHORIZATION_FAILED.
//!
//! Differs from Apache: loggers and client metrics are not served; keys of our own (`ottla.`) are
//! told too; documentation is in our own words.

use std::sync::Arc;

use coordinator::znodes::config::ConfigEntity;
use protocol::error_code::ErrorCode;
use protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
    DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};

use super::api_error::ApiError;
use super::config_resource;
use crate::authorizer::{Resource, op};
use crate::broker::{Broker, Reply, RequestContext};
use crate::config::Source;
use crate::dynamic_config::describe::{self, Entry};
use crate::dynamic_config::entity;
use crate::topics::name;

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: DescribeConfigsRequest,
) -> Reply<DescribeConfigsResponse> {
    let (broker, context) = (broker.clone(), context.clone());
    Reply::later(async move {
        let shape = Shape {
            version: context.api_version,
            synonyms: request.include_synonyms,
            documentation: request.include_documentation,
        };
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
    version: i16,
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
        config_resource::TOPIC => {
            authorizer
                .authorize::<op::DescribeConfigs>(context, Resource::Topic(name))
                .map_err(|_| denied(ErrorCode::TOPIC_AUTHORIZATION_FAILED))?;
            topic(broker, name).await
        }
        config_resource::BROKER => {
            authorizer
                .authorize::<op::DescribeConfigs>(context, Resource::Cluster)
                .map_err(|_| denied(ErrorCode::CLUSTER_AUTHORIZATION_FAILED))?;
            let config = broker.config.load();
            if name.is_empty() {
                return Ok(describe::broker_default(&config));
            }
            config_resource::check_broker(broker.broker_id, name, " or empty string")?;
            Ok(describe::broker(&config))
        }
        other => {
            let text = format!("Unsupported resource type: {other}");
            Err(ApiError::new(ErrorCode::INVALID_REQUEST, &text))
        }
    }
}

async fn topic(broker: &Broker, topic: &str) -> Result<Vec<Entry>, ApiError> {
    let invalid =
        |error: name::InvalidName| ApiError::new(ErrorCode::INVALID_TOPIC_EXCEPTION, &error);
    name::check(topic).map_err(invalid)?;
    if broker.metadata.load().topic(topic).is_none() {
        return Err(ApiError::plain(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    }
    let own = entity::read(&*broker.store, &ConfigEntity::topic(topic)).await;
    let own = own.map_err(|error| ApiError::new(ErrorCode::UNKNOWN_SERVER_ERROR, &error))?;
    Ok(describe::topic(&broker.config.load(), &own))
}

fn denied(code: ErrorCode) -> ApiError {
    ApiError::new(code, &code.message())
}

fn answer(
    resource: DescribeConfigsResource,
    entries: Result<Vec<Entry>, ApiError>,
    shape: Shape,
) -> DescribeConfigsResult {
    let wanted = resource.configuration_keys.filter(|keys| !keys.is_empty());
    let is_wanted = |entry: &Entry| wanted.as_ref().is_none_or(|keys| keys.contains(&entry.name));
    let (entries, error) = match entries {
        Ok(entries) => (entries, ApiError::plain(ErrorCode::NONE)),
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
        // Later versions say where the value comes from instead.
        is_default: shape.version == 0 && entry.source == Source::Default as i8,
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
        documentation: shape.documentation.then_some(entry.documentation),
    }
}
