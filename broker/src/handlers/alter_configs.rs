//! AlterConfigs (key 33): replaces the whole dynamic configuration of a topic, of this broker, or
//! of all brokers (an empty name). In force here when it is answered.
//!
//! Versions 0–2.
//!
//! Errors per resource: UNKNOWN_TOPIC_OR_PARTITION, INVALID_CONFIG, INVALID_REQUEST (another
//! broker's id, another kind of resource, a key or a resource named twice, a broker key that cannot
//! change while it runs), TOPIC_AUTHORIZATION_FAILED, CLUSTER_AUTHORIZATION_FAILED.
//!
//! Differs from Apache: listeners and the settings of TLS and SASL cannot be changed while the
//! broker runs; `${provider:…}` in a value is never looked up, as in IncrementalAlterConfigs. Of
//! several values that are wrong another one may be told. A resource that is named twice is
//! answered; there the broker never answers.

use std::sync::Arc;

use protocol::messages::alter_configs::{
    AlterConfigsRequest, AlterConfigsResource, AlterConfigsResourceResponse, AlterConfigsResponse,
};

use super::config_resource::{self, Alteration, Altered};
use crate::broker::Broker;
use crate::dynamic_config::alter::Change;
use crate::request::{Reply, RequestContext};

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: AlterConfigsRequest,
) -> Reply<AlterConfigsResponse> {
    let all = request.resources.into_iter().map(alteration).collect();
    config_resource::alter_and_answer(broker, context, all, request.validate_only, answer)
}

fn answer(outcomes: Vec<Altered>) -> AlterConfigsResponse {
    let response = |altered: Altered| AlterConfigsResourceResponse {
        error_code: altered.error.code.0,
        error_message: altered.error.message,
        resource_type: altered.resource_type,
        resource_name: altered.resource_name,
    };
    let responses = outcomes.into_iter().map(response).collect();
    AlterConfigsResponse { throttle_time_ms: 0, responses }
}

fn alteration(resource: AlterConfigsResource) -> Alteration {
    let entries = resource.configs.iter().map(|entry| (&*entry.name, entry.value.is_none()));
    let change = config_resource::check_entries(entries).map(|()| {
        let values = resource.configs.into_iter();
        Change::Replace(values.filter_map(|entry| Some((entry.name, entry.value?))).collect())
    });
    let (resource_type, resource_name) = (resource.resource_type, resource.resource_name);
    Alteration { resource_type, resource_name, change }
}
