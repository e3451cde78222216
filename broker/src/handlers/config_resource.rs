//! What the configuration APIs have in common: kinds of resources, and the rules for a whole
//! request. Knows nothing of values.

use std::collections::{BTreeMap, BTreeSet};

use protocol::error_code::ErrorCode;
use protocol::ids::BrokerId;

use super::api_error::ApiError;
use crate::authorizer::{Authorized, Authorizer, CLUSTER, Cluster, Topic, op};
use crate::dynamic_config::alter::{AlterError, Change, ConfigAlterer, Operation};
use crate::dynamic_config::log_levels;
use crate::logging::Loggers;
use crate::request::RequestContext;

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

/// A resource that may be altered.
pub enum Admitted {
    Topic(Authorized<'static, op::AlterConfigs, Topic>, Change),
    Brokers { proof: OfCluster, whole_cluster: bool, change: Change },
    Loggers(OfCluster, Vec<(String, Operation)>),
}

type OfCluster = Authorized<'static, op::AlterConfigs, Cluster>;

/// The kind and the name of a resource.
type Key = (i8, String);

/// Every resource of a request to broker `own`, and whether it may be altered.
pub fn admit_all(
    authorizer: &Authorizer,
    context: &RequestContext,
    own: BrokerId,
    alterations: Vec<Alteration>,
) -> Vec<(Key, Result<Admitted, ApiError>)> {
    let mut named: BTreeMap<Key, usize> = BTreeMap::new();
    for one in &alterations {
        *named.entry((one.resource_type, one.resource_name.clone())).or_default() += 1;
    }
    let one = |one: Alteration| {
        let key = (one.resource_type, one.resource_name);
        let admitted = if named.get(&key).is_some_and(|count| *count > 1) {
            Err(invalid_request("Each resource must appear at most once."))
        } else {
            one.change.and_then(|change| admit(authorizer, context, own, &key, change))
        };
        (key, admitted)
    };
    alterations.into_iter().map(one).collect()
}

fn admit(
    authorizer: &Authorizer,
    context: &RequestContext,
    own: BrokerId,
    (resource_type, name): &Key,
    change: Change,
) -> Result<Admitted, ApiError> {
    let of_cluster = || {
        let proof = authorizer.authorize::<op::AlterConfigs, Cluster>(context, CLUSTER);
        let proof = proof.map(Authorized::into_owned);
        proof.map_err(|_| ApiError::plain(ErrorCode::CLUSTER_AUTHORIZATION_FAILED))
    };
    match (*resource_type, change) {
        (TOPIC, change) => {
            let proof = authorizer.authorize::<op::AlterConfigs, Topic>(context, name);
            let proof =
                proof.map_err(|_| ApiError::plain(ErrorCode::TOPIC_AUTHORIZATION_FAILED))?;
            Ok(Admitted::Topic(proof.into_owned(), change))
        }
        (BROKER, change) => {
            let (proof, whole_cluster) = (of_cluster()?, name.is_empty());
            if !whole_cluster {
                check_broker(own, name, "Node", || {
                    format!("Unexpected broker id, expected {own}, but received {name}")
                })?;
            }
            Ok(Admitted::Brokers { proof, whole_cluster, change })
        }
        (BROKER_LOGGER, Change::Each(operations)) => {
            let proof = of_cluster()?;
            // Apache tells its own id twice.
            check_broker(own, name, "Node", || {
                format!("Unexpected node id. Expected {own}, but received {own}")
            })?;
            Ok(Admitted::Loggers(proof, operations))
        }
        // AlterConfigs does not know loggers.
        (BROKER_LOGGER, Change::Replace(_)) => Err(unknown_type(BROKER_LOGGER)),
        (CLIENT_METRICS, _) => {
            let text = "AlterConfigs is only supported for topics and brokers, but resource type \
                        is CLIENT_METRICS";
            Err(invalid_request(text))
        }
        (other, _) => Err(unknown_type(other)),
    }
}

/// Alters one after the other; each has its own outcome.
pub async fn alter_all(
    configs: &ConfigAlterer,
    admitted: Vec<(Key, Result<Admitted, ApiError>)>,
    validate_only: bool,
) -> Vec<Altered> {
    let mut outcomes = Vec::new();
    for ((resource_type, resource_name), admitted) in admitted {
        let outcome = match admitted {
            Ok(admitted) => alter(configs, admitted, validate_only).await.map_err(failed),
            Err(error) => Err(error),
        };
        let error = outcome.err().unwrap_or(ApiError::plain(ErrorCode::NONE));
        outcomes.push(Altered { resource_type, resource_name, error });
    }
    outcomes
}

async fn alter(
    configs: &ConfigAlterer,
    admitted: Admitted,
    validate_only: bool,
) -> Result<(), AlterError> {
    match admitted {
        Admitted::Topic(topic, change) => configs.topic(&topic, change, validate_only).await,
        Admitted::Brokers { proof, whole_cluster, change } => {
            configs.brokers(&proof, whole_cluster, change, validate_only).await
        }
        Admitted::Loggers(proof, operations) => {
            log_levels::alter(Loggers::of_process(), &proof, &operations, validate_only)
        }
    }
}

fn failed(error: AlterError) -> ApiError {
    let code = match &error {
        AlterError::InvalidRequest(_) => ErrorCode::INVALID_REQUEST,
        AlterError::InvalidConfig(_) => ErrorCode::INVALID_CONFIG,
        AlterError::UnknownTopic(_) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        AlterError::InvalidName(_) => ErrorCode::INVALID_TOPIC_EXCEPTION,
        AlterError::Store(_) => ErrorCode::UNKNOWN_SERVER_ERROR,
        AlterError::Unexpected(why) => {
            tracing::debug!(why, "a configuration cannot be altered so");
            return ApiError::plain(ErrorCode::UNKNOWN_SERVER_ERROR);
        }
    };
    ApiError::new(code, &error)
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
