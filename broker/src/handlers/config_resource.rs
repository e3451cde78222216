//! What the configuration APIs have in common: kinds of resources, and the rules for a whole
//! request. Knows nothing of values.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol::error_code::ErrorCode;
use protocol::ids::BrokerId;

use super::api_error::ApiError;
use crate::authorizer::{CLUSTER, Cluster, Topic, op};
use crate::broker::Broker;
use crate::dynamic_config::alter::{self, AlterError, Change};
use crate::dynamic_config::log_levels;
use crate::logging::Loggers;
use crate::request::{Reply, RequestContext};

pub const TOPIC: i8 = 2;
pub const BROKER: i8 = 4;
pub const BROKER_LOGGER: i8 = 8;
pub const CLIENT_METRICS: i8 = 16;

/// One resource that is to be altered.
pub struct Alteration {
    pub resource_type: i8,
    pub resource_name: String,
    /// The error is what is wrong with the keys and values by themselves.
    pub change: Result<Change, ApiError>,
}

/// Is this broker meant? A text of Kafka's says what a name that is no number should have been
/// (`noun`), and `other` what the number should have been.
pub fn check_broker(
    own: BrokerId,
    name: &str,
    noun: &str,
    other: impl FnOnce() -> String,
) -> Result<(), ApiError> {
    match name.parse::<BrokerId>() {
        Ok(id) if id == own => Ok(()),
        Ok(_) => Err(invalid_request(&other())),
        Err(_) => Err(invalid_request(&format!("{noun} id must be an integer, but it is: {name}"))),
    }
}

/// What became of one resource.
pub struct Altered {
    pub resource_type: i8,
    pub resource_name: String,
    /// NONE if it went well.
    pub error: ApiError,
}

/// Alters one after the other; each has its own outcome, which `response` makes an answer of.
pub fn alter_and_answer<R: Send + 'static>(
    broker: &Arc<Broker>,
    context: &RequestContext,
    alterations: Vec<Alteration>,
    validate_only: bool,
    response: fn(Vec<Altered>) -> R,
) -> Reply<R> {
    let (broker, context) = (broker.clone(), context.clone());
    Reply::later(
        async move { response(alter_all(&broker, &context, alterations, validate_only).await) },
    )
}

async fn alter_all(
    broker: &Arc<Broker>,
    context: &RequestContext,
    alterations: Vec<Alteration>,
    validate_only: bool,
) -> Vec<Altered> {
    let mut named: BTreeMap<(i8, String), usize> = BTreeMap::new();
    for one in &alterations {
        *named.entry((one.resource_type, one.resource_name.clone())).or_default() += 1;
    }
    let mut outcomes = Vec::new();
    for one in alterations {
        let key = (one.resource_type, one.resource_name);
        let outcome = if named.get(&key).is_some_and(|count| *count > 1) {
            Err(invalid_request("Each resource must appear at most once."))
        } else {
            match one.change {
                Ok(change) => alter(broker, context, &key, change, validate_only).await,
                Err(error) => Err(error),
            }
        };
        let error = outcome.err().unwrap_or(ApiError::plain(ErrorCode::NONE));
        let (resource_type, resource_name) = key;
        outcomes.push(Altered { resource_type, resource_name, error });
    }
    outcomes
}

async fn alter(
    broker: &Arc<Broker>,
    context: &RequestContext,
    (resource_type, name): &(i8, String),
    change: Change,
    validate_only: bool,
) -> Result<(), ApiError> {
    let authorizer = &broker.authorizer;
    let altered = match *resource_type {
        TOPIC => {
            let authorized = authorizer
                .authorize::<op::AlterConfigs, Topic>(context, name)
                .map_err(|_| ApiError::plain(ErrorCode::TOPIC_AUTHORIZATION_FAILED))?;
            alter::topic(broker, &authorized, change, validate_only).await
        }
        BROKER => {
            let authorized = authorizer
                .authorize::<op::AlterConfigs, Cluster>(context, CLUSTER)
                .map_err(|_| ApiError::plain(ErrorCode::CLUSTER_AUTHORIZATION_FAILED))?;
            let (whole_cluster, own) = (name.is_empty(), broker.identity.broker_id);
            if !whole_cluster {
                check_broker(own, name, "Node", || {
                    format!("Unexpected broker id, expected {own}, but received {name}")
                })?;
            }
            alter::brokers(broker, &authorized, whole_cluster, change, validate_only).await
        }
        BROKER_LOGGER => {
            // AlterConfigs does not know loggers.
            let Change::Each(operations) = &change else {
                return Err(unknown_type(BROKER_LOGGER));
            };
            let authorized = authorizer
                .authorize::<op::AlterConfigs, Cluster>(context, CLUSTER)
                .map_err(|_| ApiError::plain(ErrorCode::CLUSTER_AUTHORIZATION_FAILED))?;
            let own = broker.identity.broker_id;
            // Apache tells its own id twice.
            check_broker(own, name, "Node", || {
                format!("Unexpected node id. Expected {own}, but received {own}")
            })?;
            log_levels::alter(Loggers::of_process(), &authorized, operations, validate_only)
        }
        CLIENT_METRICS => {
            let text = "AlterConfigs is only supported for topics and brokers, but resource type \
                        is CLIENT_METRICS";
            return Err(invalid_request(text));
        }
        other => return Err(unknown_type(other)),
    };
    altered.map_err(|error: AlterError| match error {
        AlterError::Unexpected(why) => {
            tracing::debug!(why, "a configuration cannot be altered so");
            ApiError::plain(ErrorCode::UNKNOWN_SERVER_ERROR)
        }
        error => ApiError::new(error.code(), &error),
    })
}

/// Refuses keys that are named twice and values that are null.
pub fn check_entries<'a>(
    entries: impl Iterator<Item = (&'a str, bool)> + Clone,
) -> Result<(), ApiError> {
    let mut seen = BTreeSet::new();
    if !entries.clone().all(|(name, _)| seen.insert(name)) {
        return Err(invalid_request("Error due to duplicate config keys"));
    }
    let nulls: Vec<&str> = entries.filter(|(_, is_null)| *is_null).map(|(name, _)| name).collect();
    if nulls.is_empty() {
        return Ok(());
    }
    Err(invalid_request(&format!("Null value not supported for : {}", nulls.join(", "))))
}

fn unknown_type(resource_type: i8) -> ApiError {
    invalid_request(&format!("Unknown resource type {resource_type}"))
}

pub fn invalid_request(text: &str) -> ApiError {
    ApiError::new(ErrorCode::INVALID_REQUEST, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_broker_is_meant() {
        let check = |name: &str| check_broker(1, name, "Node", || "another".to_owned());
        assert_eq!(check("1"), Ok(()));
        assert_eq!(check("01"), Ok(()));
        assert_eq!(check("2"), Err(invalid_request("another")));
        let text = "Node id must be an integer, but it is: x";
        assert_eq!(check("x"), Err(invalid_request(text)));
    }

    #[test]
    fn keys_are_named_once_and_have_values() {
        let check = |entries: &[(&str, bool)]| check_entries(entries.iter().copied());
        assert_eq!(check(&[("a", false), ("b", false)]), Ok(()));
        assert!(check(&[("a", false), ("a", false)]).is_err());
        let nulls = check(&[("a", true), ("b", true)]).expect_err("nulls").message;
        assert_eq!(nulls.as_deref(), Some("Null value not supported for : a, b"));
    }
}
