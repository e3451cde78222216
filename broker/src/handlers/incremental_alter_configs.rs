//! IncrementalAlterConfigs (key 44): changes single keys of the dynamic configuration of a topic,
//! of this broker, or of all brokers (an empty name), and levels of this broker's loggers
//! (KIP-412), which are not stored. In force here when it is answered (KIP-339).
//!
//! Versions 0–1.
//!
//! Errors per resource: those of AlterConfigs; INVALID_CONFIG also for adding to what is no list,
//! for a logger and for a level that do not exist; INVALID_REQUEST for an operation on a broker
//! that is not known, and for taking the root logger's level away. As Apache, UNKNOWN_SERVER_ERROR
//! without a text for adding to a key that does not exist, and for an unknown operation on anything
//! else.
//!
//! Differs from Apache: listeners and the settings of TLS and SASL cannot be changed while the
//! broker runs, nor one listener's own; a logger is a module of this broker, or one of Kafka's
//! names that stands for modules; `${provider:…}` is never looked up in a value that comes by a
//! request, also where `config.providers` is set: it could name any file of the broker.

use std::sync::Arc;

use protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

use super::config_resource::{self, Alteration, Altered};
use crate::authorizer::Authorizer;
use crate::dynamic_config::alter::{Change, ConfigAlterer, Operation};
use crate::identity::Identity;
use crate::request::{Reply, RequestContext};

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub fn handle(
    authorizer: &Authorizer,
    identity: &Identity,
    configs: &Arc<ConfigAlterer>,
    context: &RequestContext,
    request: IncrementalAlterConfigsRequest,
) -> Reply<IncrementalAlterConfigsResponse> {
    let all = request.resources.into_iter().map(alteration).collect();
    let admitted = config_resource::admit_all(authorizer, context, identity.broker_id, all);
    let (configs, validate_only) = (configs.clone(), request.validate_only);
    Reply::later(async move {
        answer(config_resource::alter_all(&configs, admitted, validate_only).await)
    })
}

fn answer(outcomes: Vec<Altered>) -> IncrementalAlterConfigsResponse {
    let response = |altered: Altered| AlterConfigsResourceResponse {
        error_code: altered.error.code.0,
        error_message: altered.error.message,
        resource_type: altered.resource_type,
        resource_name: altered.resource_name,
    };
    let responses = outcomes.into_iter().map(response).collect();
    IncrementalAlterConfigsResponse { throttle_time_ms: 0, responses }
}

fn alteration(resource: AlterConfigsResource) -> Alteration {
    let entries = resource.configs.iter().map(|entry| {
        let is_null = entry.value.is_none() && entry.config_operation != DELETE;
        (&*entry.name, is_null)
    });
    let change = config_resource::check_entries(entries)
        .map(|()| Change::Each(resource.configs.into_iter().map(operation).collect()));
    let (resource_type, resource_name) = (resource.resource_type, resource.resource_name);
    Alteration { resource_type, resource_name, change }
}

fn operation(entry: AlterableConfig) -> (String, Operation) {
    let value = entry.value.unwrap_or_default();
    let operation = match entry.config_operation {
        SET => Operation::Set(value),
        DELETE => Operation::Delete,
        APPEND => Operation::Append(value),
        SUBTRACT => Operation::Subtract(value),
        other => Operation::Unknown(other),
    };
    (entry.name, operation)
}

#[cfg(test)]
mod tests {
    use protocol::error_code::ErrorCode;

    use super::config_resource::{BROKER, BROKER_LOGGER, TOPIC};
    use super::*;
    use crate::authorizer::{CLUSTER, Cluster, Topic, op};
    use crate::testbed::{ID, Testbed, answer as answered, context};

