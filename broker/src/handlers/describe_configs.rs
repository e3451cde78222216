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
use crate::authorizer::{Authorized, Authorizer, CLUSTER, Cluster, Topic, op};
use crate::dynamic_config::describe::{Documentation, Entry};
use crate::dynamic_config::reader::{ConfigReader, ReadError};
use crate::request::{Reply, RequestContext};

pub fn handle(
    authorizer: &Authorizer,
    configs: &Arc<ConfigReader>,
    context: &RequestContext,
    request: DescribeConfigsRequest,
) -> Reply<DescribeConfigsResponse> {
    let shape =
        Shape { synonyms: request.include_synonyms, documentation: request.include_documentation };
    let kinds = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS];
    let known = |resource: &DescribeConfigsResource| kinds.contains(&resource.resource_type);
    if !request.resources.iter().all(known) {
        let refuse = |resource| answer(resource, Err(denied(ErrorCode::INVALID_REQUEST)), shape);
        return Reply::Now(respond(request.resources.into_iter().map(refuse).collect()));
    }
    let one = |resource: DescribeConfigsResource| {
        let asked = admit(authorizer, context, configs.broker_id(), &resource);
        (resource, asked)
    };
    let asked: Vec<_> = request.resources.into_iter().map(one).collect();
    let configs = configs.clone();
    Reply::later(async move {
        let mut results = Vec::new();
        for (resource, asked) in asked {
            let entries = match asked {
                Ok(asked) => entries(&configs, asked).await,
                Err(error) => Err(error),
            };
            results.push(answer(resource, entries, shape));
        }
        respond(results)
    })
}

/// What the caller wants to be told.
#[derive(Debug, Clone, Copy)]
struct Shape {
    synonyms: bool,
    documentation: bool,
}

