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
use crate::authorizer::Authorizer;
use crate::dynamic_config::alter::{Change, ConfigAlterer};
use crate::identity::Identity;
use crate::request::{Reply, RequestContext};

pub fn handle(
    authorizer: &Authorizer,
    identity: &Identity,
    configs: &Arc<ConfigAlterer>,
    context: &RequestContext,
    request: AlterConfigsRequest,
) -> Reply<AlterConfigsResponse> {
    let all = request.resources.into_iter().map(alteration).collect();
    let admitted = config_resource::admit_all(authorizer, context, identity.broker_id, all);
    let (configs, validate_only) = (configs.clone(), request.validate_only);
    Reply::later(async move {
        answer(config_resource::alter_all(&configs, admitted, validate_only).await)
    })
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

#[cfg(test)]
mod tests {
    use protocol::error_code::ErrorCode;
    use protocol::messages::alter_configs::AlterableConfig;

    use super::config_resource::{BROKER, BROKER_LOGGER, CLIENT_METRICS, TOPIC};
    use super::*;
    use crate::authorizer::{CLUSTER, Cluster, Topic, op};
    use crate::testbed::{ID, Testbed, answer as answered, context};

    /// The codes for one key of each resource.
    async fn altered(
        bed: &Testbed,
        authorizer: &Authorizer,
        resources: &[(i8, &str, &str, &str)],
        validate_only: bool,
    ) -> Vec<ErrorCode> {
        let resource = |(resource_type, name, key, value): &(i8, &str, &str, &str)| {
            let (key, value) = ((*key).to_owned(), Some((*value).to_owned()));
            AlterConfigsResource {
                resource_type: *resource_type,
                resource_name: (*name).to_owned(),
                configs: vec![AlterableConfig { name: key, value }],
            }
        };
        let resources = resources.iter().map(resource).collect();
        let request = AlterConfigsRequest { resources, validate_only };
        let reply = handle(authorizer, &bed.identity, &bed.config_alterer, &context(2), request);
        let responses = answered(reply).await.responses;
        responses.iter().map(|response| ErrorCode(response.error_code)).collect()
    }

    #[tokio::test]
    async fn a_topics_values_are_replaced_and_in_force() {
        let bed = Testbed::new();
        bed.control().await;
        bed.config_changes.start();
        bed.lead("t", 1);
        let anybody = Authorizer::allow_all();
        let own = |key: &str| bed.topic_configs.own("t", key);
        for (key, value, validate_only) in [("retention.ms", "7", false), ("segment.ms", "9", true)]
        {
            let codes = altered(&bed, &anybody, &[(TOPIC, "t", key, value)], validate_only).await;
            assert_eq!(codes, [ErrorCode::NONE]);
            assert_eq!((own("retention.ms").as_deref(), own("segment.ms")), (Some("7"), None));
        }
        let codes = altered(&bed, &anybody, &[(TOPIC, "t", "segment.ms", "9")], false).await;
        assert_eq!(codes, [ErrorCode::NONE]);
        assert_eq!((own("retention.ms"), own("segment.ms").as_deref()), (None, Some("9")));
    }

    #[tokio::test]
    async fn resources_are_refused_one_by_one() {
        let bed = Testbed::new();
        bed.lead("t", 1);
        let (own, key) = (ID.to_string(), "retention.ms");
        let denied = Authorizer::allow_all()
            .but::<op::AlterConfigs, Topic>("t")
            .but::<op::AlterConfigs, Cluster>(CLUSTER);
        let wanted = [(TOPIC, "t", key, "7"), (BROKER, &*own, "log.retention.ms", "7")];
        let codes = altered(&bed, &denied, &wanted, false).await;
        let (topic, cluster) =
            (ErrorCode::TOPIC_AUTHORIZATION_FAILED, ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
        assert_eq!(codes, [topic, cluster]);
        let wanted = [
            (TOPIC, "t", key, "soon"),
            (TOPIC, "unknown", key, "7"),
            (TOPIC, "", key, "7"),
            (TOPIC, "twice", key, "7"),
            (TOPIC, "twice", key, "7"),
            (BROKER, "2", "log.retention.ms", "7"),
            (BROKER_LOGGER, &*own, "root", "INFO"),
            (CLIENT_METRICS, "m", key, "7"),
            (99, "x", key, "7"),
        ];
        let mut expected = [ErrorCode::INVALID_REQUEST; 9];
        expected[0] = ErrorCode::INVALID_CONFIG;
        expected[1] = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        assert_eq!(altered(&bed, &Authorizer::allow_all(), &wanted, false).await, expected);
    }
}