    /// The code and the text for one operation on one resource.
    async fn altered(
        bed: &Testbed,
        authorizer: &Authorizer,
        (resource_type, name): (i8, &str),
        (key, config_operation, value): (&str, i8, &str),
    ) -> (ErrorCode, Option<String>) {
        let value = (config_operation != DELETE).then(|| value.to_owned());
        let config = AlterableConfig { name: key.to_owned(), config_operation, value };
        let (resource_name, configs) = (name.to_owned(), vec![config]);
        let resources = vec![AlterConfigsResource { resource_type, resource_name, configs }];
        let request = IncrementalAlterConfigsRequest { resources, validate_only: false };
        let reply = handle(authorizer, &bed.identity, &bed.config_alterer, &context(1), request);
        let response = answered(reply).await.responses.remove(0);
        (ErrorCode(response.error_code), response.error_message)
    }

    #[tokio::test]
    async fn single_keys_are_changed_and_in_force() {
        let bed = Testbed::new();
        bed.control().await;
        bed.config_changes.start();
        bed.lead("t", 1);
        let anybody = Authorizer::allow_all();
        let done = (ErrorCode::NONE, None);
        let own = |key: &str| bed.topic_configs.own("t", key);
        for (operation, expected) in [
            (("retention.ms", SET, "7"), (Some("7"), None)),
            (("cleanup.policy", APPEND, "compact"), (Some("7"), Some("delete,compact"))),
            (("cleanup.policy", SUBTRACT, "delete"), (Some("7"), Some("compact"))),
            (("retention.ms", DELETE, ""), (None, Some("compact"))),
        ] {
            assert_eq!(altered(&bed, &anybody, (TOPIC, "t"), operation).await, done);
            let (retention, policy) = (own("retention.ms"), own("cleanup.policy"));
            assert_eq!((retention.as_deref(), policy.as_deref()), expected, "{operation:?}");
        }
        let bytes = ("message.max.bytes", SET, "4321");
        assert_eq!(altered(&bed, &anybody, (BROKER, ""), bytes).await, done);
        assert_eq!(bed.config.load().int("message.max.bytes"), 4321);
    }

    #[tokio::test]
    async fn operations_are_refused() {
        let bed = Testbed::new();
        bed.lead("t", 1);
        let own = ID.to_string();
        let denied = Authorizer::allow_all()
            .but::<op::AlterConfigs, Topic>("t")
            .but::<op::AlterConfigs, Cluster>(CLUSTER);
        let set = ("retention.ms", SET, "7");
        for (resource, code) in [
            ((TOPIC, "t"), ErrorCode::TOPIC_AUTHORIZATION_FAILED),
            ((BROKER, ""), ErrorCode::CLUSTER_AUTHORIZATION_FAILED),
            ((BROKER_LOGGER, &own), ErrorCode::CLUSTER_AUTHORIZATION_FAILED),
        ] {
            assert_eq!(altered(&bed, &denied, resource, set).await, (code, None));
        }
        let anybody = Authorizer::allow_all();
        for (resource, operation, code, has_text) in [
            ((TOPIC, "t"), ("retention.ms", APPEND, "7"), ErrorCode::INVALID_CONFIG, true),
            ((TOPIC, "t"), ("no.such", APPEND, "7"), ErrorCode::UNKNOWN_SERVER_ERROR, false),
            ((TOPIC, "t"), ("retention.ms", 9, "7"), ErrorCode::UNKNOWN_SERVER_ERROR, false),
            ((TOPIC, "u"), set, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, true),
            ((BROKER, ""), ("message.max.bytes", 9, "7"), ErrorCode::INVALID_REQUEST, true),
            ((BROKER, ""), ("node.id", SET, "7"), ErrorCode::INVALID_REQUEST, true),
            ((BROKER_LOGGER, "2"), ("root", SET, "INFO"), ErrorCode::INVALID_REQUEST, true),
            ((BROKER_LOGGER, &own), ("no.such", SET, "INFO"), ErrorCode::INVALID_CONFIG, true),
        ] {
            let (found, text) = altered(&bed, &anybody, resource, operation).await;
            assert_eq!((found, text.is_some()), (code, has_text), "{resource:?} {operation:?}");
        }
    }
}
