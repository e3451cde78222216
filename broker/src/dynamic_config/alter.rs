//! Changing the dynamic configuration of a topic, of this broker or of all brokers: what the values
//! would be, whether they may be, and the write (Kafka's `ZkAdminManager` and
//! `ConfigAdminManager`). Knows no request.

use std::collections::BTreeSet;
use std::sync::Arc;

use coordinator::znodes::config::{ConfigEntity, ConfigValues};
use protocol::error_code::ErrorCode;
use storage::config::{ValueType, topic_key};

use super::entity::{self, EntityConfigError};
use crate::authorizer::{Authorized, op};
use crate::broker::Broker;
use crate::config::key::{Kind, Role, Update};
use crate::config::{BrokerConfig, Source};
use crate::topics::create::{self, CreateTopicError};
use crate::topics::name::{self, InvalidName};

/// What happens to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    Set(String),
    Delete,
    /// Adds items to a list.
    Append(String),
    /// Takes items out of a list.
    Subtract(String),
}

/// What happens to an entity's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// These and no others (AlterConfigs).
    Replace(ConfigValues),
    /// One after the other (IncrementalAlterConfigs).
    Each(Vec<(String, Operation)>),
}

/// Why nothing was changed. The texts are Kafka's.
#[derive(Debug, thiserror::Error)]
pub enum AlterError {
    #[error("{0}")]
    InvalidRequest(String),
    #[error("{0}")]
    InvalidConfig(String),
    #[error("The topic '{0}' does not exist.")]
    UnknownTopic(String),
    #[error(transparent)]
    InvalidName(#[from] InvalidName),
    #[error(transparent)]
    Store(#[from] EntityConfigError),
}

impl AlterError {
    /// What a response says.
    pub fn code(&self) -> ErrorCode {
        match self {
            AlterError::InvalidRequest(_) => ErrorCode::INVALID_REQUEST,
            AlterError::InvalidConfig(_) => ErrorCode::INVALID_CONFIG,
            AlterError::UnknownTopic(_) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            AlterError::InvalidName(_) => ErrorCode::INVALID_TOPIC_EXCEPTION,
            AlterError::Store(_) => ErrorCode::UNKNOWN_SERVER_ERROR,
        }
    }
}

/// Changes a topic's values; in force here when this returns. With `validate_only` nothing changes.
pub async fn topic(
    broker: &Arc<Broker>,
    _authorized: Authorized<op::AlterConfigs>,
    topic: &str,
    change: Change,
    validate_only: bool,
) -> Result<(), AlterError> {
    if topic.is_empty() {
        let text = "Default topic resources are not allowed.";
        return Err(AlterError::InvalidRequest(text.to_owned()));
    }
    let entity = ConfigEntity::topic(topic);
    let values = changed(broker, &entity, change, |key| {
        let key = topic_key(key)?;
        Some((key.value_type == ValueType::List, key.default))
    });
    let values = values.await?;
    if broker.metadata.load().topic(topic).is_none() {
        return Err(AlterError::UnknownTopic(topic.to_owned()));
    }
    name::check(topic)?;
    create::check_values(&values).map_err(|error| match error {
        CreateTopicError::UnknownConfig(_) => AlterError::InvalidConfig(error.to_string()),
        other => AlterError::InvalidConfig(format!(
            "Invalid config value for resource ConfigResource(type=TOPIC, name='{topic}'): {other}"
        )),
    })?;
    if validate_only { Ok(()) } else { write(broker, entity, values).await }
}

/// As `topic`, for this broker or (`whole_cluster`) for all brokers.
pub async fn brokers(
    broker: &Arc<Broker>,
    _authorized: Authorized<op::AlterConfigs>,
    whole_cluster: bool,
    change: Change,
    validate_only: bool,
) -> Result<(), AlterError> {
    let entity = match whole_cluster {
        true => ConfigEntity::BrokerDefault,
        false => ConfigEntity::Broker(broker.broker_id),
    };
    let values = changed(broker, &entity, change, |key| {
        let key = BrokerConfig::definition(key)?;
        Some((key.kind == Kind::List, key.default.unwrap_or_default()))
    });
    let values = values.await?;
    check_broker(&broker.config.load(), &values, whole_cluster)
        .map_err(AlterError::InvalidRequest)?;
    if validate_only { Ok(()) } else { write(broker, entity, values).await }
}

async fn write(
    broker: &Arc<Broker>,
    entity: ConfigEntity,
    values: ConfigValues,
) -> Result<(), AlterError> {
    let (owner, worker) = (broker.clone(), broker.clone());
    let work = async move {
        entity::change(&*worker.store, &entity, &values).await?;
        tracing::info!(%entity, "a configuration was changed");
        worker.config_changes.take_over(vec![entity]).await;
        Ok(())
    };
    owner.tasks.to_the_end(work).await
}

/// The values after `change`. `list` says of a key whether it is a list, and its default.
async fn changed(
    broker: &Broker,
    entity: &ConfigEntity,
    change: Change,
    list: impl Fn(&str) -> Option<(bool, &'static str)>,
) -> Result<ConfigValues, AlterError> {
    let operations = match change {
        Change::Replace(values) => return Ok(values),
        Change::Each(operations) => operations,
    };
    let mut values = entity::read(&*broker.store, entity).await?;
    apply(&mut values, operations, list)?;
    Ok(values)
}

fn apply(
    values: &mut ConfigValues,
    operations: Vec<(String, Operation)>,
    list: impl Fn(&str) -> Option<(bool, &'static str)>,
) -> Result<(), AlterError> {
    for (key, operation) in operations {
        let (verb, items, keep_old) = match operation {
            Operation::Set(value) => {
                values.insert(key, value);
                continue;
            }
            Operation::Delete => {
                values.remove(&key);
                continue;
            }
            Operation::Append(items) => ("append", items, true),
            Operation::Subtract(items) => ("subtract", items, false),
        };
        let default = match list(&key) {
            Some((true, default)) => default,
            Some((false, _)) => {
                let text = format!("Config value {verb} is not allowed for config key: {key}");
                return Err(AlterError::InvalidConfig(text));
            }
            None => return Err(AlterError::InvalidConfig(format!("Unknown config name: {key}"))),
        };
        let old = values.get(&key).map_or(default, String::as_str);
        let old: Vec<&str> = old.split(',').filter(|item| !item.is_empty()).collect();
        let given: Vec<&str> = items.split(',').collect();
        let new: Vec<&str> = if keep_old {
            let added = given.iter().filter(|item| !old.contains(item));
            old.iter().chain(added).copied().collect()
        } else {
            old.iter().filter(|item| !given.contains(item)).copied().collect()
        };
        let new = new.join(",");
        values.insert(key, new);
    }
    Ok(())
}

/// May these be all the dynamic values of one broker, or of the whole cluster?
fn check_broker(
    config: &BrokerConfig,
    values: &ConfigValues,
    whole_cluster: bool,
) -> Result<(), String> {
    let of = |wanted: &dyn Fn(Update) -> bool| -> Vec<&str> {
        let known =
            |key: &&str| BrokerConfig::definition(key).is_some_and(|key| wanted(key.update));
        values.keys().map(String::as_str).filter(known).collect()
    };
    let refuse = |keys: Vec<&str>, text: &str| match keys.is_empty() {
        true => Ok(()),
        false => Err(format!("{text}: Set({})", keys.join(", "))),
    };
    refuse(of(&|update| update == Update::ReadOnly), "Cannot update these configs dynamically")?;
    let at_once: Vec<&str> = values
        .keys()
        .map(String::as_str)
        .filter(|key| {
            let stops = |key: &crate::config::key::KeyDef| {
                matches!(key.role, Role::Stops(_) | Role::Belongs(_))
            };
            let known = BrokerConfig::definition(key);
            let bound = ["listeners", "advertised.listeners", "listener.security.protocol.map"];
            key.starts_with("listener.name.") || bound.contains(key) || known.is_some_and(stops)
        })
        .collect();
    refuse(at_once, "These configs are not served while the broker runs")?;
    let mut seen = BTreeSet::new();
    for (key, value) in values {
        if let Some(definition) = BrokerConfig::definition(key)
            && let Err(expected) = definition.parse(value)
        {
            return Err(format!("Invalid value {value} for configuration {key}: {expected}"));
        }
        seen.insert(key);
    }
    if whole_cluster {
        let text =
            "Cannot update these configs at default cluster level, broker id must be specified";
        refuse(of(&|update| update == Update::PerBroker), text)?;
    }
    let kept = if whole_cluster { Source::DynamicBroker } else { Source::DynamicDefault };
    let other = config.settings_at(kept);
    let (cluster, own) = if whole_cluster { (values, &other) } else { (&other, values) };
    let (next, _) = config.with_dynamic(cluster, own);
    next.check().map_err(|error| format!("Invalid dynamic configuration: {error}"))?;
    let threads = |config: &BrokerConfig| config.int("log.cleaner.threads");
    check_cleaner_threads(threads(config), threads(&next))
}

/// Kafka halves and doubles them at most, and keeps one.
fn check_cleaner_threads(now: i32, next: i32) -> Result<(), String> {
    let refuse =
        |text: String| Err(format!("Invalid dynamic configuration: Log cleaner threads {text}"));
    if now == next {
        Ok(())
    } else if next < 1 {
        refuse("should be at least 1".to_owned())
    } else if next < now / 2 {
        refuse(format!("cannot be reduced to less than half the current value {now}"))
    } else if i64::from(next) > i64::from(now) * 2 {
        refuse(format!("cannot be increased to more than double the current value {now}"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(key: &str) -> Option<(bool, &'static str)> {
        match key {
            "list" => Some((true, "a,b")),
            "number" => Some((false, "1")),
            _ => None,
        }
    }

    fn after(
        values: &[(&str, &str)],
        operations: Vec<(&str, Operation)>,
    ) -> Result<Vec<(String, String)>, String> {
        let owned = |(key, value): &(&str, &str)| (key.to_string(), value.to_string());
        let mut values: ConfigValues = values.iter().map(owned).collect();
        let operations = operations.into_iter().map(|(key, op)| (key.to_owned(), op)).collect();
        apply(&mut values, operations, lists).map_err(|error| error.to_string())?;
        Ok(values.into_iter().collect())
    }

    #[test]
    fn lists_grow_from_their_default_and_shrink() {
        let one = |text: &str| Ok(vec![("list".to_owned(), text.to_owned())]);
        let append = |items: &str| vec![("list", Operation::Append(items.to_owned()))];
        let subtract = |items: &str| vec![("list", Operation::Subtract(items.to_owned()))];
        assert_eq!(after(&[], append("b,c")), one("a,b,c"));
        assert_eq!(after(&[("list", "x")], append("y")), one("x,y"));
        assert_eq!(after(&[("list", "x,y,z")], subtract("y,a")), one("x,z"));
        assert_eq!(after(&[("list", "x")], vec![("list", Operation::Delete)]), Ok(vec![]));
        assert_eq!(
            after(&[], vec![("number", Operation::Append("2".into()))]),
            Err("Config value append is not allowed for config key: number".to_owned())
        );
        let unknown = after(&[], vec![("none", Operation::Subtract("2".into()))]);
        assert_eq!(unknown, Err("Unknown config name: none".to_owned()));
    }

    #[test]
    fn a_brokers_values_are_checked_as_a_whole() {
        let config = BrokerConfig::defaults();
        let check = |key: &str, value: &str, whole_cluster: bool| {
            let values = ConfigValues::from([(key.to_owned(), value.to_owned())]);
            check_broker(&config, &values, whole_cluster)
        };
        assert_eq!(check("message.max.bytes", "7", true), Ok(()));
        assert_eq!(check("not.known.anywhere", "7", true), Ok(()), "Kafka keeps these");
        assert_eq!(
            check("broker.id", "7", false),
            Err("Cannot update these configs dynamically: Set(broker.id)".to_owned())
        );
        assert!(check("message.max.bytes", "many", false).is_err());
        assert_eq!(check("log.cleaner.threads", "2", true), Ok(()));
        for threads in ["0", "3"] {
            let text = check("log.cleaner.threads", threads, true).unwrap_err();
            assert!(text.contains("Log cleaner threads"), "{text}");
        }
        assert!(check("ssl.keystore.location", "x", false).is_err());
        assert!(check("listeners", "PLAINTEXT://:1", false).is_err());
    }
}