/// A configuration that may be told.
enum Asked {
    Topic(Authorized<'static, op::DescribeConfigs, Topic>),
    Broker(OfCluster),
    BrokerDefault(OfCluster),
    Loggers(OfCluster),
}

type OfCluster = Authorized<'static, op::DescribeConfigs, Cluster>;

fn admit(
    authorizer: &Authorizer,
    context: &RequestContext,
    own: BrokerId,
    resource: &DescribeConfigsResource,
) -> Result<Asked, ApiError> {
    let name = resource.resource_name.as_str();
    if resource.resource_type == TOPIC {
        let topic = authorizer.authorize::<_, Topic>(context, name);
        let topic = topic.map_err(|_| denied(ErrorCode::TOPIC_AUTHORIZATION_FAILED))?;
        return Ok(Asked::Topic(topic.into_owned()));
    }
    let cluster = authorizer.authorize::<_, Cluster>(context, CLUSTER);
    let cluster = cluster.map_err(|_| denied(ErrorCode::CLUSTER_AUTHORIZATION_FAILED))?;
    let cluster = cluster.into_owned();
    match resource.resource_type {
        BROKER if name.is_empty() => Ok(Asked::BrokerDefault(cluster)),
        BROKER => {
            check_broker(own, name, "Broker", || {
                format!("Unexpected broker id, expected {own} or empty string, but received {name}")
            })?;
            Ok(Asked::Broker(cluster))
        }
        BROKER_LOGGER if name.is_empty() => Err(invalid_request("Broker id must not be empty")),
        BROKER_LOGGER => {
            check_broker(own, name, "Broker", || {
                format!("Unexpected broker id, expected {own} but received {name}")
            })?;
            Ok(Asked::Loggers(cluster))
        }
        _ if name.is_empty() => {
            Err(invalid_request("Client metrics subscription name must not be empty"))
        }
        _ => {
            let text = "Config type client-metrics is only supported on KRaft clusters";
            Err(invalid_request(text))
        }
    }
}

async fn entries(configs: &ConfigReader, asked: Asked) -> Result<Vec<Entry>, ApiError> {
    match asked {
        Asked::Topic(topic) => configs.topic(&topic).await.map_err(|error| match &error {
            ReadError::InvalidName(_) => ApiError::new(ErrorCode::INVALID_TOPIC_EXCEPTION, &error),
            ReadError::UnknownTopic => without_text(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            ReadError::Store(_) => ApiError::new(ErrorCode::UNKNOWN_SERVER_ERROR, &error),
        }),
        Asked::Broker(cluster) => Ok(configs.broker(&cluster)),
        Asked::BrokerDefault(cluster) => Ok(configs.broker_default(&cluster)),
        Asked::Loggers(cluster) => Ok(configs.loggers(&cluster)),
    }
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

fn respond(results: Vec<DescribeConfigsResult>) -> DescribeConfigsResponse {
    DescribeConfigsResponse { throttle_time_ms: 0, results }
}

#[cfg(test)]
mod tests {
    use metadata::retry;
    use metadata::znodes::config::{self, ConfigEntity, ConfigValues};

    use super::*;
    use crate::testbed::{ID, Testbed, answer as answered, context};

    async fn told(
        bed: &Testbed,
        authorizer: &Authorizer,
        resources: &[(i8, &str)],
    ) -> Vec<DescribeConfigsResult> {
        let resource = |(resource_type, name): &(i8, &str)| DescribeConfigsResource {
            resource_type: *resource_type,
            resource_name: (*name).to_owned(),
            configuration_keys: None,
        };
        let resources = resources.iter().map(resource).collect();
        let request = DescribeConfigsRequest { resources, ..Default::default() };
        let reply = handle(authorizer, &bed.config_reader, &context(4), request);
        answered(reply).await.results
    }

    fn codes(results: &[DescribeConfigsResult]) -> Vec<ErrorCode> {
        results.iter().map(|result| ErrorCode(result.error_code)).collect()
    }

    #[tokio::test]
    async fn a_topics_own_values_are_read() {
        let bed = Testbed::new();
        bed.lead("t", 1);
        let values = ConfigValues::from([("retention.ms".to_owned(), "7".to_owned())]);
        let path = ConfigEntity::topic("t").path();
        let made = retry::create_recursive(&*bed.store, &path, Some(config::encode(&values)));
        assert_eq!(made.await, Ok(true));
        let results = told(&bed, &Authorizer::allow_all(), &[(TOPIC, "t")]).await;
        assert_eq!(codes(&results), [ErrorCode::NONE]);
        assert_eq!(results[0].error_message.as_deref(), Some(""));
        let own: Vec<_> = results[0].configs.iter().filter(|key| key.config_source == 1).collect();
        assert_eq!(
            (own.len(), &*own[0].name, own[0].value.as_deref()),
            (1, "retention.ms", Some("7"))
        );
    }

    #[tokio::test]
    async fn this_brokers_configuration_and_loggers_are_told() {
        let bed = Testbed::with(&[("message.max.bytes", "4321")]);
        let own = ID.to_string();
        let asked = [(BROKER, &*own), (BROKER, ""), (BROKER_LOGGER, &*own)];
        let results = told(&bed, &Authorizer::allow_all(), &asked).await;
        assert_eq!(codes(&results), [ErrorCode::NONE; 3]);
        let bytes = results[0].configs.iter().find(|key| key.name == "message.max.bytes");
        assert_eq!(bytes.and_then(|key| key.value.as_deref()), Some("4321"));
        assert!(results[1].configs.is_empty(), "nothing is set for all brokers");
        assert!(results[2].configs.iter().any(|key| key.name == "root"));
    }

    #[tokio::test]
    async fn resources_are_refused_one_by_one() {
        let bed = Testbed::new();
        bed.lead("t", 1);
        let authorizer = Authorizer::allow_all().but::<op::DescribeConfigs, Topic>("t");
        let asked = [(TOPIC, "t"), (TOPIC, "a b"), (TOPIC, "unknown"), (BROKER, "")];
        let expected = [
            ErrorCode::TOPIC_AUTHORIZATION_FAILED,
            ErrorCode::INVALID_TOPIC_EXCEPTION,
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ErrorCode::NONE,
        ];
        assert_eq!(codes(&told(&bed, &authorizer, &asked).await), expected);
        let authorizer = Authorizer::allow_all().but::<op::DescribeConfigs, Cluster>(CLUSTER);
        let asked = [(BROKER, "2"), (BROKER_LOGGER, ""), (CLIENT_METRICS, "m"), (TOPIC, "t")];
        let denied = ErrorCode::CLUSTER_AUTHORIZATION_FAILED;
        let results = told(&bed, &authorizer, &asked).await;
        assert_eq!(codes(&results), [denied, denied, denied, ErrorCode::NONE]);
    }

    #[tokio::test]
    async fn other_brokers_and_other_kinds_are_invalid() {
        let (bed, anybody) = (Testbed::new(), Authorizer::allow_all());
        let asked = [(BROKER, "2"), (BROKER_LOGGER, ""), (BROKER, "x"), (CLIENT_METRICS, "m")];
        let results = told(&bed, &anybody, &asked).await;
        assert_eq!(codes(&results), [ErrorCode::INVALID_REQUEST; 4]);
        let texts: Vec<_> = results.iter().filter_map(|r| r.error_message.as_deref()).collect();
        let expected = [
            "Unexpected broker id, expected 1 or empty string, but received 2",
            "Broker id must not be empty",
            "Broker id must be an integer, but it is: x",
            "Config type client-metrics is only supported on KRaft clusters",
        ];
        assert_eq!(texts, expected);
        let all = told(&bed, &anybody, &[(BROKER, ""), (99, "x")]).await;
        assert_eq!(codes(&all), [ErrorCode::INVALID_REQUEST; 2]);
    }
}
