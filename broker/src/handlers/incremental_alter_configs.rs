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
use crate::broker::Broker;
use crate::dynamic_config::alter::{Change, Operation};
use crate::request::{Reply, RequestContext};

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: IncrementalAlterConfigsRequest,
) -> Reply<IncrementalAlterConfigsResponse> {
    let all = request.resources.into_iter().map(alteration).collect();
    config_resource::alter_and_answer(broker, context, all, request.validate_only, answer)
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
